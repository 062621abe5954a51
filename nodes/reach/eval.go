package reach

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"arfm/nodes/loop"
	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/contract"
)

// EvalOptions says how a policy is run. The zero value is good.
type EvalOptions struct {
	ReplanRows  int     // rows of a chunk to execute; 0: half
	ActionNoise float64 // standard deviation added to every element of a chunk, rad
	Progress    func(episodes int)
}

// Result of an evaluation.
type Result struct {
	Episodes      int                       `json:"episodes"`
	Successes     int                       `json:"successes"`
	Rate          float64                   `json:"success_rate"`
	Low           float64                   `json:"low"`         // Wilson 95 % interval of Rate
	High          float64                   `json:"high"`        //
	MeanTime      float64                   `json:"mean_time_s"` // of the successes; 0: none
	MeanReturn    float64                   `json:"mean_return"` // reward per step
	Interventions map[string]runner.Counter `json:"interventions"`
}

// String is the result in a line.
func (r Result) String() string {
	return fmt.Sprintf("success %d/%d = %.1f %% (95 %%: %.1f..%.1f), mean time %.2f s, mean return %.3f",
		r.Successes, r.Episodes, 100*r.Rate, 100*r.Low, 100*r.High, r.MeanTime, r.MeanReturn)
}

// Wilson returns the 95 % score interval of a proportion (Wilson 1927).
func Wilson(successes, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.959963984540054
	p, m := float64(successes)/float64(n), float64(n)
	mid := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max(0, mid-half), min(1, mid+half)
}

// Evaluate runs a policy in closed loop, in virtual time, through the same
// resampler and envelope as on a robot. Episode i of a seed is the same task
// for every policy.
func Evaluate(ctx context.Context, p policy.Policy, c *contract.Contract, episodes int, seed uint64, o EvalOptions) (Result, error) {
	if episodes < 1 {
		return Result{}, fmt.Errorf("reach: %d episodes to evaluate, give 1 or more", episodes)
	}
	slot := &fixed{p: p, o: o}
	out := Result{Episodes: episodes}
	var counters runner.Counters
	for i := range episodes {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		rng := rand.New(rand.NewPCG(seed^evalStream, uint64(i)))
		slot.rng = rng
		w, n, err := slot.episode(c, NewWorld(rng), o)
		if err != nil {
			return out, err
		}
		for k := range n {
			counters[k].Events += n[k].Events
			counters[k].Ticks += n[k].Ticks
		}
		if w.Success() {
			out.Successes++
			out.MeanTime += float64(w.Steps) / RateHz
		}
		out.MeanReturn += w.Return() / float64(episodes)
		if o.Progress != nil {
			o.Progress(i + 1)
		}
	}
	out.MeanTime /= float64(max(out.Successes, 1))
	out.Rate = float64(out.Successes) / float64(episodes)
	out.Low, out.High = Wilson(out.Successes, episodes)
	out.Interventions = counters.Map()
	return out, nil
}

// evalStream keeps the tasks of an evaluation apart from those recorded with
// the same seed.
const evalStream = 0x6576616c

// fixed is one policy, with noise on its actions if that is asked for.
type fixed struct {
	p   policy.Policy
	o   EvalOptions
	rng *rand.Rand
}

func (f *fixed) act(obs *policy.Observation, chunk *policy.ActionChunk) error {
	err := f.p.Act(obs, chunk)
	if f.o.ActionNoise > 0 {
		for i := range chunk.Values {
			chunk.Values[i] += float32(f.o.ActionNoise * f.rng.NormFloat64())
		}
	}
	return err
}

func runnerConfig(c *contract.Contract, replanRows int) runner.Config {
	cfg := loop.RunnerConfig(c, Limits())
	cfg.ReplanRows, cfg.Ramp, cfg.StartTolerance = replanRows, 100e6, 0.6
	return cfg
}

// episode runs the policy until the task is done or time is up.
func (f *fixed) episode(c *contract.Contract, w *World, o EvalOptions) (*World, runner.Counters, error) {
	arm, err := newArm(c, w)
	if err != nil {
		return w, runner.Counters{}, err
	}
	r, err := runner.New(runnerConfig(c, o.ReplanRows))
	if err != nil {
		return w, runner.Counters{}, err
	}
	r.Step(runner.NewPolicy(1))
	var obs policy.Observation
	var chunk policy.ActionChunk
	for t := Epoch; !w.Done(); t += Period {
		if err := arm.observe(t, &obs); err != nil {
			return w, r.Counters(), err
		}
		if fx := r.Step(runner.Observed(&obs)); fx.Infer != nil {
			seq := fx.Infer.Seq
			err := f.act(&obs, &chunk)
			r.Step(runner.ChunkReady(seq, &chunk, err))
		}
		arm.command(r.Step(runner.Tick(t)))
		arm.step()
	}
	return w, r.Counters(), nil
}

// arm is a world that speaks and listens in the contract's terms.
type arm struct {
	w        *World
	s        *speaker
	uses     []contract.TopicUse
	resample *contract.Resampler
	col      [2]int
	set      [2]float64
}

func newArm(c *contract.Contract, w *World) (*arm, error) {
	if err := checkContract(c); err != nil {
		return nil, err
	}
	s, err := newSpeaker()
	if err != nil {
		return nil, err
	}
	a := &arm{w: w, s: s, uses: inputs(c), resample: contract.NewResampler(c), set: w.Q}
	a.col, err = actionColumns(c)
	return a, err
}

func (a *arm) observe(t int64, obs *policy.Observation) error {
	if err := a.s.feed(a.resample, a.uses, a.w, t); err != nil {
		return err
	}
	return a.resample.Observe(t, obs)
}

// command takes the set-point; without one the servo keeps the last.
func (a *arm) command(fx *runner.Effects) {
	if fx.Command != nil {
		for j, c := range a.col {
			a.set[j] = fx.Command.SetPoint[c]
		}
	}
}

func (a *arm) step() float64 { return a.w.Step(a.set) }
