package objective

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Field is a velocity field and the batch that its owner has loaded into it.
type Field interface {
	// Params returns the flat parameters (P), always the same slice.
	Params() []float32
	// Velocity fills out (B, H*A) for the loaded batch.
	Velocity(out []float32)
	// Backward sets grad (P) to dL/dparams, given dL/dout (B, H*A), after
	// Velocity on the same batch.
	Backward(dOut, grad []float32)
}

// Predictor is a Field that also predicts what an objective's condition tells it,
// K numbers a sample.
type Predictor interface {
	Field
	// Predict fills out (B, H*A) and predicted (B, K) for the loaded batch.
	Predict(out, predicted []float32)
	// PredictBackward is Backward with dL/dpredicted (B, K).
	PredictBackward(dOut, dPredicted, grad []float32)
}

// Step is a training step, compiled once and run for every batch: velocities,
// masked squared errors, the objective's loss and the gradient. Fill Target,
// Mask, Advantage, Known and Told and load the field's batch, then call Run.
type Step struct {
	B, H, A   int
	Target    []float32 // (B, H, A) u = A - eps
	Mask      []float32 // (B, H) 1 where the action is of the episode, 0 where it is padding
	Advantage []float32 // (B)
	Known     []float32 // (B) 1 where a reward is known, as it is of all at first, 0 elsewhere
	Told      []float32 // (B, K) condition; nil without one
	Grad      []float32 // (P) of the last Run

	obj        Objective
	graph      *gorgonia.ExprGraph
	vm         gorgonia.VM
	inputs     []input
	share      []float32 // (B, H*A) what each squared error counts in its sample's mean
	loss, l, w gorgonia.Value
}

type input struct {
	node  *gorgonia.Node
	value *tensor.Dense
}

// Compile builds the graph of one step for batches of b chunks with h actions
// of dimension a.
func Compile(field Field, obj Objective, b, h, a int) (*Step, error) {
	if b < 1 || h < 1 || a < 1 {
		return nil, fmt.Errorf("a step needs a batch, a horizon and actions; got (%d, %d, %d)", b, h, a)
	}
	params := field.Params()
	s := &Step{
		B: b, H: h, A: a, obj: obj, graph: gorgonia.NewGraph(),
		Target: make([]float32, b*h*a), Mask: make([]float32, b*h), Advantage: make([]float32, b),
		Grad: make([]float32, len(params)), share: make([]float32, b*h*a),
		Known: slices.Repeat([]float32{1}, b),
	}
	theta := s.input("theta", params, len(params))
	target, share := s.input("target", s.Target, b, h*a), s.input("share", s.share, b, h*a)
	in := Inputs{Advantage: s.input("advantage", s.Advantage, b), Known: s.input("known", s.Known, b)}
	if t := obj.Needs().Condition; t != nil {
		if _, ok := obj.(Teller); !ok {
			return nil, fmt.Errorf("compile objective %s: it needs a condition and is no Teller", obj.Name())
		}
		s.Told = make([]float32, b*t.Size)
		in.Told = s.input("told", s.Told, len(s.Told))
	}
	velocity, err := s.network(field, theta, &in)
	if err != nil {
		return nil, fmt.Errorf("compile the training step: %w", err)
	}
	if in.L, err = sampleLosses(velocity, target, share); err != nil {
		return nil, fmt.Errorf("compile the training step: %w", err)
	}
	if err := s.differentiate(in, theta); err != nil {
		return nil, fmt.Errorf("compile objective %s: %w", obj.Name(), err)
	}
	s.vm = gorgonia.NewTapeMachine(s.graph)
	return s, nil
}

// network returns the velocities (B, H*A) and adds predictions to in.
func (s *Step) network(field Field, theta *gorgonia.Node, in *Inputs) (*gorgonia.Node, error) {
	op := &velocityOp{
		base: newBase("velocity", 1), field: field, split: s.B * s.H * s.A,
		out:  tensor.New(tensor.WithShape(s.B, s.H*s.A), tensor.Of(tensor.Float32)),
		grad: tensor.New(tensor.WithShape(len(s.Grad)), tensor.WithBacking(s.Grad)),
	}
	if t := s.obj.Needs().Condition; t != nil && t.Predicted {
		heads, ok := field.(Predictor)
		if !ok {
			return nil, fmt.Errorf("objective %s needs a network that predicts its condition, and %T does not", s.obj.Name(), field)
		}
		op.heads, op.out = heads, tensor.New(tensor.WithShape(op.split+len(s.Told)), tensor.Of(tensor.Float32))
	}
	out, err := gorgonia.ApplyOp(op, theta)
	if err != nil || op.heads == nil {
		return out, err
	}
	if in.Predicted, err = window(out, op.split, len(s.Told)); err != nil {
		return nil, err
	}
	return window(out, 0, s.B, s.H*s.A)
}

