package bench

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"arfm/nodes/bench/peers"
)

// found returns the peers of this machine, and skips the test without any.
func found(t *testing.T) []*peers.Program {
	t.Helper()
	if os.Getenv(peers.ORTFolder) == "" {
		t.Setenv(peers.ORTFolder, filepath.Join("..", "..", "build", "ort"))
	}
	programs, missing := peers.Find(t.Context())
	if len(programs) == 0 {
		t.Skip("no peer: " + strings.Join(missing, ". "))
	}
	return programs
}

func running(t *testing.T) []*peers.Process {
	t.Helper()
	all, err := start(t.Context(), found(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(all) })
	return all
}

// single returns the processes of one thread.
func single(all []*peers.Process) []*peers.Process {
	return slices.DeleteFunc(slices.Clone(all), func(q *peers.Process) bool { return q.Threads > 1 })
}

// tiny is an architecture with everything that peers know.
func tiny(batch int) Setup {
	return Setup{Preset: "nano", Width: 32, StateDim: 5, StateFields: 2, ActionDim: 2, Horizon: 5, Language: true, Words: 9, Batch: batch, Seed: 3}
}

// prepared makes a work that is closed with the test.
func prepared(t *testing.T, s Setup, task peers.Task) *work {
	t.Helper()
	w, err := s.prepare(t.Context(), task, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return w
}

// TestPeers holds the peers of this machine to ours; the last of its parts ends
// one of them.
func TestPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("peers take seconds to start")
	}
	all := running(t)
	t.Run("agree", func(t *testing.T) { testAgree(t, all) })
	t.Run("wrong", func(t *testing.T) { testWrong(t, all) })
	t.Run("clip", func(t *testing.T) { testClip(t, all) })
	t.Run("compare", func(t *testing.T) { testCompare(t, all) })
}

// testAgree: what runs in the peers gives what ours gives.
func testAgree(t *testing.T, all []*peers.Process) {
	for _, task := range []peers.Task{peers.Infer, peers.Train} {
		for _, batch := range []int{1, 3} {
			w := prepared(t, tiny(batch), task)
			if ms, err := w.ours.Run(2); err != nil || len(ms) != 2 || slices.Min(ms) <= 0 {
				t.Fatalf("ours, %s: %v, %v", task, ms, err)
			}
			for _, q := range all {
				if !q.Program.Can(task) {
					continue
				}
				if err := w.open(q); err != nil {
					t.Errorf("%s, %s of %d: %v", q.Program.Name, task, batch, err)
					continue
				}
				if ms, err := q.Run(2); err != nil || slices.Min(ms) <= 0 {
					t.Errorf("%s, %s: %v, %v", q.Program.Name, task, ms, err)
				}
			}
		}
	}
}

// testWrong: a peer with other weights, inputs or training is refused.
func testWrong(t *testing.T, all []*peers.Process) {
	other := tiny(3)
	other.Seed++
	for _, q := range single(all) {
		for name, wrong := range map[string]struct {
			task peers.Task
			in   func(w *work)
		}{
			"weights":          {peers.Infer, func(w *work) { w.ck.Model = prepared(t, other, peers.Infer).ck.Model }},
			"a weight":         {peers.Infer, func(w *work) { w.ck.Model.Params.View("expert.b.1.qkv.bias")[70] += 0.5 }},
			"noise":            {peers.Infer, func(w *work) { w.job.Noise = slices.Repeat([]float32{1}, len(w.job.Noise)) }},
			"weights to train": {peers.Train, func(w *work) { w.ck.Model = prepared(t, other, peers.Train).ck.Model }},
			"learning rate":    {peers.Train, func(w *work) { w.job.Optimiser.Schedule.Peak *= 1.2 }},
			"beta1":            {peers.Train, func(w *work) { w.job.Optimiser.Beta1 = 0.8 }},
			"advantages":       {peers.Train, func(w *work) { w.job.Beta *= 1.1 }},
			"flow times":       {peers.Train, func(w *work) { w.job.Tau = []float32{0.1, 0.2, 0.3} }},
			"fewer steps":      {peers.Train, func(w *work) { w.job.Steps-- }},
		} {
			if !q.Program.Can(wrong.task) {
				continue
			}
			w := prepared(t, tiny(3), wrong.task)
			wrong.in(w)
			if err := w.open(q); !errors.Is(err, ErrDisagrees) {
				t.Errorf("%s with other %s: %v", q.Program.Name, name, err)
			}
		}
	}
}

