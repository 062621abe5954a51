// Package bags turns recordings into episodes: it reads a rosbag2 bag through
// a contract, with the resampler that the robot uses, and joins the frames
// with their actions, rewards and outcomes.
package bags

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"arfm/policy"
)

// Errors of this package; each comes in a sentence that names the bag or topic.
var (
	ErrTopic    = errors.New("bag lacks a topic of the contract")
	ErrType     = errors.New("topic does not fit the contract")
	ErrNoFrame  = errors.New("bag has no usable frame")
	ErrTooLarge = errors.New("bag needs too much memory")
	ErrSpan     = errors.New("unusable span")
	ErrSidecar  = errors.New("unusable sidecar file")
	ErrNoBag    = errors.New("no bag found")
)

// Outcome is how an episode ended.
type Outcome int

// Outcomes of an episode.
const (
	Unknown Outcome = iota
	Success
	Failure
)

// String returns unknown, success or failure.
func (o Outcome) String() string { return [...]string{"unknown", "success", "failure"}[o] }

// Sources of reward, in the order in which they are looked for. Each episode
// has the first that gives it a reward.
const (
	RewardNone    = ""        // none was found; dense terms may be computed from the frames
	RewardTopic   = "topic"   // the contract's reward topic
	RewardFile    = "file"    // the sidecar file
	RewardSuccess = "success" // only the outcome is known; the frames carry no reward
)

// Frame is one step: what was seen at Stamp, what was commanded for
// Stamp+period, and the reward that came in (Stamp, Stamp+period]; the last of
// an episode also has the rewards of the step that the episode's end cuts short.
type Frame struct {
	policy.Observation
	Action []float32 // (A) absolute, SI units
	Reward float64
}

// Episode is a run of frames at one task. Consecutive frames differ by one
// period, except where frames were dropped.
type Episode struct {
	Bag          string
	Index        int // in the bag
	Task         string
	Frames       []Frame
	Outcome      Outcome
	RewardSource string
}

// DefaultMaxBytes is the memory that the frames of one bag may take.
const DefaultMaxBytes = 4 << 30

// Options changes what ReadEpisodes reads.
type Options struct {
	Span     Span
	MaxBytes int64 // of frames, in memory; 0: DefaultMaxBytes. See CheckReport.Bytes
}

// Span is a part of a bag, from its start to its end, each given as a fraction
// of the bag's duration or as a time since its beginning. The zero value is
// all of it. Frames of two spans that touch are disjoint.
type Span struct {
	StartFraction, EndFraction float64 // 0..1; EndFraction 0: to the end
	Start, End                 time.Duration
}

// ParseSpan reads start:end, each a percentage or a duration and each of them
// optional: 0%:80%, 80%:, 10s:2m30s.
func ParseSpan(text string) (Span, error) {
	var s Span
	start, end, ok := strings.Cut(text, ":")
	if !ok {
		return s, fmt.Errorf("%w %q: write start:end, like 0%%:80%% or 10s:2m", ErrSpan, text)
	}
	for _, part := range []struct {
		text     string
		fraction *float64
		offset   *time.Duration
	}{{start, &s.StartFraction, &s.Start}, {end, &s.EndFraction, &s.End}} {
		var err error
		if percent, ok := strings.CutSuffix(part.text, "%"); ok {
			*part.fraction, err = strconv.ParseFloat(percent, 64)
			*part.fraction /= 100
		} else if part.text != "" {
			*part.offset, err = time.ParseDuration(part.text)
		}
		if err != nil {
			return Span{}, fmt.Errorf("%w %q: %q is neither a percentage nor a duration", ErrSpan, text, part.text)
		}
	}
	if err := s.check(); err != nil {
		return Span{}, fmt.Errorf("%q: %w", text, err)
	}
	return s, nil
}

// check refuses what no bag can satisfy.
func (s Span) check() error {
	unit := func(f float64) bool { return f >= 0 && f <= 1 }
	switch {
	case !unit(s.StartFraction) || !unit(s.EndFraction) || s.Start < 0 || s.End < 0:
		return fmt.Errorf("%w: fractions lie in 0..1 and times are not negative", ErrSpan)
	case s.StartFraction > 0 && s.Start > 0, s.EndFraction > 0 && s.End > 0:
		return fmt.Errorf("%w: give a fraction or a time, not both", ErrSpan)
	case s.EndFraction > 0 && s.EndFraction <= s.StartFraction, s.End > 0 && s.End <= s.Start:
		return fmt.Errorf("%w: it ends before it starts", ErrSpan)
	}
	return nil
}

// resolve returns the span in ns of ROS time, [lo, hi).
func (s Span) resolve(start, end int64) (lo, hi int64, err error) {
	if err := s.check(); err != nil {
		return 0, 0, err
	}
	at := func(fraction float64, offset time.Duration) int64 {
		return start + int64(fraction*float64(end-start)) + int64(offset)
	}
	lo, hi = at(s.StartFraction, s.Start), math.MaxInt64
	if (s.EndFraction > 0 && s.EndFraction < 1) || s.End > 0 {
		hi = at(s.EndFraction, s.End)
	}
	if hi <= lo {
		return 0, 0, fmt.Errorf("%w: in a bag of %v it ends before it starts", ErrSpan, time.Duration(end-start))
	}
	if s == (Span{}) {
		lo = math.MinInt64
	}
	return lo, hi, nil
}
