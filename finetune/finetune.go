// Package finetune trains a policy on episodes: chunks with masks, returns and
// advantages, the objective's training step, the optimiser, held-out
// evaluation, checkpoints and a state from which a run goes on after a kill at
// any moment to the same weights, to the bit, as an unbroken one.
package finetune

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"time"

	"arfm/bags"
	"arfm/finetune/critic"
	"arfm/finetune/objective"
	"arfm/finetune/optim"
	"arfm/finetune/reward"
	"arfm/policy/backbone"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/flow"
	"arfm/policy/vla"
)

// ErrNoReward says that an objective needs rewards and no episode has any.
var ErrNoReward = errors.New("no episode carries a reward")

// trainer is what a run computes with.
type trainer struct {
	o           Options
	contract    *contract.Contract
	bags        []string // that the episodes come from, absolute
	data        *dataset
	fingerprint string
	model       *vla.Model
	export      *vla.Model // the averaged weights as they are saved; model itself without EMA
	stats       *contract.Stats
	parent      string
	encoders    *backbone.Set // nil without backbones
	rewards     reward.Summary

	obj     objective.Objective
	critic  *critic.Critic // nil without one
	chunks  []int          // (B) of the batch in hand
	field   *timedField
	step    *objective.Step
	adam    *optim.AdamW
	batch   *batch
	streams *flow.Streams
	order   *order
	tau     flow.Sampler
	eval    *evaluator
	log     *runLog

	n, saved  int64                        // steps done, and those of the newest state
	begun     int64                        // steps done before this process
	bound     struct{ lower, upper int64 } // steps of this process with alpha there
	published []published
	last      Result
	spent     Timing // sums
}

// timedField measures what the network takes of a step.
type timedField struct {
	field
	spent time.Duration
}

func (f *timedField) Velocity(out []float32) {
	defer f.since(time.Now())
	f.field.Velocity(out)
}

func (f *timedField) Backward(dOut, grad []float32) {
	defer f.since(time.Now())
	f.field.Backward(dOut, grad)
}

func (f *timedField) Predict(out, predicted []float32) {
	defer f.since(time.Now())
	f.field.Predict(out, predicted)
}

func (f *timedField) PredictBackward(dOut, dPredicted, grad []float32) {
	defer f.since(time.Now())
	f.field.PredictBackward(dOut, dPredicted, grad)
}

func (f *timedField) since(start time.Time) { f.spent += time.Since(start) }

