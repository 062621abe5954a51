// Package export takes a policy out of arfm: as ONNX graphs that ONNX Runtime
// runs, and as plain safetensors for PyTorch and others.
//
// A graph holds all of the policy but the hashing of words and frozen encoders,
// whose features are inputs then: it takes the state
// as it is measured and gives actions as they are commanded, absolute and in SI
// units. Normalisation and what actions are relative to are part of it.
package export

import (
	"errors"
	"fmt"

	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/onnx"
	"arfm/policy/vla"
)

// ErrOptions is wrapped by refusals of Options.
var ErrOptions = errors.New("no such export")

// What graphs there are.
const (
	// Sampler is one graph from observation and noise to the chunk, with all
	// Euler steps.
	Sampler = "sampler"
	// Parts are two graphs: the encoder, once for an observation, and one Euler
	// step, to be repeated.
	Parts = "parts"
)

// Options are those of ONNX.
type Options struct {
	Graph string // Sampler or Parts
	Steps int    // Euler steps of a sampler; 0: as the architecture has it
	// Producer is the version of the program that exports.
	Producer string
}

// maxBlocks bounds the blocks of a sampler, steps times layers: each is about
// 50 nodes, which a runtime has to prepare.
const maxBlocks = 2048

// Names of inputs and outputs.
const (
	inputState     = "state"
	inputWords     = "words"
	inputText      = "text_features" // of a frozen encoder, in place of words
	inputNoise     = "noise"
	inputNoisy     = "noisy"
	inputTau       = "tau"
	inputDt        = "dt"
	valueMemory    = "context" // out of the encoder, into the step
	valueStart     = "start"
	valueCondition = "condition" // likewise, where it is predicted
	outputNext     = "next"
	outputChunk    = "chunk"
)

func imageInput(camera string) string   { return "image_" + camera }
func featureInput(camera string) string { return "features_" + camera } // of a frozen encoder

// Model is one graph: its name, which is that of its file less the ending, and
// its contents.
type Model struct {
	Name string
	File *onnx.File
}

// ONNX returns the graphs of a checkpoint's policy. The error wraps ErrOptions,
// or says what is wrong with a checkpoint that was built by hand.
func ONNX(ck *checkpoint.Checkpoint, o Options) ([]Model, error) {
	c := &ck.Model.Config
	if o.Steps == 0 {
		o.Steps = c.Steps
	}
	if err := c.Fits(ck.Contract); err != nil {
		return nil, err
	}
	norm, err := contract.NewNormalizer(ck.Contract, ck.Stats)
	if err != nil {
		return nil, err
	}
	e := exporter{ck: ck, c: c, norm: norm.Coefficients(), relative: ck.Contract.RelativeTo(), o: o}
	switch o.Graph {
	case Sampler:
		if o.Steps < 1 || o.Steps > maxBlocks/c.Layers {
			return nil, fmt.Errorf("%w: %d Euler steps of %d blocks; use 1 to %d steps, or the graph %q", ErrOptions, o.Steps, c.Layers, maxBlocks/c.Layers, Parts)
		}
		return e.models(e.sampler)
	case Parts:
		return e.models(e.encoder, e.step)
	}
	return nil, fmt.Errorf("%w: no graph %q, use %s or %s", ErrOptions, o.Graph, Sampler, Parts)
}

// exporter is what graphs are made of.
type exporter struct {
	ck       *checkpoint.Checkpoint
	c        *vla.Config
	norm     contract.Coefficients
	relative []int // as contract.RelativeTo
	o        Options
}

func (e *exporter) models(makers ...func() *graph) ([]Model, error) {
	meta, err := Metadata(e.ck)
	if err != nil {
		return nil, err
	}
	var all []Model
	for _, f := range makers {
		g := f()
		if g.err != nil {
			return nil, g.err
		}
		g.file.Producer, g.file.ProducerVersion, g.file.Version = "arfm", e.o.Producer, e.ck.Step
		g.file.Metadata = meta
		all = append(all, Model{g.file.Graph, g.file})
	}
	return all, nil
}

