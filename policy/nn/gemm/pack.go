package gemm

import (
	"math"

	"arfm/policy/nn/cpu"
)

// Packed is an operand in the order in which the kernels read it, for matrices
// that are multiplied many times. It holds for the level at which it was
// packed. Any number of goroutines may multiply with it at a time.
type Packed struct {
	level         cpu.Level
	left          bool
	once          bool
	rows, columns int
	data          []float32
}

// Left packs op(A) (m, k). It takes over the receiver's memory.
func (p *Packed) Left(tA bool, m, k int, a []float32, lda int) *Packed {
	p.once = false
	return p.fill(true, m, k, Matrix{Data: a, Ld: lda, Trans: tA})
}

// Right packs op(B) (k, n). It takes over the receiver's memory.
func (p *Packed) Right(tB bool, k, n int, b []float32, ldb int) *Packed {
	p.once = false
	return p.fill(false, k, n, Matrix{Data: b, Ld: ldb, Trans: tB})
}

// RightOnce is Right for products of few rows, up to two dozen or so, with
// operands that no near cache holds: each number passes once, in tiles of one
// vector and up to 16 rows, and is fetched on the way. AVX2 has too few registers
// for that: there it is Right.
func (p *Packed) RightOnce(tB bool, k, n int, b []float32, ldb int) *Packed {
	p.once = cpu.Has == cpu.AVX512
	return p.fill(false, k, n, Matrix{Data: b, Ld: ldb, Trans: tB})
}

// In lets p lie in memory of the bulk, enough for an operand (rows, columns).
func (p *Packed) In(b *Bulk, rows, columns int) *Packed {
	if need := rows*(columns+slack) + slack; cap(p.data) < need {
		p.data = b.take(need)
	}
	return p
}

func (p *Packed) fill(left bool, rows, columns int, from Matrix) *Packed {
	from.check("the operand", left, rows, columns)
	p.level, p.left, p.rows, p.columns = cpu.Has, left, rows, columns
	if p.level == cpu.Generic {
		p.data = room(p.data, rows*columns)
		for i := range rows {
			for j := range columns {
				p.data[i*columns+j] = from.at(i, j)
			}
		}
		return p
	}
	x := borrow(p.level)
	defer x.giveBack()
	if left {
		p.data = room(p.data, rows*columns+slack)
		x.packLeft(p, &from)
	} else {
		p.data = room(p.data, x.width(columns)*rows)
		x.packRight(p, &from)
	}
	return p
}

// at is op(X)[i][j].
func (x *Matrix) at(i, j int) float32 {
	if x.Trans {
		i, j = j, i
	}
	return x.Data[i*x.Ld+j]
}

// room is memory for n numbers: s where it suffices.
func room(s []float32, n int) []float32 {
	if cap(s) < n {
		return make([]float32, n)
	}
	return s[:n]
}

// limit is what Low and High do to a number.
func (p *Product) limit(v float32) float32 {
	if !p.Clip || v != v {
		return v
	}
	return float32(math.Min(math.Max(float64(v), float64(p.Low)), float64(p.High)))
}
