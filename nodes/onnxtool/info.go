package onnxtool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"arfm/policy/onnx"
)

// Info is what there is to know of a model before it is used.
type Info struct {
	Path        string               `json:"path"`
	Producer    string               `json:"producer"`
	Opsets      map[string]int64     `json:"opsets"`
	Inputs      []Value              `json:"inputs"`
	Outputs     []Value              `json:"outputs"`
	Nodes       int                  `json:"nodes"`
	Operators   []onnx.OperatorCount `json:"operators"`
	Unsupported []string             `json:"unsupported"`
	Parameters  []Parameters         `json:"parameters"`
	External    []string             `json:"external_data"`
	Runs        bool                 `json:"runs"`
	Problem     string               `json:"problem,omitempty"` // why it does not run
	Dims        map[string]int       `json:"dims"`              // at which steps and memory are given
	Steps       int                  `json:"steps"`             // after folding and joining
	ArenaBytes  int                  `json:"arena_bytes"`       // of results; 0 where shapes depend on data
	Timing      *Timing              `json:"timing,omitempty"`

	problem error
}

// Value describes an input or output; open dimensions are text.
type Value struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Dims []any  `json:"dims"` // null where the file does not say
	text string
}

// Parameters sums up the parameters of a type.
type Parameters struct {
	Type     string `json:"type"`
	Tensors  int    `json:"tensors"`
	Elements int64  `json:"elements"`
	Bytes    int64  `json:"bytes"`
}

func values(list []onnx.Value) []Value {
	out := make([]Value, len(list))
	for i, v := range list {
		out[i] = Value{Name: v.Name, Type: v.Type.String(), text: v.String()}
		for _, d := range v.Dims {
			if d.Symbol != "" {
				out[i].Dims = append(out[i].Dims, d.Symbol)
			} else {
				out[i].Dims = append(out[i].Dims, d.Size)
			}
		}
		if v.Dims != nil && len(v.Dims) == 0 {
			out[i].Dims = []any{}
		}
	}
	return out
}

// listed is a list that JSON prints as one, empty or not.
func listed[T any](s []T) []T { return append([]T{}, s...) }

// Inspect describes the model at path and, with runs > 0, times its layers. A
// model that does not run is described too; Err then says why.
func Inspect(ctx context.Context, path string, o Options, runs int) (*Info, error) {
	return interruptible(ctx, func() (*Info, error) { return inspect(ctx, path, o, runs) })
}

func inspect(ctx context.Context, path string, o Options, runs int) (*Info, error) {
	file, err := onnx.Inspect(path)
	if err != nil {
		return nil, err
	}
	info := &Info{Path: path, Producer: file.Producer, Opsets: map[string]int64{}, Inputs: values(file.Inputs), Outputs: values(file.Outputs),
		Nodes: file.Nodes, Operators: listed(file.Operators), Unsupported: listed(file.Unsupported), External: listed(file.External),
		Parameters: []Parameters{}, Dims: map[string]int{}}
	for domain, version := range file.Opsets {
		if domain == "" {
			domain = "ai.onnx"
		}
		info.Opsets[domain] = version
	}
	for _, p := range file.Parameters {
		info.Parameters = append(info.Parameters, Parameters{p.Type.String(), p.Tensors, p.Elements, p.Bytes})
	}
	info.problem = info.try(ctx, path, o, runs)
	switch {
	case errors.Is(info.problem, ErrOptions), errors.Is(info.problem, context.Canceled):
		return nil, info.problem
	case info.problem != nil:
		info.Problem = info.problem.Error()
	}
	info.Runs = info.problem == nil
	return info, nil
}

// try makes the model ready, at the dimensions asked for, and times it.
func (info *Info) try(ctx context.Context, path string, o Options, runs int) error {
	m, err := open(ctx, path)
	if err != nil {
		return err
	}
	defer m.Close()
	_, sizes, err := o.read(m)
	if err != nil {
		return err
	}
	known := true
	for _, v := range m.Inputs {
		known = known && v.Dims != nil
		for _, d := range v.Dims {
			if d.Symbol != "" {
				info.Dims[d.Symbol] = 1
			}
		}
	}
	maps.Copy(info.Dims, sizes)
	assumed := assumedDims(m.Inputs, sizes)
	if known {
		if err := m.Fix(info.Dims); err != nil {
			return because(err, assumed)
		}
	}
	info.Steps, info.ArenaBytes = m.Steps(), m.Bytes()
	if runs == 0 {
		return nil
	}
	o.Dims = nil // they are fixed
	inputs, err := o.feed(m)
	if err != nil {
		return err
	}
	info.Timing, err = timeLayers(ctx, m, inputs, runs, o.Progress)
	return because(err, assumed)
}

// Err says in a sentence why the model does not run.
func (info *Info) Err() error {
	if info.problem == nil {
		return nil
	}
	if n := len(info.Unsupported); n > 1 && errors.Is(info.problem, onnx.ErrUnsupported) {
		return fmt.Errorf("%w; %d more nodes are not supported", info.problem, n-1)
	}
	return info.problem
}

func (info *Info) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, info.Path)
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "  "+name+"\t"+format+"\n", args...) }
	if info.Producer != "" {
		row("producer", "%s", onnx.Plain(info.Producer))
	}
	for _, domain := range slices.Sorted(maps.Keys(info.Opsets)) {
		row("opset", "%s %d", onnx.Plain(domain), info.Opsets[domain])
	}
	for _, v := range info.Inputs {
		row("input", "%s", v.text)
	}
	for _, v := range info.Outputs {
		row("output", "%s", v.text)
	}
	var weights int64
	for _, p := range info.Parameters {
		row("parameters", "%d of %s in %d tensors, %s", p.Elements, p.Type, p.Tensors, size(p.Bytes))
		weights += p.Bytes
	}
	for _, f := range info.External {
		row("external data", "%s", f)
	}
	row("nodes", "%d", info.Nodes)
	for _, op := range info.Operators {
		more := ""
		if !op.Supported {
			more = ", not supported"
		}
		row("", "%s %d%s", op.Name, op.Nodes, more)
	}
	for i, s := range info.Unsupported {
		if i == mostSentences {
			row("", "and %d more", len(info.Unsupported)-i)
			break
		}
		row("unsupported", "%s", s)
	}
	if info.Runs {
		row("runs", "yes, in %s after folding and joining%s", steps(info.Steps), at(info.Dims))
		arena := size(int64(info.ArenaBytes)) + " results"
		if info.ArenaBytes == 0 {
			arena = "no results planned beforehand"
		}
		row("memory", "%s parameters, %s", size(weights), arena)
	} else {
		row("runs", "no: %s", info.Problem)
	}
	w.Flush()
	if info.Timing != nil {
		b.WriteString(info.Timing.String())
	}
	return b.String()
}

// mostSentences about unsupported nodes are printed.
const mostSentences = 20

func steps(n int) string {
	if n == 1 {
		return "1 step"
	}
	return fmt.Sprintf("%d steps", n)
}

// at names the sizes of open dimensions.
func at(dims map[string]int) string {
	if len(dims) == 0 {
		return ""
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(dims)) {
		list = append(list, fmt.Sprintf("%s=%d", onnx.Plain(name), dims[name]))
	}
	return " at " + strings.Join(list, ", ")
}

// size is a count of bytes in words.
func size(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