func (s *Step) input(name string, backing []float32, shape ...int) *gorgonia.Node {
	n := gorgonia.NewTensor(s.graph, gorgonia.Float32, len(shape), gorgonia.WithName(name), gorgonia.WithShape(shape...))
	s.inputs = append(s.inputs, input{n, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing))})
	return n
}

// sampleLosses returns l (B): the mean over the unmasked (h, d) of (v - u)^2,
// as sum share (v - u)^2 with share = mask / (A sum_h mask).
func sampleLosses(v, u, share *gorgonia.Node) (*gorgonia.Node, error) {
	diff, err := gorgonia.Sub(v, u)
	if err != nil {
		return nil, err
	}
	square, err := gorgonia.Square(diff)
	if err != nil {
		return nil, err
	}
	counted, err := gorgonia.HadamardProd(square, share)
	if err != nil {
		return nil, err
	}
	return gorgonia.Sum(counted, 1)
}

func (s *Step) differentiate(in Inputs, theta *gorgonia.Node) error {
	l := in.L
	loss, weights, err := s.obj.Loss(in)
	if err != nil {
		return err
	}
	if !loss.IsScalar() || !weights.Shape().Eq(l.Shape()) {
		return fmt.Errorf("its loss has shape %v and its weights %v; they must be a scalar and (%d)", loss.Shape(), weights.Shape(), s.B)
	}
	// gorgonia.Grad would share one constant among all graphs of the process.
	one := gorgonia.NodeFromAny(s.graph, float32(1), gorgonia.WithName("one"))
	if _, err := gorgonia.Backpropagate(gorgonia.Nodes{loss}, gorgonia.Nodes{one}, gorgonia.Nodes{theta}); err != nil {
		return err
	}
	gorgonia.Read(loss, &s.loss)
	gorgonia.Read(l, &s.l)
	gorgonia.Read(weights, &s.w)
	return nil
}

// Run does one step on what was filled in and leaves the gradient in Grad. It
// returns ErrNotFinite when the loss is not finite.
func (s *Step) Run() (Metrics, error) {
	row := s.H * s.A
	for i := range s.B {
		spread(s.share[i*row:(i+1)*row], s.Mask[i*s.H:(i+1)*s.H], s.A)
	}
	s.vm.Reset()
	for _, in := range s.inputs {
		if err := gorgonia.Let(in.node, in.value); err != nil {
			return Metrics{}, err
		}
	}
	if err := s.vm.RunAll(); err != nil {
		return Metrics{}, fmt.Errorf("objective %s: %w", s.obj.Name(), s.cause(err))
	}
	var m Metrics
	loss := float64(s.loss.Data().(float32))
	m.fill(loss, floats(s.l), floats(s.w))
	if measurer, ok := s.obj.(Measurer); ok {
		measurer.Measure(&m)
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return m, fmt.Errorf("the loss is %w; lower the learning rate or look for bad actions in the data", ErrNotFinite)
	}
	return m, nil
}

// cause returns the error of the Weigh that failed, or else err.
func (s *Step) cause(err error) error {
	for _, n := range s.graph.AllNodes() {
		if op, ok := n.Op().(*weighOp); ok && op.err != nil {
			return op.err
		}
	}
	return err
}

// Losses returns the per-sample losses (B) of the last Run.
func (s *Step) Losses() []float32 { return floats(s.l) }

// Weights returns the weights (B) of the last Run.
func (s *Step) Weights() []float32 { return floats(s.w) }

// Close releases the machine.
func (s *Step) Close() error { return s.vm.Close() }

// spread fills share (H, A) from mask (H); a chunk that is all padding counts
// nowhere.
func spread(share, mask []float32, a int) {
	var sum float32
	for _, m := range mask {
		sum += m
	}
	for h, m := range mask {
		var each float32
		if sum > 0 {
			each = m / (sum * float32(a))
		}
		for d := range a {
			share[h*a+d] = each
		}
	}
}
