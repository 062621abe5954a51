package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"arfm/nodes/eval"
	"arfm/nodes/loop"
	"arfm/nodes/replay"
	"arfm/nodes/runner"
	"arfm/nodes/sim"
	"arfm/nodes/sim/mujoco"
	"arfm/nodes/stage"
	"arfm/policy/contract"
	"arfm/policy/hotswap"
	"arfm/policy/vla"
)

func runCommand() *command {
	fs := newFlags("run")
	var f runFlags
	fs.StringVar(&f.checkpoints, "checkpoints", "", "folder to take the newest checkpoint from, and to watch for new ones; arfm train --publish writes there")
	fs.StringVarP(&f.bag, "bag", "b", "", "recording to replay")
	fs.StringVarP(&f.suite, "sim", "s", "", "suite of the simulated arm to work in, instead of a recording: "+suiteNames())
	fs.Float64Var(&f.speed, "speed", 1, "recorded seconds per second, 0 for as fast as possible (simulated arm: 1 or 0)")
	fs.BoolVar(&f.loop, "loop", false, "start again at the end of the bag")
	fs.DurationVar(&f.duration, "duration", 0, "stop after this long, by the clock on the wall (default: at the end of the bag; the simulated arm works on)")
	fs.StringArrayVar(&f.limits, "limits", nil, "joint_limits.yaml or URDF with the arm's limits; may be repeated, the tighter limit holds (default: 1 rad/s and 5 rad/s² for each joint)")
	fs.IntVar(&f.replan, "replan", 0, "rows of a chunk to execute before the next chunk is asked for, at most all of it (default: half)")
	fs.BoolVar(&f.noGuard, "no-guard", false, "do not roll back new weights that make the safety envelope intervene more often")
	fs.DurationVar(&f.poll, "poll", time.Second, "how often the folder is looked at where the file system gives no events")
	fs.Uint64Var(&f.seed, "seed", 0, "seed of the policy's noise, and of the simulated arm's episodes")
	guidanceFlag(fs, &f.guidance)
	fs.BoolVar(&f.deterministic, "deterministic", false, "start chunks from zero instead of noise: one answer to an observation")
	fs.BoolVar(&f.json, "json", false, "print events and the result as JSON lines")
	return &command{
		name: "run", flags: fs,
		summary: "Run the policy loop on a recording or the simulated arm, with hot swap.",
		detail: `With --bag the policy sees the recording's frames as on the robot, with the
instructions that training gives them, and its chunks pass the safety envelope;
nothing moves. With --sim the simulated arm does one task of a suite after
another. Events are printed as they come: swapped and refused checkpoints, rollbacks,
interventions of the envelope. At the end come ticks, timing and how far the
policy's actions are from the recorded ones, or how many tasks it did. Ctrl-C ends it early, with status 0.
`,
		example: "arfm run --checkpoints checkpoints --bag recordings/monday\narfm run --checkpoints checkpoints --sim goal --duration 10m",
		run: func(ctx context.Context, std streams, _ []string) error {
			switch {
			case f.checkpoints == "":
				return usagef("--checkpoints is missing: name the folder that arfm train writes to")
			case (f.bag == "") == (f.suite == ""):
				return usagef("name either a recording with --bag or a suite with --sim")
			case f.suite != "" && f.speed != 0 && f.speed != 1:
				return usagef("--speed is %v; the simulated arm runs at 1, or at 0 as fast as it can", f.speed)
			case f.suite != "" && (f.loop || len(f.limits) > 0):
				return usagef("--loop and --limits are for recordings; the simulated arm works on and has its own limits")
			case f.duration < 0:
				return usagef("--duration is %v; it must not be negative", f.duration)
			case !guidanceFits(f.guidance):
				return usagef("--guidance is %v; it must lie in (0, 100]", f.guidance)
			case f.replan < 0:
				return usagef("--replan is %d; it must not be negative", f.replan)
			case !(f.speed >= 0 && f.speed <= 1000):
				return usagef("--speed is %v; it must lie in [0, 1000]", f.speed)
			}
			if f.suite != "" {
				if _, err := sim.FindSuite(f.suite); err != nil {
					return usageError{err}
				}
				if !sim.Available {
					return mujoco.ErrUnavailable
				}
			}
			return f.run(ctx, std)
		},
	}
}

type runFlags struct {
	checkpoints         string
	bag, suite          string
	speed               float64
	loop, noGuard, json bool
	duration, poll      time.Duration
	limits              []string
	replan              int
	seed                uint64
	deterministic       bool
	guidance            float64
}

// runEvent is one line of arfm run --json.
type runEvent struct {
	Time   float64        `json:"t"` // s since the start
	Event  string         `json:"event"`
	Text   string         `json:"text,omitempty"`
	Path   string         `json:"path,omitempty"`
	Hash   string         `json:"hash,omitempty"`
	Step   int64          `json:"step,omitempty"`
	Stats  *loop.Stats    `json:"stats,omitempty"`
	Errors *replay.Errors `json:"errors,omitempty"`  // of a recording's actions
	Task   *eval.Outcome  `json:"episode,omitempty"` // of the simulated arm

	Results *eval.LiveResults `json:"results,omitempty"`
}

// player is what the loop runs on: a recording or the simulated arm.
type player interface {
	loop.Source
	loop.Sink
	Close() error
}

