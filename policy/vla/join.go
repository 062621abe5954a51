package vla

import (
	"runtime"
	"sync/atomic"
	"time"
)

// spinTime bounds how long a worker that waits for its mates keeps its
// processor: a few times what they can be late by when each has one.
const spinTime = 30 * time.Microsecond

// join is where a team's workers wait for each other, hundreds of times a chunk
// and some dozens of microseconds apart. The last to come lets the others go.
type join struct {
	arrived atomic.Int32
	_       [60]byte // those who spin read round, not what the others write
	round   atomic.Uint32
	_       [60]byte
	seats   []seat
	spin    bool // no use where there is one processor
	yield   bool // lets other goroutines in, where the team takes all processors
}

// seat is where a worker sleeps.
type seat struct {
	asleep atomic.Bool
	wake   chan struct{} // one for each time that asleep was set by it and cleared by another
	_      [48]byte
}

func newJoin(n int) *join {
	j := &join{seats: make([]seat, n)}
	for i := range j.seats {
		j.seats[i].wake = make(chan struct{}, 1)
	}
	return j
}

// begin adapts to the processors there are.
func (j *join) begin() {
	procs := runtime.GOMAXPROCS(0)
	j.spin, j.yield = procs > 1, procs <= len(j.seats)
}

// arrive counts a worker in and returns the round that ends when all have come.
func (j *join) arrive() uint32 {
	round := j.round.Load()
	if int(j.arrived.Add(1)) == len(j.seats) {
		j.arrived.Store(0)
		j.round.Add(1)
		for i := range j.seats {
			if s := &j.seats[i]; s.asleep.Swap(false) {
				s.wake <- struct{}{}
			}
		}
	}
	return round
}

// wait returns when all workers have come here as often as worker i.
func (j *join) wait(i int) {
	if j.yield {
		// A control loop's timer may be due, and nothing else would look.
		runtime.Gosched()
	}
	round := j.arrive()
	if j.spun(round) {
		return
	}
	// One that was woken late for an earlier round sleeps again.
	for s := &j.seats[i]; j.round.Load() == round; {
		s.asleep.Store(true)
		if j.round.Load() != round && s.asleep.CompareAndSwap(true, false) {
			return
		}
		<-s.wake
	}
}

// spun says whether the round ended within a short time.
func (j *join) spun(round uint32) bool {
	if j.round.Load() != round {
		return true
	}
	if !j.spin {
		return false
	}
	for start := time.Now(); time.Since(start) < spinTime; {
		for range 100 {
			if j.round.Load() != round {
				return true
			}
		}
	}
	return false
}