// sampler is the whole policy.
func (e *exporter) sampler() *graph {
	c := e.c
	g := newGraph("policy", e.ck.Model.Params)
	g.file.Doc = samplerDoc(e.o.Steps)
	context := g.observe(c, e.ck.Contract, &e.norm)
	condition := ""
	if c.Condition != nil {
		condition = g.condition(c, context)
	}
	var memories []memory
	for _, kv := range g.keysValues(c, context) {
		memories = append(memories, g.remember(c, kv))
	}
	x := g.input(inputNoise, onnx.Float32, noiseDoc, perItem(c.Horizon, c.ActionDim)...)
	n := e.o.Steps
	tau := g.floats("tau_of_steps", flowTimes(n), n)
	var mods []string
	g.within("time", func() { mods = g.modulations(c, tau) })
	for s := range n {
		g.within(fmt.Sprintf("step%d", s), func() {
			v := g.velocity(c, x, condition, memories, mods, s)
			x = g.op("Add", x, g.op("Mul", v, g.number(1/float32(n))))
		})
	}
	start := ""
	if e.relative != nil {
		start = e.start(g)
	}
	g.output(outputChunk, e.absolute(g, x, start), chunkDoc(e.ck.Contract), perItem(c.Horizon, c.ActionDim)...)
	return g
}

// flowTimes are 0, 1/n, ..., (n-1)/n.
func flowTimes(n int) []float32 {
	tau := make([]float32, n)
	for s := range tau {
		tau[s] = float32(s) / float32(n)
	}
	return tau
}

// start is what actions are relative to, (B, A): elements of the raw state.
func (e *exporter) start(g *graph) string {
	indices := constant(g, "relative_to", onnx.Int64, func() []int64 {
		v := make([]int64, len(e.relative))
		for i, s := range e.relative {
			v[i] = int64(s)
		}
		return v
	}, len(e.relative))
	return g.gather(1, inputState, indices)
}

// absolute turns normalised actions (B, H, A) into those that are commanded.
func (e *exporter) absolute(g *graph, x, start string) string {
	x = g.op("Mul", x, g.floats("normalize.action.scale", e.norm.ActionScale, e.c.ActionDim))
	x = g.op("Add", x, g.floats("normalize.action.offset", e.norm.ActionOffset, e.c.ActionDim))
	if e.relative != nil {
		x = g.op("Add", x, g.op("Unsqueeze", start, g.ints(1)))
	}
	return x
}

// encoder is what is computed once for an observation.
func (e *exporter) encoder() *graph {
	c := e.c
	g := newGraph("encoder", e.ck.Model.Params)
	g.file.Doc = encoderDoc
	context := g.observe(c, e.ck.Contract, &e.norm)
	all := g.keysValues(c, context)
	for l := range all {
		all[l] = g.op("Unsqueeze", all[l], g.ints(1))
	}
	g.output(valueMemory, g.concat(1, all...), memoryDoc, e.memoryDims()...)
	if e.relative != nil {
		g.output(valueStart, e.start(g), startDoc, perItem(c.ActionDim)...)
	}
	if c.Condition != nil && c.Condition.Predicted {
		g.output(valueCondition, g.condition(c, context), conditionDoc, perItem(1, c.D)...)
	}
	return g
}

func (e *exporter) memoryDims() []onnx.Dim {
	return perItem(e.c.Layers, e.c.ContextTokens(), 2*e.c.D)
}

// step is one Euler step.
func (e *exporter) step() *graph {
	c := e.c
	g := newGraph("step", e.ck.Model.Params)
	g.file.Doc = stepDoc(c.Steps)
	context := g.input(valueMemory, onnx.Float32, memoryDoc, e.memoryDims()...)
	start := ""
	if e.relative != nil {
		start = g.input(valueStart, onnx.Float32, startDoc, perItem(c.ActionDim)...)
	}
	condition := ""
	switch t := c.Condition; {
	case t != nil && t.Predicted:
		condition = g.input(valueCondition, onnx.Float32, conditionDoc, perItem(1, c.D)...)
	case t != nil:
		condition = g.condition(c, "")
	}
	x := g.input(inputNoisy, onnx.Float32, noisyDoc, perItem(c.Horizon, c.ActionDim)...)
	tau := g.input(inputTau, onnx.Float32, tauDoc, fixed(1)...)
	dt := g.input(inputDt, onnx.Float32, dtDoc, fixed(1)...)
	var memories []memory
	for l := range c.Layers {
		memories = append(memories, g.remember(c, g.gather(1, context, g.index(l))))
	}
	var mods []string
	g.within("time", func() { mods = g.modulations(c, tau) })
	x = g.op("Add", x, g.op("Mul", g.velocity(c, x, condition, memories, mods, 0), dt))
	g.output(outputNext, x, nextDoc, perItem(c.Horizon, c.ActionDim)...)
	g.output(outputChunk, e.absolute(g, x, start), chunkDoc(e.ck.Contract)+", of "+outputNext, perItem(c.Horizon, c.ActionDim)...)
	return g
}
