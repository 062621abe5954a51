package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// clerk is a Worker whose results follow from a job's ID alone, so that it
// shows what is done when, and whether what comes out depends on that.
type clerk struct {
	mu       sync.Mutex
	begun    []string
	now, top int           // jobs under way, and most of them
	wait     time.Duration // that a job takes
	fail     string        // kind of job that fails
}

var errClerk = errors.New("out of ink")

func (c *clerk) Do(ctx context.Context, id string, j Job, dir string, needs Needs, tell func(float64)) (*Done, error) {
	c.mu.Lock()
	c.begun = append(c.begun, id)
	c.now++
	c.top = max(c.top, c.now)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now--
	}()
	for _, need := range j.Needs() {
		if needs.Done(need) == nil {
			return nil, fmt.Errorf("%s began before %s was done", id, need)
		}
	}
	tell(0.5)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(c.wait):
	}
	if j.Kind() == c.fail {
		return nil, errClerk
	}
	return result(id, j), os.WriteFile(filepath.Join(dir, "scratch"), nil, 0o644)
}

// result makes one up from a job's ID.
func result(id string, j Job) *Done {
	switch {
	case j.Record != nil:
		return &Done{Recorded: &Recorded{Episodes: j.Record.Episodes, Successes: j.Record.Episodes / 2}}
	case j.Train != nil:
		d := &Trained{Checkpoint: id}
		switch j.Train.Objective {
		case "rwr":
			beta, _ := strconv.ParseFloat(j.Train.Tuning["beta"], 64)
			d.Alpha = &Alpha{Steps: 20, Batch: 8, Given: true, Median: beta, Seen: 7.95}
		case "arfm":
			d.Alpha = &Alpha{Steps: 20, Batch: 8, Lower: 0.6, Median: 0.5, Predicted: 4, Seen: 5, Curve: []Point{{Step: 10, Alpha: 0.5, Predicted: 4, Seen: 5}}}
		}
		return &Done{Trained: d}
	}
	e := &Evaluated{}
	for i := range j.Evaluate.Episodes {
		e.Outcomes = append(e.Outcomes, Outcome{Success: id[len("evaluate-")+i%16] < '8'})
	}
	return &Done{Evaluated: e}
}

func (c *clerk) Tidy(_ Job, dir string) error { return os.Remove(filepath.Join(dir, "scratch")) }

