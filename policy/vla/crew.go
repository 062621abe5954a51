package vla

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"time"

	"arfm/policy/nn/workers"
)

// maxCrew is how many parts a ticket has room for.
const maxCrew = 32

// crew does work that comes in stages of a few dozen microseconds, each in a
// fixed number of parts. Who is free takes the next part, so one that has no
// processor just now holds up the others by no more than the part in its hands;
// who ends a stage's last part begins the next stage.
type crew struct {
	ticket  atomic.Uint64 // count of stages<<maxCrew | parts that nobody has taken
	running atomic.Bool
	_       [48]byte     // those who spin read the ticket, not what changes beside it
	left    atomic.Int32 // parts that are not done
	closed  atomic.Bool
	n       int
	stage   int // in hand, of so many:
	stages  int
	work    func(stage, part int)
	seats   []workers.Seat // the leader's is the first
	spin    atomic.Bool    // no use where there is one processor
	yield   atomic.Bool    // lets other goroutines in, where the crew takes all processors
	crowded atomic.Int64   // until when it does not, Unix nanoseconds: they take long
}

// newCrew starts n-1 goroutines that help with stages of n parts until close.
func newCrew(n int) *crew {
	t := &crew{n: n, seats: make([]workers.Seat, n)}
	t.begin()
	for i := 1; i < n; i++ {
		go t.help(i)
	}
	return t
}

// begin adapts to the processors there are.
func (t *crew) begin() {
	procs := runtime.GOMAXPROCS(0)
	t.spin.Store(procs > 1)
	t.yield.Store(procs <= t.n)
}

// run does all parts of so many stages, one stage after another; one goroutine at
// a time calls it.
func (t *crew) run(stages int, work func(stage, part int)) {
	if stages == 0 {
		return
	}
	t.stages, t.work = stages, work
	t.running.Store(true)
	t.post(0)
	for t.running.Load() {
		if t.take(0) {
			t.rest(0)
		} else {
			t.wait(0, func() bool { return uint32(t.ticket.Load()) != 0 || !t.running.Load() })
		}
	}
	t.work = nil
}

// post lets all parts of a stage be taken.
func (t *crew) post(stage int) {
	t.stage = stage
	t.left.Store(int32(t.n))
	t.ticket.Store((t.ticket.Load()>>maxCrew+1)<<maxCrew | 1<<t.n - 1)
	for i := range t.seats {
		t.seats[i].Rouse()
	}
}

// take does one part, the goroutine's own if it can be had: its weights may
// still be in its processor's cache.
func (t *crew) take(i int) bool {
	for {
		ticket := t.ticket.Load()
		free := uint32(ticket)
		if free == 0 {
			return false
		}
		part := i
		if free>>i&1 == 0 {
			part = bits.TrailingZeros32(free)
		}
		if t.ticket.CompareAndSwap(ticket, ticket&^(1<<part)) {
			t.do(part)
			return true
		}
	}
}

// do does a part of the stage in hand, and what follows from it.
func (t *crew) do(part int) {
	t.work(t.stage, part)
	switch next := t.stage + 1; {
	case t.left.Add(-1) > 0:
	case next < t.stages:
		t.post(next)
	default:
		t.running.Store(false)
		t.seats[0].Rouse()
	}
}

// rest lets other goroutines in: a control loop's timer may be due, and nothing else
// would look. In each stage one member does, with no part in its hands, as two
// would change processors, away from their caches. Where others took long, which
// have a turn of 10 ms each and not a tick to do, there is no rest for a while.
func (t *crew) rest(i int) {
	if !t.yield.Load() || int(t.ticket.Load()>>maxCrew)%t.n != i {
		return
	}
	start := time.Now()
	if start.UnixNano() < t.crowded.Load() {
		return
	}
	runtime.Gosched()
	if took := time.Since(start); took > workers.Watch {
		t.crowded.Store(time.Now().Add(20 * took).UnixNano())
	}
}

func (t *crew) help(i int) {
	for !t.closed.Load() {
		if t.take(i) {
			t.rest(i)
		} else {
			t.wait(i, func() bool { return uint32(t.ticket.Load()) != 0 || t.closed.Load() })
		}
	}
}

// close ends the helpers.
func (t *crew) close() {
	t.closed.Store(true)
	for i := range t.seats {
		t.seats[i].Rouse()
	}
}

// wait returns when over is true, of which whoever makes it so tells seat i.
func (t *crew) wait(i int, over func() bool) { t.seats[i].Wait(over, t.spin.Load()) }