func (f *runFlags) run(ctx context.Context, std streams) error {
	closed := make(chan os.Signal, 1)
	signal.Notify(closed, syscall.SIGPIPE) // a reader that ends must not end the loop; its lost output is told at the end
	defer signal.Stop(closed)
	start := time.Now()
	lines := make(chan runEvent, 256)
	say := func(e runEvent) {
		e.Time = time.Since(start).Seconds()
		select {
		case lines <- e:
		default: // never hold up the loop for a slow terminal
		}
	}
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		for e := range lines {
			f.print(std, e)
		}
	}()
	defer func() { close(lines); <-printed }()

	slot := hotswap.NewSlot(nil)
	watcher := hotswap.NewWatcher(f.checkpoints, slot, hotswap.Options{Poll: f.poll, Seed: f.seed, Deterministic: f.deterministic, Guidance: f.guidance}, func(e hotswap.Event) { say(swapEvent(e)) })
	first, err := watcher.Reload()
	if err != nil {
		return err
	}
	p := slot.Current().(*vla.Policy) // what a watcher swaps in
	say(swapEvent(first))
	src, cfg, last, err := f.open(ctx, p.Contract(), say)
	if err != nil {
		return err
	}
	defer src.Close()
	if !f.noGuard {
		cfg.Guard = &hotswap.GuardOptions{}
	}
	cfg.Report = func(r runner.Report) { say(runEvent{Event: "report", Text: r.String()}) }
	cfg.Rollback = func(err error) {
		e := runEvent{Event: "rollback", Text: "the previous weights are back: the new ones needed more interventions"}
		if err != nil {
			e.Text = err.Error()
		}
		say(e)
	}
	stats, err := f.drive(ctx, src, slot, watcher, cfg)
	if err != nil && stats.Ticks == 0 {
		return err // it never ran: there is nothing to sum up
	}
	end := last()
	end.Time, end.Event, end.Stats = time.Since(start).Seconds(), "end", &stats
	lines <- end
	return err
}

// open opens the recording or the simulated arm. last is called when the loop
// has ended and returns its last event, without time and statistics.
func (f *runFlags) open(ctx context.Context, c *contract.Contract, say func(runEvent)) (src player, cfg loop.Config, last func() runEvent, err error) {
	if f.suite != "" {
		return f.openSim(c, say)
	}
	limits, err := runner.ReadLimits(f.limits)
	if err != nil {
		return nil, cfg, nil, err
	}
	bag, err := replay.Open(ctx, f.bag, c, replay.Options{Speed: f.speed, Loop: f.loop})
	if err != nil {
		return nil, cfg, nil, err
	}
	cfg = bag.LoopConfig(limits, f.replan)
	if err := limits.Select(cfg.Runner.Names).Check(); err != nil { // a URDF may hold its other joints still
		return nil, cfg, nil, fmt.Errorf("limits %s: %w", strings.Join(f.limits, ", "), errors.Join(err, bag.Close()))
	}
	return bag, cfg, func() runEvent {
		for _, d := range bag.Damage() {
			say(runEvent{Event: "damage", Text: d.Error()})
		}
		errs := bag.Errors()
		return runEvent{Errors: &errs}
	}, nil
}

func (f *runFlags) openSim(c *contract.Contract, say func(runEvent)) (src player, cfg loop.Config, last func() runEvent, err error) {
	suite, err := sim.FindSuite(f.suite)
	if err != nil {
		return nil, cfg, nil, err
	}
	st, err := stage.New(suite, c)
	if err != nil {
		return nil, cfg, nil, err
	}
	live, err := eval.NewLive(st, eval.LiveOptions{Seed: f.seed, Wall: f.speed == 1, Each: func(o eval.Outcome) {
		outcome := "not done"
		if o.Success {
			outcome = "done"
		}
		say(runEvent{Event: "episode", Task: &o, Text: fmt.Sprintf("%s: %s after %.2f s", o.Task, outcome, o.Time)})
	}})
	if err != nil {
		return nil, cfg, nil, err
	}
	return live, live.LoopConfig(f.replan), func() runEvent {
		results := live.Results()
		return runEvent{Results: &results}
	}, nil
}

// drive runs loop and watcher until the recording, the duration or ctx ends.
func (f *runFlags) drive(ctx context.Context, src player, slot *hotswap.Slot, watcher *hotswap.Watcher, cfg loop.Config) (loop.Stats, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if f.duration > 0 {
		ctx, stop = context.WithTimeout(ctx, f.duration)
		defer stop()
	}
	watched := make(chan error, 1)
	go func() { watched <- watcher.Run(ctx) }()
	stats, err := loop.Run(ctx, src, src, slot, cfg)
	stop()
	return stats, errors.Join(err, <-watched)
}

func swapEvent(e hotswap.Event) runEvent {
	r := runEvent{Event: e.Kind.String(), Path: e.Path, Hash: e.Hash, Step: e.Step}
	if e.Err != nil {
		r.Text = e.Err.Error()
	} else {
		r.Text = fmt.Sprintf("%s: step %d, sha256 %.12s, checked in %v", e.Path, e.Step, e.Hash, e.Took.Round(time.Millisecond))
	}
	return r
}

func (f *runFlags) print(std streams, e runEvent) {
	if f.json {
		_ = json.NewEncoder(std.out).Encode(e) // lost output must not stop the loop
		return
	}
	if e.Stats != nil {
		fmt.Fprintln(std.out, e.Stats)
		if e.Errors != nil {
			fmt.Fprintln(std.out, e.Errors)
		}
		if r := e.Results; r != nil {
			fmt.Fprintf(std.out, "%d of %d tasks done\n", r.Successes, r.Episodes)
		}
		if e.Stats.Holding == e.Stats.Ticks {
			fmt.Fprintln(std.out, "the policy never led: every tick was held, for the reasons above; compare units and zeros of state and action, and the limits")
		}
		return
	}
	fmt.Fprintf(std.out, "%8.2f s  %-9s %s\n", e.Time, e.Event, e.Text)
}
