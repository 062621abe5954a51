// Package finetune trains a policy on episodes: chunks with masks, returns and
// advantages, the objective's training step, the optimiser, held-out
// evaluation, checkpoints and a state from which a run goes on after a kill at
// any moment to the same weights, to the bit, as an unbroken one.
package finetune

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"arfm/bags"
	"arfm/finetune/advantage"
	"arfm/finetune/objective"
	"arfm/finetune/optim"
	"arfm/finetune/reward"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/flow"
	"arfm/policy/vla"
)

// ErrNoReward says that an objective needs rewards and no episode has any.
var ErrNoReward = errors.New("no episode carries a reward")

// Result is what a run has done.
type Result struct {
	Step       int64                 `json:"step"`
	Checkpoint string                `json:"checkpoint"` // path of the newest
	Hash       string                `json:"hash"`
	Parent     string                `json:"parent,omitempty"`
	Frames     int                   `json:"frames"`          // chunks of the training split
	HeldOut    int                   `json:"held_out_frames"` // of the held-out split
	Rewards    map[reward.Source]int `json:"rewards"`         // episodes of the training split by source
	Unweighted bool                  `json:"unweighted"`      // rewards were to weigh the chunks, but all advantages are equal
	Evaluation *HeldOut              `json:"evaluation,omitempty"`
	Timing     Timing                `json:"timing"`
}

// Timing is the mean time of a step, in seconds, by what it was spent on.
type Timing struct {
	Network   float64 `json:"network"` // forward and backward
	Graph     float64 `json:"graph"`   // the rest of the training step: losses, weights, the machine
	Optimiser float64 `json:"optimiser"`
	Data      float64 `json:"data"` // batch assembly and noise
	Log       float64 `json:"log"`
}

// Train trains on episodes that were read with contract c (nil takes that of
// Options.Init) until Options.Steps, and returns what it did.
//
// When ctx ends it saves after the step in hand and returns what it has with an
// error that wraps ctx's. Errors wrap ErrOptions, ErrData, ErrNoReward,
// ErrResume, ErrBusy, objective.ErrNotFinite, optim.ErrNotFinite or the
// sentinels of package checkpoint; none leaves a half-written file behind.
func Train(ctx context.Context, episodes []bags.Episode, c *contract.Contract, o Options) (r *Result, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	missing := missingFolders(o.Out)
	defer func() { // a run that did not begin leaves no folder behind
		for _, dir := range missing {
			if err == nil || os.Remove(dir) != nil { // stays if there is anything in it
				return
			}
		}
	}()
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, fileError("make the output folder", err)
	}
	log, err := openLog(o.logPath())
	if err != nil {
		return nil, err
	}
	defer log.close()
	saved, err := o.previous()
	if err != nil {
		return nil, err
	}
	t := &trainer{o: o, contract: c, log: log}
	if err := t.setUp(episodes, saved); err != nil {
		return nil, err
	}
	defer t.step.Close()
	if saved != nil {
		if err := t.restore(saved); err != nil {
			return nil, err
		}
	}
	if err := log.cut(t.n); err != nil {
		return nil, err
	}
	if err := o.clean(); err != nil {
		return nil, err
	}
	err = t.run(ctx)
	return t.result(), err
}

// missingFolders returns those of path and the folders above it that do not
// exist, innermost first.
func missingFolders(path string) (dirs []string) {
	for dir := filepath.Clean(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			return dirs
		}
		dirs = append(dirs, dir)
	}
}

// previous returns the state that a run resumes, nil for a new run. A folder
// that holds a run, or lines in a log that may be anyone's, is not begun anew.
func (o *Options) previous() (*state, error) {
	if o.Resume {
		return readState(o.statePath())
	}
	steps, err := o.saved()
	if err != nil {
		return nil, err
	}
	used := len(steps) > 0
	if _, err := os.Lstat(o.statePath()); err == nil {
		used = true
	}
	if info, err := os.Lstat(o.logPath()); err == nil && info.Size() > 0 {
		used = true
	}
	if used {
		return nil, fmt.Errorf("%w: folder %s already holds a run; resume it or name another folder", ErrOptions, o.Out)
	}
	return nil, nil
}

