// Package onnxtool says what is in ONNX models, runs them and compares them.
// policy/onnx reads and computes; here are inputs, statistics and reports.
package onnxtool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"arfm/policy/onnx"
)

// ErrOptions is wrapped by errors about options that do not fit the model.
var ErrOptions = errors.New("unsuitable options")

// Options say what a model gets. Inputs without a file are random: floats
// standard normal, integers and bools 0 or 1, uint8 any.
type Options struct {
	Dims   map[string]int    // sizes of open dimensions; those not named are 1
	Inputs map[string]string // file of an input, npy or TensorProto
	Ranges map[string]Range  // of random inputs
	Seed   uint64
	// Progress, where it is set, is told how many of the runs are done.
	Progress func(done, total int)

	assumed []string // open dimensions that were taken as 1
}

// Range bounds random numbers: floats lie in [Low, High), integers in
// [Low, High].
type Range struct{ Low, High float64 }

// ParseRange reads "low:high".
func ParseRange(s string) (Range, error) {
	a, b, ok := strings.Cut(s, ":")
	low, err := strconv.ParseFloat(a, 64)
	high, err2 := strconv.ParseFloat(b, 64)
	const most = 1 << 53 // where float64 holds every integer
	if !ok || err != nil || err2 != nil || !(low <= high) || low < -most || high > most {
		return Range{}, fmt.Errorf("%w: the range %q is not LOW:HIGH", ErrOptions, s)
	}
	return Range{low, high}, nil
}

// open makes the model ready; ctx ends its runs.
func open(ctx context.Context, path string) (*onnx.Model, error) {
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	m.Trace = func(onnx.Step) error { return ctx.Err() }
	return m, nil
}

// check refuses options for inputs and dimensions that the model lacks.
func (o *Options) check(m *onnx.Model) error {
	inputs, dims := map[string]bool{}, map[string]bool{}
	for _, v := range m.Inputs {
		inputs[v.Name] = true
		for _, d := range v.Dims {
			if d.Symbol != "" {
				dims[d.Symbol] = true
			}
		}
	}
	lacks := func(what, name string, have map[string]bool) error {
		if have[name] {
			return nil
		}
		if len(have) == 0 {
			return fmt.Errorf("%w: the model has no %ss, so no %q", ErrOptions, what, name)
		}
		return fmt.Errorf("%w: the model has no %s %q; it has %q", ErrOptions, what, name, slices.Sorted(maps.Keys(have)))
	}
	for name := range o.Inputs {
		if err := lacks("input", name, inputs); err != nil {
			return err
		}
	}
	for name := range o.Ranges {
		if err := lacks("input", name, inputs); err != nil {
			return err
		}
	}
	for name, size := range o.Dims {
		if err := lacks("open dimension", name, dims); err != nil {
			return err
		}
		if size < 0 {
			return fmt.Errorf("%w: the dimension %q cannot be %d", ErrOptions, name, size)
		}
	}
	return nil
}

// read reads the inputs that have files. These, and what is asked for, say how
// large open dimensions are.
func (o *Options) read(m *onnx.Model) (inputs map[string]*onnx.Tensor, dims map[string]int, err error) {
	if err := o.check(m); err != nil {
		return nil, nil, err
	}
	inputs = map[string]*onnx.Tensor{}
	for name, file := range o.Inputs {
		if inputs[name], err = onnx.OpenTensor(file); err != nil {
			return nil, nil, err
		}
	}
	dims = sizes(m, inputs)
	for name, size := range o.Dims {
		if have, ok := dims[name]; ok && have != size {
			return nil, nil, fmt.Errorf("%w: the dimension %q is to be %d, but the inputs' files say %d", ErrOptions, name, size, have)
		}
		dims[name] = size
	}
	return inputs, dims, nil
}

// feed reads or makes the inputs. Files also fix the open dimensions of the
// other inputs.
func (o *Options) feed(m *onnx.Model) (map[string]*onnx.Tensor, error) {
	inputs, dims, err := o.read(m)
	if err != nil {
		return nil, err
	}
	o.assumed = assumedDims(slices.DeleteFunc(slices.Clone(m.Inputs), func(v onnx.Value) bool { return inputs[v.Name] != nil }), dims)
	for i, v := range m.Inputs {
		if inputs[v.Name] != nil {
			continue
		}
		shape, err := fixedShape(v, dims)
		if err != nil {
			return nil, err
		}
		if v.Type == onnx.String {
			return nil, fmt.Errorf("%w: input %s is of strings, which are not made at random; give it as a file (a TensorProto, .pb)", ErrOptions, v)
		}
		r, ok := o.Ranges[v.Name]
		if inputs[v.Name], err = random(v.Type, shape, rand.New(rand.NewPCG(o.Seed, uint64(i))), r, ok); err != nil {
			return nil, fmt.Errorf("input %s: %w", v, err)
		}
	}
	return inputs, nil
}

