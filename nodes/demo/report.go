package demo

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"arfm/finetune"
	"arfm/nodes/demonstration"
	"arfm/nodes/eval"
)

// Report holds the demo's figures.
type Report struct {
	Recorded demonstration.Recorded `json:"recorded"`
	Clone    *finetune.Result       `json:"clone"`
	Tune     *finetune.Result       `json:"tune"`
	Live     LiveReport             `json:"live"`
	Before   eval.Result            `json:"before"` // the cloned policy in closed loop
	After    eval.Result            `json:"after"`  // the fine-tuned one
}

// String is the before/after table.
func (r *Report) String() string {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 4, 3, ' ', 0)
	fmt.Fprintf(tw, "\tsuccess\t95 %% interval\treturn a step\ttime to target\n")
	for _, row := range []struct {
		name string
		r    *eval.Result
	}{{"before: bc on all demonstrations", &r.Before}, {"after: fine-tuned with arfm", &r.After}} {
		fmt.Fprintf(tw, "%s\t%.0f %%\t%.0f to %.0f %%\t%.3f\t%.2f s\n", row.name, 100*row.r.Rate, 100*row.r.Low, 100*row.r.High, row.r.MeanReturn, row.r.MeanTime)
	}
	tw.Flush()
	fmt.Fprintf(&b, "%d swaps in the running policy, %d control ticks, %d missed\n", len(r.Live.Swaps), r.Live.Stats.Ticks, r.Live.Stats.Missed)
	return b.String()
}

func (r *Report) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
