// Package workers shares work among goroutines that stay, for work that comes in
// bursts of parts of some dozen microseconds: who has finished keeps its
// processor for a moment, as what wakes one that sleeps may take longer than a
// part.
package workers

import (
	"runtime"
	"sync/atomic"
	"time"
)

// Watch is how long a goroutine without work, or one that waits for others,
// keeps its processor: a few times what those can be late by when they have one
// too. With 30 us some 60 waits of a policy's chunk ended in sleep where the cores
// share a busy memory, which cost a sixth of its time.
const Watch = 200 * time.Microsecond

// most is how many goroutines help at a time.
const most = 64

// Job is what is shared; it is used again and again by one goroutine at a time.
// The zero value is ready.
type Job struct {
	parts      int32
	next, left atomic.Int32 // part to take; helpers that are not done
	do         func(part int)
	leader     Seat
}

// Seat is where one goroutine waits for others. The zero value is ready.
type Seat struct {
	asleep atomic.Bool
	wake   atomic.Pointer[chan struct{}] // room for one: it is filled by whoever clears asleep
	_      [48]byte
}

// helper is a goroutine that does a work's parts, or waits for one.
type helper struct {
	seat Seat
	work atomic.Pointer[Job] // given to it; begun; nil: it has none
}

// begun stands for a work that cannot be withdrawn any more.
var begun Job

var (
	helpers [most]helper
	started atomic.Int32
)

// Do calls do with 0 to parts-1, each once, on up to n goroutines, this one among
// them; who is free takes the next part. It returns when all are done.
func (w *Job) Do(n, parts int, do func(part int)) {
	n = min(n, parts)
	if n < 2 {
		for i := range parts {
			do(i)
		}
		return
	}
	w.parts, w.do = int32(parts), do
	w.next.Store(0)
	for range n - 1 {
		if !w.recruit() {
			break
		}
	}
	w.take()
	w.withdraw()
	w.leader.Wait(func() bool { return w.left.Load() == 0 }, severalCores())
	w.do = nil
}

// withdraw takes the work back from helpers that have not begun: all parts are in
// hand, and who still sleeps would be waited for.
func (w *Job) withdraw() {
	for i := range helpers[:started.Load()] {
		if h := &helpers[i]; h.work.Load() == w && h.work.CompareAndSwap(w, nil) {
			w.left.Add(-1)
		}
	}
}

// recruit gives the work to a helper that has none.
func (w *Job) recruit() bool {
	for {
		n := started.Load()
		for i := range helpers[:n] {
			h := &helpers[i]
			if h.work.Load() == nil && w.give(h) {
				h.seat.Rouse()
				return true
			}
		}
		if int(n) >= min(most, runtime.GOMAXPROCS(0)) {
			return false
		}
		if started.CompareAndSwap(n, n+1) {
			go helpers[n].loop()
		}
	}
}

func (w *Job) give(h *helper) bool {
	w.left.Add(1)
	if h.work.CompareAndSwap(nil, w) {
		return true
	}
	w.left.Add(-1)
	return false
}

// take does parts until none is left.
func (w *Job) take() {
	for {
		i := w.next.Add(1) - 1
		if i >= w.parts {
			return
		}
		w.do(int(i))
	}
}

func (h *helper) loop() {
	for {
		h.seat.Wait(func() bool { return h.work.Load() != nil }, severalCores())
		w := h.work.Load()
		if w == nil || !h.work.CompareAndSwap(w, &begun) {
			continue
		}
		w.take()
		h.work.Store(nil)
		if w.left.Add(-1) == 0 {
			w.leader.Rouse()
		}
	}
}

// Wait returns when over is true, after which whoever makes it so calls Rouse. With
// spin it keeps its processor for a moment before it sleeps.
func (s *Seat) Wait(over func() bool, spin bool) {
	if over() || spin && spun(over) {
		return
	}
	wake := s.wake.Load()
	if wake == nil {
		c := make(chan struct{}, 1)
		wake = &c
		s.wake.Store(wake)
	}
	for !over() {
		s.asleep.Store(true)
		if over() && s.asleep.CompareAndSwap(true, false) {
			return
		}
		<-*wake
	}
}

// severalCores says whether it is of use to keep a processor.
func severalCores() bool { return runtime.GOMAXPROCS(0) > 1 }

// spun says whether over became true within a short time.
func spun(over func() bool) bool {
	for start := time.Now(); time.Since(start) < Watch; {
		for range 50 {
			if over() {
				return true
			}
		}
	}
	return false
}

// Rouse wakes the seat's goroutine if it sleeps.
func (s *Seat) Rouse() {
	if s.asleep.Load() && s.asleep.CompareAndSwap(true, false) {
		*s.wake.Load() <- struct{}{}
	}
}
