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

// watch is how long a goroutine without work, or one that waits for others,
// keeps its processor.
const watch = 200 * time.Microsecond

// most is how many goroutines help at a time.
const most = 64

// Job is what is shared; it is used again and again by one goroutine at a time.
// The zero value is ready.
type Job struct {
	parts      int32
	next, left atomic.Int32 // part to take; helpers that are not done
	do         func(part int)
	leader     seat
}

// seat is where a goroutine sleeps.
type seat struct {
	asleep atomic.Bool
	wake   atomic.Pointer[chan struct{}] // room for one: it is filled by whoever clears asleep
	_      [48]byte
}

// helper is a goroutine that does a work's parts, or waits for one.
type helper struct {
	seat seat
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
	w.leader.wait(func() bool { return w.left.Load() == 0 })
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
				h.seat.rouse()
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
		h.seat.wait(func() bool { return h.work.Load() != nil })
		w := h.work.Load()
		if w == nil || !h.work.CompareAndSwap(w, &begun) {
			continue
		}
		w.take()
		h.work.Store(nil)
		if w.left.Add(-1) == 0 {
			w.leader.rouse()
		}
	}
}

// wait returns when over is true, of which whoever makes it so tells the seat.
func (s *seat) wait(over func() bool) {
	if over() || runtime.GOMAXPROCS(0) > 1 && spun(over) {
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

// spun says whether over became true within a short time.
func spun(over func() bool) bool {
	for start := time.Now(); time.Since(start) < watch; {
		for range 50 {
			if over() {
				return true
			}
		}
	}
	return false
}

// rouse wakes the seat's goroutine if it sleeps.
func (s *seat) rouse() {
	if s.asleep.Load() && s.asleep.CompareAndSwap(true, false) {
		*s.wake.Load() <- struct{}{}
	}
}
