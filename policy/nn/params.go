package nn

import "fmt"

// Spec names one tensor of a Params and its shape.
type Spec struct {
	Name  string
	Shape []int
}

// Size returns the number of elements.
func (s Spec) Size() int {
	n := 1
	for _, d := range s.Shape {
		n *= d
	}
	return n
}

// Params is one flat parameter vector with named views in a fixed order, so
// that an optimiser, a gradient or a moving average is one slice of the same
// length.
type Params struct {
	Data  []float32
	specs []Spec
	at    map[string]view
}

type view struct{ lo, hi, i int }

// NewParams lays the tensors out one after another in a vector of zeros. It
// panics on a repeated name.
func NewParams(specs []Spec) *Params {
	p := &Params{specs: specs, at: make(map[string]view, len(specs))}
	n := 0
	for i, s := range specs {
		if _, ok := p.at[s.Name]; ok {
			panic(fmt.Sprintf("nn: tensor %q twice", s.Name))
		}
		p.at[s.Name] = view{n, n + s.Size(), i}
		n += s.Size()
	}
	p.Data = make([]float32, n)
	return p
}

// Like returns the same names and shapes over another vector: a gradient, a
// moment, an average. It panics unless data is as long as p.Data.
func (p *Params) Like(data []float32) *Params {
	if len(data) != len(p.Data) {
		panic(fmt.Sprintf("nn: vector of %d elements for %d parameters", len(data), len(p.Data)))
	}
	return &Params{Data: data, specs: p.specs, at: p.at}
}

// Names returns the tensors' names in the order of the vector.
func (p *Params) Names() []string {
	names := make([]string, len(p.specs))
	for i, s := range p.specs {
		names[i] = s.Name
	}
	return names
}

// Has reports whether there is a tensor of this name.
func (p *Params) Has(name string) bool { _, ok := p.at[name]; return ok }

// Shape returns a tensor's shape, (out, in) for a linear layer's weight; nil
// for an unknown name. The caller must not change it.
func (p *Params) Shape(name string) []int {
	v, ok := p.at[name]
	if !ok {
		return nil
	}
	return p.specs[v.i].Shape
}

// View returns a tensor's elements, a window of Data; nil for an unknown name.
func (p *Params) View(name string) []float32 {
	v, ok := p.at[name]
	if !ok {
		return nil
	}
	return p.Data[v.lo:v.hi:v.hi]
}

// Range returns where in Data a tensor lies, [lo, hi); 0, 0 for an unknown name.
func (p *Params) Range(name string) (lo, hi int) {
	v := p.at[name]
	return v.lo, v.hi
}
