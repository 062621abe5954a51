package onnxtool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"arfm/policy/onnx"
)

// Tolerance bounds how far an element may lie from the one expected: Abs +
// Rel*|expected|.
type Tolerance struct {
	Rel float64 `json:"rtol"`
	Abs float64 `json:"atol"`
}

// Comparison is how far a model's outputs lie from those expected.
type Comparison struct {
	Path string `json:"path"`
	Tolerance
	Sets []Set `json:"sets"`
}

// Set is the outcome for one set of inputs.
type Set struct {
	Against string   `json:"against"` // a folder of test data, or another model
	Outputs []Output `json:"outputs"`
}

// Output is the outcome for one output.
type Output struct {
	Name string `json:"name"`
	onnx.Difference
	Problem string `json:"problem,omitempty"` // why it could not be compared
}

// Err says in a sentence which output is furthest off, nil where all are within
// the tolerance.
func (c *Comparison) Err() error {
	bad, all, first := 0, 0, ""
	for _, s := range c.Sets {
		for _, o := range s.Outputs {
			all++
			if o.Outside == 0 && o.Problem == "" {
				continue
			}
			if bad++; first == "" {
				first = fmt.Sprintf("output %s against %s: %s", onnx.Plain(o.Name), s.Against, cmp.Or(o.Problem, o.Worst))
			}
		}
	}
	if bad == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d of %d outputs differ beyond rtol %g and atol %g, first %s", c.Path, bad, all, c.Rel, c.Abs, first)
}

// Compare holds the model at path to expected outputs. A folder either is one
// set of test data or holds several called test_data_set_*. A set has the files
// input_0, output_0 and so on, or files called as inputs and outputs are,
// ending in pb (TensorProto) or npy.
func Compare(ctx context.Context, path string, folders []string, tol Tolerance, progress func(done, total int)) (*Comparison, error) {
	return interruptible(ctx, func() (*Comparison, error) { return compare(ctx, path, folders, tol, progress) })
}

func compare(ctx context.Context, path string, folders []string, tol Tolerance, progress func(done, total int)) (*Comparison, error) {
	m, err := open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if len(folders) == 0 {
		folders = []string{filepath.Dir(path)}
	}
	var sets []string
	for _, f := range folders {
		list, err := dataSets(f)
		if err != nil {
			return nil, err
		}
		sets = append(sets, list...)
	}
	c := &Comparison{Path: path, Tolerance: tol}
	for i, dir := range sets {
		s, err := compareSet(m, dir, tol)
		if err != nil {
			return nil, err
		}
		c.Sets = append(c.Sets, s)
		if progress != nil {
			progress(i+1, len(sets))
		}
	}
	return c, nil
}

// dataSets lists the sets in a folder.
func dataSets(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), "test_data_set_") {
			list = append(list, filepath.Join(dir, e.Name()))
		}
	}
	if len(list) == 0 {
		return []string{dir}, nil
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return list, nil
}

func compareSet(m *onnx.Model, dir string, tol Tolerance) (Set, error) {
	s := Set{Against: dir}
	files := safeNames(append(names(m.Inputs), names(m.Outputs)...))
	inputs := map[string]*onnx.Tensor{}
	for i, v := range m.Inputs {
		t, err := openOne(dir, fmt.Sprintf("input_%d", i), files[i])
		if err != nil {
			return s, fmt.Errorf("input %s: %w", onnx.Plain(v.Name), err)
		}
		inputs[v.Name] = t
	}
	var want []*onnx.Tensor
	for i, v := range m.Outputs {
		t, err := openOne(dir, fmt.Sprintf("output_%d", i), files[len(m.Inputs)+i])
		if err != nil {
			return s, fmt.Errorf("output %s: %w", onnx.Plain(v.Name), err)
		}
		want = append(want, t)
	}
	if err := fix(m, inputs); err != nil {
		return s, err
	}
	got, err := m.Run(inputs)
	if err != nil {
		return s, err
	}
	for i, v := range m.Outputs {
		o := difference(v.Name, got[i], want[i], tol)
		if got[i].Type != want[i].Type && o.Problem == "" && got[i].Type != onnx.BFloat16 { // which npy lacks
			o.Problem = fmt.Sprintf("it is of %v, expected %v", got[i].Type, want[i].Type)
		}
		s.Outputs = append(s.Outputs, o)
	}
	return s, nil
}

