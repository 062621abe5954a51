package sim

import (
	"math/rand/v2"
	"testing"

	"arfm/nodes/demonstration"
	"arfm/nodes/sim/ur5e"
)

// needsMuJoCo skips a test where the build has no simulator.
func needsMuJoCo(t testing.TB) {
	t.Helper()
	if !Available {
		t.Skip("built without MuJoCo: add -tags mujoco")
	}
}

func newArena(t testing.TB, objects []Object, fixtures []Fixture) *Arena {
	t.Helper()
	needsMuJoCo(t)
	a, err := NewArena(objects, fixtures)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func newEpisode(t testing.TB, s *Suite) *Episode {
	t.Helper()
	needsMuJoCo(t)
	e, err := s.NewEpisode()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func suite(t testing.TB, name string) *Suite {
	t.Helper()
	s, err := FindSuite(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func begin(t testing.TB, e *Episode, task int, seed uint64) *rand.Rand {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, uint64(task)))
	if err := e.Begin(task, rng); err != nil {
		t.Fatal(err)
	}
	return rng
}

// demonstrate does a task to the demonstrator's end or the time limit; each is
// called after every period with its reward.
func demonstrate(t testing.TB, e *Episode, q demonstration.Quality, task int, seed uint64, each func(reward float64)) {
	t.Helper()
	d := NewDemonstrator(q, e, begin(t, e, task, seed))
	for e.Steps < e.TimeLimit {
		set, velocity, more := d.Next()
		if !more {
			return
		}
		r, err := e.Step(set, velocity)
		if err != nil {
			t.Fatal(err)
		}
		if each != nil {
			each(r)
		}
	}
}

// above returns the joint positions of a tool that points down with its centre
// point at p, near q, and the gripper at grip.
func above(t testing.TB, q [Joints]float64, p vec, grip float64) (out [Joints]float64) {
	t.Helper()
	arm, ok := ur5e.Solve([ur5e.Joints]float64(q[:ur5e.Joints]), ur5e.Pose{Pos: p, Rot: down}, ToolLength)
	if !ok {
		t.Fatalf("the arm does not reach %v", p)
	}
	copy(out[:], arm[:])
	out[Joints-1] = grip
	return out
}

// hand moves an arena's tool by hand.
type hand struct {
	t    testing.TB
	a    *Arena
	q    [Joints]float64
	at   vec
	grip float64
	each func() // called after every period; may be nil
}

// step goes to a place within a period.
func (h *hand) step(p vec) {
	h.t.Helper()
	q := above(h.t, h.q, p, h.grip)
	var velocity [Joints]float64
	for j := range q {
		velocity[j] = (q[j] - h.q[j]) * RateHz
	}
	if err := h.a.Step(q, velocity); err != nil {
		h.t.Fatal(err)
	}
	h.q, h.at = q, p
	if h.each != nil {
		h.each()
	}
}

// move goes straight to a place with a peak speed, m/s.
func (h *hand) move(p vec, speed float64) {
	h.t.Helper()
	from := h.at
	n := demonstration.Duration(distance(from, p), speed, RateHz, 1)
	for i := range n {
		s := demonstration.MinimumJerk(float64(i+1) / float64(n))
		at := from
		for k := range at {
			at[k] += s * (p[k] - from[k])
		}
		h.step(at)
	}
}

// grasp sets the gripper and waits for it.
func (h *hand) grasp(grip float64) {
	h.t.Helper()
	h.grip = grip
	for range 8 {
		h.step(h.at)
	}
}
