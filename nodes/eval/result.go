package eval

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"arfm/finetune/experiment/stat"
	"arfm/nodes/runner"
)

// Score sums up a set of episodes.
type Score struct {
	Episodes      int                       `json:"episodes"`
	Successes     int                       `json:"successes"`
	Rate          float64                   `json:"success_rate"`
	Low           float64                   `json:"low"`         // Wilson 95 % interval of Rate
	High          float64                   `json:"high"`        //
	MeanTime      float64                   `json:"mean_time_s"` // of the successes; 0: none
	MeanReturn    float64                   `json:"mean_return"` // reward per step
	Interventions map[string]runner.Counter `json:"interventions"`
}

// TaskScore is the score of one task.
type TaskScore struct {
	Task string `json:"task"` // the instruction
	Score
}

// Result of an evaluation: the score of all episodes, and of each task.
type Result struct {
	Score
	Tasks []TaskScore `json:"tasks"` // by name
}

// newResult sums up outcomes in their order.
func newResult(outcomes []Outcome) Result {
	byTask := map[string][]Outcome{}
	for _, o := range outcomes {
		byTask[o.Task] = append(byTask[o.Task], o)
	}
	r := Result{Score: newScore(outcomes)}
	for _, task := range slices.Sorted(maps.Keys(byTask)) {
		r.Tasks = append(r.Tasks, TaskScore{task, newScore(byTask[task])})
	}
	return r
}

func newScore(outcomes []Outcome) Score {
	s := Score{Episodes: len(outcomes), Interventions: map[string]runner.Counter{}}
	n := float64(max(1, s.Episodes))
	for _, o := range outcomes {
		if o.Success {
			s.Successes++
			s.MeanTime += o.Time
		}
		s.MeanReturn += o.Return / n
		for name, c := range o.Interventions {
			sum := s.Interventions[name]
			s.Interventions[name] = runner.Counter{Events: sum.Events + c.Events, Ticks: sum.Ticks + c.Ticks}
		}
	}
	s.MeanTime /= float64(max(1, s.Successes))
	s.Rate = float64(s.Successes) / n
	s.Low, s.High = stat.Wilson(s.Successes, s.Episodes)
	return s
}

// String is a table with a line for each task and one for all of them.
func (r Result) String() string {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 4, 3, ' ', 0)
	fmt.Fprintln(tw, "task\tsuccess\t\t95 % interval\tmean time\treturn a step\tinterventions")
	for _, t := range r.Tasks {
		t.row(tw, t.Task)
	}
	r.row(tw, "all")
	tw.Flush()
	return b.String()
}

func (s *Score) row(tw *tabwriter.Writer, name string) {
	time, events := "-", uint64(0)
	if s.Successes > 0 {
		time = fmt.Sprintf("%.2f s", s.MeanTime)
	}
	for _, c := range s.Interventions {
		events += c.Events
	}
	fmt.Fprintf(tw, "%s\t%d/%d\t%.1f %%\t%.1f to %.1f %%\t%s\t%.3f\t%d\n",
		name, s.Successes, s.Episodes, 100*s.Rate, 100*s.Low, 100*s.High, time, s.MeanReturn, events)
}
