package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"arfm/nodes/bench/peers"
	"arfm/policy/onnx"
)

// ONNXReport is a model's time here and in ONNX Runtime.
type ONNXReport struct {
	Machine Machine  `json:"machine"`
	Model   string   `json:"model"`
	Steps   int      `json:"steps"`   // of a run, after folding and joining
	Ours    float64  `json:"ours_ms"` // median over rounds
	Peers   []Result `json:"peers"`   // fastest first
	Missing []string `json:"missing"` // a sentence for each peer that was not found
	Ratio   float64  `json:"ratio"`   // ours by the fastest peer's; 0 without any
}

func (r *ONNXReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %.2f ms in %d steps\n", r.Model, r.Ours, r.Steps)
	for _, p := range r.Peers {
		fmt.Fprintf(&b, "%s, threads: %d: %.2f ms, ours is %.2f of it (median of %d rounds)\n", p.Peer, p.Threads, p.Median, p.Ratio, p.Rounds)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(&b, "not compared with %s\n", m)
	}
	fmt.Fprintf(&b, "on %v\n", r.Machine)
	return b.String()
}

// ONNX races the ONNX model from the file at path against ONNX Runtime, on the
// same inputs, until ctx ends. A peer whose first output differs is an error
// that wraps ErrDisagrees.
func ONNX(ctx context.Context, path string, m *onnx.Model, inputs map[string]*onnx.Tensor, rounds int) (*ONNXReport, error) {
	if rounds < 1 {
		return nil, fmt.Errorf("%w: the number of rounds is %d, it must be at least 1", ErrSetup, rounds)
	}
	out, err := m.Run(inputs)
	if err != nil {
		return nil, err
	}
	want, err := out[0].Cast(onnx.Float32)
	if err != nil {
		return nil, err
	}
	job, err := feeds(m, path, inputs)
	if err != nil {
		return nil, err
	}
	r := &ONNXReport{Machine: machine(), Model: path, Steps: m.Steps(), Peers: []Result{}}
	programs, missing := peers.Find(ctx)
	for _, s := range missing {
		if !strings.HasPrefix(s, "PyTorch") {
			r.Missing = append(r.Missing, s)
		}
	}
	programs = slices.DeleteFunc(programs, func(p *peers.Program) bool { return p.Model != "onnx" })
	running, err := start(ctx, programs)
	if err != nil {
		return nil, err
	}
	defer stop(running)
	var rivals []*rival
	counts := map[*rival]*peers.Process{}
	for _, q := range running {
		got, err := q.Open(job)
		if err == nil {
			err = agree("number", wide(got.Values), wide(onnx.Data[float32](want)))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.Program.Name, err)
		}
		one := &rival{side: q, who: q.Program.Name}
		rivals, counts[one] = append(rivals, one), q
	}
	ms, err := race(ctx, sideFunc(func() error { _, err := m.Run(inputs); return err }), rivals, rounds)
	if err != nil {
		return nil, err
	}
	r.Ours = median(ms)
	for _, one := range rivals {
		if one.err != nil {
			return nil, one.err
		}
		r.Peers = append(r.Peers, resultOf(one, counts[one]))
	}
	r.Ratio = rank(r.Peers)
	return r, nil
}

// feeds is the model and its inputs as a peer takes them.
func feeds(m *onnx.Model, path string, inputs map[string]*onnx.Tensor) (*peers.Job, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	job := &peers.Job{Task: peers.Infer, Model: full}
	for _, v := range m.Inputs {
		t := inputs[v.Name]
		switch t.Type {
		case onnx.Float32, onnx.Int64, onnx.Int32, onnx.Uint8, onnx.Bool:
		default:
			return nil, fmt.Errorf("%w: input %s is of a type that is not handed to peers", ErrSetup, v)
		}
		x, err := t.Cast(onnx.Float64)
		if err != nil {
			return nil, err
		}
		job.Feeds = append(job.Feeds, peers.Feed{Name: v.Name, Type: t.Type.String(), Shape: t.Shape, Data: onnx.Data[float64](x)})
	}
	return job, nil
}