func report(t *testing.T, p *Plan, r *Results) string {
	t.Helper()
	rep := p.Tabulate(r, Made{})
	rep.CoreHours = 0 // of this run
	data, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestRun: all jobs are done once, as many at a time as there are cores, and
// results do not depend on how many; a second run does nothing.
func TestRun(t *testing.T) {
	p := newPlan(t, "multitask", "bc", "rwr", "arfm")
	var first string
	for _, cores := range []int{1, 3} {
		c := &clerk{wait: time.Millisecond}
		last, total := int64(0), int64(0)
		r := Runner{Dir: t.TempDir(), Worker: c, Cores: cores, Progress: func(d, n int64, _ string) { last, total = d, n }}
		results, err := r.Run(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(c.begun)
		if n := len(p.Jobs) - len(ids(p, "choose")); len(slices.Compact(c.begun)) != n || c.top != cores {
			t.Errorf("%d cores: %d jobs begun, want %d; %d at a time", cores, len(c.begun), n, c.top)
		}
		if last != total || total == 0 {
			t.Errorf("progress ends at %d of %d", last, total)
		}
		if left, _ := filepath.Glob(filepath.Join(r.Dir, "jobs", "*", "scratch")); len(left) > 0 {
			t.Errorf("not tidied: %v", left)
		}
		if got := report(t, p, results); first == "" {
			first = got
		} else if got != first {
			t.Errorf("%d cores give\n%s\none gave\n%s", cores, got, first)
		}
		c.begun = nil
		again, err := r.Run(t.Context(), p)
		if err != nil || len(c.begun) > 0 || report(t, p, again) != first {
			t.Errorf("again: %v, did %d jobs", err, len(c.begun))
		}
		c.begun = nil
		other := newPlan(t, "perturb", "bc", "rwr", "arfm")
		if _, err := r.Run(t.Context(), other); err != nil || slices.ContainsFunc(c.begun, func(id string) bool { return !strings.HasPrefix(id, "evaluate") }) {
			t.Errorf("perturb after multitask: %v, did %v", err, c.begun)
		}
	}
}

// TestFailure: the error comes through, results before it stay.
func TestFailure(t *testing.T) {
	p := newPlan(t, "multitask", "bc")
	c := &clerk{fail: "evaluate"}
	r := Runner{Dir: t.TempDir(), Worker: c, Cores: 2}
	if _, err := r.Run(t.Context(), p); !errors.Is(err, errClerk) {
		t.Fatalf("%v", err)
	}
	done := len(c.begun)
	c.begun, c.fail = nil, ""
	var before Estimate
	r.Before = func(e Estimate) { before = e }
	if _, err := r.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if before.Done == 0 || before.Done >= done || before.Done+len(c.begun) != before.Jobs {
		t.Errorf("first %d jobs were begun, then %d of %d were done and %d were left", done, before.Done, before.Jobs, len(c.begun))
	}
}

// TestEstimate: it reads as a sentence, and says no time where nothing is left.
func TestEstimate(t *testing.T) {
	for _, c := range []struct {
		e    Estimate
		want string
	}{
		{Estimate{Jobs: 9, Done: 9}, "9 jobs, 9 of them done before"},
		{Estimate{9, 2, 3}, "9 jobs, 2 of them done before, about a minute on this machine's cores"},
		{Estimate{9, 2, 89}, "9 jobs, 2 of them done before, about a minute on this machine's cores"},
		{Estimate{9, 2, 90}, "9 jobs, 2 of them done before, about 2 minutes on this machine's cores"},
		{Estimate{1, 0, 9000}, "1 job, 0 of them done before, about 2.5 hours on this machine's cores"},
	} {
		if got := c.e.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

const killEnv = "ARFM_TEST_EXPERIMENT"

// TestKilled: a process that is killed leaves whole results only, and the next
// one does what is left.
func TestKilled(t *testing.T) {
	p := newPlan(t, "multitask", "bc", "arfm")
	if dir := os.Getenv(killEnv); dir != "" { // the process that is killed
		r := Runner{Dir: dir, Worker: &clerk{wait: 20 * time.Millisecond}, Cores: 2}
		_, err := r.Run(t.Context(), p)
		t.Fatalf("it was not killed: %v", err)
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), killEnv+"="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stored := func() int {
		found, _ := filepath.Glob(filepath.Join(dir, jobsDir, "*", resultFile))
		return len(found)
	}
	for stored() < 3 {
		time.Sleep(time.Millisecond)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	n := stored()
	c := &clerk{}
	results, err := (&Runner{Dir: dir, Worker: c, Cores: 2}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if n >= len(p.Jobs) || len(c.begun) != len(p.Jobs)-n {
		t.Errorf("%d of %d jobs were stored when it was killed, then %d were done", n, len(p.Jobs), len(c.begun))
	}
	whole, err := (&Runner{Dir: t.TempDir(), Worker: &clerk{}, Cores: 1}).Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := report(t, p, results), report(t, p, whole); got != want {
		t.Errorf("killed:\n%s\nunbroken:\n%s", got, want)
	}
}

// TestDamaged: a result that is not its job's is refused, not believed.
func TestDamaged(t *testing.T) {
	p := newPlan(t, "multitask", "bc", "rwr")
	r := Runner{Dir: t.TempDir(), Worker: &clerk{}, Cores: 1}
	results, err := r.Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	a, b := ids(p, "evaluate")[0], ids(p, "evaluate")[1]
	path := filepath.Join(results.Dir(a), resultFile)
	own, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	others, err := os.ReadFile(filepath.Join(results.Dir(b), resultFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"torn": string(own[:len(own)/2]), "empty": "", "another job's": string(others), "null": "null",
		"without outcomes": strings.Replace(string(own), `"outcomes":[`, `"outcomes":[],"was":[`, 1),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Run(t.Context(), p); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(path, own, 0o644); err != nil {
		t.Fatal(err)
	}
	// Results that fit their jobs and yet are not what was written.
	for _, c := range []struct{ kind, old, new string }{
		{"evaluate", `"seconds":`, `"seconds":-`}, {"evaluate", `"success":true`, `"success":false`}, {"evaluate", `"sha256":`, `"sha":`},
		{"record", `"successes":`, `"successes":9`}, {"train", `"checkpoint":"`, `"checkpoint":"../`}, {"choose", `"successes":[`, `"successes":[99,`},
	} {
		path := filepath.Join(results.Dir(ids(p, c.kind)[0]), resultFile)
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(was), c.old, c.new, 1)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Run(t.Context(), p); text == string(was) || !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s with %s: %v", c.kind, c.new, err)
		}
		if err := os.WriteFile(path, was, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(t.Context(), p); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("a folder in its place: %v", err)
	}
}
