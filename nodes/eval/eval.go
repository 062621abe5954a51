// Package eval runs a policy in closed loop on a simulated arm, through the
// same resampler and safety envelope as on a robot: Evaluate counts successes
// in virtual time, Live gives the policy loop an arm that does one episode
// after another. What the arm and its tasks are is up to a Stage.
package eval

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/flow"
)

// Stage is a simulated arm with a task, one episode at a time. It has no clock:
// it moves only in Step. One goroutine at a time uses it.
type Stage interface {
	// Begin draws an episode: the same seed and number give the same episode to
	// the bit, whatever was run before.
	Begin(seed, episode uint64) error
	// Observe fills obs with the stage as it is, as the frame at t (ns). t does
	// not go back within an episode.
	Observe(t int64, obs *policy.Observation) error
	// Step moves on by one control period under a command, and returns the
	// reward of that period. nil: the servo keeps its last set-point.
	Step(cmd *runner.Command) (reward float64, err error)
	// Episode returns how the current episode stands.
	Episode() Episode
	// RunnerConfig returns names, limits and periods. replanRows is how many
	// rows of a chunk are executed before the next is asked for; 0: half.
	RunnerConfig(replanRows int) runner.Config
	// Start returns the time at which time begins, ns, a multiple of the frame
	// period.
	Start() int64
	Close() error
}

// Episode says how an episode stands.
type Episode struct {
	Task    string  // the instruction
	Steps   int     // control periods since its beginning
	Success bool    //
	Done    bool    // success, failure, or time is up
	Return  float64 // mean reward per step
}

// Reseeder is a policy that draws random numbers. Evaluate seeds it at the
// beginning of every episode, so that an episode does not depend on those
// before it.
type Reseeder interface{ Reseed(seed uint64) }

// Options says how a policy is evaluated. Progress and Each are called from the
// goroutine that called Evaluate.
type Options struct {
	Episodes    int
	Seed        uint64             // of tasks, policy and action noise
	ReplanRows  int                // rows of a chunk to execute; 0: half
	ActionNoise float64            // standard deviation of what is added to every element of a chunk, in units of NoiseUnit
	NoiseUnit   []float64          // (A) for each element of an action; nil: 1 in the element's own unit (rad, m)
	Workers     int                // stages that run in parallel; 0: 1. The result does not depend on it
	Progress    func(episodes int) // called as episodes end; may be nil
	Each        func(Outcome)      // called for every episode, in their order; may be nil
}

// Validate returns what cannot be used.
func (o *Options) Validate() error {
	switch {
	case o.Episodes < 1:
		return fmt.Errorf("eval: %d episodes to evaluate, give 1 or more", o.Episodes)
	case !(o.ActionNoise >= 0 && o.ActionNoise < 1e6): // NaN too
		return fmt.Errorf("eval: action noise of %g, give a standard deviation of 0 or more", o.ActionNoise)
	case o.ReplanRows < 0 || o.Workers < 0:
		return fmt.Errorf("eval: %d replan rows and %d workers must not be negative", o.ReplanRows, o.Workers)
	}
	return nil
}

// Outcome is how one episode went.
type Outcome struct {
	Index         int                       `json:"index"`
	Task          string                    `json:"task"`
	Success       bool                      `json:"success"`
	Time          float64                   `json:"time_s"` // from its beginning to success, failure or the limit
	Return        float64                   `json:"return"` // mean reward per step
	Interventions map[string]runner.Counter `json:"interventions"`
}

