package onnxtool

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"arfm/nodes/bench"
	"arfm/policy/onnx"
)

// Timing says where a model's time goes. Layers are the steps in their order;
// their times are medians over the runs.
type Timing struct {
	Total     bench.Times    `json:"total"`
	Operators []OperatorTime `json:"operators"` // the slowest first
	Layers    []Layer        `json:"layers"`
}

// OperatorTime sums up the layers of an operator.
type OperatorTime struct {
	Op     string  `json:"operator"`
	Layers int     `json:"layers"`
	Ms     float64 `json:"ms"`
	Share  float64 `json:"share"` // of all layers' time
}

// Layer is one step.
type Layer struct {
	Node   string  `json:"node"`
	Op     string  `json:"operator"`
	Result string  `json:"result"` // type and shape
	Ms     float64 `json:"ms"`
	Share  float64 `json:"share"`
}

// timeLayers runs the model once to warm up and then runs times.
func timeLayers(ctx context.Context, m *onnx.Model, inputs map[string]*onnx.Tensor, runs int, progress func(done, total int)) (*Timing, error) {
	t := &Timing{}
	var took [][]float64 // of each layer, ms
	run := func(step func(i int, s onnx.Step)) error {
		i := 0
		m.Trace = func(s onnx.Step) error {
			step(i, s)
			i++
			return ctx.Err()
		}
		_, err := m.Run(inputs)
		return err
	}
	err := run(func(_ int, s onnx.Step) {
		list := make([]string, len(s.Results))
		for k, r := range s.Results {
			list[k] = r.String()
		}
		t.Layers = append(t.Layers, Layer{Node: s.Node, Op: s.Op, Result: strings.Join(list, ", ")})
		took = append(took, nil)
	})
	if err != nil {
		return nil, err
	}
	total := make([]float64, runs)
	for r := range runs {
		start := time.Now()
		err := run(func(i int, s onnx.Step) { took[i] = append(took[i], float64(s.Time)/1e6) })
		if err != nil {
			return nil, err
		}
		total[r] = float64(time.Since(start)) / 1e6
		if progress != nil {
			progress(r+1, runs)
		}
	}
	t.Total = bench.Summary(total)
	t.sumUp(took)
	return t, nil
}

// sumUp fills in the layers' times and those of their operators.
func (t *Timing) sumUp(took [][]float64) {
	all, ops := 0.0, map[string]*OperatorTime{}
	for i := range t.Layers {
		l := &t.Layers[i]
		l.Ms = bench.Summary(took[i]).Median
		all += l.Ms
		if ops[l.Op] == nil {
			ops[l.Op] = &OperatorTime{Op: l.Op}
		}
		ops[l.Op].Layers++
		ops[l.Op].Ms += l.Ms
	}
	share := func(ms float64) float64 {
		if all == 0 {
			return 0
		}
		return ms / all
	}
	for i := range t.Layers {
		t.Layers[i].Share = share(t.Layers[i].Ms)
	}
	for _, o := range ops {
		o.Share = share(o.Ms)
		t.Operators = append(t.Operators, *o)
	}
	slices.SortFunc(t.Operators, func(a, b OperatorTime) int { return cmp.Or(cmp.Compare(b.Ms, a.Ms), cmp.Compare(a.Op, b.Op)) })
}

func (t *Timing) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n", t.Total)
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprint(w, "  operator\tlayers\tms\tshare\n")
	for _, o := range t.Operators {
		fmt.Fprintf(w, "  %s\t%d\t%.3f\t%.1f %%\n", onnx.Plain(o.Op), o.Layers, o.Ms, 100*o.Share)
	}
	w.Flush()
	w = tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprint(w, "  ms\tshare\tresult\tlayer\n")
	for _, l := range t.Layers {
		fmt.Fprintf(w, "  %.3f\t%.1f %%\t%s\t%s\n", l.Ms, 100*l.Share, l.Result, l.Node)
	}
	w.Flush()
	return b.String()
}
