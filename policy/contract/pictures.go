package contract

import (
	"fmt"
	"sync"
	"sync/atomic"

	"arfm/policy"
)

// Pictures are the camera images of one frame, by camera, decoded or still to
// be. The zero value holds none and can be used again after Collect.
type Pictures struct{ images []*rawImage }

// ImageError says that the message of a camera cannot be decoded.
type ImageError struct {
	Topic string
	Err   error // wraps ErrImage
}

// Error implements error.
func (e *ImageError) Error() string { return fmt.Sprintf("topic %s: %v", e.Topic, e.Err) }

// Unwrap returns what is wrong with the message.
func (e *ImageError) Unwrap() error { return e.Err }

// Bytes is the size of the messages that it holds.
func (p *Pictures) Bytes() int64 {
	n := int64(0)
	for _, img := range p.images {
		n += int64(len(img.data))
	}
	return n
}

// Prepare is Observe but for the images: it fills the rest of obs, and p with
// what Collect makes them of. With decoders to help they are decoded meanwhile.
// Observe is Prepare and then Collect.
func (r *Resampler) Prepare(t int64, obs *policy.Observation, p *Pictures) error {
	p.images = p.images[:0]
	if err := r.inReach(t); err != nil {
		return err
	}
	if err := r.choose(t); err != nil {
		return err
	}
	obs.Stamp = t
	obs.State = grow(obs.State, len(r.scratch))
	at := 0
	for _, s := range r.inputs {
		x := &s.history[s.chosen]
		if s.camera == nil {
			at += copy(obs.State[at:], x.values)
			continue
		}
		x.image.users++
		p.images = append(p.images, x.image)
		if r.helpers != nil && !x.image.queued && !x.image.decoded {
			x.image.queued = true
			r.helpers.submit(s.camera, x.image)
		}
	}
	obs.Instruction = r.c.Observation.Instruction.Default
	if r.text != nil {
		if k, err := r.text.pick(t, r.period); err == nil {
			obs.Instruction = r.text.history[k].text
		}
	}
	return nil
}

// Collect fills images with the pictures that Prepare chose, decoding what no
// decoder has, and lets go of them. It is called once for each Prepare without an
// error, in the order of those calls. The error is an *ImageError of the first
// camera whose message cannot be decoded, and that is counted as refused.
func (r *Resampler) Collect(p *Pictures, images *[]policy.Image) error {
	_, err := r.collect(p, images)
	return err
}

// collect is Collect and returns the input that failed too.
func (r *Resampler) collect(p *Pictures, images *[]policy.Image) (failed int, err error) {
	if len(*images) != len(p.images) {
		*images = make([]policy.Image, len(p.images))
	}
	first := len(r.inputs) - len(p.images)
	for k, img := range p.images {
		s := r.inputs[first+k]
		img.wait()
		r.decoder.decode(s.camera, img)
		if err = s.camera.show(img, &(*images)[k]); err != nil {
			failed, err = first+k, &ImageError{s.topic, err}
			if f := r.byTopic[s.topic]; !img.refused {
				img.refused = true
				f.Refused++
				f.Reason = err.Error()
			}
			break
		}
	}
	for k, img := range p.images {
		img.wait()
		if img.users--; img.users == 0 && img.let {
			r.inputs[first+k].reuse(img)
		}
	}
	p.images = p.images[:0]
	return failed, err
}

// wait returns once no decoder works on the image.
func (img *rawImage) wait() {
	if img.queued {
		<-img.ready
		img.queued = false
	}
}

// Help lets n goroutines decode the images of frames between Prepare and
// Collect; they change no result. With less than two, Collect decodes. Stop ends
// them.
func (r *Resampler) Help(n int) {
	if n >= 2 {
		r.helpers = newHelpers(n)
	}
}

// Stop ends the goroutines that Help started, if any, with what they are at.
func (r *Resampler) Stop() {
	if r.helpers != nil {
		r.helpers.stop()
		r.helpers = nil
	}
}

// helpers are goroutines that decode.
type helpers struct {
	work  chan job
	ended atomic.Bool
	group sync.WaitGroup

	// Pixels that are being decoded, maxPixels at most: memory grows with the
	// largest picture, not with the number of helpers.
	mu     sync.Mutex
	less   sync.Cond
	pixels int
}

type job struct {
	camera *camera
	img    *rawImage
}

func newHelpers(n int) *helpers {
	h := &helpers{work: make(chan job, n)}
	h.less.L = &h.mu
	for range n {
		h.group.Go(h.run)
	}
	return h
}

func (h *helpers) submit(c *camera, img *rawImage) {
	if img.ready == nil {
		img.ready = make(chan struct{}, 1)
	}
	h.work <- job{c, img}
}

func (h *helpers) run() {
	var d decoder
	for j := range h.work {
		if !h.ended.Load() {
			n := j.img.width * j.img.height
			h.enter(n)
			d.decode(j.camera, j.img)
			h.enter(-n)
		}
		j.img.ready <- struct{}{}
	}
}

// enter waits until n more pixels may be decoded.
func (h *helpers) enter(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n > 0 && h.pixels+n > maxPixels {
		h.less.Wait()
	}
	h.pixels += n
	if n < 0 {
		h.less.Broadcast()
	}
}

func (h *helpers) stop() {
	h.ended.Store(true)
	close(h.work)
	h.group.Wait()
}