// trainer is one run.
type trainer struct {
	o           Options
	contract    *contract.Contract
	data        *dataset
	fingerprint string
	model       *vla.Model
	export      *vla.Model // the averaged weights as they are saved; model itself without EMA
	stats       *contract.Stats
	parent      string
	rewards     map[reward.Source]int

	field   *timedField
	step    *objective.Step
	adam    *optim.AdamW
	batch   *batch
	streams *flow.Streams
	order   *order
	tau     flow.Sampler
	eval    *evaluator
	log     *runLog

	n, saved int64 // steps done, and those of the newest state
	begun    int64 // steps done before this process
	last     Result
	spent    Timing // sums
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

func (f *timedField) since(start time.Time) { f.spent += time.Since(start) }

func (t *trainer) setUp(episodes []bags.Episode, saved *state) (err error) {
	if err := t.begin(saved); err != nil {
		return err
	}
	if t.data, err = newDataset(episodes, t.contract, t.o.HeldOut, t.o.Seed); err != nil {
		return err
	}
	t.fingerprint = t.data.fingerprint()
	if err := t.weigh(); err != nil {
		return err
	}
	if t.stats == nil {
		if t.stats, err = t.data.stats(); err != nil {
			return err
		}
	}
	if err := t.data.use(t.model.Config, t.stats); err != nil {
		return err
	}
	if t.tau, err = flow.SamplerByName(t.o.Tau); err != nil {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	t.streams = flow.NewStreams(t.o.Seed)
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
		if t.contract == nil {
			t.contract = init.Contract
		}
		if !sameTensors(t.contract, init.Contract) {
			return fmt.Errorf("%w: checkpoint %s was trained with another contract; use the contract inside it", ErrOptions, t.o.Init)
		}
	}
	switch {
	case saved != nil:
		if init != nil && init.Hash != saved.parent {
			return fmt.Errorf("%w: it began from checkpoint %.12s and %s is %.12s; leave the checkpoint out or use another folder", ErrResume, saved.parent, t.o.Init, init.Hash)
		}
		if t.contract == nil {
			if t.contract, err = contract.Parse([]byte(saved.contract)); err != nil {
				return err
			}
		}
		if saved.parent == "" && !reflect.DeepEqual(t.o.Model.For(t.contract), saved.model) {
			return fmt.Errorf("%w: its model is another %s than was asked for (%s); use the same or another folder", ErrResume, saved.model.Preset, t.o.Model.Preset)
		}
		t.stats, t.parent = saved.stats, saved.parent
		t.model, err = vla.NewZero(saved.model)
	case init != nil:
		t.model, t.stats, t.parent = init.Model, init.Stats, init.Hash
	case t.contract == nil:
		return fmt.Errorf("%w: there is no contract; name one, or a checkpoint to start from", ErrOptions)
	default:
		t.model, err = vla.New(t.o.Model.For(t.contract), t.o.Seed)
	}
	if err != nil {
		return err
	}
	return t.model.Config.Fits(t.contract)
}

// weigh computes the advantage of every training chunk: the return-to-go at
// its first frame against those of its group, among the chunks whose rewards
// come from the same source: a 0 of one source is not a 0 of another. Chunks
// without any reward get 0, neither good nor bad. Rewards past the span's end
// belong to held-out frames and do not count.
func (t *trainer) weigh() error {
	t.rewards = map[reward.Source]int{}
	groups, n := map[reward.Source]*rewarded{}, 0
	for _, s := range t.data.train.spans {
		ep := &t.data.episodes[s.episode]
		r, source, err := reward.Of(ep, t.o.Success)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrData, err)
		}
		t.rewards[source]++
		if groups[source] == nil {
			groups[source] = &rewarded{}
		}
		groups[source].add(n, reward.ReturnToGo(r[s.lo:s.hi]), ep.Task)
		n += s.hi - s.lo
	}
	if t.o.Objective != "bc" && t.rewards[reward.Nothing] == len(t.data.train.spans) {
		return fmt.Errorf("%w, and objective %s weighs chunks by them; label the bags or use bc", ErrNoReward, t.o.Objective)
	}
	t.data.advantage = make([]float64, n)
	delete(groups, reward.Nothing)
	for _, g := range groups {
		adv, err := advantage.Compute(g.returns, g.tasks, t.o.Advantage)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrOptions, err)
		}
		for i, at := range g.at {
			t.data.advantage[at] = adv[i]
		}
	}
	return nil
}

// rewarded are the training chunks whose rewards come from one source.
type rewarded struct {
	at      []int // places among the training chunks
	returns []float64
	tasks   []string
}

// add takes the chunks of a span, the first of which is training chunk first.
func (g *rewarded) add(first int, returns []float64, task string) {
	for i, r := range returns {
		g.at, g.returns, g.tasks = append(g.at, first+i), append(g.returns, r), append(g.tasks, task)
	}
}

