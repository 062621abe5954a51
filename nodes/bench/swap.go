package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"arfm/launch"
	"arfm/nodes/eval"
	"arfm/nodes/loop"
	"arfm/nodes/reach"
	"arfm/policy/checkpoint"
	"arfm/policy/checkpoint/badcheckpoint"
	"arfm/policy/contract"
	"arfm/policy/hotswap"
	"arfm/policy/vla"
)

// SwapReport is what hot swapping does to a control loop.
type SwapReport struct {
	Machine    Machine    `json:"machine"`
	Preset     string     `json:"preset"`
	Parameters int        `json:"parameters"`
	Swaps      int        `json:"swaps"`
	Took       Times      `json:"took"` // from the watcher's first read of a file to the swap
	Loop       loop.Stats `json:"loop"`
	Bad        []BadFile  `json:"bad"`
}

// BadFile is a checkpoint that has to be refused.
type BadFile struct {
	Kind    string `json:"kind"`
	Refused bool   `json:"refused"`            // with the right reason, the old policy going on
	LeftOut bool   `json:"left_out,omitempty"` // it cannot be made here
	Reason  string `json:"reason"`
}

// Err is nil when no tick was missed and every bad file was refused.
func (r *SwapReport) Err() error {
	var errs []error
	if r.Loop.Missed > 0 {
		errs = append(errs, fmt.Errorf("%d of %d ticks were missed", r.Loop.Missed, r.Loop.Ticks))
	}
	for _, b := range r.Bad {
		if !b.Refused && !b.LeftOut {
			errs = append(errs, fmt.Errorf("a checkpoint of kind %q was not refused as it should be: %s", b.Kind, b.Reason))
		}
	}
	return errors.Join(errs...)
}

func (r *SwapReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d parameters: %d swaps under a %d Hz loop, %d ticks, %d missed\n",
		r.Preset, r.Parameters, r.Swaps, reach.RateHz, r.Loop.Ticks, r.Loop.Missed)
	fmt.Fprintf(&b, "read, check, warm up: %v\ntick lateness: p50 %v, p99 %v, max %v\non %v\n", r.Took,
		r.Loop.Lateness.P50.Round(time.Microsecond), r.Loop.Lateness.P99.Round(time.Microsecond), r.Loop.Lateness.Max.Round(time.Microsecond), r.Machine)
	if len(r.Bad) > 0 {
		fmt.Fprintln(&b, "\nbad checkpoints, the old policy going on:")
		tw := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
		for _, f := range r.Bad {
			verdict := "NOT REFUSED"
			switch {
			case f.LeftOut:
				verdict = "left out"
			case f.Refused:
				verdict = "refused"
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\n", f.Kind, verdict, f.Reason)
		}
		tw.Flush()
	}
	return b.String()
}

// patience is how long a watcher may take to notice a file.
const patience = 20 * time.Second

// Swap runs the two-joint arm at its control rate by the wall clock while n
// checkpoints of the preset and then one of every bad kind are dropped into
// the folder that it watches. progress is called after each file.
func Swap(ctx context.Context, preset string, n int, progress func(done, total int)) (*SwapReport, error) {
	if n < 1 {
		return nil, fmt.Errorf("%w: the number of swaps is %d, it must be at least 1", ErrSetup, n)
	}
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b, err := newSwapBench(preset, dir)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done, watched := make(chan error, 1), make(chan error, 1)
	var stats loop.Stats
	go func() { watched <- b.watcher.Run(ctx) }()
	go func() {
		var err error
		stats, err = loop.Run(ctx, b.arm, b.arm, b.slot, b.arm.LoopConfig(0))
		done <- err
	}()
	kinds := badcheckpoint.Kinds()
	r := &SwapReport{Machine: machine(), Preset: preset, Parameters: len(b.model.Params.Data), Swaps: n}
	err = b.drop(ctx, r, n, kinds, progress, n+len(kinds))
	stop()
	err = errors.Join(err, <-done, <-watched)
	r.Loop = stats
	return r, err
}

// swapBench is the arm, its policy and the folder that is watched.
type swapBench struct {
	dir      string
	contract *contract.Contract
	stats    *contract.Stats
	model    *vla.Model
	arm      *eval.Live
	slot     *hotswap.Slot
	watcher  *hotswap.Watcher
	events   chan hotswap.Event
}

