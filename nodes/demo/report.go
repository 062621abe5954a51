package demo

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"arfm/finetune"
	"arfm/nodes/demonstration"
	"arfm/nodes/eval"
)

// Report holds the demo's figures.
type Report struct {
	Suite      string                 `json:"suite"`
	Seed       uint64                 `json:"seed"`
	Seconds    float64                `json:"seconds"` // that all of it took
	Recorded   demonstration.Recorded `json:"recorded"`
	Clone      *finetune.Result       `json:"clone"`
	Tune       *finetune.Result       `json:"tune"`
	Live       LiveReport             `json:"live"`
	Before     eval.Result            `json:"before"` // the cloned policy in closed loop
	After      eval.Result            `json:"after"`  // the fine-tuned one
	CloneLines []finetune.Line        `json:"-"`      // in the folders' train.jsonl
	TuneLines  []finetune.Line        `json:"-"`
}

// String is the before/after table.
func (r *Report) String() string {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 4, 3, ' ', 0)
	fmt.Fprintf(tw, "\tsuccess\t95 %% interval\ttime to success\n")
	for _, row := range []struct {
		name string
		r    *eval.Score
	}{{"before: bc on all demonstrations", &r.Before.Score}, {"after: fine-tuned with arfm", &r.After.Score}} {
		time := "-"
		if row.r.Successes > 0 {
			time = fmt.Sprintf("%.2f s", row.r.MeanTime)
		}
		fmt.Fprintf(tw, "%s\t%.0f %%\t%.0f to %.0f %%\t%s\n", row.name, 100*row.r.Rate, 100*row.r.Low, 100*row.r.High, time)
	}
	tw.Flush()
	fmt.Fprintf(&b, "%d swaps in the running policy, %d control ticks, %d missed\n", len(r.Live.Swaps), r.Live.Stats.Ticks, r.Live.Stats.Missed)
	return b.String()
}

// write puts report.json and index.html into a folder.
func (s *story) write(dir string) error {
	data, err := json.MarshalIndent(&s.report, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "report.json"), append(data, '\n'), 0o644); err != nil {
		return err
	}
	page := s.page()
	return page.WriteFile(filepath.Join(dir, "index.html"))
}
