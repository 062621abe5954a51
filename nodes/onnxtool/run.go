package onnxtool

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"arfm/policy/onnx"
	"arfm/policy/userfile"
)

// Result is what a model gave.
type Result struct {
	Path    string   `json:"path"`
	Inputs  []Sum    `json:"inputs"`
	Outputs []Sum    `json:"outputs"`
	Ms      float64  `json:"ms"`    // of the run
	Files   []string `json:"files"` // that were written

	tensors []*onnx.Tensor // inputs, then outputs
}

// Sum describes a tensor's elements: numbers by their moments, strings by the
// first of them.
type Sum struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []int  `json:"shape"`
	*Moments
	Strings []string `json:"strings,omitempty"`
	text    string
}

// Moments describe numbers; minimum, maximum, mean and standard deviation are
// those of the finite ones.
type Moments struct {
	Min      float64 `json:"min"`
	Max      float64 `json:"max"`
	Mean     float64 `json:"mean"`
	Std      float64 `json:"std"`
	NaN      int     `json:"nan"`
	Infinite int     `json:"infinite"`
}

// mostStrings of a tensor are reported.
const mostStrings = 100

// Run computes the model's outputs once.
func Run(ctx context.Context, path string, o Options) (*Result, error) {
	return interruptible(ctx, func() (*Result, error) { return runOnce(ctx, path, o) })
}

func runOnce(ctx context.Context, path string, o Options) (*Result, error) {
	m, err := open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	inputs, out, took, err := run(m, o)
	if err != nil {
		return nil, err
	}
	r := &Result{Path: path, Ms: float64(took) / 1e6, Files: []string{}, Inputs: []Sum{}}
	for _, v := range m.Inputs {
		r.Inputs, r.tensors = append(r.Inputs, sum(v.Name, inputs[v.Name])), append(r.tensors, inputs[v.Name])
	}
	for i, v := range m.Outputs {
		r.Outputs, r.tensors = append(r.Outputs, sum(v.Name, out[i])), append(r.tensors, out[i])
	}
	return r, nil
}

// run feeds the model and computes its outputs.
func run(m *onnx.Model, o Options) (inputs map[string]*onnx.Tensor, out []*onnx.Tensor, took time.Duration, err error) {
	if inputs, err = o.prepare(m); err != nil {
		return nil, nil, 0, err
	}
	start := time.Now()
	out, err = m.Run(inputs)
	return inputs, out, time.Since(start), because(err, o.assumed)
}

func sum(name string, t *onnx.Tensor) Sum {
	s := Sum{Name: name, Type: t.Type.String(), Shape: listed(t.Shape), text: named(name, t).String()}
	if t.Type == onnx.String {
		s.Strings = t.Strings()[:min(t.Len(), mostStrings)]
	} else {
		s.Moments = moments(t)
	}
	return s
}

func moments(t *onnx.Tensor) *Moments {
	s := &Moments{}
	n, mean, square := 0.0, 0.0, 0.0 // Welford's recurrence
	for v := range t.Floats() {
		switch {
		case math.IsNaN(v):
			s.NaN++
			continue
		case math.IsInf(v, 0):
			s.Infinite++
			continue
		case n == 0:
			s.Min, s.Max = v, v
		}
		n++
		d := v - mean
		mean += d / n
		square += d * (v - mean)
		s.Min, s.Max = min(s.Min, v), max(s.Max, v)
	}
	if n > 0 {
		s.Mean, s.Std = number(mean), number(math.Sqrt(square/n))
	}
	return s
}

// number keeps what overflowed where JSON can hold it.
func number(v float64) float64 {
	if math.IsNaN(v) {
		return math.MaxFloat64
	}
	return min(max(v, -math.MaxFloat64), math.MaxFloat64)
}

// Write puts inputs and outputs into a folder as npy files, strings as
// TensorProtos (pb), where Compare finds them. Files that are there are replaced only by force.
func (r *Result) Write(dir string, force bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := r.fileNames()
	for i, name := range files {
		ending := ".npy"
		if r.tensors[i].Type == onnx.String {
			ending = ".pb"
		}
		files[i] = filepath.Join(dir, name+ending)
		if _, err := os.Lstat(files[i]); err == nil && !force {
			return fmt.Errorf("%s is there already; name another folder, or say --force to replace it", files[i])
		}
	}
	for i, file := range files {
		err := userfile.Replace(file, func(w io.Writer) error {
			encode := r.tensors[i].AppendNPY
			if r.tensors[i].Type == onnx.String {
				encode = r.tensors[i].AppendProto
			}
			_, err := w.Write(encode(nil))
			return err
		})
		if err != nil {
			return err
		}
		r.Files = append(r.Files, file)
	}
	return nil
}

// fileNames are those of inputs and outputs, without their ending.
func (r *Result) fileNames() []string {
	var names []string
	for _, s := range slices.Concat(r.Inputs, r.Outputs) {
		names = append(names, s.Name)
	}
	return safeNames(names)
}

// safeNames makes each name one that any file system takes, and no two alike.
func safeNames(names []string) []string {
	out, taken := make([]string, len(names)), map[string]bool{}
	for i, name := range names {
		s := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
				return r
			}
			return '_'
		}, name)
		s = strings.TrimLeft(s, ".")
		if len(s) > 100 {
			s = s[:100]
		}
		base := s
		for n := 2; s == "" || taken[strings.ToLower(s)]; n++ {
			s = fmt.Sprintf("%s_%d", base, n)
		}
		out[i], taken[strings.ToLower(s)] = s, true
	}
	return out
}

// quoted names the first strings, as much as fits a line.
func quoted(list []string) string {
	const most = 60
	s := fmt.Sprintf("%.*q", most, list)
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return s
}

func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %.2f ms\n", r.Path, r.Ms)
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprint(w, "  \tmin\tmax\tmean\tstd\n")
	for _, s := range slices.Concat(r.Inputs, r.Outputs) {
		if s.Moments == nil {
			fmt.Fprintf(w, "  %s\t%s\n", s.text, quoted(s.Strings))
			continue
		}
		more := ""
		if s.NaN+s.Infinite > 0 {
			more = fmt.Sprintf("\t%d NaN, %d infinite", s.NaN, s.Infinite)
		}
		fmt.Fprintf(w, "  %s\t%.4g\t%.4g\t%.4g\t%.4g%s\n", s.text, s.Min, s.Max, s.Mean, s.Std, more)
	}
	w.Flush()
	for _, f := range r.Files {
		fmt.Fprintf(&b, "  wrote %s\n", f)
	}
	return b.String()
}