// Evaluate runs a policy in closed loop, in virtual time. Each worker has a
// stage and a policy of its own; newPolicy may share weights between them.
// Episode i of a seed is the same task for every policy. On an error or a
// context that is done it returns the result of the episodes so far, beside it.
func Evaluate(ctx context.Context, open func() (Stage, error), newPolicy func() (policy.Policy, error), o Options) (Result, error) {
	if err := o.Validate(); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs, done := make(chan int), make(chan Outcome)
	var workers sync.WaitGroup
	for range min(max(1, o.Workers), o.Episodes) {
		workers.Go(func() {
			if err := work(ctx, open, newPolicy, &o, jobs, done); err != nil {
				cancel(err)
			}
		})
	}
	go func() {
		defer close(done)
		defer workers.Wait()
		defer close(jobs)
		for i := range o.Episodes {
			select {
			case jobs <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	outcomes := gather(done, &o)
	return newResult(outcomes), context.Cause(ctx)
}

// gather puts outcomes into the order of their episodes and tells of them,
// until done is closed. It returns those before the first that is missing.
func gather(done <-chan Outcome, o *Options) (ordered []Outcome) {
	waiting := map[int]Outcome{}
	n := 0
	for out := range done {
		if n++; o.Progress != nil {
			o.Progress(n)
		}
		waiting[out.Index] = out
		for next, ok := waiting[len(ordered)]; ok; next, ok = waiting[len(ordered)] {
			delete(waiting, next.Index)
			ordered = append(ordered, next)
			if o.Each != nil {
				o.Each(next)
			}
		}
	}
	return ordered
}

// work does episodes until there are no more, on a stage of its own.
func work(ctx context.Context, open func() (Stage, error), newPolicy func() (policy.Policy, error), o *Options, jobs <-chan int, done chan<- Outcome) (err error) {
	stage, err := open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.Close()) }()
	p, err := newPolicy()
	if err != nil {
		return err
	}
	trial := trial{stage: stage, policy: p, cfg: stage.RunnerConfig(o.ReplanRows), o: o}
	for i := range jobs {
		out, err := trial.episode(ctx, i)
		if err != nil {
			return err
		}
		done <- out
	}
	return nil
}

// trial runs episodes on one stage with one policy.
type trial struct {
	stage  Stage
	policy policy.Policy
	cfg    runner.Config
	o      *Options

	noise *flow.Stream
	obs   policy.Observation
	chunk policy.ActionChunk
}

// episode runs episode i from its beginning to its end.
func (t *trial) episode(ctx context.Context, i int) (Outcome, error) {
	fail := func(err error) (Outcome, error) { return Outcome{}, fmt.Errorf("eval: episode %d: %w", i, err) }
	r, err := runner.New(t.cfg)
	if err != nil {
		return fail(err)
	}
	if err := t.stage.Begin(t.o.Seed, uint64(i)); err != nil {
		return fail(err)
	}
	seed := rand.NewPCG(t.o.Seed, uint64(i)).Uint64()
	t.noise = flow.NewStream(seed, "action noise")
	if p, ok := t.policy.(Reseeder); ok {
		p.Reseed(seed)
	}
	r.Step(runner.NewPolicy(1))
	for at := t.stage.Start(); !t.stage.Episode().Done; at += t.cfg.Period {
		if err := ctx.Err(); err != nil {
			return Outcome{}, err
		}
		if at%t.cfg.RowPeriod == 0 {
			if err := t.frame(r, at); err != nil {
				return fail(err)
			}
		}
		if _, err := t.stage.Step(r.Step(runner.Tick(at)).Command); err != nil {
			return fail(err)
		}
	}
	n := r.Counters()
	return outcome(i, t.stage.Episode(), t.cfg.Period, n.Map()), nil
}

// outcome sums up an episode with steps of period ns.
func outcome(i int, e Episode, period int64, interventions map[string]runner.Counter) Outcome {
	return Outcome{Index: i, Task: e.Task, Success: e.Success, Time: float64(int64(e.Steps)*period) / 1e9, Return: e.Return, Interventions: interventions}
}

// frame shows the runner the stage at t, and the policy's answer if it asks.
func (t *trial) frame(r *runner.Runner, at int64) error {
	if err := t.stage.Observe(at, &t.obs); err != nil {
		return err
	}
	fx := r.Step(runner.Observed(&t.obs))
	if fx.Infer == nil {
		return nil
	}
	seq := fx.Infer.Seq
	err := t.policy.Act(&t.obs, &t.chunk)
	if err == nil && t.o.ActionNoise > 0 {
		for k := range t.chunk.Values {
			sd := t.o.ActionNoise
			if n := len(t.o.NoiseUnit); n > 0 {
				sd *= t.o.NoiseUnit[k%n]
			}
			t.chunk.Values[k] += float32(sd * t.noise.NormFloat64())
		}
	}
	r.Step(runner.ChunkReady(seq, &t.chunk, err))
	return nil
}