// sizes reads open dimensions off the inputs at hand. One that differs from
// input to input, as unnamed ones may, is left out.
func sizes(m *onnx.Model, inputs map[string]*onnx.Tensor) map[string]int {
	dims, several := map[string]int{}, map[string]bool{}
	for _, v := range m.Inputs {
		t := inputs[v.Name]
		if t == nil || len(t.Shape) != len(v.Dims) {
			continue // where they do not fit, the run says so
		}
		for k, d := range v.Dims {
			if have, ok := dims[d.Symbol]; ok && have != t.Shape[k] {
				several[d.Symbol] = true
			}
			dims[d.Symbol] = t.Shape[k]
		}
	}
	maps.DeleteFunc(dims, func(name string, _ int) bool { return name == "" || several[name] })
	return dims
}

// fixedShape is an input's shape where open dimensions have the sizes of dims
// or 1.
func fixedShape(v onnx.Value, dims map[string]int) ([]int, error) {
	if v.Dims == nil {
		return nil, fmt.Errorf("%w: the file gives no shape of input %s; give the input as a file", ErrOptions, v)
	}
	shape := make([]int, len(v.Dims))
	for k, d := range v.Dims {
		shape[k] = d.Size
		if d.Symbol != "" {
			var ok bool
			if shape[k], ok = dims[d.Symbol]; !ok {
				shape[k] = 1
			}
		}
	}
	return shape, nil
}

// assumedDims lists the inputs' open dimensions that dims has no size of.
func assumedDims(inputs []onnx.Value, dims map[string]int) []string {
	var list []string
	for _, v := range inputs {
		for _, d := range v.Dims {
			if _, ok := dims[d.Symbol]; d.Symbol != "" && !ok && !slices.Contains(list, d.Symbol) {
				list = append(list, d.Symbol)
			}
		}
	}
	return list
}

// because adds to an error of a model that sizes were assumed.
func because(err error, assumed []string) error {
	if err == nil || len(assumed) == 0 || errors.Is(err, context.Canceled) {
		return err
	}
	list := make([]string, len(assumed))
	for i, name := range assumed {
		list[i] = onnx.Plain(name)
	}
	return fmt.Errorf("%w; open dimensions were taken as 1 (%s), --dims sets them", err, strings.Join(list, ", "))
}

// random makes a tensor; r holds if ranged.
func random(kind onnx.Type, shape []int, source *rand.Rand, r Range, ranged bool) (*onnx.Tensor, error) {
	n, empty := 1, slices.Contains(shape, 0)
	for _, d := range shape {
		if d > 0 && n > onnx.DefaultLimit/8/d {
			return nil, fmt.Errorf("a random tensor of shape %v is too large", shape)
		}
		n *= max(d, 1)
	}
	if empty {
		n = 0
	}
	draw := source.NormFloat64
	switch kind {
	case onnx.Float32, onnx.Float64, onnx.Float16, onnx.BFloat16:
		if ranged {
			draw = func() float64 { return r.Low + source.Float64()*(r.High-r.Low) }
		}
	default:
		if !ranged {
			r = Range{0, 1}
			if kind == onnx.Uint8 {
				r.High = 255
			}
		}
		low, high := math.Ceil(r.Low), math.Floor(r.High)
		if low > high {
			return nil, fmt.Errorf("%w: no integer lies in %g:%g", ErrOptions, r.Low, r.High)
		}
		draw = func() float64 { return low + float64(source.Int64N(int64(high-low)+1)) }
	}
	v := make([]float64, n)
	for i := range v {
		v[i] = draw()
	}
	t, err := onnx.New(onnx.Float64, v, shape...)
	if err != nil {
		return nil, err
	}
	return t.Cast(kind)
}

// fix plans the model for the inputs' shapes.
func fix(m *onnx.Model, inputs map[string]*onnx.Tensor) error {
	shapes := map[string][]int{}
	for name, t := range inputs {
		shapes[name] = t.Shape
	}
	return m.FixShapes(shapes)
}

// named is a tensor as reports name it.
func named(name string, t *onnx.Tensor) onnx.Value {
	v := onnx.Value{Name: name, Type: t.Type, Dims: make([]onnx.Dim, len(t.Shape))}
	for i, d := range t.Shape {
		v.Dims[i].Size = d
	}
	return v
}
