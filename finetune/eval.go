package finetune

import (
	"fmt"
	"math"
	"strings"

	"arfm/finetune/objective"
	"arfm/policy/flow"
	"arfm/policy/vla"
)

// ChunkError is how far chunks are from the recorded ones.
type ChunkError struct {
	RMSE []float64 `json:"rmse"` // (A) per action dimension, in its SI unit
	// Normalised is the root mean square over all dimensions that move, each
	// in units of its standard deviation in the training split: about 1 for
	// the mean action.
	Normalised float64 `json:"normalised"`
}

// HeldOut is an evaluation on frames that training did not see. The noise is
// the same every time, so that evaluations compare.
type HeldOut struct {
	Step       int64      `json:"step"`
	Frames     int        `json:"frames"`      // chunks that were evaluated
	Loss       float64    `json:"loss"`        // flow matching, unweighted
	Names      []string   `json:"names"`       // (A) of the action dimensions
	NoiseScale float64    `json:"noise_scale"` // of Policy
	Policy     ChunkError `json:"policy"`      // one sample per frame
	ZeroNoise  ChunkError `json:"zero_noise"`  // sampled from noise of scale 0
	MeanAction ChunkError `json:"mean_action"` // always the mean action of the training split
	HoldLast   ChunkError `json:"hold_last"`   // always the command in force at the frame's time
}

// String returns a table of the errors.
func (h *HeldOut) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "step %d: held-out loss %.4f over %d frames\n%-24s %10s", h.Step, h.Loss, h.Frames, "chunk RMSE (SI)", "normalised")
	width := make([]int, len(h.Names))
	for i, name := range h.Names {
		width[i] = max(9, len(name))
		fmt.Fprintf(&b, " %*s", width[i], name)
	}
	for _, row := range []struct {
		name string
		e    *ChunkError
	}{
		{fmt.Sprintf("policy, noise %g", h.NoiseScale), &h.Policy}, {"policy, noise 0", &h.ZeroNoise},
		{"mean action", &h.MeanAction}, {"hold last command", &h.HoldLast},
	} {
		fmt.Fprintf(&b, "\n%-24s %10.4f", row.name, row.e.Normalised)
		for i, v := range row.e.RMSE {
			fmt.Fprintf(&b, " %*.4g", width[i], v)
		}
	}
	return b.String()
}

// evaluator runs held-out evaluations on its own copy of the weights.
type evaluator struct {
	data   *dataset
	seed   uint64
	scale  float32
	tau    flow.Sampler
	frames []at
	spread []float64 // (A) standard deviation in the training split
	mean   []float32 // (A) mean action of the training split

	model     *vla.Model
	ws        *vla.Workspace
	b         *batch
	velocity  []float32
	errors    [4]sums // in the order of HeldOut's fields
	predicted []float32
	recorded  []float32
}

// newEvaluator returns nil when there is no held-out frame to evaluate.
func newEvaluator(d *dataset, model *vla.Model, o *Options, tau flow.Sampler) *evaluator {
	e := &evaluator{data: d, seed: o.Seed, scale: float32(o.NoiseScale), tau: tau}
	var usable []at
	for _, c := range d.heldOut.chunks {
		if e.command(c) != nil {
			usable = append(usable, c)
		}
	}
	if len(usable) == 0 {
		return nil
	}
	n := min(o.EvalChunks, len(usable))
	for i := range n {
		e.frames = append(e.frames, usable[i*len(usable)/n])
	}
	e.describe()
	size, row := min(o.Batch, n), model.Config.Horizon*model.Config.ActionDim
	e.model = model.Clone()
	e.ws, e.b = e.model.NewWorkspaceN(size, false, o.Workers), d.newBatch(size)
	e.velocity = make([]float32, size*row)
	e.predicted, e.recorded = make([]float32, row), make([]float32, row)
	return e
}

// command returns the action in force at the time of the frame at c, which is
// that of the frame before; nil where that is missing.
func (e *evaluator) command(c at) []float32 {
	frames := e.data.episodes[e.data.heldOut.spans[c.span].episode].Frames
	if c.frame == 0 || frames[c.frame].Stamp-frames[c.frame-1].Stamp != e.data.contract.Period() {
		return nil
	}
	return frames[c.frame-1].Action
}

// describe computes mean and deviation of the absolute actions of the training
// split; the checkpoint's statistics may be of relative actions or other data.
func (e *evaluator) describe() {
	a, n := e.data.contract.ActionDim(), float64(len(e.data.train.chunks))
	mean := make([]float64, a)
	e.mean, e.spread = make([]float32, a), make([]float64, a)
	for _, c := range e.data.train.chunks {
		for i, v := range e.data.frame(&e.data.train, c).Action {
			mean[i] += float64(v) / n
		}
	}
	for _, c := range e.data.train.chunks {
		for i, v := range e.data.frame(&e.data.train, c).Action {
			e.spread[i] += (float64(v) - mean[i]) * (float64(v) - mean[i]) / n
		}
	}
	for i := range mean {
		e.mean[i], e.spread[i] = float32(mean[i]), math.Sqrt(e.spread[i])
	}
}