// testClip: the clip of the gradient is part of what is compared.
func testClip(t *testing.T, all []*peers.Process) {
	for _, q := range single(all) {
		if !q.Program.Can(peers.Train) {
			continue
		}
		w := prepared(t, tiny(3), peers.Train)
		w.job.Optimiser.Clip, w.job.Optimiser.Eps = w.want.Norms[0]/100, 1 // an epsilon that lets the size of the gradient matter
		w.job.Optimiser.Schedule.Peak, w.job.Optimiser.Schedule.Floor = 100, 100
		want, err := trainSteps(w.ck.Model.Clone(), &w.job)
		if err != nil {
			t.Fatal(err)
		}
		w.want = want
		if err := w.open(q); err != nil {
			t.Error(err)
		}
		w.job.Optimiser.Clip *= 2
		if err := w.open(q); !errors.Is(err, ErrDisagrees) {
			t.Errorf("another clip: %v", err)
		}
	}
}

// testCompare: a row of the table, and one whose peer is refused.
func testCompare(t *testing.T, all []*peers.Process) {
	r := &PeersReport{Machine: machine(), Missing: []string{"a tortoise: asleep"}}
	r.Peak.add()
	if r.Peak.One <= 0 || r.Peak.All <= 0 {
		t.Errorf("%+v", r.Peak)
	}
	e := entry{task: peers.Infer, setup: tiny(2), goal: 0.7}
	if err := r.compare(t.Context(), e, all, 3); err != nil {
		t.Fatal(err)
	}
	c := r.Works[0]
	if len(r.Refused) > 0 || r.Err() != nil || len(c.Peers) != len(all) || c.Ratio != c.Peers[0].Ratio || c.Ratio <= 0 || c.Ours <= 0 {
		t.Fatalf("%+v, refused %v", c, r.Refused)
	}
	toEnd := false // one rival at least is not left behind
	for _, p := range c.Peers {
		toEnd = toEnd || p.Rounds == 3
		if p.Rounds < 1 || p.Median < c.Peers[0].Median {
			t.Errorf("%+v", c.Peers)
		}
	}
	if !toEnd || c.Share <= 0 {
		t.Errorf("%+v", c)
	}
	if err := all[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.compare(t.Context(), e, all, 1); err != nil {
		t.Fatal(err)
	}
	if len(r.Refused) != 1 || !errors.Is(r.Err(), peers.ErrPeer) || len(r.Works[1].Peers) != len(all)-1 {
		t.Errorf("refused %v, %+v", r.Refused, r.Works[1])
	}
	out := r.String()
	for _, want := range []string{"infer D 32, H 5, batch 2", c.Peers[0].Peer, "at most 0.70", "not found: a tortoise: asleep", "refused: " + all[0].Program.Name, "GEMM peak"} {
		if !strings.Contains(out, want) {
			t.Errorf("the table lacks %q:\n%s", want, out)
		}
	}
}

// TestNoPeers: without any, ours is measured all the same.
func TestNoPeers(t *testing.T) {
	r := &PeersReport{}
	if err := r.compare(t.Context(), entry{task: peers.Train, setup: tiny(2), goal: 0.8}, nil, 2); err != nil {
		t.Fatal(err)
	}
	if c := r.Works[0]; c.Ours <= 0 || c.Ratio != 0 || c.Command != "arfm bench train --preset nano --width 32 --horizon 5 --cameras 0 --words 9 --batch 2" {
		t.Errorf("%+v", c)
	}
	if out := r.String(); !strings.Contains(out, "not compared") {
		t.Error(out)
	}
}

// TestLeaveBehind: only rivals near the fastest go on.
func TestLeaveBehind(t *testing.T) {
	rivals := []*rival{
		{who: "slow", ms: []float64{30, 28}}, {who: "fast", ms: []float64{10, 12}}, {who: "near", ms: []float64{13, 14}},
		{who: "broken", ms: []float64{1}, err: peers.ErrPeer},
	}
	leaveBehind(rivals, 1.3)
	if got := []bool{rivals[0].out, rivals[1].out, rivals[2].out}; !slices.Equal(got, []bool{true, false, false}) || fastest(rivals).who != "fast" {
		t.Errorf("out: %v, fastest %s", got, fastest(rivals).who)
	}
	if fastest(nil) != nil || median([]float64{3, 1, 2}) != 2 || median([]float64{4, 1}) != 2.5 {
		t.Error("no rivals, or medians")
	}
}

// TestShareOf: an eighth of a square's work in half of its time is a quarter of
// its rate.
func TestShareOf(t *testing.T) {
	if got := shareOf(squareGFLOP/8, []float64{0.1, 3, 0.5}); got != 0.25 {
		t.Errorf("%v, want 0.25", got)
	}
}

// TestTable: goals that are met and missed, and JSON that says the same.
func TestTable(t *testing.T) {
	r := &PeersReport{
		Works:    []*Comparison{{Work: "infer x", Ours: 10, GFLOP: 1, Share: 0.59, Peers: []Result{{"P 1", 2, 5, 20, 0.51}}, Ratio: 0.51, Goal: 0.5}},
		Loop:     &InferReport{Allocs: 0, Resident: 100e6, ResidentPeak: 120e6},
		Ingest:   &IngestReport{On: []IngestOn{{1, 2, 1.9, 0.95}, {2, 1.5, 1, 0.67}}},
		Training: &TrainReport{Overhead: 3},
	}
	rows := map[string]bool{}
	for _, l := range r.lines() {
		rows[l.work] = l.met
	}
	want := map[string]bool{
		"share of the GEMM peak, infer x": false, "allocations per chunk, base": true, "resident set of the loop, base": true,
		"training outside network and optimiser, demo's size":      true,
		"ingest against foxglove's reader and image/jpeg, 1 core":  true,
		"ingest against foxglove's reader and image/jpeg, 2 cores": false, "ingest on 2 cores against one": false,
	}
	for work, met := range want {
		if got, ok := rows[work]; !ok || got != met {
			t.Errorf("%s: met %v, there %v", work, got, ok)
		}
	}
	if len(rows) != len(want) {
		t.Errorf("rows %v", rows)
	}
	if out := r.String(); !strings.Contains(out, "missed") || !strings.Contains(out, "P 1, threads: 2") {
		t.Error(out)
	}
	var back PeersReport
	data, err := json.Marshal(r)
	if err != nil || json.Unmarshal(data, &back) != nil || back.Works[0].Peers[0] != r.Works[0].Peers[0] {
		t.Errorf("%s, %v", data, err)
	}
}

// TestEntries: the works are those of the presets, with 64 tokens of context.
func TestEntries(t *testing.T) {
	for _, e := range entries() {
		m, _, err := e.setup.model()
		if err != nil {
			t.Fatal(err)
		}
		if m.Config.ContextTokens() != 64 {
			t.Errorf("%s: %d tokens", e.what(), m.Config.ContextTokens())
		}
	}
}

// TestPeersStopped: Peers ends with its context.
func TestPeersStopped(t *testing.T) {
	if testing.Short() {
		t.Skip("peers take seconds to start")
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Peers(ctx, PeersOptions{Rounds: 1, Progress: func(done, _ int, _ string) {
		if done == 1 { // in the first race
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	again, stop := context.WithCancel(t.Context())
	work := prepared(t, tiny(1), peers.Infer)
	runs := 0
	count := sideFunc(func() error {
		if runs++; runs == 100 {
			stop()
		}
		return work.ours.(sideFunc)()
	})
	if _, err := race(again, count, nil, 1<<30); !errors.Is(err, context.Canceled) {
		t.Errorf("a race of ours alone: %v", err)
	}
	if _, err := Peers(t.Context(), PeersOptions{}); !errors.Is(err, ErrSetup) {
		t.Errorf("no rounds: %v", err)
	}
}

func TestLoopAlone(t *testing.T) {
	if _, err := loopAlone(t.Context(), []string{filepath.Join(t.TempDir(), "nothing")}); err == nil {
		t.Error("a command that is not there measured something")
	}
}
