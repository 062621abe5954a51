// Package reach is the project's own source of robot data: a kinematic
// two-joint planar arm that has to bring its tip to a point. It records
// demonstrations of three qualities as rosbag2 bags and runs a policy in
// closed loop, so that the whole of arfm can be tried with nothing installed.
package reach

import (
	"math"
	"math/rand/v2"

	"arfm/nodes/runner"
)

// The arm: two links in a plane, joints about the plane's normal, base at the
// origin.
const (
	Link1 = 0.4 // m
	Link2 = 0.3 // m

	RateHz = 20
	Period = int64(1e9 / RateHz) // ns

	maxSpeed        = 2.5  // rad/s, both joints
	maxAcceleration = 30.0 // rad/s^2
)

// JointNames are the joints' names, base first.
var JointNames = []string{"joint_1", "joint_2"}

var (
	lower = [2]float64{-2.8, 0.05}
	upper = [2]float64{2.8, 2.75}
)

// Limits returns the arm's joint limits.
func Limits() runner.Limits {
	return runner.Limits{
		Names: JointNames, Lower: lower[:], Upper: upper[:],
		Velocity: []float64{maxSpeed, maxSpeed}, Acceleration: []float64{maxAcceleration, maxAcceleration},
	}
}

// Point is a place in the plane, m.
type Point struct{ X, Y float64 }

func (p Point) distance(q Point) float64 { return math.Hypot(p.X-q.X, p.Y-q.Y) }

// Forward returns the elbow and the tip for joint angles q, rad.
func Forward(q [2]float64) (elbow, tip Point) {
	elbow = Point{Link1 * math.Cos(q[0]), Link1 * math.Sin(q[0])}
	tip = Point{elbow.X + Link2*math.Cos(q[0]+q[1]), elbow.Y + Link2*math.Sin(q[0]+q[1])}
	return elbow, tip
}

// Inverse returns the joint angles that put the tip on p with the elbow bent
// to the left, and whether the arm can do so within its limits.
func Inverse(p Point) (q [2]float64, ok bool) {
	c := (p.X*p.X + p.Y*p.Y - Link1*Link1 - Link2*Link2) / (2 * Link1 * Link2)
	if c < -1 || c > 1 {
		return q, false
	}
	q[1] = math.Acos(c)
	q[0] = math.Atan2(p.Y, p.X) - math.Atan2(Link2*math.Sin(q[1]), Link1+Link2*c)
	for j := range q {
		if q[j] < lower[j] || q[j] > upper[j] {
			return q, false
		}
	}
	return q, true
}

// The task.
const (
	// Tolerance is how near the tip must be to the target, m.
	Tolerance = 0.02
	// StaySteps is for how many steps it must stay there: 0.3 s.
	StaySteps = 6
	// MaxSteps ends an episode: 4 s.
	MaxSteps = 80
	// Instruction is the task in words.
	Instruction = "reach the target"
)

// World is one episode of the task: the arm's state and the target. Step moves
// the arm on by one period.
type World struct {
	Q      [2]float64 // joint angles, rad
	V      [2]float64 // joint velocities over the last period, rad/s
	Target Point
	Steps  int // periods since the start

	near    int
	success bool
	returns float64 // sum of rewards
}

// randomTarget is a point that the arm reaches with room to its limits.
func randomTarget(rng *rand.Rand) Point {
	r, a := 0.30+0.32*rng.Float64(), -1.2+2.4*rng.Float64()
	return Point{r * math.Cos(a), r * math.Sin(a)}
}

// NewWorld draws the arm's place and the target, at least 0.15 m apart.
func NewWorld(rng *rand.Rand) *World {
	for {
		w := &World{Q: [2]float64{-1.4 + 2*rng.Float64(), 0.8 + 1.3*rng.Float64()}, Target: randomTarget(rng)}
		if w.Distance() > 0.15 {
			return w
		}
	}
}

// Distance returns the way from the tip to the target, m.
func (w *World) Distance() float64 {
	_, tip := Forward(w.Q)
	return tip.distance(w.Target)
}

// Step lets the servo go to the set-point, as far as it gets in one period,
// and returns the reward:
//
//	r = exp(-d/0.08 m) + 5/m * (d_before - d) - 0.0005 |ddq|^2
//
// nearness, progress and a penalty on acceleration (rad/s^2).
func (w *World) Step(setPoint [2]float64) float64 {
	const dt = 1.0 / RateHz
	before, acc := w.Distance(), 0.0
	for j := range w.Q {
		next := min(max(setPoint[j], w.Q[j]-maxSpeed*dt, lower[j]), w.Q[j]+maxSpeed*dt, upper[j])
		v := (next - w.Q[j]) / dt
		a := (v - w.V[j]) / dt
		acc += a * a
		w.Q[j], w.V[j] = next, v
	}
	w.Steps++
	d := w.Distance()
	w.near++
	if d > Tolerance {
		w.near = 0
	}
	w.success = w.success || w.near >= StaySteps
	r := math.Exp(-d/0.08) + 5*(before-d) - 0.0005*acc
	w.returns += r
	return r
}

// Success reports whether the tip came to the target and stayed.
func (w *World) Success() bool { return w.success }

// Done reports whether the episode is over: success, or time is up.
func (w *World) Done() bool { return w.success || w.Steps >= MaxSteps }

// Return is the mean reward per step so far, as the return-to-go of the
// episode's first frame.
func (w *World) Return() float64 { return w.returns / float64(max(w.Steps, 1)) }
