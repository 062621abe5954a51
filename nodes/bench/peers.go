package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"

	"arfm/nodes/bench/peers"
)

// PeersReport is how arfm stands beside other programs on this machine.
type PeersReport struct {
	Machine  Machine       `json:"machine"`
	Peers    []string      `json:"peers"`             // found
	Missing  []string      `json:"missing"`           // a sentence for each that was not
	Refused  []string      `json:"refused,omitempty"` // a sentence for each that failed or computes something else
	Peak     Peak          `json:"peak"`
	Works    []*Comparison `json:"works"`
	Loop     *InferReport  `json:"loop,omitempty"` // base with a camera, in a process of its own
	Ingest   *IngestReport `json:"ingest,omitempty"`
	Training *TrainReport  `json:"training,omitempty"` // at the demo's size
}

// Err wraps ErrDisagrees or peers.ErrPeer where a peer was refused.
func (r *PeersReport) Err() error {
	if len(r.Refused) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d of the peers were refused, see above", peers.ErrPeer, len(r.Refused))
}

// Comparison is one work, ours and the peers'.
type Comparison struct {
	Work    string  `json:"work"`
	Command string  `json:"command"` // that measures ours alone
	Ours    float64 `json:"ours_ms"` // median over rounds
	// GFLOP of matrix products, and how fast ours does them beside large squares
	// on all cores: the median of the rounds' ratios.
	GFLOP float64  `json:"gflop"`
	Share float64  `json:"share_of_peak"`
	Peers []Result `json:"peers"` // fastest first
	Ratio float64  `json:"ratio"` // ours by the fastest peer's; 0 without any
	Goal  float64  `json:"goal"`  // of the ratio, at most
}

// Result is a peer's.
type Result struct {
	Peer    string  `json:"peer"`
	Threads int     `json:"threads"`
	Rounds  int     `json:"rounds"`
	Median  float64 `json:"median_ms"`
	Ratio   float64 `json:"ratio"` // median over rounds of ours by its
}

// PeersOptions are what Peers needs to know.
type PeersOptions struct {
	Rounds int   // of each race
	Bytes  int64 // of the bag that is read; 0: none is
	// Loop is a command that prints an InferReport of base as JSON; empty: the
	// memory of the loop is not measured.
	Loop     []string
	Progress func(done, total int, note string)
}

// entry is a work that is compared, and its goal.
type entry struct {
	task  peers.Task
	setup Setup
	goal  float64
}

// entries are the works of the table: presets with a context that costs next to
// nothing to make, one token of state and 63 of words.
func entries() []entry {
	with := func(preset string, width, horizon, batch int) Setup {
		return Setup{Preset: preset, Width: width, StateDim: 7, ActionDim: 7, Horizon: horizon, Language: true, Words: 63, Batch: batch, Seed: 1}
	}
	return []entry{
		{peers.Infer, with("base", 0, 16, 1), 0.5},
		{peers.Train, with("base", 0, 16, 16), 0.65},
		{peers.Infer, with("base", 384, 32, 8), 0.7},
		{peers.Train, with("base", 384, 32, 8), 0.8},
		{peers.Infer, with("nano", 0, 16, 1), 0.7},
		{peers.Train, with("nano", 0, 16, 16), 0.8},
	}
}

// ingestRounds is how often each reads the bag.
const ingestRounds = 3

// demoTraining is a training run of the size of the demo's: nano, on the poses of
// the simulated arm.
var demoTraining = Setup{Preset: "nano", StateDim: 31, StateFields: 12, ActionDim: 7, Horizon: 16, Language: true, Batch: 64, Runs: 60, Seed: 1}