// run evaluates weights, (P). The error is that of assembling a batch.
func (e *evaluator) run(weights []float32, step int64) (*HeldOut, error) {
	copy(e.model.Params.Data, weights)
	e.ws.Reset()
	names := e.data.contract.ActionNames()
	for i := range e.errors {
		e.errors[i] = newSums(len(names))
	}
	h := &HeldOut{Step: step, Frames: len(e.frames), Names: names, NoiseScale: float64(e.scale)}
	noise := flow.NewStream(e.seed, streamEval)
	for done := 0; done < len(e.frames); {
		part := e.frames[done:min(done+len(e.b.valid), len(e.frames))]
		loss, err := e.batchLoss(part, noise)
		if err != nil {
			return nil, err
		}
		h.Loss += loss / float64(len(e.frames))
		e.sample(part, noise, e.scale, &e.errors[0])
		e.sample(part, nil, 0, &e.errors[1])
		e.baselines(part)
		done += len(part)
	}
	for i, dst := range []*ChunkError{&h.Policy, &h.ZeroNoise, &h.MeanAction, &h.HoldLast} {
		*dst = e.errors[i].result(e.spread)
	}
	return h, nil
}

// batchLoss assembles the chunks of part and returns the sum of their losses.
func (e *evaluator) batchLoss(part []at, noise *flow.Stream) (float64, error) {
	for i, c := range part {
		if err := e.data.put(e.b, i, &e.data.heldOut, c); err != nil {
			return 0, err
		}
	}
	e.b.in.B = len(part)
	e.b.noise(len(part), noise, noise, e.tau)
	e.model.Velocity(e.ws, e.b.in, e.velocity)
	sum := 0.0
	row := e.model.Config.Horizon * e.model.Config.ActionDim
	for i, n := range e.b.valid[:len(part)] {
		n *= e.model.Config.ActionDim
		for j := i * row; j < i*row+n; j++ {
			d := float64(e.velocity[j] - e.b.target[j])
			sum += d * d / float64(n)
		}
	}
	return sum, nil
}

// sample draws one chunk per frame of part, from noise times scale, and adds
// its error; nil noise stands for zeros.
func (e *evaluator) sample(part []at, noise *flow.Stream, scale float32, s *sums) {
	clear(e.b.in.Noisy)
	row := len(e.predicted)
	if noise != nil {
		noisy := e.b.in.Noisy[:len(part)*row]
		noise.Normal(noisy)
		for i := range noisy {
			noisy[i] *= scale
		}
	}
	e.model.Sample(e.ws, e.b.in, e.model.Config.Steps)
	for i, c := range part {
		e.data.norm.InverseAction(e.predicted, e.b.in.Noisy[i*row:(i+1)*row])
		e.data.contract.MakeAbsolute(e.predicted, e.data.frame(&e.data.heldOut, c).State)
		n := e.data.actions(e.recorded, &e.data.heldOut, c)
		for j := range n * len(e.mean) {
			s.add(j%len(e.mean), e.predicted[j], e.recorded[j])
		}
	}
}

func (e *evaluator) baselines(part []at) {
	for _, c := range part {
		last := e.command(c)
		n := e.data.actions(e.recorded, &e.data.heldOut, c)
		for j := range n * len(e.mean) {
			k := j % len(e.mean)
			e.errors[2].add(k, e.mean[k], e.recorded[j])
			e.errors[3].add(k, last[k], e.recorded[j])
		}
	}
}

// sums accumulates squared errors per dimension.
type sums struct {
	squares []float64
	n       []float64
}

func newSums(a int) sums { return sums{make([]float64, a), make([]float64, a)} }

func (s *sums) add(dim int, got, want float32) {
	d := float64(got) - float64(want)
	s.squares[dim] += d * d
	s.n[dim]++
}

func (s *sums) result(spread []float64) ChunkError {
	e := ChunkError{RMSE: make([]float64, len(s.squares))}
	total, dims := 0.0, 0.0
	for i := range s.squares {
		mse := s.squares[i] / s.n[i]
		e.RMSE[i] = math.Sqrt(mse)
		if spread[i] > 0 {
			total += mse / (spread[i] * spread[i])
			dims++
		}
	}
	if dims > 0 {
		e.Normalised = math.Sqrt(total / dims)
	}
	return e
}

// field is the network as the training step sees it.
type field struct {
	model *vla.Model
	ws    *vla.Workspace
	b     *vla.Batch
}

var _ objective.Predictor = (*field)(nil)

func (f *field) Params() []float32                { return f.model.Params.Data }
func (f *field) Velocity(out []float32)           { f.model.Velocity(f.ws, f.b, out) }
func (f *field) Predict(out, predicted []float32) { f.model.Predict(f.ws, f.b, out, predicted) }
func (f *field) PredictBackward(dOut, dPredicted, grad []float32) {
	f.model.PredictBackward(f.ws, f.b, dOut, dPredicted, grad)
}
func (f *field) Backward(dOut, grad []float32) { f.model.Backward(f.ws, f.b, dOut, grad) }
