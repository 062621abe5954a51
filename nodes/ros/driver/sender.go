//go:build ros

package driver

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Gate looks at a plan before it leaves: way-points (N, A) for the named
// joints at times (N), ns. An error keeps it from the arm, which then holds, and
// is the reason. It runs beside the control loop; ctx ends with its time budget,
// what to answer then is the gate's own policy.
type Gate func(ctx context.Context, names []string, times []int64, positions []float64) error

// sender hands plans to an output on a goroutine of its own, so that the control
// loop waits for no middleware, controller or gate. Where it falls behind, the
// newest plan takes the place of those that wait.
type sender struct {
	send func(*plan)

	mu          sync.Mutex
	next, spare *plan
	full        bool
	bell        chan struct{}
	done        chan struct{}
	quit        chan struct{}
}

func newSender(send func(*plan)) *sender {
	s := &sender{send: send, next: &plan{}, spare: &plan{}, bell: make(chan struct{}, 1), done: make(chan struct{}), quit: make(chan struct{})}
	go func() {
		defer close(s.done)
		for {
			select {
			case <-s.bell:
			case <-s.quit:
				return
			}
			if p := s.take(); p != nil {
				s.send(p)
			}
		}
	}()
	return s
}

// put has fill write the plan that is sent next.
func (s *sender) put(fill func(*plan)) {
	s.mu.Lock()
	// What a plan that was never sent took back stays taken back.
	first := s.full && (s.next.first || s.next.forget)
	s.next.first, s.next.forget = false, false
	fill(s.next)
	s.next.first = s.next.first || first
	s.full = true
	s.mu.Unlock()
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

func (s *sender) take() *plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.full {
		return nil
	}
	s.full = false
	s.next, s.spare = s.spare, s.next
	return s.spare
}

// close ends the goroutine; a plan that is being sent is waited for, one that
// waits is sent.
func (s *sender) close() {
	close(s.quit)
	<-s.done
	if p := s.take(); p != nil {
		s.send(p)
	}
}

// holdGate is the name of the gate's hold, gateAgain how long it lasts: then the
// policy may try another way.
const (
	holdGate  = "validity"
	gateAgain = time.Second
)

// deliver takes a plan through the gate and the seam to out.
func (d *session) deliver(p *plan, s *seam, out func(stamp int64, pts *points) error) {
	if p.forget {
		s.inForce = false
		return
	}
	if g := d.o.Gate; g != nil && p.generation != 0 {
		ctx, cancel := context.WithTimeout(d.ctx, d.o.GateBudget)
		err := g(ctx, d.names, p.times, p.pos)
		cancel()
		if err != nil {
			d.holds.hold(holdGate, fmt.Sprintf("the plan is refused: %v", err))
			d.holds.releaseAfter(gateAgain, holdGate)
			return
		}
	}
	pts := s.lay(p, d.now())
	if pts == nil {
		return
	}
	if err := out(p.stamp, pts); err != nil {
		d.log.Errorf("trajectory: %v", err)
	}
}
