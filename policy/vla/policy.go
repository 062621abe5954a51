package vla

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"

	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/flow"
)

// ErrObservation is wrapped by Act's refusals: the observation does not have
// the contract's form, or a number in it is not finite.
var ErrObservation = errors.New("vla: the observation does not fit the policy")

// For fills in what the contract fixes: state and its fields, action, horizon
// and cameras, and whether there is an instruction to read. Several fields get
// a token each, beside that of the whole state. Backbones come in by With.
func (c Config) For(ct *contract.Contract) Config {
	c.StateDim, c.ActionDim, c.Horizon = ct.StateDim(), ct.ActionDim(), ct.Horizon()
	c.StateFields, c.Cameras, c.Vision, c.Text = nil, nil, nil, nil
	if fields := ct.Observation.State; len(fields) > 1 {
		for i := range fields {
			c.StateFields = append(c.StateFields, fields[i].Dim())
		}
	}
	for _, cam := range ct.Cameras() {
		c.Cameras = append(c.Cameras, Camera{Name: cam.Name, Height: cam.Height, Width: cam.Width})
	}
	in := ct.Observation.Instruction
	c.Language = in.Topic != "" || in.Default != ""
	return c
}

// Fits says, with an error that wraps ErrConfig, whether the architecture has
// the contract's inputs and outputs. One without tokens for the state's fields
// fits any.
func (c Config) Fits(ct *contract.Contract) error {
	want := c.For(ct)
	for _, d := range []struct {
		what      string
		got, want int
	}{
		{"state dimension", c.StateDim, want.StateDim}, {"action dimension", c.ActionDim, want.ActionDim},
		{"horizon", c.Horizon, want.Horizon}, {"number of cameras", len(c.Cameras), len(want.Cameras)},
	} {
		if d.got != d.want {
			return fmt.Errorf("%w: %s %d of the weights, %d of the contract; use the contract they were trained with", ErrConfig, d.what, d.got, d.want)
		}
	}
	if len(c.StateFields) > 0 && !slices.Equal(c.StateFields, want.StateFields) {
		return fmt.Errorf("%w: state fields of %v numbers in the weights, of %v in the contract; use the contract they were trained with", ErrConfig, c.StateFields, want.StateFields)
	}
	for _, f := range []struct {
		what          string
		weights, asks bool
	}{{"vision", c.Vision != nil, ct.Vision != nil}, {"language", c.Text != nil, ct.Language != nil}} {
		if f.weights != f.asks {
			return fmt.Errorf("%w: the weights have a %s backbone: %v, the contract: %v; use the contract they were trained with", ErrConfig, f.what, f.weights, f.asks)
		}
	}
	for i, cam := range c.Cameras {
		if cam != want.Cameras[i] {
			return fmt.Errorf("%w: camera %v of the weights, %v of the contract; use the contract they were trained with", ErrConfig, cam, want.Cameras[i])
		}
	}
	return nil
}

// Policy runs a model on observations: it implements policy.Policy. It owns
// its workspace, so one goroutine at a time may use it; several Policies may
// share one Model whose weights do not change. A chunk is computed on several
// cores, see Share; its goroutines end when nobody has the Policy any more.
type Policy struct {
	// NoiseScale multiplies the starting noise: 1 samples, 0 starts from zero
	// and gives the same chunk for the same observation.
	NoiseScale float32
	// Steps is the number of Euler steps, from Config.Steps at the start.
	Steps int

	model  *Model
	ct     *contract.Contract
	norm   *contract.Normalizer
	info   policy.Info
	period int64
	rel    []int // per action element the state element it is relative to; nil: absolute
	ws     *Workspace
	batch  *Batch
	noise  *flow.Stream

	encoders Encoders
	heard    bool   // whether batch holds the features of an instruction:
	said     string // of this one
}

var _ policy.Policy = (*Policy)(nil)

// NewPolicy joins a model to the contract and statistics that it was trained
// with, and to the encoders that it was trained behind; nil for none. Noise
// comes from the stream "noise" of the seed. The error wraps ErrConfig or
// contract.ErrStats.
func NewPolicy(m *Model, c *contract.Contract, s *contract.Stats, e Encoders, info policy.Info, seed uint64) (*Policy, error) {
	if err := m.Config.Fits(c); err != nil {
		return nil, err
	}
	if err := m.Config.uses(e); err != nil {
		return nil, err
	}
	norm, err := contract.NewNormalizer(c, s)
	if err != nil {
		return nil, fmt.Errorf("vla: %w", err)
	}
	return &Policy{
		NoiseScale: 1, Steps: m.Config.Steps,
		model: m, ct: c, norm: norm, info: info, period: c.Period(), rel: c.RelativeTo(),
		ws: m.NewWorkspaceN(1, false, defaultWorkers()), batch: m.Config.NewBatch(1), noise: flow.NewStream(seed, "noise"), encoders: e,
	}, nil
}

// cores are the processors that the process starts with. A program may ask for
// more later, for a control loop; they are not for inference.
var cores = runtime.GOMAXPROCS(0)

// defaultWorkers is how many workers share in a chunk where nobody says
// otherwise. The base preset has four heads to share.
func defaultWorkers() int { return min(cores, runtime.GOMAXPROCS(0), 4) }