// compile builds the training step, the optimiser and the buffers of a batch.
func (t *trainer) compile() (err error) {
	c := t.model.Config
	t.batch = t.data.newBatch(t.o.Batch)
	t.field = &timedField{field: field{t.model, t.model.NewWorkspaceN(t.o.Batch, true, t.o.Workers), t.batch.in}}
	if t.step, err = objective.Compile(t.field, t.o.objective(), t.o.Batch, c.Horizon, c.ActionDim); err != nil {
		return fmt.Errorf("%w: %w", ErrOptions, err)
	}
	t.batch.target, t.batch.mask = t.step.Target, t.step.Mask
	if t.adam, err = optim.New(t.o.Optim, t.model.Params.Data); err != nil {
		return err
	}
	t.adam.Workers = t.o.Workers
	t.export = t.model
	if t.adam.Average != nil {
		t.export = t.model.Clone()
	}
	t.eval = newEvaluator(t.data, t.model, &t.o, t.tau)
	return nil
}

func (t *trainer) run(ctx context.Context) error {
	t.begun = t.n
	for t.n < t.o.Steps {
		if err := ctx.Err(); err != nil {
			if failed := t.save(); failed != nil {
				return fmt.Errorf("stopped after step %d of %d (%w) without saving it: %w", t.n, t.o.Steps, err, failed)
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
		t.data.put(t.batch, i, &t.data.train, t.data.train.chunks[k])
		t.step.Advantage[i] = float32(t.data.advantage[k])
	}
	t.batch.noise(t.o.Batch, t.streams.Get(streamNoise), t.streams.Get(streamTau), t.tau)
	lap(&t.spent.Data)
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
	return Line{Step: t.n, Metrics: m, LearningRate: info.LearningRate, GradNorm: info.GradNorm}, nil
}

// report logs a step and evaluates and saves where it is due.
func (t *trainer) report(line Line) error {
	start := time.Now()
	if err := t.log.append(line); err != nil {
		return err
	}
	t.spent.Log += time.Since(start).Seconds()
	due := func(every int64) bool { return t.n == t.o.Steps || (every > 0 && t.n%every == 0) }
	p := Progress{Line: line, Steps: t.o.Steps}
	if t.eval != nil && due(t.o.EvalEvery) {
		p.HeldOut = t.eval.run(t.adam.Weights(t.model.Params.Data), t.n)
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
		if err := t.save(); err != nil {
			return err
		}
		p.Checkpoint = t.last.Checkpoint
	}
	if t.o.Progress != nil {
		t.o.Progress(p)
	}
	return nil
}

// save writes the checkpoint, then the state: a run that is killed between the
// two resumes earlier and writes the same checkpoint again.
func (t *trainer) save() error {
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
	if err := t.saveState(); err != nil {
		return err
	}
	t.saved = t.n
	if t.o.Publish != "" {
		if err := publish(path, t.o.Publish); err != nil {
			return err
		}
	}
	return t.o.prune(t.n)
}

func (t *trainer) result() *Result {
	r := t.last
	r.Step, r.Parent, r.Rewards = t.n, t.parent, t.rewards
	if a := t.data.advantage; t.o.Objective != "bc" && len(a) > 0 {
		r.Unweighted = slices.Min(a) == slices.Max(a)
	}
	r.Frames, r.HeldOut = len(t.data.train.chunks), len(t.data.heldOut.chunks)
	if n := float64(t.n - t.begun); n > 0 {
		s := t.spent
		r.Timing = Timing{s.Network / n, s.Graph / n, s.Optimiser / n, s.Data / n, s.Log / n}
	}
	if r.Checkpoint == "" && t.saved == t.n && t.n > 0 { // resumed at its end
		r.Checkpoint = t.o.checkpointPath(t.n)
		if info, err := checkpoint.ReadInfo(r.Checkpoint); err == nil {
			r.Hash = info.Hash
		}
	}
	return &r
}

// String says in a few lines what a run did.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d steps on %d frames (%d held out), rewards:", r.Step, r.Frames, r.HeldOut)
	for i, source := range slices.Sorted(maps.Keys(r.Rewards)) {
		if i > 0 {
			b.WriteString(",")
		}
		name := string(source)
		if source == reward.Nothing {
			name = "none"
		}
		fmt.Fprintf(&b, " %s in %d episodes", name, r.Rewards[source])
	}
	if len(r.Rewards) > 1 {
		b.WriteString("\nrewards come from several sources: episodes are compared only within theirs, those with none have advantage 0")
	}
	if r.Unweighted {
		b.WriteString("\nevery chunk has the same advantage, so this was bc: label good and bad episodes of one task")
	}
	if r.Evaluation != nil {
		fmt.Fprintf(&b, "\n%s", r.Evaluation)
	}
	fmt.Fprintf(&b, "\n%s (%.12s)", r.Checkpoint, r.Hash)
	return b.String()
}
