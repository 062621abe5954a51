package reach

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"arfm/bags/rosbag2"
	"arfm/policy"
	"arfm/policy/contract"
)

func loadContract(t testing.TB) *contract.Contract {
	t.Helper()
	c, err := contract.Load("../../launch/contracts/reach_2dof.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func record(t testing.TB, dir string, o RecordOptions) Recorded {
	t.Helper()
	out, err := Record(context.Background(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRecordIsDeterministic(t *testing.T) {
	var sums [2][][]byte
	for i := range sums {
		dir := t.TempDir()
		out := record(t, dir, RecordOptions{Episodes: 5, Seed: 3, PerBag: 3})
		if out.Episodes != 5 || len(out.Bags) != 2 {
			t.Fatalf("%+v", out)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			sums[i] = append(sums[i], data)
		}
	}
	if len(sums[0]) != 4 {
		t.Fatalf("%d files, want two bags of an MCAP and a metadata.yaml", len(sums[0]))
	}
	for k := range sums[0] {
		if !bytes.Equal(sums[0][k], sums[1][k]) {
			t.Errorf("file %d differs between two recordings", k)
		}
	}
}

// TestRecordedFrames reads a bag back with the contract and compares every
// frame with the demonstration played again.
func TestRecordedFrames(t *testing.T) {
	c := loadContract(t)
	dir := t.TempDir()
	out := record(t, dir, RecordOptions{Episodes: 4, Seed: 11, Quality: Expert})
	if out.Successes != 4 {
		t.Fatalf("%+v", out)
	}
	b, err := rosbag2.Open(out.Bags[0])
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	reg, err := b.Registry()
	if err != nil {
		t.Fatal(err)
	}
	it, err := b.Messages(rosbag2.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	use := map[string]bool{}
	for _, u := range c.Topics() {
		use[u.Topic] = u.Role != contract.RoleReward && u.Role != contract.RoleEpisode
	}
	r := contract.NewResampler(c)
	var obs policy.Observation
	frames, t0 := 0, int64(0)
	check := func(at int64) {
		if err := r.Observe(at, &obs); err != nil {
			t.Fatalf("frame at %d: %v", at, err)
		}
		action := make([]float32, 2)
		if err := r.Action(at+Period, action); err != nil {
			t.Fatalf("action of frame %d: %v", at, err)
		}
		if len(obs.State) != 4 || len(obs.Images) != 1 || obs.Images[0].Width != 48 || obs.Instruction != Instruction {
			t.Fatalf("frame %+v", obs)
		}
		for j := range action { // an expert's arm goes where it was told
			if d := math.Abs(float64(action[j] - obs.State[j])); d > maxSpeed/RateHz {
				t.Fatalf("action of frame %d is %g rad from the state", at, d)
			}
		}
		frames++
	}
	for {
		m, err := it.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if t0 != 0 && m.LogTime > t0+Period {
			check(t0)
			t0 = m.LogTime
		} else if t0 == 0 {
			t0 = m.LogTime
		}
		for t0+Period < m.LogTime {
			t0 += Period
		}
		if !use[m.Topic.Name] {
			continue
		}
		typ, err := reg.Type(m.Topic.Type)
		if err != nil {
			t.Fatal(err)
		}
		rec, err := typ.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Push(m.Topic.Name, m.LogTime, rec); err != nil {
			t.Fatal(err)
		}
	}
	if frames < 20 {
		t.Errorf("%d frames", frames)
	}
}

func TestRecordRefuses(t *testing.T) {
	dir := t.TempDir()
	record(t, dir, RecordOptions{Episodes: 1, NoImages: true})
	ctx := context.Background()
	if _, err := Record(ctx, dir, RecordOptions{Episodes: 1}); !errors.Is(err, rosbag2.ErrExists) {
		t.Errorf("an existing bag: %v", err)
	}
	if _, err := Record(ctx, dir, RecordOptions{}); err == nil {
		t.Error("no episodes")
	}
	if _, err := Record(ctx, dir, RecordOptions{Episodes: 1, Quality: "good"}); err == nil {
		t.Error("an unknown quality")
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	other := filepath.Join(dir, "x")
	if _, err := Record(ctx, other, RecordOptions{Episodes: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, _ := os.ReadDir(other); len(left) != 0 {
		t.Errorf("a cancelled recording leaves %v", left)
	}
}