// Share sets how many workers share in a chunk: at the start GOMAXPROCS, but no
// more than 4 and than the process started with. Chunks differ by no more than
// rounding. Programs that run several policies at a time do best with 1.
func (p *Policy) Share(workers int) {
	if workers != p.ws.Workers() {
		p.ws = p.model.NewWorkspaceN(1, false, workers)
	}
}

// Info names the weights.
func (p *Policy) Info() policy.Info { return p.info }

// Contract returns the contract that the policy was trained with.
func (p *Policy) Contract() *contract.Contract { return p.ct }

// ErrGuidance is wrapped by every error of Policy.Guide.
var ErrGuidance = errors.New("a policy cannot be guided with weight")

// Guide sets the weight of guidance: 1, as at the start, takes the velocity
// under the condition that the policy asks for; w moves it to w times its
// distance from the velocity without any condition, at the cost of a second
// velocity in each Euler step. The error, for weights that have not learned to
// do without, wraps ErrGuidance.
func (p *Policy) Guide(w float64) error {
	switch {
	case !(w >= 0 && w <= 100):
		return fmt.Errorf("%w %v; it must lie in [0, 100]", ErrGuidance, w)
	case w != 1 && !p.model.Config.Condition.Guidable():
		return fmt.Errorf("%w %v: weights of objective %s have nothing to guide by; leave it at 1", ErrGuidance, w, p.info.Objective)
	}
	p.batch.Guide = float32(w - 1)
	return nil
}

// Reseed starts the noise again, as NewPolicy does for that seed.
func (p *Policy) Reseed(seed uint64) { p.noise = flow.NewStream(seed, "noise") }

// Act samples a chunk of H absolute actions. Without backbones it allocates
// nothing of its own once chunk has room. The error wraps ErrObservation, or is that of a
// backbone; then chunk is as it was.
func (p *Policy) Act(obs *policy.Observation, chunk *policy.ActionChunk) error {
	c, b := &p.model.Config, p.batch
	if err := p.fits(obs); err != nil {
		return err
	}
	if c.StateDim > 0 {
		p.norm.State(b.State, obs.State)
	}
	if err := p.look(obs); err != nil {
		return err
	}
	if err := p.read(obs.Instruction); err != nil {
		return err
	}
	p.noise.Normal(b.Noisy) // drawn whatever the scale, so that the stream moves alike
	for i := range b.Noisy {
		b.Noisy[i] *= p.NoiseScale
	}
	p.model.Sample(p.ws, b, p.Steps)

	chunk.Stamp, chunk.Period, chunk.Dim = obs.Stamp, p.period, c.ActionDim
	n := c.Horizon * c.ActionDim
	if cap(chunk.Values) < n {
		chunk.Values = make([]float32, n)
	}
	chunk.Values = chunk.Values[:n]
	p.norm.InverseAction(chunk.Values, b.Noisy)
	for a, s := range p.rel {
		for k := a; k < n; k += c.ActionDim {
			chunk.Values[k] += obs.State[s]
		}
	}
	return nil
}

// look takes the pictures into the batch.
func (p *Policy) look(obs *policy.Observation) error {
	c, b := &p.model.Config, p.batch
	for i := range c.Cameras {
		if c.Vision == nil {
			copy(b.Images[i], obs.Images[i].Pix)
		} else if err := p.encoders.Picture(b.Features[i], &obs.Images[i]); err != nil {
			return fmt.Errorf("vla: camera %q: %w", c.Cameras[i].Name, err)
		}
	}
	return nil
}

// read takes the instruction into the batch; one that a backbone has encoded
// for the chunk before is not encoded again.
func (p *Policy) read(text string) error {
	c, b := &p.model.Config, p.batch
	switch {
	case c.Text == nil && c.Language:
		words(b.Words, text, c.Vocab)
	case c.Text != nil && (!p.heard || p.said != text):
		p.heard = false
		if err := p.encoders.Instruction(b.Text, text); err != nil {
			return fmt.Errorf("vla: the instruction: %w", err)
		}
		p.heard, p.said = true, text
	}
	return nil
}

// fits checks an observation.
func (p *Policy) fits(obs *policy.Observation) error {
	c := &p.model.Config
	if len(obs.State) != c.StateDim {
		return fmt.Errorf("%w: state of %d elements, the contract has %d", ErrObservation, len(obs.State), c.StateDim)
	}
	for i, v := range obs.State {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%w: state element %d is %v, look at the sensor", ErrObservation, i, v)
		}
	}
	if len(obs.Images) != len(c.Cameras) {
		return fmt.Errorf("%w: %d images, the contract has %d", ErrObservation, len(obs.Images), len(c.Cameras))
	}
	for i, cam := range c.Cameras {
		im := &obs.Images[i]
		if im.Height != cam.Height || im.Width != cam.Width || len(im.Pix) != cam.Height*cam.Width*channels {
			return fmt.Errorf("%w: image of camera %q is %dx%d with %d bytes, it should be %dx%d RGB", ErrObservation, cam.Name, im.Width, im.Height, len(im.Pix), cam.Width, cam.Height)
		}
	}
	return nil
}