func names(list []onnx.Value) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.Name
	}
	return out
}

// openOne reads the first of the files that is there.
func openOne(dir string, names ...string) (*onnx.Tensor, error) {
	var tried []string
	for _, name := range names {
		for _, ending := range []string{".pb", ".npy"} {
			t, err := onnx.OpenTensor(filepath.Join(dir, name+ending))
			if !errors.Is(err, fs.ErrNotExist) {
				return t, err
			}
			tried = append(tried, name+ending)
		}
	}
	return nil, fmt.Errorf("%s has none of %s; name a folder of test data with --data, or another model with --with", dir, strings.Join(tried, ", "))
}

func difference(name string, got, want *onnx.Tensor, tol Tolerance) Output {
	o := Output{Name: name}
	d, err := onnx.Compare(got, want, tol.Rel, tol.Abs)
	if err != nil {
		o.Problem = err.Error()
	}
	o.Difference = d
	return o
}

// CompareWith holds the model at path to another one on the same inputs. Inputs
// and outputs belong together by name or, where the names differ, by position;
// their types may differ.
func CompareWith(ctx context.Context, path, other string, o Options, tol Tolerance) (*Comparison, error) {
	return interruptible(ctx, func() (*Comparison, error) { return compareWith(ctx, path, other, o, tol) })
}

func compareWith(ctx context.Context, path, other string, o Options, tol Tolerance) (*Comparison, error) {
	a, err := open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	b, err := open(ctx, other)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	in, err := match("input", other, names(b.Inputs), path, names(a.Inputs))
	if err != nil {
		return nil, err
	}
	out, err := match("output", path, names(a.Outputs), other, names(b.Outputs))
	if err != nil {
		return nil, err
	}
	inputs, got, _, err := run(a, o)
	if err != nil {
		return nil, err
	}
	second := map[string]*onnx.Tensor{}
	for i, v := range b.Inputs {
		if second[v.Name], err = inputs[a.Inputs[in[i]].Name].Cast(v.Type); err != nil {
			return nil, fmt.Errorf("%s: input %s: %w", other, v, err)
		}
	}
	if err := fix(b, second); err != nil {
		return nil, err
	}
	want, err := b.Run(second)
	if err != nil {
		return nil, err
	}
	s := Set{Against: other}
	for i, v := range a.Outputs {
		s.Outputs = append(s.Outputs, difference(v.Name, got[i], want[out[i]], tol))
	}
	return &Comparison{Path: path, Tolerance: tol, Sets: []Set{s}}, nil
}

// match finds for each of list, of one model, the place of its partner in the
// other.
func match(what, path string, list []string, other string, partners []string) ([]int, error) {
	places := make([]int, len(list))
	named := true
	for i, name := range list {
		places[i] = slices.Index(partners, name)
		named = named && places[i] >= 0
	}
	if named {
		return places, nil
	}
	if len(list) != len(partners) {
		return nil, fmt.Errorf("%s has the %ss %q, %s has %q: they cannot be compared", path, what, list, other, partners)
	}
	for i := range places {
		places[i] = i
	}
	return places, nil
}

func (c *Comparison) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, within %g + %g |expected|\n", c.Path, c.Abs, c.Rel)
	for _, s := range c.Sets {
		fmt.Fprintf(&b, "against %s\n", onnx.Plain(s.Against))
		w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
		fmt.Fprint(w, "  output\tmax abs\tmax rel\toutside\n")
		for _, o := range s.Outputs {
			fmt.Fprintf(w, "  %s\t%.2e\t%.2e\t%d of %d", onnx.Plain(o.Name), o.MaxAbs, o.MaxRel, o.Outside, o.Elements)
			if why := cmp.Or(o.Problem, o.Worst); why != "" {
				fmt.Fprintf(w, "\t%s", why)
			}
			fmt.Fprintln(w)
		}
		w.Flush()
	}
	return b.String()
}
