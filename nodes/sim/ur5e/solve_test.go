package ur5e

import (
	"math"
	"math/rand/v2"
	"testing"
)

// reached says whether tool0 at q, with the tool on it, meets the target.
func reached(q [Joints]float64, target Pose, tool float64) bool {
	at := dh(q) // not what Solve uses
	for i := range 3 {
		at.Pos[i] += tool * at.Rot[3*i+2]
	}
	d := math.Hypot(math.Hypot(at.Pos[0]-target.Pos[0], at.Pos[1]-target.Pos[1]), at.Pos[2]-target.Pos[2])
	back := transpose(&at.Rot)
	left := mul(&target.Rot, &back)
	// The angle by the chord, which does not lean on rotationVector.
	chord := 0.0
	for i, v := range left {
		if i%4 == 0 {
			v--
		}
		chord += v * v
	}
	return d < 1e-4 && math.Sqrt(chord/2) < 1e-3
}

func inLimits(q [Joints]float64) bool {
	for j, v := range q {
		if !(v >= Links[j].Lower && v <= Links[j].Upper) {
			return false
		}
	}
	return true
}

// withTool moves a pose along its own z.
func withTool(p Pose, tool float64) Pose {
	for i := range 3 {
		p.Pos[i] += tool * p.Rot[3*i+2]
	}
	return p
}

func TestSolveNearStart(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	failed := 0
	for range 1000 {
		want := random(r)
		tool := r.Float64() * 0.2
		start := want
		for j := range start {
			start[j] += 0.6 * (r.Float64() - 0.5)
		}
		target := withTool(dh(want), tool)
		q, ok := Solve(start, target, tool)
		if !inLimits(q) {
			t.Fatalf("%v is outside the limits", q)
		}
		if ok != reached(q, target, tool) {
			t.Fatalf("Solve says %v at %v, which is not so", ok, q)
		}
		if !ok {
			failed++
			t.Logf("not reached: want %v from %v", want, start)
		}
	}
	if failed > 0 {
		t.Errorf("%d of 1000 reachable poses were not reached", failed)
	}
}

func TestSolveStaysOnItsBranch(t *testing.T) {
	// A straight path in 5 mm steps, each from the last answer: no joint may
	// jump.
	q := [Joints]float64{0, -1.4, 1.8, -2, -math.Pi / 2, 0}
	target := withTool(Forward(q), 0.15)
	for range 60 {
		target.Pos[1] += 0.005
		next, ok := Solve(q, target, 0.15)
		if !ok {
			t.Fatalf("lost at %v", target.Pos)
		}
		for j := range q {
			if d := math.Abs(next[j] - q[j]); d > 0.05 {
				t.Fatalf("joint %d jumps by %.3f rad at %v", j, d, target.Pos)
			}
		}
		q = next
	}
}

func TestSolveAtALimit(t *testing.T) {
	// The goal lies beyond the elbow's limit by the short way.
	start := [Joints]float64{0, -1, Links[2].Upper - 0.01, 0.3, 1, 0}
	past := start
	past[2] += 0.3
	q, _ := Solve(start, Forward(past), 0)
	if !inLimits(q) {
		t.Errorf("%v is outside the limits", q)
	}
}

func TestSolveRefuses(t *testing.T) {
	ready := [Joints]float64{0, -math.Pi / 2, math.Pi / 2, -math.Pi / 2, -math.Pi / 2, 0}
	good := Forward(ready)
	with := func(change func(*Pose)) Pose { p := good; change(&p); return p }
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name   string
		start  [Joints]float64
		target Pose
		tool   float64
	}{
		{"too far", ready, with(func(p *Pose) { p.Pos[0] = 1.2 }), 0},
		{"very far", ready, with(func(p *Pose) { p.Pos[0] = 1e300 }), 0},
		{"in the base's column", ready, with(func(p *Pose) { p.Pos = [3]float64{0, 0, 0.3} }), 0},
		{"NaN position", ready, with(func(p *Pose) { p.Pos[1] = nan }), 0},
		{"infinite position", ready, with(func(p *Pose) { p.Pos[1] = inf }), 0},
		{"NaN rotation", ready, with(func(p *Pose) { p.Rot[4] = nan }), 0},
		{"no rotation", ready, Pose{Pos: good.Pos}, 0},
		{"a reflection", ready, with(func(p *Pose) { p.Rot = [9]float64{-1, 0, 0, 0, 1, 0, 0, 0, 1} }), 0},
		{"NaN start", [Joints]float64{nan}, good, 0},
		{"infinite start", [Joints]float64{inf}, good, 0},
		{"NaN tool", ready, good, nan},
		{"infinite tool", ready, good, inf},
		{"very long tool", ready, good, 1e300},
	} {
		q, ok := Solve(c.start, c.target, c.tool)
		if ok {
			t.Errorf("%s: ok", c.name)
		}
		if !inLimits(q) {
			t.Errorf("%s: %v is not inside the limits", c.name, q)
		}
	}
}

func BenchmarkSolve(b *testing.B) {
	start := [Joints]float64{0, -math.Pi / 2, math.Pi / 2, -math.Pi / 2, -math.Pi / 2, 0}
	target := Forward(start)
	target.Pos[2] -= 0.1
	for b.Loop() {
		Solve(start, target, 0)
	}
}
