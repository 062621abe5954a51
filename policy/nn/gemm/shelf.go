package gemm

import (
	"sync/atomic"
	"unsafe"
)

// shelf lends out what is worth keeping. Unlike a sync.Pool it forgets nothing
// when the collector runs or a goroutine moves to another thread, so that a
// control loop allocates once and never again. It holds as many as were ever in
// use at a time, at most one a place.
type shelf[T any] struct {
	places [64]place[T]
	make   func() *T
}

// place has a cache line to itself, lest neighbours take it from each other.
type place[T any] struct {
	atomic.Pointer[T]
	_ [56]byte
}

// at is where a goroutine looks first: goroutines differ in their stacks.
func (s *shelf[T]) at() *place[T] {
	var here byte
	return &s.places[uintptr(unsafe.Pointer(&here))>>11%uintptr(len(s.places))]
}

func (s *shelf[T]) take() *T {
	if x := s.at().Swap(nil); x != nil {
		return x
	}
	for i := range s.places {
		if p := &s.places[i]; p.Load() != nil {
			if x := p.Swap(nil); x != nil {
				return x
			}
		}
	}
	return s.make()
}

func (s *shelf[T]) put(x *T) {
	if s.at().CompareAndSwap(nil, x) {
		return
	}
	for i := range s.places {
		if p := &s.places[i]; p.Load() == nil && p.CompareAndSwap(nil, x) {
			return
		}
	}
}
