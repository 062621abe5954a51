package finetune

import (
	"encoding/json"
	"strconv"

	"arfm/finetune/objective"
)

// oldVersion is that of states in which the options of objectives had fields of
// their own.
const oldVersion = "2"

// oldTuning returns the options of objectives in the JSON of such a state.
func oldTuning(options string) (objective.Options, error) {
	var old struct {
		Beta  float64
		Alpha objective.AlphaOptions
		Scale string
	}
	if err := json.Unmarshal([]byte(options), &old); err != nil {
		return nil, err
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	return objective.Options{
		"beta": number(old.Beta), "scale": old.Scale, "spread": string(objective.Gaussian), "lambda": number(old.Alpha.Lambda), "alpha-min": number(old.Alpha.Min),
		"alpha-max": number(old.Alpha.Max), "iterations": strconv.Itoa(old.Alpha.Iterations),
	}, nil
}
