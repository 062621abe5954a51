//go:build ros

package driver

import "sync"

// sender hands plans to an output on a goroutine of its own, so that the control
// loop waits for no middleware and no controller. Where it falls behind, the
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
