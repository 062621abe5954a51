package gemm

import (
	"arfm/policy/nn/cpu"
	"arfm/policy/nn/workers"
)

// Parallel computes the product on up to n goroutines, this one among them,
// each of which takes its part of C. What is packed, and how often, depends on
// n; the result does not. It allocates nothing once it has been called a few
// times.
func (p *Product) Parallel(n int) {
	level := p.level()
	if n < 2 || level == cpu.Generic || p.M == 0 || p.N == 0 {
		p.Run()
		return
	}
	p.check()
	j := jobs.take()
	j.p, j.level = *p, level
	j.split(n)
	j.work.Do(n, len(j.parts), j.do)
	j.p = Product{}
	jobs.put(j)
}

// job is a product in parts.
type job struct {
	p     Product
	level cpu.Level
	parts []share
	work  workers.Job
	do    func(part int) // compute, bound once
}

var jobs = shelf[job]{make: func() *job {
	j := new(job)
	j.do = j.compute
	return j
}}

// How many multiplications a part should have at least, and how many strips.
const (
	partWork   = 1 << 20
	partStrips = 3
)

// split cuts C into parts for n goroutines: rows, or columns where that packs
// less or there are few rows, as each part of rows reads all of B. Where parts
// cost no packing there are several for each goroutine, so that one that is held
// up leaves some to the others, unless they would be a strip or two: each part
// of columns reads all of A.
func (j *job) split(n int) {
	x, p := borrow(j.level), &j.p
	f := x.cutting(p)
	x.giveBack()
	panels, strips := f.panels(p.M), f.strips(p.N)
	columns := p.N >= p.M
	switch {
	case panels < 4*n && strips >= n || p.A.Packed != nil:
		columns = true
	case p.B.Packed != nil || strips < n:
		columns = false
	}
	if columns && p.A.Packed != nil || !columns && p.B.Packed != nil {
		most := int(float64(p.M) * float64(p.N) * float64(p.K) / partWork / float64(n))
		if columns {
			most = min(most, strips/partStrips/n)
		}
		n *= max(1, min(4, most))
	}
	j.parts = j.parts[:0]
	if columns {
		for i, n := 0, min(n, strips); i < n; i++ {
			j.parts = append(j.parts, share{0, panels, cut(i, n, strips), cut(i+1, n, strips)})
		}
		return
	}
	for i, n := 0, min(n, panels); i < n; i++ {
		j.parts = append(j.parts, share{cut(i, n, panels), cut(i+1, n, panels), 0, strips})
	}
}

func (j *job) compute(part int) {
	x := borrow(j.level)
	x.run(&j.p, j.parts[part])
	x.giveBack()
}
