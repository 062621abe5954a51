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
	ErrNoPrevious = errors.New("hotswap: there are no other weights to roll back to, swap in a checkpoint first")
	ErrSuperseded = errors.New("hotswap: other weights are in use by now, judge those before rolling back")
)

// errInUse says that an offer changes nothing.
var errInUse = errors.New("hotswap: these weights are in use already")

// Slot holds the policy in use, the one before it and the last that proved
// itself. Current and Load never block; all methods may be called from any
// goroutine. The policies' Act is still for one goroutine at a time.
type Slot struct {
	now atomic.Pointer[slotState]

	mu       sync.Mutex          // one writer at a time
	rejected map[string]struct{} // hashes that were rolled back
}

type slotState struct {
	current, previous *weights
	proven            *weights // may be either of the two; nil only while the slot is empty
	generation        uint64
}

// weights are a policy and the generation at which it came into use. They are
// compared by address: policies need not be comparable.
type weights struct {
	policy.Policy
	generation uint64
}

// held returns the policy, nil where there are no weights.
func (w *weights) held() policy.Policy {
	if w == nil {
		return nil
	}
	return w.Policy
}

// NewSlot returns a slot that holds p at generation 1, or nothing at
// generation 0 when p is nil. The first policy counts as proven: there is none
// that it could be measured against.
func NewSlot(p policy.Policy) *Slot {
	s := &Slot{rejected: map[string]struct{}{}}
	s.now.Store(&slotState{})
	if p != nil {
		s.Swap(p)
	}
	return s
}

// Current returns the policy in use, nil while there is none.
func (s *Slot) Current() policy.Policy { return s.now.Load().current.held() }

// Load returns the policy in use together with its generation, a count of
// swaps and rollbacks: a loop that sees another generation than for its last
// chunk uses other weights from here on.
func (s *Slot) Load() (policy.Policy, uint64) {
	st := s.now.Load()
	return st.current.held(), st.generation
}

// Generation returns the count of swaps and rollbacks.
func (s *Slot) Generation() uint64 { return s.now.Load().generation }

// Previous returns the policy that Rollback would bring back, nil if none.
func (s *Slot) Previous() policy.Policy { return s.now.Load().previous.held() }

// Proven returns the policy that RollbackFrom would bring back: the last one
// that was confirmed, or else the first; nil while the slot is empty.
func (s *Slot) Proven() policy.Policy { return s.now.Load().proven.held() }

// Swap puts p in use, keeps the policy before it for Rollback and returns the
// new generation.
func (s *Slot) Swap(p policy.Policy) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.swap(p)
}

func (s *Slot) swap(p policy.Policy) uint64 {
	old := s.now.Load()
	w := &weights{p, old.generation + 1}
	next := &slotState{current: w, previous: old.current, proven: old.proven, generation: w.generation}
	if next.proven == nil {
		next.proven = w
	}
	s.now.Store(next)
	return next.generation
}

// Confirm says that the weights of this generation have proved themselves: an
// automatic rollback goes back to them from now on. It does nothing when they
// are neither in use nor the previous ones any more.
func (s *Slot) Confirm(generation uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := *s.now.Load()
	for _, w := range []*weights{next.current, next.previous} {
		if w != nil && w.generation == generation {
			next.proven = w
			s.now.Store(&next)
			return
		}
	}
}

// Rollback is the operator's: it puts the previous policy back in use, proven
// or not, and remembers the hash of the rejected one, so that a watcher does
// not swap it in again by itself. It returns ErrNoPrevious when there is none:
// one rollback for each swap.
func (s *Slot) Rollback() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now.Load()
	if old.previous == nil {
		return ErrNoPrevious
	}
	s.restore(old, old.previous)
	return nil
}

// RollbackFrom is a judge's: it goes back to the last weights that have proved
// themselves, which need not be the previous ones, remembers the hash of the
// rejected ones like Rollback, and returns the new generation. It does nothing
// and returns ErrSuperseded when the generation that was judged is no longer in
// use, and ErrNoPrevious when that is the proven one itself.
func (s *Slot) RollbackFrom(generation uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.now.Load()
	switch {
	case generation != old.generation:
		return 0, ErrSuperseded
	case old.proven == old.current:
		return 0, ErrNoPrevious
	}
	return s.restore(old, old.proven), nil
}

// restore puts the weights back in use in place of the current ones.
func (s *Slot) restore(old *slotState, back *weights) uint64 {
	s.rejected[old.current.Info().Hash] = struct{}{}
	w := &weights{back.Policy, old.generation + 1}
	next := &slotState{current: w, proven: old.proven, generation: w.generation}
	if old.proven == back || old.proven == old.current { // rejected weights are no refuge
		next.proven = w
	}
	s.now.Store(next)
	return next.generation
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

// offer swaps p in unless its weights are in use (errInUse) or were rolled back
// (ErrRejected), in one step with the check, so that a rollback at the same
// moment is not undone.
func (s *Slot) offer(p policy.Policy) (generation uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := p.Info().Hash
	if c := s.now.Load().current; c != nil && c.Info().Hash == hash {
		return 0, errInUse
	}
	if _, no := s.rejected[hash]; no {
		return 0, ErrRejected
	}
	return s.swap(p), nil
}
