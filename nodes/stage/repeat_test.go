package stage_test

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"arfm/nodes/eval"
	"arfm/nodes/runner"
	"arfm/nodes/sim"
	"arfm/nodes/sim/mujoco"
	"arfm/nodes/stage"
	"arfm/policy"
	"arfm/policy/contract"
)

func newStage(t *testing.T, suiteName string, c *contract.Contract, tasks ...int) *stage.Stage {
	t.Helper()
	st, err := stage.New(suite(t, suiteName), c, tasks...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// wave is a command that depends on the step only.
func wave(step int) *runner.Command {
	if step%7 == 3 {
		return nil
	}
	home := sim.Home()
	for j := range home[:sim.Joints-1] {
		home[j] += 0.3 * math.Sin(0.2*float64(step)+float64(j))
	}
	home[sim.Joints-1] = 0.02 + 0.02*math.Sin(0.3*float64(step))
	return &runner.Command{SetPoint: home[:], Velocity: make([]float64, sim.Joints)}
}

// clone is a copy of an observation that outlives the next.
func clone(o policy.Observation) policy.Observation {
	o.State = slices.Clone(o.State)
	o.Images = slices.Clone(o.Images)
	for i, img := range o.Images {
		o.Images[i].Pix = slices.Clone(img.Pix)
	}
	return o
}

type trace struct {
	seen    []policy.Observation
	rewards []float64
}

func run(t *testing.T, st *stage.Stage, seed, episode uint64, steps int) (out trace) {
	t.Helper()
	if err := st.Begin(seed, episode); err != nil {
		t.Fatal(err)
	}
	var obs policy.Observation
	for i := range steps {
		if err := st.Observe(st.Start()+int64(i)*sim.Period, &obs); err != nil {
			t.Fatal(err)
		}
		r, err := st.Step(wave(i))
		if err != nil {
			t.Fatal(err)
		}
		out.seen, out.rewards = append(out.seen, clone(obs)), append(out.rewards, r)
	}
	return out
}

// TestBegin: an episode is the same to the bit, in what is seen and in rewards,
// whatever the stage did before it.
func TestBegin(t *testing.T) {
	for _, name := range []string{"sim_state.yaml", "sim_vision.yaml"} {
		t.Run(name, func(t *testing.T) {
			c := load(t, name)
			if len(c.Observation.Images) > 0 {
				needsCameras(t)
			}
			fresh, used := newStage(t, "long", c), newStage(t, "long", c)
			run(t, used, 3, 6, 15)
			for busy := true; busy; {
				var err error
				if busy, err = used.Home(); err != nil {
					t.Fatal(err)
				}
			}
			want, got := run(t, fresh, 3, 7, 30), run(t, used, 3, 7, 30)
			for i := range want.seen {
				if !reflect.DeepEqual(got.seen[i], want.seen[i]) || got.rewards[i] != want.rewards[i] {
					t.Fatalf("step %d: state %v and reward %g, want %v and %g", i, got.seen[i].State, got.rewards[i], want.seen[i].State, want.rewards[i])
				}
			}
			if len(want.seen[0].Images) != len(c.Observation.Images) {
				t.Fatalf("%d images", len(want.seen[0].Images))
			}
			if reflect.DeepEqual(want.seen[0], want.seen[29]) {
				t.Error("nothing changes in 30 steps")
			}
			if other := run(t, used, 4, 7, 1); reflect.DeepEqual(other.seen[0], want.seen[0]) {
				t.Error("another seed gives the same episode")
			}
		})
	}
}

// needsCameras skips a test where nothing can be rendered.
func needsCameras(t *testing.T) {
	t.Helper()
	st := newStage(t, "object", load(t, "sim_state.yaml"))
	cam, err := st.Sim().Arena.Camera("scene", 96, 96)
	if errors.Is(err, mujoco.ErrRender) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cam.Close()
}

// waving is a policy that moves by the observation's joints.
type waving struct{}

func (waving) Act(obs *policy.Observation, chunk *policy.ActionChunk) error {
	*chunk = policy.ActionChunk{Stamp: obs.Stamp, Period: sim.Period, Dim: sim.Joints}
	for h := range 16 {
		for j := range sim.Joints - 1 {
			chunk.Values = append(chunk.Values, obs.State[j]+0.02*float32(h)*float32(math.Sin(float64(obs.State[0])*40)))
		}
		chunk.Values = append(chunk.Values, 0.02)
	}
	return nil
}
func (waving) Info() policy.Info { return policy.Info{} }

// TestEvaluate: the result does not depend on the number of workers, and tasks
// take turns.
func TestEvaluate(t *testing.T) {
	c := load(t, "sim_state.yaml")
	st := newStage(t, "goal", c, 1, 3)
	var results []eval.Result
	for _, workers := range []int{1, 2} {
		r, err := eval.Evaluate(t.Context(), stage.Opener(st.Sim().Suite, c, 1, 3), func() (policy.Policy, error) { return waving{}, nil },
			eval.Options{Episodes: 4, Seed: 2, Workers: workers, ActionNoise: 0.01})
		if err != nil {
			t.Fatal(err)
		}
		results = append(results, r)
	}
	if !reflect.DeepEqual(results[0], results[1]) {
		t.Errorf("one worker: %v, two: %v", results[0], results[1])
	}
	r := results[0]
	if r.Episodes != 4 || r.Successes != 0 || len(r.Tasks) != 2 || r.Tasks[0].Episodes != 2 {
		t.Errorf("%+v", r)
	}
	for _, task := range r.Tasks {
		if task.Task != st.Sim().Tasks[1].Instruction && task.Task != st.Sim().Tasks[3].Instruction {
			t.Errorf("an episode of %q", task.Task)
		}
	}
}

// TestHome: the arm comes back above the table within its joints' limits.
func TestHome(t *testing.T) {
	st := newStage(t, "object", load(t, "sim_state.yaml"))
	run(t, st, 1, 0, 25)
	for busy := true; busy; {
		var err error
		if busy, err = st.Home(); err != nil {
			t.Fatal(err)
		}
		_, v := st.Sim().Arena.Joint()
		for j, l := range sim.Limits {
			if math.Abs(v[j]) > l.Velocity {
				t.Fatalf("%s goes home at %g", sim.JointNames[j], v[j])
			}
		}
	}
	q, _ := st.Sim().Arena.Joint()
	for j, want := range sim.Home() {
		if math.Abs(q[j]-want) > 0.01 {
			t.Errorf("%s is at %g, home is %g", sim.JointNames[j], q[j], want)
		}
	}
}

// asWithoutEGL makes this test binary one that finds no driver to render with.
const asWithoutEGL = "ARFM_TEST_WITHOUT_EGL"

// TestWithoutEGL: where nothing renders, a policy that is told works and one
// that looks says what to install.
func TestWithoutEGL(t *testing.T) {
	state := newStage(t, "object", load(t, "sim_state.yaml"))
	if os.Getenv(asWithoutEGL) == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "-test.run=^TestWithoutEGL$", "-test.v")
		cmd.Env = append(os.Environ(), asWithoutEGL+"=1", "__EGL_VENDOR_LIBRARY_FILENAMES=/nonexistent")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestWithoutEGL") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	run(t, state, 1, 0, 5)
	vision := newStage(t, "object", load(t, "sim_vision.yaml"))
	if err := vision.Begin(1, 0); err != nil {
		t.Fatal(err)
	}
	var obs policy.Observation
	for range 2 { // it stays so
		err := vision.Observe(vision.Start(), &obs)
		if !errors.Is(err, mujoco.ErrRender) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "apt-get install") {
			t.Fatal(err)
		}
	}
}
