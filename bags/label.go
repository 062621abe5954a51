package bags

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// Validate refuses, wrapping ErrSidecar or ErrSpan, what can be said of no bag.
func (l *Labelling) Validate() error {
	switch {
	case !slices.Contains(ends[:], l.Outcome):
		return fmt.Errorf("%w: outcome %q is none of success, failure, end", ErrSidecar, l.Outcome)
	case l.File != "" && (l.File != filepath.Base(l.File) || l.File == ".."):
		return fmt.Errorf("%w: %q is a path; give the name of a file beside the bag", ErrSidecar, l.File)
	}
	return l.Span.check()
}

// LabelEpisode marks one episode of a bag in its sidecar file and returns the
// file's path and how many episodes it holds then. Of episodes that the file
// marks already, the parts outside the span keep their outcome and rewards; the
// rest is replaced. The bag itself is only read. A recording inside a bag's
// folder stands for that bag.
func LabelEpisode(bag string, l Labelling) (path string, episodes int, err error) {
	if err := l.Validate(); err != nil {
		return "", 0, err
	}
	if dir := filepath.Dir(bag); isFile(bag) && rosbag2.IsBagFolder(dir) {
		bag = dir
	} else if isFolder(bag) && !rosbag2.IsBagFolder(bag) {
		return "", 0, fmt.Errorf("%s: %w: the folder is no bag; name the bags in it, one by one", bag, ErrNoBag)
	}
	b, err := rosbag2.Open(bag)
	if err != nil {
		return "", 0, err
	}
	info := b.Info()
	if err := b.Close(); err != nil {
		return "", 0, err
	}
	if info.Messages == 0 {
		return "", 0, fmt.Errorf("%s: %w: it holds no message; there is nothing to label", bag, ErrNoFrame)
	}
	lo, hi, err := l.Span.resolve(info.Start, info.End)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", bag, err)
	}
	lo, hi = max(lo, info.Start), min(hi-1, info.End) // the next episode may start where this one ends
	if lo >= hi {
		return "", 0, fmt.Errorf("%s: %w: it begins behind the bag's end", bag, ErrSpan)
	}
	path = SidecarPath(bag, l.File)
	old, err := ReadSidecar(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", 0, err
	}
	labels := []Label{{Stamp: hi, Reward: l.Reward}}
	if l.Reward == nil {
		labels = labels[:0]
	}
	for _, x := range old {
		if x.Reward != nil && (x.Stamp < lo || x.Stamp > hi) {
			labels = append(labels, Label{Stamp: x.Stamp, Reward: x.Reward})
		}
	}
	segs := append(without(labelled(old), lo, hi), segment{lo, hi, l.Task, Outcome(slices.Index(ends[:], l.Outcome))})
	for _, g := range segs {
		labels = append(labels,
			Label{Stamp: max(g.start, info.Start), Event: EventStart, Task: g.task},
			Label{Stamp: min(g.end, info.End), Event: ends[g.outcome]})
	}
	return path, len(segs), WriteSidecar(path, labels)
}

// ends holds the event that ends an episode with each outcome.
var ends = [...]Event{Unknown: EventEnd, Success: EventSuccess, Failure: EventFailure}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// labelled returns the episodes that a sidecar file marks.
func labelled(labels []Label) []segment {
	if marks := eventsOf(labels); len(marks) > 0 {
		return segments(marks)
	}
	return nil
}

// without takes [lo, hi] out of the episodes; what is left of one keeps its
// outcome.
func without(segs []segment, lo, hi int64) []segment {
	var out []segment
	for _, g := range segs {
		before, after := g, g
		before.end, after.start = min(g.end, lo-1), max(g.start, hi+1)
		for _, part := range []segment{before, after} {
			if part.start < part.end {
				out = append(out, part)
			}
		}
	}
	return out
}
