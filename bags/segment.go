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
		e := Episode{Bag: bag, Index: len(eps), Frames: frames[lo:hi:hi], Outcome: s.outcome}
		outside -= hi - lo
		for i := range e.Frames {
			s.instruct(&e.Frames[i].Observation)
		}
		e.Task = e.Frames[0].Instruction
		eps, ends = append(eps, e), append(ends, s.end)
	}
	return eps, ends, outside
}

// rewards are the points of one source.
type rewards struct {
	name   string
	points []point
}

// reward fills the frames' rewards, for each episode from the first source
// that has a point in it, and names that source. An episode in which none has
// one is rewarded by its outcome, and one that is left with RewardNone has its
// rewards still to come, from dense terms. It returns, for each source, the
// number of points that belong to no frame.
func reward(eps []Episode, ends []int64, sources []rewards, period int64) (lost []int) {
	for _, s := range sources {
		slices.SortStableFunc(s.points, func(a, b point) int { return cmp.Compare(a.stamp, b.stamp) })
		lost = append(lost, len(s.points))
	}
	for i := range eps {
		e := &eps[i]
		for k, s := range sources {
			first := e.RewardSource == RewardNone
			placed, own := place(e.Frames, ends[i], s.points, period, first)
			lost[k] -= placed
			if first && own {
				e.RewardSource = s.name
			}
		}
		if e.RewardSource == RewardNone && e.Outcome != Unknown {
			e.RewardSource = RewardSuccess
		}
	}
	return lost
}

// place counts the points that have a frame in an episode that ends at end, and
// adds them to it if add is set. own is true if any point lies in
// the episode, also where the frame that it would reward was dropped. The last
// frame also takes the rewards of the step that the episode's end cuts short:
// there is no frame for it, and the reward that matters most often lies there.
func place(frames []Frame, end int64, points []point, period int64, add bool) (placed int, own bool) {
	after := func(stamp int64) int {
		return sort.Search(len(points), func(j int) bool { return points[j].stamp > stamp })
	}
	last := frames[len(frames)-1].Stamp
	own = after(frames[0].Stamp) < after(max(last+period, end))
	for k := range frames {
		stamp := frames[k].Stamp
		until := stamp + period
		if k == len(frames)-1 {
			until = max(until, min(end, until+period))
		}
		for at := after(stamp); at < len(points) && points[at].stamp <= until; at++ {
			if add {
				frames[k].Reward += points[at].value
			}
			placed++
		}
	}
	return placed, own
}