// Peers measures ours and the peers that this machine has, side by side. Peers that
// compute something else than we do are refused. With an error, or ctx's when that
// ends, comes what was done until then, or nil.
func Peers(ctx context.Context, o PeersOptions) (*PeersReport, error) {
	if o.Rounds < 1 {
		return nil, fmt.Errorf("%w: the number of rounds is %d, it must be at least 1", ErrSetup, o.Rounds)
	}
	all := entries()
	done, total := 0, len(all)+4
	next := func(note string) { o.Progress(done, total, note); done++ }
	r := &PeersReport{Machine: machine(), Peers: []string{}}
	next("looking for peers")
	var programs []*peers.Program
	programs, r.Missing = peers.Find(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, p := range programs {
		r.Peers = append(r.Peers, p.Name)
	}
	running, err := start(ctx, programs)
	if err != nil {
		return nil, err
	}
	defer stop(running)
	for _, e := range all {
		next(e.what())
		if err := r.compare(ctx, e, running, o.Rounds); err != nil {
			return r, err
		}
	}
	stop(running) // what follows has the machine to itself
	return r, r.others(ctx, o, next)
}

// others measures what has no peer among the programs.
func (r *PeersReport) others(ctx context.Context, o PeersOptions, next func(string)) (err error) {
	next("memory of the loop")
	if len(o.Loop) > 0 {
		if r.Loop, err = loopAlone(ctx, o.Loop); err != nil {
			return err
		}
	}
	next("training")
	if r.Training, err = Train(ctx, demoTraining, "arfm"); err != nil {
		return err
	}
	next("reading a bag")
	if o.Bytes > 0 {
		r.Ingest, err = Ingest(ctx, "", nil, o.Bytes, ingestRounds)
	}
	return err
}

// threads are the counts that peers are run with: more can be slower.
func threads() []int {
	counts := []int{1, 2, runtime.GOMAXPROCS(0)}
	counts = slices.DeleteFunc(counts, func(n int) bool { return n > runtime.GOMAXPROCS(0) })
	slices.Sort(counts)
	return slices.Compact(counts)
}

func start(ctx context.Context, programs []*peers.Program) (running []*peers.Process, err error) {
	for _, p := range programs {
		for _, n := range threads() {
			q, err := p.Start(ctx, n)
			if err != nil {
				stop(running)
				return nil, err
			}
			running = append(running, q)
		}
	}
	return running, nil
}

func stop(running []*peers.Process) {
	for _, q := range running {
		_ = q.Close() // it has answered all that it was asked
	}
}

// compare races one work.
func (r *PeersReport) compare(ctx context.Context, e entry, running []*peers.Process, rounds int) error {
	dir, err := tempDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	w, err := e.setup.prepare(ctx, e.task, dir)
	if err != nil {
		return err
	}
	defer w.close()
	refuse := func(who string, err error) {
		r.Refused = append(r.Refused, fmt.Sprintf("%s, %s: %v", who, e.what(), err))
	}
	var rivals []*rival
	counts := map[*rival]*peers.Process{}
	for _, q := range running {
		if !q.Program.Can(e.task) {
			continue
		}
		one := &rival{side: q, who: fmt.Sprintf("%s on %d threads", q.Program.Name, q.Threads)}
		switch err := w.open(q); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			refuse(one.who, err)
		default:
			rivals, counts[one] = append(rivals, one), q
		}
	}
	r.Peak.add() // before each work, for a moment when nothing else runs
	peak := &rival{side: squares(r.Peak.mul, runtime.GOMAXPROCS(0)), stays: true}
	runtime.GC() // what came before is not this work's to clear
	ms, err := race(ctx, w.ours, append(rivals, peak), rounds)
	if err != nil {
		return err
	}
	c := &Comparison{Work: e.what(), Command: e.command(), Ours: median(ms), GFLOP: w.gflop(), Peers: []Result{}, Goal: e.goal}
	c.Share = shareOf(c.GFLOP, peak.ratios)
	for _, one := range rivals {
		if one.err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			refuse(one.who, one.err)
			continue
		}
		c.Peers = append(c.Peers, resultOf(one, counts[one]))
	}
	c.Ratio = rank(c.Peers)
	r.Works = append(r.Works, c)
	return nil
}

// resultOf is what a rival has done, which a peer's process is.
func resultOf(one *rival, q *peers.Process) Result {
	return Result{q.Program.Name, q.Threads, len(one.ms), median(one.ms), median(one.ratios)}
}

// shareOf is how much of the squares' GFLOP/s work of some GFLOP reaches, by
// ratios of its time by theirs.
func shareOf(gflop float64, ratios []float64) float64 {
	return gflop / squareGFLOP / median(ratios)
}

// rank puts the fastest first and returns ours by its time; 0 without any.
func rank(list []Result) float64 {
	slices.SortFunc(list, func(a, b Result) int { return cmp.Compare(a.Median, b.Median) })
	if len(list) == 0 {
		return 0
	}
	return list[0].Ratio
}

// gflop is what the work's matrix products take.
func (w *work) gflop() float64 {
	c := w.ck.Model.Config
	if w.task == peers.Train {
		return c.TrainFLOPs(w.setup.Batch) / 1e9
	}
	return c.SampleFLOPs(w.setup.Batch, c.Steps) / 1e9
}

// what names a work by what it is.
func (e entry) what() string {
	s := e.setup
	name := fmt.Sprintf("%s %s", e.task, s.Preset)
	if s.Width != 0 {
		name = fmt.Sprintf("%s D %d, H %d", e.task, s.Width, s.Horizon)
	}
	return fmt.Sprintf("%s, batch %d", name, s.Batch)
}

// command is how to measure ours alone.
func (e entry) command() string {
	s := e.setup
	line := fmt.Sprintf("arfm bench %s --preset %s", e.task, s.Preset)
	if s.Width != 0 {
		line += fmt.Sprintf(" --width %d", s.Width)
	}
	return line + fmt.Sprintf(" --horizon %d --cameras %d --words %d --batch %d", s.Horizon, s.Cameras, s.Words, s.Batch)
}

// loopAlone runs a command that prints an InferReport.
func loopAlone(ctx context.Context, argv []string) (*InferReport, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%w: %s", err, failed.Stderr)
		}
		return nil, errors.Join(ctx.Err(), fmt.Errorf("measure the loop in a process of its own: %w", err))
	}
	r := &InferReport{}
	if err := json.Unmarshal(out, r); err != nil {
		return nil, fmt.Errorf("measure the loop in a process of its own: %w", err)
	}
	return r, nil
}
