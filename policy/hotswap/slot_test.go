package hotswap

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"arfm/policy"
)

// marked is a policy whose chunk carries its own mark in every element, so
// that a mixture of two policies would show.
type marked struct {
	mark float32
	hash string
}

func (m *marked) Act(obs *policy.Observation, chunk *policy.ActionChunk) error {
	chunk.Dim, chunk.Stamp = 4, obs.Stamp
	chunk.Values = append(chunk.Values[:0], m.mark, m.mark, m.mark, m.mark)
	return nil
}

func (m *marked) Info() policy.Info { return policy.Info{Hash: m.hash, Step: int64(m.mark)} }

func mark(i int) *marked { return &marked{float32(i), fmt.Sprint("hash-", i)} }

func TestSlot(t *testing.T) {
	s := NewSlot(nil)
	if p, gen := s.Load(); p != nil || gen != 0 {
		t.Fatalf("an empty slot holds %v at %d", p, gen)
	}
	if err := s.Rollback(); !errors.Is(err, ErrNoPrevious) {
		t.Errorf("rollback of an empty slot: %v", err)
	}
	a, b := mark(1), mark(2)
	if gen := s.Swap(a); gen != 1 || s.Current() != policy.Policy(a) || s.Previous() != nil {
		t.Errorf("first swap: generation %d", gen)
	}
	if err := s.Rollback(); !errors.Is(err, ErrNoPrevious) {
		t.Errorf("rollback to nothing: %v", err)
	}
	if gen := s.Swap(b); gen != 2 || s.Previous() != policy.Policy(a) {
		t.Errorf("second swap: generation %d", gen)
	}
	if _, err := s.RollbackFrom(1); !errors.Is(err, ErrSuperseded) || s.Current() != policy.Policy(b) {
		t.Errorf("rollback from an old generation: %v", err)
	}
	if gen, err := s.RollbackFrom(2); err != nil || s.Current() != policy.Policy(a) || gen != 3 || s.Generation() != 3 {
		t.Errorf("rollback: %v, generation %d", err, s.Generation())
	}
	if err := s.Rollback(); !errors.Is(err, ErrNoPrevious) || s.Current() != policy.Policy(a) {
		t.Errorf("second rollback: %v", err)
	}
	if !s.Rejected(b.hash) || s.Rejected(a.hash) {
		t.Error("the rolled back weights are not remembered")
	}
	if _, err := s.offer(b); !errors.Is(err, ErrRejected) {
		t.Errorf("rolled back weights are offered again: %v", err)
	}
	if _, err := s.offer(mark(1)); !errors.Is(err, errInUse) {
		t.Errorf("the weights in use are offered: %v", err)
	}
	s.Forgive(b.hash)
	if gen, err := s.offer(b); err != nil || gen != 4 {
		t.Errorf("forgiven weights: %v at %d", err, gen)
	}
}

// TestSlotGoesBackToProven: a judge's rollback passes over weights that were
// replaced before they had proved themselves; an operator's does not.
func TestSlotGoesBackToProven(t *testing.T) {
	a, b, c, d := mark(1), mark(2), mark(3), mark(4)
	s := NewSlot(a)
	s.Swap(b)
	if gen, err := s.RollbackFrom(s.Swap(c)); err != nil || gen != 4 || s.Current() != policy.Policy(a) || s.Proven() != policy.Policy(a) {
		t.Fatalf("back to %v at %d (%v), want the first", s.Current(), gen, err)
	}
	if _, err := s.RollbackFrom(4); !errors.Is(err, ErrNoPrevious) || s.Rejected(a.hash) {
		t.Errorf("rollback of the proven weights: %v", err)
	}
	gen := s.Swap(b)
	s.Swap(c)
	s.Confirm(gen) // the verdict may come just after the next swap
	if s.Swap(d); s.Proven() != policy.Policy(b) {
		t.Errorf("proven is %v", s.Proven())
	}
	s.Confirm(gen + 10)
	if err := s.Rollback(); err != nil || s.Current() != policy.Policy(c) || s.Proven() != policy.Policy(b) {
		t.Errorf("operator's rollback: %v, %v proven (%v)", s.Current(), s.Proven(), err)
	}
	if _, err := s.RollbackFrom(s.Generation()); err != nil || s.Current() != policy.Policy(b) {
		t.Errorf("back to %v (%v)", s.Current(), err)
	}
	// What an operator took out is no refuge any more.
	s.Confirm(s.Swap(d))
	if err := s.Rollback(); err != nil || s.Proven() != policy.Policy(b) {
		t.Errorf("proven is %v (%v)", s.Proven(), err)
	}
}

func TestNewSlotInUse(t *testing.T) {
	if p, gen := NewSlot(mark(1)).Load(); p == nil || gen != 1 {
		t.Errorf("%v at %d", p, gen)
	}
}

// TestSlotConcurrently acts from several goroutines while others swap and roll
// back. A chunk must be of one policy, and a generation must belong to one.
func TestSlotConcurrently(t *testing.T) {
	s := NewSlot(mark(0))
	var readers, writers sync.WaitGroup
	stop := make(chan struct{})
	var known sync.Map // generation -> mark
	for range 4 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			var obs policy.Observation
			var chunk policy.ActionChunk
			last := uint64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				p, gen := s.Load()
				if gen < last {
					t.Errorf("generation %d after %d", gen, last)
					return
				}
				last = gen
				if err := p.Act(&obs, &chunk); err != nil {
					t.Error(err)
					return
				}
				for _, v := range chunk.Values {
					if v != chunk.Values[0] {
						t.Errorf("a mixed chunk: %v", chunk.Values)
						return
					}
				}
				if m, loaded := known.LoadOrStore(gen, chunk.Values[0]); loaded && m != chunk.Values[0] {
					t.Errorf("generation %d is of %v and of %v", gen, m, chunk.Values[0])
					return
				}
			}
		}()
	}
	for w := range 2 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			for i := range 2000 {
				s.Swap(mark(1 + w*10000 + i))
				if i%3 == 0 {
					if err := s.Rollback(); err != nil && !errors.Is(err, ErrNoPrevious) {
						t.Error(err)
					}
				}
			}
		}()
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}
