package bags

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// mark is an event of an episode in time.
type mark struct {
	stamp int64
	event Event
	task  string
}

// point is a reward in time.
type point struct {
	stamp int64
	value float64
}

// segment is the time of one episode, [start, end).
type segment struct {
	start, end int64
	task       string
	outcome    Outcome
}

// segments cuts time at marks. A start opens an episode and closes an open one
// with its success unknown; without any start, each end closes the episode
// that began at the end before. Without marks, all is one episode.
func segments(marks []mark) []segment {
	marks = slices.Clone(marks)
	slices.SortStableFunc(marks, func(a, b mark) int { return cmp.Compare(a.stamp, b.stamp) })
	starts := slices.ContainsFunc(marks, func(m mark) bool { return m.event == EventStart })
	var out []segment
	open := segment{start: math.MinInt64}
	// An end that comes first closes an episode that began before the bag.
	isOpen := len(marks) == 0 || marks[0].event != EventStart
	for _, m := range marks {
		if isOpen {
			open.end = m.stamp
			switch m.event {
			case EventSuccess:
				open.outcome = Success
			case EventFailure:
				open.outcome = Failure
			}
			out = append(out, open)
		}
		open, isOpen = segment{start: m.stamp, task: m.task}, m.event == EventStart || !starts
		if m.event != EventStart {
			open.task = ""
		}
	}
	if isOpen {
		open.end = math.MaxInt64
		out = append(out, open)
	}
	return out
}

// split deals frames, in order of time, out to the segments; episodes without
// frames are left out. It returns the episodes, the ends of their segments and
// the number of frames in no segment.
func split(bag string, frames []Frame, segs []segment) (eps []Episode, ends []int64, outside int) {
	outside = len(frames)
	for _, s := range segs {
		lo := sort.Search(len(frames), func(i int) bool { return frames[i].Stamp >= s.start })
		hi := sort.Search(len(frames), func(i int) bool { return frames[i].Stamp >= s.end })
		if lo >= hi {
			continue
		}
		e := Episode{Bag: bag, Index: len(eps), Task: s.task, Frames: frames[lo:hi:hi], Outcome: s.outcome}
		outside -= hi - lo
		if e.Task == "" {
			e.Task = e.Frames[0].Instruction
		} else {
			for i := range e.Frames {
				e.Frames[i].Instruction = e.Task
			}
		}
		eps, ends = append(eps, e), append(ends, s.end)
	}
	return eps, ends, outside
}

// reward fills the frames' rewards from points and names the source, or from
// the outcome where there are no points: an episode that is left with
// RewardNone has its rewards still to come, from dense terms. The last frame
// of an episode also takes the rewards of the step that its end cuts short:
// there is no frame for it, and the reward that matters most often lies there.
// It returns the number of points that belong to no frame.
func reward(eps []Episode, ends []int64, points []point, source string, period int64) (lost int) {
	slices.SortStableFunc(points, func(a, b point) int { return cmp.Compare(a.stamp, b.stamp) })
	lost = len(points)
	for i := range eps {
		e := &eps[i]
		e.RewardSource = source
		if source == RewardNone && e.Outcome != Unknown {
			e.RewardSource = RewardSuccess
		}
		if source == RewardNone {
			continue
		}
		for k := range e.Frames {
			f := &e.Frames[k]
			until := f.Stamp + period
			if k == len(e.Frames)-1 {
				until = max(until, min(ends[i], until+period))
			}
			at := sort.Search(len(points), func(j int) bool { return points[j].stamp > f.Stamp })
			for ; at < len(points) && points[at].stamp <= until; at++ {
				f.Reward += points[at].value
				lost--
			}
		}
	}
	return lost
}
