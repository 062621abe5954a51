// Package hotswap changes the weights of a running policy: a watcher validates
// new checkpoints beside the control loop and swaps one atomic pointer, a
// rollback brings the previous weights back, and a guard says when to.
package hotswap

import (
	"errors"
	"sync"
	"sync/atomic"

	"arfm/policy"
)

// What a rollback can answer.
var (
	ErrNoPrevious = errors.New("hotswap: there are no previous weights to roll back to, swap in a checkpoint first")
	ErrSuperseded = errors.New("hotswap: other weights are in use by now, judge those before rolling back")
)

// Slot holds the policy in use and the one before it. Current and Load never
// block; all methods may be called from any goroutine. The policies' Act is
// still for one goroutine at a time.
type Slot struct {
	now atomic.Pointer[slotState]

	mu       sync.Mutex          // one writer at a time
	rejected map[string]struct{} // hashes that were rolled back
}

type slotState struct {
	current, previous policy.Policy
	generation        uint64
}

// NewSlot returns a slot that holds p at generation 1, or nothing at
// generation 0 when p is nil.
func NewSlot(p policy.Policy) *Slot {
	s := &Slot{rejected: map[string]struct{}{}}
	first := &slotState{}
	if p != nil {
		first.current, first.generation = p, 1
	}
	s.now.Store(first)
	return s
}

// Current returns the policy in use, nil while there is none.
func (s *Slot) Current() policy.Policy { return s.now.Load().current }

// Load returns the policy in use together with its generation, a count of
// swaps and rollbacks: a loop that sees another generation than for its last
// chunk uses other weights from here on.
func (s *Slot) Load() (policy.Policy, uint64) {
	st := s.now.Load()
	return st.current, st.generation
}

// Generation returns the count of swaps and rollbacks.
func (s *Slot) Generation() uint64 { return s.now.Load().generation }

// Previous returns the policy that Rollback would bring back, nil if none.
func (s *Slot) Previous() policy.Policy { return s.now.Load().previous }

// Swap puts p in use, keeps the policy before it for Rollback and returns the
// new generation.
func (s *Slot) Swap(p policy.Policy) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.swap(p)
}

func (s *Slot) swap(p policy.Policy) uint64 {
	old := s.now.Load()
	next := &slotState{current: p, previous: old.current, generation: old.generation + 1}
	s.now.Store(next)
	return next.generation
}

// Rollback puts the previous policy back in use and remembers the hash of the
// rejected one, so that a watcher does not swap it in again by itself. It
// returns ErrNoPrevious when there is none: one rollback for each swap.
func (s *Slot) Rollback() error { return s.rollback(nil) }

// RollbackFrom is Rollback for a judge: it does nothing and returns
// ErrSuperseded when the generation that was judged is no longer in use.
func (s *Slot) RollbackFrom(generation uint64) error { return s.rollback(&generation) }

func (s *Slot) rollback(judged *uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now.Load()
	if judged != nil && *judged != old.generation {
		return ErrSuperseded
	}
	if old.previous == nil {
		return ErrNoPrevious
	}
	s.rejected[old.current.Info().Hash] = struct{}{}
	s.now.Store(&slotState{current: old.previous, generation: old.generation + 1})
	return nil
}

// Rejected reports whether the weights of this hash were rolled back.
func (s *Slot) Rejected(hash string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.rejected[hash]
	return ok
}

// Forgive forgets that the weights of this hash were rolled back.
func (s *Slot) Forgive(hash string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rejected, hash)
}

// offer swaps p in unless its weights are in use or were rolled back, in one
// step with the check, so that a rollback at the same moment is not undone.
func (s *Slot) offer(p policy.Policy) (generation uint64, swapped bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := p.Info().Hash
	if _, no := s.rejected[hash]; no {
		return 0, false
	}
	if c := s.now.Load().current; c != nil && c.Info().Hash == hash {
		return 0, false
	}
	return s.swap(p), true
}
