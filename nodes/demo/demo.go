// Package demo tells arfm's story on the simulated arm: it records
// demonstrations of mixed quality, clones them, fine-tunes on their rewards
// while a second process works with the policy and swaps in the new weights,
// compares before and after in closed loop, and writes a report.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"arfm/bags"
	"arfm/finetune"
	"arfm/finetune/optim"
	"arfm/launch"
	"arfm/nodes/demonstration"
	"arfm/nodes/eval"
	"arfm/nodes/sim"
	"arfm/nodes/sim/mujoco"
	"arfm/nodes/stage"
	"arfm/policy"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// What Run refuses.
var (
	ErrExists  = errors.New("the output folder exists already")
	ErrOptions = errors.New("a demo needs at least one episode, evaluation and step of each kind")
)

// Options say how large the demo is; start from Defaults.
type Options struct {
	Suite       string   // of the simulated arm's tasks
	Out         string   // folder for bags, checkpoints and report; must not exist unless Force
	Force       bool     // remove what a demo left in Out
	Seed        uint64   // of recording, training and evaluation
	Episodes    int      // demonstrations to record
	Steps       int64    // of behaviour cloning
	TuneSteps   int64    // of fine-tuning
	Evaluations int      // episodes of each evaluation; the suite's tasks take turns
	Run         []string // command that is arfm run without its flags, for the second process

	// Progress is called as stages advance; Say with a line when one is done.
	Progress func(stage string, done, total int64)
	Say      func(line string)
}

// Defaults are the options of make demo.
func Defaults() Options {
	return Options{Suite: "goal", Out: "demo", Seed: 1, Episodes: 200, Steps: 1500, TuneSteps: 800, Evaluations: 100}
}

// names of what a demo leaves in its folder.
const (
	bagsDir        = "bags"
	cloneDir       = "bc"
	tuneDir        = "arfm"
	checkpointsDir = "checkpoints"
	reportDir      = "report"
	contractFile   = "contract.yaml"
	markFile       = ".arfm-demo" // says that all of the above is a demo's
)

// Page is where a demo in the folder out leaves its report.
func Page(out string) string { return filepath.Join(out, reportDir, "index.html") }

// Run tells the story and returns its figures; they are also written into the
// report's folder, as report.json and, to look at, index.html.
func Run(ctx context.Context, o Options) (*Report, error) {
	suite, err := o.check()
	if err != nil {
		return nil, err
	}
	if !sim.Available {
		return nil, mujoco.ErrUnavailable
	}
	if err := o.prepare(); err != nil {
		return nil, err
	}
	s := &story{o: o, suite: suite, report: Report{Suite: o.Suite, Seed: o.Seed}}
	start := time.Now()
	for _, act := range []func(context.Context) error{s.record, s.clone, s.tune, s.compare, s.film} {
		if err := act(ctx); err != nil {
			return nil, err
		}
	}
	s.report.Seconds = time.Since(start).Seconds()
	return &s.report, s.write(filepath.Join(o.Out, reportDir))
}

// check refuses what cannot be done, and an output folder that no demo made.
func (o *Options) check() (*sim.Suite, error) {
	if o.Episodes < 1 || o.Evaluations < 1 || o.Steps < 1 || o.TuneSteps < 1 {
		return nil, ErrOptions
	}
	if left, err := os.ReadDir(o.Out); (err == nil || !errors.Is(err, fs.ErrNotExist)) && (err != nil || len(left) > 0) {
		if !o.Force {
			return nil, fmt.Errorf("%w: %s; name another, or say --force to replace the demo in it", ErrExists, o.Out)
		}
		if _, err := os.Lstat(filepath.Join(o.Out, markFile)); err != nil {
			return nil, fmt.Errorf("%w: %s was not made by a demo, so nothing in it is replaced; name another", ErrExists, o.Out)
		}
	}
	return sim.FindSuite(o.Suite)
}

