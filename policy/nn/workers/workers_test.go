package workers

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestDo: each part is done once, whoever else works, and nobody is left behind.
func TestDo(t *testing.T) {
	var all sync.WaitGroup
	for g := range 6 {
		all.Go(func() {
			var w Job
			for i := range 300 {
				parts := 1 + (i*7+g)%13
				done := make([]atomic.Int32, parts)
				w.Do(1+i%5, parts, func(p int) {
					if i%50 == 0 {
						time.Sleep(time.Millisecond)
					}
					done[p].Add(1)
				})
				for p := range done {
					if n := done[p].Load(); n != 1 {
						t.Errorf("part %d of %d was done %d times", p, parts, n)
					}
				}
				if i%40 == 0 {
					time.Sleep(2 * Watch) // the helpers fall asleep
				}
			}
		})
	}
	all.Wait()
}

// TestWithdraw: who has not begun is not waited for.
func TestWithdraw(t *testing.T) {
	n := int32(0)
	var w Job
	w.parts, w.do = 1, func(int) { n++ }
	asleep := &helpers[most-1] // nobody's
	if !w.give(asleep) {
		t.Fatal("a helper without work takes none")
	}
	was := started.Swap(most)
	w.take()
	w.withdraw()
	started.Store(was)
	if w.left.Load() != 0 || asleep.work.Load() != nil || n != 1 {
		t.Errorf("%d helpers left, %d parts done", w.left.Load(), n)
	}
}

// TestNested: a part may have work of its own.
func TestNested(t *testing.T) {
	var outer Job
	var sum atomic.Int64
	outer.Do(4, 8, func(i int) {
		var inner Job
		inner.Do(4, 8, func(k int) { sum.Add(int64(8*i + k)) })
	})
	if sum.Load() != 63*64/2 {
		t.Errorf("sum %d", sum.Load())
	}
}

// TestAllocates nothing once it has run.
func TestAllocates(t *testing.T) {
	var w Job
	var n atomic.Int32
	do := func(int) { n.Add(1) }
	w.Do(2, 4, do)
	if a := testing.AllocsPerRun(200, func() { w.Do(2, 4, do) }); a > 0.1 {
		t.Errorf("%v allocations", a)
	}
}

func BenchmarkDo(b *testing.B) {
	var w Job
	do := func(int) {}
	for b.Loop() {
		w.Do(2, 2, do)
	}
}