func newSwapBench(preset, dir string) (*swapBench, error) {
	yaml, err := launch.Contracts.ReadFile("contracts/reach_2dof.yaml")
	if err != nil {
		return nil, err
	}
	b := &swapBench{dir: dir, slot: hotswap.NewSlot(nil), events: make(chan hotswap.Event, 64)}
	if b.contract, err = contract.Parse(yaml); err != nil {
		return nil, err
	}
	b.stats = unitStats(b.contract)
	cfg, err := vla.Preset(preset)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSetup, err)
	}
	if b.model, err = vla.New(cfg.For(b.contract), 1); err != nil {
		return nil, err
	}
	stage, err := reach.NewStage(b.contract)
	if err != nil {
		return nil, err
	}
	if b.arm, err = eval.NewLive(stage, eval.LiveOptions{Seed: 1, Wall: true}); err != nil {
		return nil, err
	}
	b.watcher = hotswap.NewWatcher(dir, b.slot, hotswap.Options{}, func(e hotswap.Event) { b.events <- e })
	if err := b.save(0); err != nil {
		return nil, err
	}
	_, err = b.watcher.Reload()
	return b, err
}

// save writes a checkpoint whose weights are those of no other step.
func (b *swapBench) save(step int64) error {
	b.model.Params.Data[0] = float32(step+1) / 1024
	_, err := checkpoint.Save(b.path(step), &checkpoint.Checkpoint{
		Model: b.model, Contract: b.contract, Stats: b.stats, Objective: "arfm", Step: step,
	})
	return err
}

func (b *swapBench) path(step int64) string {
	return filepath.Join(b.dir, fmt.Sprintf("policy-%08d.safetensors", step))
}

// drop puts the files into the folder one by one and waits for each verdict.
func (b *swapBench) drop(ctx context.Context, r *SwapReport, n int, kinds []badcheckpoint.Kind, progress func(done, total int), total int) error {
	took := make([]float64, 0, n)
	for i := range n {
		step := int64(i + 1)
		if err := b.save(step); err != nil {
			return err
		}
		e, err := b.await(ctx, b.path(step))
		switch {
		case err != nil:
			return err
		case e.Kind != hotswap.Swapped:
			return fmt.Errorf("checkpoint %d was not swapped in: %v (%w)", step, e.Kind, e.Err)
		}
		if err := os.Remove(b.path(step - 1)); err != nil {
			return err
		}
		took = append(took, float64(e.Took)/1e6)
		progress(i+1, total)
	}
	r.Took = Summary(took)
	good, err := b.unseen(int64(n + 1))
	if err != nil {
		return err
	}
	for i, k := range kinds {
		f, err := b.refuse(ctx, k, good)
		if err != nil {
			return err
		}
		r.Bad = append(r.Bad, f)
		progress(n+i+1, total)
	}
	return nil
}

// unseen returns a good checkpoint that was never in use: bad files are made of
// it, for one that claims the hash of the running weights is passed over.
func (b *swapBench) unseen(step int64) ([]byte, error) {
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	other := *b
	other.dir = dir
	if err := other.save(step); err != nil {
		return nil, err
	}
	return os.ReadFile(other.path(step))
}

// refuse drops a bad file and reports what became of it.
func (b *swapBench) refuse(ctx context.Context, k badcheckpoint.Kind, good []byte) (BadFile, error) {
	if k.Skip != "" {
		return BadFile{Kind: k.Name, LeftOut: true, Reason: k.Skip}, nil
	}
	f := BadFile{Kind: k.Name}
	before := b.slot.Generation()
	path := filepath.Join(b.dir, "bad-"+strings.ReplaceAll(k.Name, " ", "-")+".safetensors")
	if err := k.Make(path, good); err != nil {
		return f, err
	}
	e, err := b.await(ctx, path)
	if err != nil {
		return f, err
	}
	f.Refused = e.Kind == hotswap.Refused && errors.Is(e.Err, k.Want) && b.slot.Generation() == before
	f.Reason = strings.ReplaceAll(fmt.Sprint(e.Err), b.dir+string(filepath.Separator), "")
	return f, os.RemoveAll(path)
}

// await returns the watcher's event about the file at path.
func (b *swapBench) await(ctx context.Context, path string) (hotswap.Event, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		select {
		case e := <-b.events:
			if e.Path == path {
				return e, nil
			}
		case <-timeout.C:
			return hotswap.Event{}, fmt.Errorf("%s: the watcher did not notice it within %v", filepath.Base(path), patience)
		case <-ctx.Done():
			return hotswap.Event{}, ctx.Err()
		}
	}
}
