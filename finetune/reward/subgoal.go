package reward

import (
	"math"
	"slices"

	"arfm/bags"
	"arfm/policy/contract"
)

// What makes a sub-goal. Times in s, shares of what the episode spans.
const (
	settleTime  = 0.2  // for which the gripper stays where it has come to
	settleBand  = 0.05 // of its travel: what staying allows
	changeBand  = 0.25 // of its travel: what counts as a change
	leastTravel = 1e-3 // m, rad or 1: less is no movement
	noiseFactor = 10   // by which the travel must exceed the median step between frames

	restTime   = 0.3  // for which the arm stays at rest
	speedTime  = 0.2  // over which its speed is taken
	moveShare  = 0.5  // of the usual speed: above it the arm moves
	restShare  = 0.2  // of the usual speed: below it the arm rests
	leastSpeed = 0.02 // rad/s or m/s: slower is no movement

	apart = 0.5 // s between two sub-goals
)

// SubGoals returns the frames that end a part of an episode, in order: where
// the gripper has changed to another opening, where the arm has come to rest,
// and the last one. Both need to last, and two bounds apart tell moving from
// resting, so that noise makes no sub-goals; of two within half a second one
// stays, rather the gripper's.
func SubGoals(frames []bags.Frame, in contract.RewardInputs) []int {
	n := len(frames)
	if n == 0 {
		return nil
	}
	m := motion{frames: frames, in: in}
	found := m.changes()
	grips := len(found)
	found = append(found, m.rests()...)
	isGrip := make([]bool, n)
	for _, f := range found[:grips] {
		isGrip[f] = true
	}
	slices.Sort(found)
	var out []int
	for _, f := range slices.Compact(found) {
		last := len(out) - 1
		switch {
		case last < 0 || m.seconds(out[last], f) >= apart:
			out = append(out, f)
		case isGrip[f] && !isGrip[out[last]]:
			out[last] = f
		}
	}
	for len(out) > 0 && m.seconds(out[len(out)-1], n-1) < apart {
		out = out[:len(out)-1]
	}
	return append(out, n-1)
}

// motion looks at how an episode moves.
type motion struct {
	frames []bags.Frame
	in     contract.RewardInputs
}

// seconds is the time from frame i to frame k.
func (m *motion) seconds(i, k int) float64 {
	return float64(m.frames[k].Stamp-m.frames[i].Stamp) * 1e-9
}

// opening is the gripper's value in each frame; nil without a gripper.
func (m *motion) opening() []float64 {
	g := make([]float64, len(m.frames))
	for i := range m.frames {
		switch {
		case m.in.GripperState >= 0:
			g[i] = float64(m.frames[i].State[m.in.GripperState])
		case m.in.GripperAction >= 0:
			g[i] = float64(m.frames[i].Action[m.in.GripperAction])
		default:
			return nil
		}
	}
	return g
}

// changes returns the frames at which the gripper has settled at an opening
// that differs from the one it had settled at before.
func (m *motion) changes() (out []int) {
	g := m.opening()
	if g == nil {
		return nil
	}
	steps := make([]float64, len(g)-1)
	for i := range steps {
		steps[i] = math.Abs(g[i+1] - g[i])
	}
	travel, noise := slices.Max(g)-slices.Min(g), quantile(steps, 0.5)
	if travel < leastTravel || travel < noiseFactor*noise {
		return nil
	}
	at, settled := 0.0, false
	for i := range g {
		k := i
		for k < len(g) && m.seconds(i, k) < settleTime {
			k++
		}
		if k == len(g) {
			return out
		}
		window := g[i : k+1]
		if slices.Max(window)-slices.Min(window) > settleBand*travel+4*noise {
			continue
		}
		level := quantile(slices.Clone(window), 0.5)
		if settled && math.Abs(level-at) < changeBand*travel {
			continue // where it was; a slow drift stays part of the next change
		}
		if settled {
			out = append(out, i)
		}
		at, settled = level, true
	}
	return out
}

// rests returns the frames at which the arm comes to rest after it has moved.
func (m *motion) rests() (out []int) {
	speed := m.speeds()
	// Of the frames that move at all: an arm may stand still for most of a recording.
	usual := quantile(slices.DeleteFunc(slices.Clone(speed), func(s float64) bool { return s < leastSpeed }), 0.5)
	if usual == 0 {
		return nil
	}
	moving, since := false, -1
	for i, s := range speed {
		switch {
		case s >= moveShare*usual:
			moving, since = true, -1
		case !moving:
		case since < 0 && s <= restShare*usual:
			since = i
		case since >= 0 && s > 2*restShare*usual:
			since = -1
		}
		if since >= 0 && m.seconds(since, i) >= restTime {
			out = append(out, since)
			moving, since = false, -1
		}
	}
	return out
}

// speeds is the length of the joints' mean velocity around each frame, without
// the gripper's, in rad/s (or the joints' unit). A running median takes out
// readings that are wrong for a frame or two.
func (m *motion) speeds() []float64 {
	out := make([]float64, len(m.frames))
	for _, j := range m.in.Joints {
		if j == m.in.GripperState {
			continue
		}
		q := m.median(j)
		lo, hi := 0, 0
		for i := range out {
			for lo < i-1 && m.seconds(lo, i) > speedTime/2 {
				lo++
			}
			for hi < len(out)-1 && (hi <= i || m.seconds(i, hi+1) <= speedTime/2) {
				hi++
			}
			if dt := m.seconds(lo, hi); dt > 0 {
				v := (q[hi] - q[lo]) / dt
				out[i] += float64(v * v)
			}
		}
	}
	for i := range out {
		out[i] = math.Sqrt(out[i])
	}
	return out
}

// median is the running median of a state element over five frames, fewer at
// the ends.
func (m *motion) median(j int) []float64 {
	out := make([]float64, len(m.frames))
	var window [5]float64
	for i := range out {
		k := min(2, i, len(out)-1-i)
		w := window[:0]
		for n := i - k; n <= i+k; n++ {
			w = append(w, float64(m.frames[n].State[j]))
		}
		out[i] = quantile(w, 0.5)
	}
	return out
}

// quantile returns the value that a share of x is not above, 0 of none; it
// sorts x.
func quantile(x []float64, share float64) float64 {
	if len(x) == 0 {
		return 0
	}
	slices.Sort(x)
	return x[int(share*float64(len(x)-1))]
}
