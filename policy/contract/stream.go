package contract

import (
	"fmt"
	"slices"
	"time"
)

// Bounds of one stream's history. The window of two periods rules; these hold
// against a flood and against stamps from the future.
const (
	maxSamples = 8192
	maxImages  = 256
	maxTotal   = 512 << 20 // bytes of undecoded images, or of trajectories
)

// StaleError says that a topic's newest usable sample is too old for a frame.
type StaleError struct {
	Topic    string
	Age, Max time.Duration // Max is the period for align: drop
}

// Error implements error.
func (e *StaleError) Error() string {
	return fmt.Sprintf("topic %s is stale: its sample is %v old, %v is allowed; check its publisher or raise max_age_ms", e.Topic, e.Age, e.Max)
}

// sample is one message, reduced to what a frame needs.
type sample struct {
	received, stamp int64
	values          []float32   // state, action
	image           *rawImage   // camera, undecoded
	traj            *trajectory // action
	text            string      // instruction
}

// bytes is the size of what can be large.
func (s *sample) bytes() int {
	switch {
	case s.image != nil:
		return len(s.image.data)
	case s.traj != nil:
		return 8 * (len(s.traj.times) + len(s.traj.pos) + len(s.traj.vel) + len(s.traj.acc))
	}
	return 0
}

// stream is one use of a topic: a state field, a camera, the instruction or
// the action, with a bounded history in the order of arrival.
type stream struct {
	topic  string
	role   Role
	align  string
	header bool  // stamped by the header
	maxAge int64 // ns; 0: any age
	dim    int

	extract *extractor // state, action
	names   []string   // action by JointTrajectory, else nil
	vel     bool       // take the trajectory's velocity
	camera  *camera

	history []sample
	bytes   int         // of images and trajectories in history
	free    [][]float32 // value buffers to use again
	freeImg []*rawImage
	chosen  int // index into history, of the last pick
}

// pick finds the sample for time t; the result is an index into history.
func (s *stream) pick(t, period int64) (int, error) {
	best := -1
	for i := range s.history {
		m := &s.history[i]
		if m.received > t {
			continue
		}
		if s.align != AlignAsof && m.stamp > t {
			continue
		}
		if best < 0 || s.better(m, &s.history[best], t) {
			best = i
		}
	}
	if best < 0 {
		return -1, s.none(t)
	}
	age, limit := s.age(best, t), s.maxAge
	if s.align == AlignDrop && age >= period {
		return best, &StaleError{s.topic, time.Duration(age), time.Duration(period)}
	}
	if limit > 0 && age > limit {
		return best, &StaleError{s.topic, time.Duration(age), time.Duration(limit)}
	}
	return best, nil
}

// none says why there is no sample for time t.
func (s *stream) none(t int64) error {
	for i := range s.history {
		if m := &s.history[i]; m.received <= t { // so its stamp is after t
			return &aheadError{s.topic, time.Duration(m.stamp - t)}
		}
	}
	return fmt.Errorf("topic %s: %w", s.topic, ErrNoSample)
}

// aheadError is an ErrNoSample: messages came, but of a time to come.
type aheadError struct {
	topic string
	by    time.Duration
}

func (e *aheadError) Error() string {
	return fmt.Sprintf("topic %s is stamped %v ahead of the time here; compare the clocks, and use_sim_time, of both sides", e.topic, e.by)
}

func (e *aheadError) Is(target error) bool { return target == ErrNoSample }

// better says whether a, which arrived later, takes b's place at time t.
func (s *stream) better(a, b *sample, t int64) bool {
	if s.align == AlignAsof {
		da, db := distance(a.stamp, t), distance(b.stamp, t)
		return da < db || (da == db && a.stamp >= b.stamp)
	}
	return a.stamp >= b.stamp
}

// age is the time between t and the sample's stamp, ns, never negative.
func (s *stream) age(i int, t int64) int64 { return distance(s.history[i].stamp, t) }

func distance(a, b int64) int64 {
	if a < b {
		return b - a
	}
	return a - b
}

// values returns an empty buffer of the stream's dimension.
func (s *stream) values() []float32 {
	if n := len(s.free); n > 0 {
		v := s.free[n-1]
		s.free = s.free[:n-1]
		return v
	}
	return make([]float32, s.dim)
}

// push appends m and lets go of samples that no frame at or after cutoff can
// use.
func (s *stream) push(m sample, cutoff int64) {
	s.history = append(s.history, m)
	s.bytes += m.bytes()
	drop := 0
	for drop < len(s.history)-1 && s.useless(drop, cutoff) {
		drop++
	}
	limit := maxSamples
	if s.camera != nil {
		limit = maxImages
	}
	total := s.bytes
	for i := range drop {
		total -= s.history[i].bytes()
	}
	for drop < len(s.history)-1 && (len(s.history)-drop > limit || total > maxTotal) {
		total -= s.history[drop].bytes()
		drop++
	}
	s.bytes = total
	for i := range drop {
		s.recycle(&s.history[i])
	}
	s.history = slices.Delete(s.history, 0, drop)
}

// useless says whether another sample, received and stamped before cutoff,
// takes the place of sample i in every frame from cutoff on.
func (s *stream) useless(i int, cutoff int64) bool {
	for j := i + 1; j < len(s.history); j++ {
		m := &s.history[j]
		if m.received > cutoff {
			return false
		}
		if m.stamp <= cutoff && m.stamp >= s.history[i].stamp {
			return true
		}
	}
	return false
}

// image returns a buffer for a message of the camera.
func (s *stream) image() *rawImage {
	if n := len(s.freeImg); n > 0 {
		img := s.freeImg[n-1]
		s.freeImg = s.freeImg[:n-1]
		return img
	}
	return &rawImage{}
}

// recycle puts a sample's buffers up for use again.
func (s *stream) recycle(m *sample) {
	if m.values != nil {
		s.free = append(s.free, m.values)
	}
	if m.image == nil {
		return
	}
	if m.image.let = true; m.image.users == 0 {
		s.reuse(m.image)
	}
}

// reuse takes back an image that neither the history nor a frame has.
func (s *stream) reuse(img *rawImage) {
	if len(s.freeImg) < 4 {
		s.freeImg = append(s.freeImg, img)
	}
}
