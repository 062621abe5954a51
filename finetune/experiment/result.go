package experiment

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"arfm/finetune"
)

// Done is what a job has come to: one of the four is set, as in its Job.
type Done struct {
	Job       Job        `json:"job"`
	Seconds   float64    `json:"seconds"`          // that it took
	Sum       string     `json:"sha256,omitempty"` // of the rest, as it is stored
	Recorded  *Recorded  `json:"recorded,omitempty"`
	Trained   *Trained   `json:"trained,omitempty"`
	Chosen    *Chosen    `json:"chosen,omitempty"`
	Evaluated *Evaluated `json:"evaluated,omitempty"`
}

// Recorded says what was recorded.
type Recorded struct {
	Bags      []string `json:"bags"` // within the job's folder
	Episodes  int      `json:"episodes"`
	Successes int      `json:"successes"`
}

// Trained is a run of training that has ended.
type Trained struct {
	Checkpoint string `json:"checkpoint"` // within the job's folder
	Hash       string `json:"hash"`
	Frames     int    `json:"frames"`
	Alpha      *Alpha `json:"alpha,omitempty"` // of an objective that weighs chunks unequally
}

// Chosen is the candidate that a Choose job took.
type Chosen struct {
	Best      int   `json:"best"`
	Successes []int `json:"successes"` // by candidate
	Episodes  int   `json:"episodes"`  // of each candidate
}

// Evaluated holds the outcome of each episode, in their order.
type Evaluated struct {
	Outcomes []Outcome `json:"outcomes"`
}

// Outcome is how an episode ended.
type Outcome struct {
	Task    string  `json:"task"` // the instruction
	Success bool    `json:"success"`
	Time    float64 `json:"time_s"`
}

// Alpha sums up alpha and the effective sample size over the steps of a run.
type Alpha struct {
	Steps     int     `json:"steps"`
	Batch     int     `json:"batch"`
	Given     bool    `json:"given,omitempty"` // not solved for, so that no share is at a bound
	Lower     float64 `json:"at_lower_bound"`  // share of the steps
	Upper     float64 `json:"at_upper_bound"`
	Median    float64 `json:"median"`          // 0: the objective has no alpha
	Predicted float64 `json:"ess_predicted"`   // mean of B e^-x, at least 1 each; 0: no prediction
	Seen      float64 `json:"ess_seen"`        // mean of 1 / sum w^2
	Curve     []Point `json:"curve,omitempty"` // means over up to 100 stretches of the run
}

// Point is a stretch of a run in an Alpha's curve.
type Point struct {
	Step      float64 `json:"step"` // in its middle
	Alpha     float64 `json:"alpha"`
	Predicted float64 `json:"ess_predicted"`
	Seen      float64 `json:"ess_seen"`
}

// SumUp describes alpha and the effective sample size over the steps of the run
// of t; nil where all chunks weigh the same in every step.
func SumUp(t *Train, lines []finetune.Line) *Alpha {
	solved := slices.ContainsFunc(lines, func(l finetune.Line) bool { return l.X != 0 })
	if !solved && !slices.ContainsFunc(lines, func(l finetune.Line) bool { return l.WeightMax > l.WeightMin }) {
		return nil
	}
	tuning := t.Tuning.Complete()
	bound := func(name string) float64 {
		v, err := strconv.ParseFloat(tuning[name], 64)
		if err != nil {
			return math.NaN() // training has refused it
		}
		return v
	}
	low, high := bound("alpha-min"), bound("alpha-max")
	a := &Alpha{Steps: len(lines), Batch: t.Batch, Given: !solved || low == high}
	n := float64(len(lines))
	var alphas []float64
	for _, l := range lines {
		alphas = append(alphas, l.Alpha)
		switch {
		case a.Given:
		case l.Alpha <= low:
			a.Lower += 1 / n
		case l.Alpha >= high:
			a.Upper += 1 / n
		}
	}
	whole := point(t.Batch, lines)
	a.Seen = whole.Seen
	if solved {
		a.Predicted = whole.Predicted
	}
	a.Median = median(alphas)
	if !solved {
		return a // a curve of it would be of a prediction that there is not
	}
	const most = 100
	width := (len(lines) + most - 1) / most
	for part := range slices.Chunk(lines, width) {
		a.Curve = append(a.Curve, point(t.Batch, part))
	}
	return a
}

func point(batch int, lines []finetune.Line) (p Point) {
	n := float64(len(lines))
	for _, l := range lines {
		p.Step += float64(l.Step) / n
		p.Alpha += l.Alpha / n
		p.Predicted += l.PredictedESS(batch) / n
		p.Seen += l.ESS / n
	}
	return p
}

func median(x []float64) float64 {
	slices.Sort(x)
	m := len(x) / 2
	if len(x)%2 == 1 {
		return x[m]
	}
	return (x[m-1] + x[m]) / 2
}

// sum is the hash of all but Sum itself.
func (d Done) sum() (string, error) {
	d.Sum = ""
	data, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// choose does a Choose job by the results of the jobs that it needs.
func choose(c *Choose, done func(id string) *Done) *Chosen {
	out := &Chosen{}
	for i, ids := range c.Scores {
		n, episodes := 0, 0
		for _, id := range ids {
			for _, o := range done(id).Evaluated.Outcomes {
				episodes++
				if o.Success {
					n++
				}
			}
		}
		out.Successes, out.Episodes = append(out.Successes, n), episodes
		if n > out.Successes[out.Best] {
			out.Best = i
		}
	}
	return out
}
