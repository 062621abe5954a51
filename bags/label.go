package bags

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"arfm/bags/rosbag2"
)

// Labelling says what LabelEpisode writes about a part of a bag.
type Labelling struct {
	Span    Span     // of the episode; zero: the whole bag
	Outcome Event    // EventSuccess, EventFailure or EventEnd
	Task    string   // the instruction in words; empty: the contract's
	Reward  *float64 // given at the episode's end; nil: none
	File    string   // the sidecar's name; empty: rewards.csv
}

// LabelEpisode marks one episode of a bag in its sidecar file and returns the
// file's path and how many labels it holds then. Labels that the file already
// has inside the span are replaced, others stay. The bag itself is only read.
func LabelEpisode(bag string, l Labelling) (path string, labels int, err error) {
	if l.Outcome != EventSuccess && l.Outcome != EventFailure && l.Outcome != EventEnd {
		return "", 0, fmt.Errorf("%w: outcome %q is none of success, failure, end", ErrSidecar, l.Outcome)
	}
	if err := l.Span.check(); err != nil {
		return "", 0, err
	}
	b, err := rosbag2.Open(bag)
	if err != nil {
		return "", 0, err
	}
	info := b.Info()
	if err := b.Close(); err != nil {
		return "", 0, err
	}
	lo, hi, err := l.Span.resolve(info.Start, info.End)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", bag, err)
	}
	lo, hi = max(lo, info.Start), min(hi-1, info.End) // the next episode may start where this one ends
	path = SidecarPath(bag, l.File)
	old, err := ReadSidecar(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", 0, err
	}
	all := slices.DeleteFunc(old, func(x Label) bool { return x.Stamp >= lo && x.Stamp <= hi })
	all = append(all,
		Label{Stamp: lo, Event: EventStart, Task: l.Task},
		Label{Stamp: hi, Event: l.Outcome, Reward: l.Reward})
	return path, len(all), WriteSidecar(path, all)
}