// prepare makes an empty output folder: it removes what an earlier demo left.
func (o *Options) prepare() error {
	for _, name := range []string{bagsDir, cloneDir, tuneDir, checkpointsDir, reportDir, contractFile} {
		if err := os.RemoveAll(filepath.Join(o.Out, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{checkpointsDir, reportDir} {
		if err := os.MkdirAll(filepath.Join(o.Out, name), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(o.Out, markFile), nil, 0o644)
}

// story is a demo on its way.
type story struct {
	o        Options
	suite    *sim.Suite
	report   Report
	contract *contract.Contract
	recorded demonstration.Recorded
	episodes []bags.Episode
	cloned   string       // path of the cloned policy's checkpoint
	reels    []stage.Reel // of the fine-tuned policy at work
}

func (s *story) record(ctx context.Context) (err error) {
	yaml, err := launch.Contracts.ReadFile("contracts/sim_state.yaml")
	if err != nil {
		return err
	}
	if s.contract, err = contract.Parse(yaml); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.o.Out, contractFile), yaml, 0o644); err != nil {
		return err
	}
	s.recorded, err = sim.Record(ctx, filepath.Join(s.o.Out, bagsDir), s.suite, demonstration.Options{
		Episodes: s.o.Episodes, Seed: s.o.Seed, NoImages: true,
		Progress: func(n int) { s.o.Progress("recording", int64(n), int64(s.o.Episodes)) },
	})
	if err != nil {
		return err
	}
	for _, path := range s.recorded.Bags {
		e, _, err := bags.ReadEpisodes(ctx, path, s.contract, bags.Options{})
		if err != nil {
			return err
		}
		s.episodes = append(s.episodes, e...)
	}
	s.report.Recorded = s.recorded
	s.o.Say(fmt.Sprintf("recorded %d demonstrations (%d did their task) into %d bags", s.recorded.Episodes, s.recorded.Successes, len(s.recorded.Bags)))
	return nil
}

// options of a training run of the demo.
func (s *story) options(objective string, steps int64, out string, lines *[]finetune.Line) (finetune.Options, error) {
	o := finetune.Defaults(steps)
	var err error
	o.Objective, o.Name, o.Out, o.Seed = objective, objective, filepath.Join(s.o.Out, out), s.o.Seed
	o.Model, err = vla.Preset("nano")
	if objective == "bc" {
		o.Optim = optim.Defaults(1e-3, steps) // from scratch a small network learns faster than the default
	}
	o.Keep, o.KeepPublished = 0, 0
	o.Progress = func(p finetune.Progress) {
		*lines = append(*lines, p.Line)
		s.o.Progress("training "+objective, p.Step, p.Steps)
	}
	return o, err
}

func (s *story) clone(ctx context.Context) error {
	o, err := s.options("bc", s.o.Steps, cloneDir, &s.report.CloneLines)
	if err != nil {
		return err
	}
	o.EvalEvery, o.SaveEvery = 0, 0
	o.Publish = filepath.Join(s.o.Out, checkpointsDir)
	r, err := finetune.Train(ctx, s.episodes, s.contract, o)
	if err != nil {
		return err
	}
	s.cloned, s.report.Clone = r.Checkpoint, r
	s.o.Say(fmt.Sprintf("cloned all of them: %d steps of bc on %d frames", r.Step, r.Frames))
	return nil
}

// tune fine-tunes into a folder that a running policy watches.
func (s *story) tune(ctx context.Context) (err error) {
	dir := filepath.Join(s.o.Out, checkpointsDir)
	live, err := startLive(ctx, s.o.Run,
		"--checkpoints", dir, "--sim", s.o.Suite, "--seed", fmt.Sprint(s.o.Seed+2), "--json")
	if err != nil {
		return err
	}
	defer func() {
		var stopped error
		s.report.Live, stopped = live.stop()
		err = errors.Join(err, stopped)
		if err == nil {
			l := &s.report.Live
			s.o.Say(fmt.Sprintf("meanwhile the running arm did %d of %d tasks and took over %d checkpoints; %d ticks, %d missed",
				l.Results.Successes, l.Results.Episodes, len(l.Swaps), l.Stats.Ticks, l.Stats.Missed))
		}
	}()
	yield() // the arm works, this trains beside it
	o, err := s.options("arfm", s.o.TuneSteps, tuneDir, &s.report.TuneLines)
	if err != nil {
		return err
	}
	o.Publish = dir
	o.Init, o.SaveEvery, o.EvalEvery = s.cloned, max(1, s.o.TuneSteps/5), 0
	r, err := finetune.Train(ctx, s.episodes, s.contract, o)
	if err != nil {
		return err
	}
	s.report.Tune = r
	s.o.Say(fmt.Sprintf("fine-tuned: %d steps of arfm on the same frames and their rewards", r.Step))
	return live.await(ctx, r.Hash)
}

func (s *story) compare(ctx context.Context) (err error) {
	if s.report.Before, err = s.evaluate(ctx, "before", s.report.Clone.Checkpoint); err != nil {
		return err
	}
	s.report.After, err = s.evaluate(ctx, "after", s.report.Tune.Checkpoint)
	return err
}

// newPolicy returns what makes the policies of a checkpoint.
func (s *story) newPolicy(path string) (func() (policy.Policy, error), error) {
	ck, err := checkpoint.Load(path)
	if err != nil {
		return nil, err
	}
	return func() (policy.Policy, error) {
		p, err := ck.Policy(nil, s.o.Seed)
		if err != nil {
			return nil, err
		}
		p.Share(1) // episodes run side by side
		return p, nil
	}, nil
}

func (s *story) evaluate(ctx context.Context, name, path string) (eval.Result, error) {
	newPolicy, err := s.newPolicy(path)
	if err != nil {
		return eval.Result{}, err
	}
	return eval.Evaluate(ctx, stage.Opener(s.suite, s.contract), newPolicy, eval.Options{
		Episodes: s.o.Evaluations, Seed: s.o.Seed + 1, Workers: runtime.GOMAXPROCS(0),
		Progress: func(n int) { s.o.Progress("evaluating "+name, int64(n), int64(s.o.Evaluations)) },
	})
}

// film takes pictures of the fine-tuned policy at the first episode of each
// task. A machine that cannot render leaves them out.
func (s *story) film(ctx context.Context) error {
	newPolicy, err := s.newPolicy(s.report.Tune.Checkpoint)
	if err != nil {
		return err
	}
	n := min(s.o.Evaluations, len(s.suite.Tasks))
	s.reels, err = stage.Shoot(ctx, stage.Opener(s.suite, s.contract), newPolicy, eval.Options{
		Episodes: n, Seed: s.o.Seed + 1, Progress: func(k int) { s.o.Progress("filming", int64(k), int64(n)) },
	})
	if errors.Is(err, mujoco.ErrRender) {
		s.o.Say("no pictures: " + err.Error())
		return nil
	}
	return err
}