// setUp builds what training on the episodes takes, after begin.
func (t *trainer) setUp(ctx context.Context, episodes []bags.Episode) (err error) {
	if t.data, err = newDataset(episodes, t.contract, t.o.HeldOut, t.o.Seed); err != nil {
		return err
	}
	t.fingerprint = t.data.fingerprint()
	if err := t.weigh(ctx); err != nil {
		return err
	}
	if t.stats == nil {
		if t.stats, err = t.data.stats(); err != nil {
			return err
		}
	}
	if err := t.prepare(); err != nil {
		return err
	}
	if err := t.data.use(t.model.Config, t.stats); err != nil {
		return err
	}
	if t.encoders != nil {
		if t.data.encoded, err = newEncoded(t.encoders, t.contract, t.o.featureFolder()); err != nil {
			return err
		}
		if err := t.data.encoded.pictures(ctx, episodes, t.o.Encoding); err != nil {
			return err
		}
	}
	if t.tau, err = flow.SamplerByName(t.o.Tau); err != nil {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	t.streams = flow.NewStreams(t.o.Seed)
	if o := t.obj.Needs().Critic; o != nil {
		if t.critic, err = critic.New(*o, newTransitions(t.data, o.Discount), flow.NewStream(t.o.Seed, streamCriticStart).Rand); err != nil {
			return fmt.Errorf("%w: %w", ErrOptions, err)
		}
	}
	if t.order, err = newOrder(t.streams.Get(streamOrder), len(t.data.train.chunks)); err != nil {
		return err
	}
	return t.compile()
}

// begin makes the model that a run starts from: of the preset, of the
// checkpoint Init, or of the saved state, whose weights restore fills in.
func (t *trainer) begin(saved *state) (err error) {
	var init *checkpoint.Checkpoint
	if t.o.Init != "" {
		if init, err = checkpoint.Load(t.o.Init); err != nil {
			return err
		}
	}
	if err := t.agree(saved, init); err != nil {
		return err
	}
	switch {
	case saved != nil:
		switch {
		case init != nil && saved.parent == "":
			return fmt.Errorf("%w: it began from random weights, not from checkpoint %s (%.12s); leave the checkpoint out or use another folder", ErrResume, t.o.Init, init.Hash)
		case init != nil && init.Hash != saved.parent:
			return fmt.Errorf("%w: it began from checkpoint %.12s and %s is %.12s; leave the checkpoint out or use another folder", ErrResume, saved.parent, t.o.Init, init.Hash)
		}
		if err := t.same(saved); err != nil {
			return err
		}
		asked := t.asked()
		if len(saved.model.StateFields) == 0 {
			asked.StateFields = nil // begun before fields of the state had tokens
		}
		if saved.parent == "" && !reflect.DeepEqual(asked, saved.model) {
			return fmt.Errorf("%w: its model is another %s than was asked for (%s); use the same or another folder", ErrResume, saved.model.Preset, t.o.Model.Preset)
		}
		t.stats, t.parent = saved.stats, saved.parent
		t.model, err = vla.NewZero(saved.model)
	case init != nil:
		t.stats, t.parent = init.Stats, init.Hash
		if t.model, err = init.Model.WithCondition(t.obj.Needs().Condition, t.o.Seed); errors.Is(err, vla.ErrConfig) {
			err = fmt.Errorf("%w: checkpoint %s has learned with objective %s, which tells the policy something that %s does not; start from one of bc, or go on with %s", ErrOptions, t.o.Init, init.Objective, t.o.Objective, init.Objective)
		}
	default:
		t.model, err = vla.New(t.asked(), t.o.Seed)
	}
	if err != nil {
		return err
	}
	return t.model.Config.Fits(t.contract)
}

// asked is the architecture of a model that begins from random weights.
func (t *trainer) asked() vla.Config {
	c := t.o.Model.For(t.contract).With(t.encoders)
	c.Condition = t.obj.Needs().Condition
	return c
}

// agree sets the contract, where none was given that of what the run starts
// from, and opens its backbones.
func (t *trainer) agree(saved *state, init *checkpoint.Checkpoint) (err error) {
	if init != nil {
		if t.contract == nil {
			t.contract = init.Contract
		}
		if !bytes.Equal(t.contract.Tensors(), init.Contract.Tensors()) {
			return fmt.Errorf("%w: checkpoint %s was trained with another contract; use the contract inside it", ErrOptions, t.o.Init)
		}
	}
	if saved != nil && t.contract == nil {
		if t.contract, err = contract.Parse([]byte(saved.contract)); err != nil {
			return err
		}
	}
	switch {
	case t.contract == nil:
		return fmt.Errorf("%w: there is no contract; name one, or a checkpoint to start from", ErrOptions)
	case saved != nil:
		t.encoders, err = backbone.OpenFor(t.contract, saved.model, t.o.Out)
	case init != nil:
		t.encoders, err = backbone.OpenFor(t.contract, init.Model.Config, filepath.Dir(t.o.Init))
	default:
		t.encoders, err = backbone.Open(t.contract)
	}
	return err
}

// compile builds the training step, the optimiser and the buffers of a batch.
func (t *trainer) compile() (err error) {
	c := t.model.Config
	t.batch = t.data.newBatch(t.o.Batch)
	t.field = &timedField{field: field{t.model, t.model.NewWorkspaceN(t.o.Batch, true, t.o.Workers), t.batch.in}}
	if t.step, err = objective.Compile(t.field, t.obj, t.o.Batch, c.Horizon, c.ActionDim); err != nil {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	t.batch.target, t.batch.mask, t.batch.in.Told = t.step.Target, t.step.Mask, t.step.Told
	if t.adam, err = optim.New(t.o.Optim, t.model.Params.Data); err != nil {
		return err
	}
	t.adam.Workers, t.chunks = t.o.Workers, make([]int, t.o.Batch)
	t.export = t.model
	if t.adam.Average != nil {
		t.export = t.model.Clone()
	}
	t.eval = newEvaluator(t.data, t.model, &t.o, t.tau)
	return nil
}

func (t *trainer) run(ctx context.Context) error {
	t.begun = t.n
	if err := t.learn(ctx); err != nil {
		return err
	}
	for t.n < t.o.Steps {
		if err := ctx.Err(); err != nil {
			if failed := t.save(!t.o.HoldStopped); failed != nil {
				return fmt.Errorf("stopped after step %d of %d (%w) without saving it: %w", t.n, t.o.Steps, err, failed)
			}
			if t.n == 0 {
				return fmt.Errorf("stopped before the first step: %w", err)
			}
			return fmt.Errorf("stopped after step %d of %d, resume to go on: %w", t.n, t.o.Steps, err)
		}
		start := time.Now()
		line, err := t.advance()
		if err != nil {
			return fmt.Errorf("training step %d: %w", t.n+1, err)
		}
		line.Seconds = time.Since(start).Seconds()
		if err := t.report(line); err != nil {
			return err
		}
	}
	return nil
}

// advance takes one step.
func (t *trainer) advance() (Line, error) {
	clock := time.Now()
	lap := func(sum *float64) {
		now := time.Now()
		*sum += now.Sub(clock).Seconds()
		clock = now
	}
	for i := range t.o.Batch {
		k, err := t.order.next()
		if err != nil {
			return Line{}, err
		}
		if err := t.data.put(t.batch, i, &t.data.train, t.data.train.chunks[k]); err != nil {
			return Line{}, err
		}
		t.step.Advantage[i], t.step.Known[i], t.chunks[i] = float32(t.data.advantage[k]), 1, k
		if math.IsNaN(t.data.returns[k]) {
			t.step.Known[i] = 0
		}
		if n := len(t.step.Told) / t.o.Batch; n > 0 {
			t.obj.(objective.Teller).Tell(t.step.Told[i*n:(i+1)*n], k, t.streams.Get(streamTell).Rand)
		}
	}
	t.batch.noise(t.o.Batch, t.streams.Get(streamNoise), t.streams.Get(streamTau), t.tau)
	lap(&t.spent.Data)
	if err := t.judge(); err != nil {
		return Line{}, err
	}
	lap(&t.spent.Critic)
	t.field.spent = 0
	m, err := t.step.Run()
	if err != nil {
		return Line{}, err
	}
	lap(&t.spent.Graph)
	t.spent.Graph -= t.field.spent.Seconds()
	t.spent.Network += t.field.spent.Seconds()
	info, err := t.adam.Update(t.model.Params.Data, t.step.Grad)
	if err != nil {
		return Line{}, err
	}
	lap(&t.spent.Optimiser)
	t.n++
	if t.critic != nil {
		if m.Figures == nil { // of an objective without figures of its own
			m.Figures = map[string]float64{}
		}
		maps.Copy(m.Figures, t.critic.Figures())
	}
	return Line{Step: t.n, Metrics: m, LearningRate: info.LearningRate, GradNorm: info.GradNorm}, nil
}

// report logs a step and evaluates and saves where it is due.
func (t *trainer) report(line Line) error {
	start := time.Now()
	if err := t.log.append(line); err != nil {
		return err
	}
	t.spent.Log += time.Since(start).Seconds()
	switch line.Bound {
	case -1:
		t.bound.lower++
	case 1:
		t.bound.upper++
	}
	due := func(every int64) bool { return t.n == t.o.Steps || (every > 0 && t.n%every == 0) }
	p := Progress{Line: line, Steps: t.o.Steps}
	if t.eval != nil && due(t.o.EvalEvery) {
		var err error
		if p.HeldOut, err = t.eval.run(t.adam.Weights(t.model.Params.Data), t.n); err != nil {
			return err
		}
		t.last.Evaluation = p.HeldOut
		entry := struct {
			Step    int64    `json:"step"`
			HeldOut *HeldOut `json:"held_out"`
		}{t.n, p.HeldOut}
		if err := t.log.append(entry); err != nil {
			return err
		}
	}
	if due(t.o.SaveEvery) {
		if err := t.save(true); err != nil {
			return err
		}
		p.Checkpoint, p.Hash = t.last.Checkpoint, t.last.Hash
	}
	if t.o.Progress != nil {
		t.o.Progress(p)
	}
	return nil
}

// save writes the checkpoint, then the state: a run that is killed between the
// two resumes earlier and writes the same checkpoint again.
func (t *trainer) save(publish bool) error {
	if t.n == t.saved {
		return nil
	}
	if t.export != t.model {
		copy(t.export.Params.Data, t.adam.Average)
	}
	path := t.o.checkpointPath(t.n)
	hash, err := checkpoint.Save(path, &checkpoint.Checkpoint{
		Model: t.export, Contract: t.contract, Stats: t.stats, Objective: t.o.Objective, Step: t.n, Parent: t.parent,
	})
	if err != nil {
		return err
	}
	t.last.Checkpoint, t.last.Hash = path, hash
	if err := t.log.sync(); err != nil {
		return err
	}
	if publish {
		t.willPublish(hash)
	}
	if err := t.saveState(); err != nil {
		return err
	}
	t.saved = t.n
	if publish {
		if err := t.publish(); err != nil {
			return err
		}
	}
	return t.o.prune(t.n)
}
