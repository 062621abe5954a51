package bench

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"arfm/policy/checkpoint/badcheckpoint"
)

func small() Setup {
	return Setup{Preset: "nano", Cameras: 1, ImageSize: 32, StateDim: 3, ActionDim: 2, Language: true, Batch: 1, Runs: 2, Seed: 1}
}

func TestInfer(t *testing.T) {
	r, err := Infer(t.Context(), small())
	if err != nil {
		t.Fatal(err)
	}
	if r.Chunk.Runs != 2 || r.Chunk.Min <= 0 || r.Chunk.Min > r.Chunk.Max || r.Horizon != 16 || r.Parameters == 0 {
		t.Errorf("%+v", r)
	}
}

// TestStateFields: several fields are measured as several tokens.
func TestStateFields(t *testing.T) {
	one, err := Infer(t.Context(), small())
	if err != nil {
		t.Fatal(err)
	}
	s := small()
	s.StateFields = 2
	two, err := Infer(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if two.Context != one.Context+2 || two.Allocs != 0 {
		t.Errorf("%d context tokens with one field, %d with two; %v allocations", one.Context, two.Context, two.Allocs)
	}
	s.StateFields = 4
	if _, err := Infer(t.Context(), s); err == nil {
		t.Error("four fields of three numbers")
	}
}

func TestTrain(t *testing.T) {
	s := small()
	s.Batch = 4
	r, err := Train(context.Background(), s, "arfm")
	if err != nil {
		t.Fatal(err)
	}
	if r.Step.Runs != 2 || r.Timing.Network <= 0 || r.Timing.Optimiser <= 0 || r.Overhead < 0 || r.Overhead > 100 {
		t.Errorf("%+v", r)
	}
}

func TestIngest(t *testing.T) {
	r, err := Ingest(t.Context(), "", nil, 2e6, 2)
	if err != nil {
		t.Fatal(err)
	}
	// Two topics; the frame at the first message has no action yet to come at its end.
	if r.Bytes < 2e6 || r.Messages%2 != 0 || int64(r.Frames) > r.Messages/2 || int64(r.Frames) < r.Messages/2-2 {
		t.Errorf("%+v", r)
	}
	if want := len(slices.Compact([]int{1, runtime.GOMAXPROCS(0)})); len(r.On) != want {
		t.Errorf("%d counts of cores, want %d", len(r.On), want)
	}
	for _, on := range r.On {
		if on.Ingest <= 0 || on.Baseline <= 0 || on.Speed <= 0 {
			t.Errorf("%+v", on)
		}
	}
	if out := r.String(); !strings.Contains(out, "1 core: ") || !strings.Contains(out, "of their speed") {
		t.Error(out)
	}
}

// TestBatch: several observations at once, and the same ones by a policy.
func TestBatch(t *testing.T) {
	s := small()
	s.Batch, s.Width, s.Words = 3, 32, 5
	r, err := Infer(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if r.Batch != 3 || r.Width != 32 || r.Context != 1+5+4 || r.GFLOP <= 0 {
		t.Errorf("%+v", r)
	}
	if runtime.GOOS == "linux" && (r.Resident < 1<<20 || r.ResidentPeak < r.Resident) {
		t.Errorf("%d bytes resident, %d at most", r.Resident, r.ResidentPeak)
	}
}

// TestSwap lets the loop miss ticks, which a busy machine may cause.
func TestSwap(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds by the wall clock")
	}
	files := 0
	r, err := Swap(context.Background(), "nano", 2, func(done, total int) { files = done })
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 + len(badcheckpoint.Kinds()); files != want || len(r.Bad) != want-2 || r.Loop.Swaps != 2 || r.Loop.Ticks == 0 {
		t.Errorf("%d files, %d bad, %+v", files, len(r.Bad), r.Loop)
	}
	r.Loop.Missed = 0
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	r.Bad[0].Refused, r.Bad[0].LeftOut = false, false
	if r.Err() == nil {
		t.Error("a bad file that was not refused is no error")
	}
}

func TestErrors(t *testing.T) {
	for name, s := range map[string]Setup{
		"preset": {Preset: "huge", StateDim: 1, ActionDim: 1, Batch: 1, Runs: 1},
		"state":  {Preset: "nano", ActionDim: 1, Batch: 1, Runs: 1},
		"runs":   {Preset: "nano", StateDim: 1, ActionDim: 1, Batch: 1},
		"batch":  {Preset: "nano", StateDim: 1, ActionDim: 1, Runs: 1},
		"width":  {Preset: "nano", StateDim: 1, ActionDim: 1, Runs: 1, Batch: 1, Width: 3},
		"words":  {Preset: "nano", StateDim: 1, ActionDim: 1, Runs: 1, Batch: 1, Language: true, Words: -1},
	} {
		if _, err := Infer(t.Context(), s); !errors.Is(err, ErrSetup) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestStopped: every measurement ends with its context, and says so.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, f := range map[string]func() error{
		"infer":  func() error { _, err := Infer(ctx, small()); return err },
		"train":  func() error { _, err := Train(ctx, small(), "bc"); return err },
		"ingest": func() error { _, err := Ingest(ctx, "", nil, 1e9, 1); return err },
		"swap":   func() error { _, err := Swap(ctx, "nano", 2, func(int, int) {}); return err },
	} {
		if err := f(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	late, stop := context.WithCancel(t.Context())
	runs := 0
	if _, err := timed(late, 1000, func() error {
		if runs++; runs == 3 {
			stop()
		}
		return nil
	}); !errors.Is(err, context.Canceled) || runs != 3 {
		t.Errorf("%d runs, error %v", runs, err)
	}
}
