package loop

import (
	"errors"
	"fmt"
	"time"

	"arfm/nodes/runner"
	"arfm/policy"
)

var errNoPolicy = errors.New("there is no policy")

// inference runs the policy on a goroutine of its own, one request at a time.
// Between begin and the result, obs and chunk belong to that goroutine.
type inference struct {
	requests chan request
	results  chan result
	done     chan struct{}
	check    func(*policy.ActionChunk) error // of every chunk; may be nil
	obs      policy.Observation
	chunk    policy.ActionChunk
}

type request struct {
	seq, generation uint64
	policy          policy.Policy
}

type result struct {
	seq, generation uint64
	err             error
	took            time.Duration
	info            policy.Info
}

func startInference(check func(*policy.ActionChunk) error) *inference {
	f := &inference{check: check, requests: make(chan request, 1), results: make(chan result, 1), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		for req := range f.requests {
			begin := time.Now()
			res := result{seq: req.seq, generation: req.generation}
			res.err = f.act(req.policy)
			res.took = time.Since(begin)
			if req.policy != nil {
				res.info = req.policy.Info()
			}
			f.results <- res // never blocks: the runner asks again only after an answer
		}
	}()
	return f
}

// act turns a panic of the policy into an error: an arm in motion has to be
// braked, not dropped.
func (f *inference) act(p policy.Policy) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the policy panicked: %v", r)
		}
	}()
	if p == nil {
		return errNoPolicy
	}
	if err := p.Act(&f.obs, &f.chunk); err != nil || f.check == nil {
		return err
	}
	return f.check(&f.chunk)
}

// begin copies the observation and starts the policy on it.
func (f *inference) begin(req *runner.Request, p policy.Policy, generation uint64) {
	copyObservation(&f.obs, req.Observation)
	f.requests <- request{seq: req.Seq, generation: generation, policy: p}
}

// stop ends the goroutine; an answer on its way is thrown away.
func (f *inference) stop() error {
	close(f.requests)
	select {
	case <-f.done:
		return nil
	case <-time.After(2 * time.Second):
		return ErrHung
	}
}

// copyObservation copies src into dst's storage.
func copyObservation(dst, src *policy.Observation) {
	dst.Stamp, dst.Instruction = src.Stamp, src.Instruction
	dst.State = append(dst.State[:0], src.State...)
	if len(dst.Images) != len(src.Images) {
		dst.Images = make([]policy.Image, len(src.Images))
	}
	for i, im := range src.Images {
		d := &dst.Images[i]
		d.Width, d.Height = im.Width, im.Height
		d.Pix = append(d.Pix[:0], im.Pix...)
	}
}
