package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of the Go type tile; a test compares them.
const (
	tileA     = 0
	tileARow  = 8
	tileAStep = 16
	tileB     = 24
	tileBStep = 32
	tileC     = 40
	tileCRow  = 48
	tileK     = 56
	tileNext  = 64
	tileCol   = 72
	tileRow   = 80
	tileAlpha = 88
	tileBeta  = 92
	tileLow   = 96
	tileHigh  = 100
	tileClip  = 104
	tileKind  = 112
	tileLanes = 120
	tileFetch = 128
	tileRound = 136
	tileD     = 144
	tileDRow  = 152
)

// Registers: AX the tile, R8 to R12 rows 0, 3, 6, 9 and 12 of A, SI and DX the
// steps from row to row and along k, DI and CX B and its step, BX the k that
// are left, R13 what will be needed next
// and R15 the step along it.
var rowBase = []reg.GPPhysical{reg.R8, reg.R9, reg.R10, reg.R11, reg.R12}

// tiles writes the function that computes one tile of C, of up to rows x 2
// vectors, with a body for every size.
func (v vectors) tiles() { v.bodies("tile", v.rows, 2) }

// talls writes the function for tiles of one vector and up to 16 rows, of packed
// operands: B passes once, and is fetched on the way. With AVX2 there are too
// few registers for it to be of use.
func (v vectors) talls() { v.bodies("tall", 16, 1) }

// bodies writes a function that computes one tile. Its kinds are (rows-1)*width
// + vectors-1, and as many again for those whose last vector is not full where
// that makes a difference.
func (v vectors) bodies(name string, rows, width int) {
	TEXT(name+v.suffix, attr.NOSPLIT, "func(t *byte)")
	Doc(name + v.suffix + " computes one tile of C.")
	Load(Param("t"), reg.RAX)
	MOVQ(at(reg.RAX, tileKind), reg.RBX)
	kinds := 2 * rows * width
	if v.masked {
		kinds = rows * width
	}
	v.choose(0, kinds-1)
	for kind := range kinds {
		size := kind % (rows * width)
		v.tile(kind, size/width+1, size%width+1, v.masked || kind >= rows*width, width == 1)
	}
}

func (v vectors) label(name string, kind int) string { return fmt.Sprintf("%s%d", name, kind) }

// choose jumps to the body number BX by bisection.
func (v vectors) choose(lo, hi int) {
	if lo == hi {
		JMP(operand.LabelRef(v.label("tile", lo)))
		return
	}
	mid := (lo + hi + 1) / 2
	right := fmt.Sprintf("from%dto%d", mid, hi)
	CMPQ(reg.RBX, operand.Imm(uint64(mid)))
	JGE(operand.LabelRef(right))
	v.choose(lo, mid-1)
	Label(right)
	v.choose(mid, hi)
}

// body is one size of tile while it is written.
type body struct {
	vectors
	kind, m, n int
	last       bool // the last vector is masked
	mask       reg.VecPhysical
	acc        func(i, j int) reg.VecPhysical
	b          []reg.VecPhysical
	tmp        []reg.VecPhysical
}

func (v vectors) tile(kind, m, n int, last, tall bool) {
	t := &body{vectors: v, kind: kind, m: m, n: n, last: last}
	t.acc = func(i, j int) reg.VecPhysical { return v.reg(i*t.n + j) }
	used := t.m * t.n
	for range t.n {
		t.b = append(t.b, v.reg(used))
		used++
	}
	t.tmp = []reg.VecPhysical{v.reg(used)}
	used++
	if t.last && !v.masked {
		t.mask = v.reg(used)
	} else if v.masked {
		t.tmp = append(t.tmp, v.reg(used))
	}
	Label(v.label("tile", kind))
	t.start()
	if tall {
		t.multiplyTall()
	} else {
		t.multiply()
	}
	t.finish()
	VZEROUPPER()
	RET()
}

func (t *body) start() {
	if t.last {
		MOVQ(at(reg.RAX, tileLanes), reg.RCX)
		t.laneMask(t.mask)
	}
	MOVQ(at(reg.RAX, tileA), rowBase[0])
	MOVQ(at(reg.RAX, tileARow), reg.RSI)
	MOVQ(at(reg.RAX, tileAStep), reg.RDX)
	MOVQ(at(reg.RAX, tileB), reg.RDI)
	MOVQ(at(reg.RAX, tileBStep), reg.RCX)
	MOVQ(at(reg.RAX, tileNext), reg.R13)
	MOVQ(at(reg.RAX, tileFetch), reg.R15)
	MOVQ(at(reg.RAX, tileK), reg.RBX)
	t.fetchD()
	for i := range t.m {
		for j := range t.n {
			r := t.acc(i, j)
			if t.vectors.masked {
				VPXORD(r, r, r)
			} else {
				VXORPS(r, r, r)
			}
		}
	}
}

// fetchD asks for the rows of D, which are those of C if it has none of its own:
// they are needed when the sums are there.
func (t *body) fetchD() {
	MOVQ(at(reg.RAX, tileD), reg.R9)
	MOVQ(at(reg.RAX, tileDRow), reg.R10)
	for i := range t.m {
		for j := range t.n {
			PREFETCHT0(at(reg.R9, 4*t.lanes*j))
		}
		if i < t.m-1 {
			ADDQ(reg.R10, reg.R9)
		}
	}
}

// findRows sets where rows 3, 6, 9 and 12 of A are.
func (t *body) findRows() {
	for i := 3; i < t.m; i += 3 {
		p := rowBase[i/3]
		LEAQ(operand.Mem{Base: rowBase[i/3-1], Index: reg.RSI, Scale: 2}, p)
		ADDQ(reg.RSI, p)
	}
}

// row is where row i of A is.
func row(i int) operand.Mem {
	m := operand.Mem{Base: rowBase[i/3]}
	if i%3 > 0 {
		m.Index, m.Scale = reg.RSI, uint8(i%3)
	}
	return m
}

// multiply adds the products of BX columns of A with rows of B.
func (t *body) multiply() {
	loop, done := t.label("loop", t.kind), t.label("done", t.kind)
	t.multiplyPacked()
	t.findRows()
	TESTQ(reg.RBX, reg.RBX)
	JZ(operand.LabelRef(done))
	Label(loop)
	size := 4 * t.lanes
	for j, b := range t.b {
		t.load(at(reg.RDI, j*size), b, t.mask, t.last && j == t.n-1)
	}
	PREFETCHT1(at(reg.R13, 0))
	if t.n*size > 64 {
		PREFETCHT1(at(reg.R13, 64))
	}
	for i := range t.m {
		a := t.tmp[i%len(t.tmp)]
		VBROADCASTSS(row(i), a)
		for j, b := range t.b {
			VFMADD231PS(b, a, t.acc(i, j))
		}
	}
	ADDQ(reg.RCX, reg.RDI)
	ADDQ(reg.R15, reg.R13)
	for i := 0; i < t.m; i += 3 {
		ADDQ(reg.RDX, rowBase[i/3])
	}
	DECQ(reg.RBX)
	JNZ(operand.LabelRef(loop))
	Label(done)
}

// unroll is how many k a round of multiplyPacked takes.
const unroll = 4

// multiplyPacked takes most of the k of packed operands: their steps are known,
// so that a round of several k moves each pointer once. Additions compete with
// the multiplications for the same units.
func (t *body) multiplyPacked() {
	if t.n != 2 || 2*t.m < t.rows || t.last && !t.masked {
		return
	}
	size := 4 * t.lanes
	loop, other := t.label("packed", t.kind), t.label("other", t.kind)
	CMPQ(reg.RDX, operand.Imm(uint64(4*t.m)))
	JNE(operand.LabelRef(other))
	CMPQ(reg.RSI, operand.Imm(4))
	JNE(operand.LabelRef(other))
	CMPQ(reg.RCX, operand.U32(uint32(t.n*size)))
	JNE(operand.LabelRef(other))
	SUBQ(operand.Imm(unroll), reg.RBX)
	JL(operand.LabelRef(other + "k"))
	LEAQ(operand.Mem{Base: reg.R15, Index: reg.R15, Scale: 2}, reg.RSI)
	MOVQ(at(reg.RAX, tileRound), reg.R9)
	Label(loop)
	for u := range unroll {
		for j, b := range t.b {
			VMOVUPS(at(reg.RDI, (u*t.n+j)*size), b)
		}
		next := []operand.Mem{at(reg.R13, 0), {Base: reg.R13, Index: reg.R15, Scale: 1}, {Base: reg.R13, Index: reg.R15, Scale: 2}, {Base: reg.R13, Index: reg.RSI, Scale: 1}}[u]
		for line := 0; line < t.n*size; line += 64 {
			PREFETCHT1(next.Offset(line))
		}
		for i := range t.m {
			a := t.tmp[i%len(t.tmp)]
			VBROADCASTSS(at(reg.R8, 4*(u*t.m+i)), a)
			for j, b := range t.b {
				VFMADD231PS(b, a, t.acc(i, j))
			}
		}
	}
	ADDQ(operand.U32(uint32(unroll*t.n*size)), reg.RDI)
	ADDQ(operand.U32(uint32(unroll*4*t.m)), reg.R8)
	ADDQ(reg.R9, reg.R13)
	SUBQ(operand.Imm(unroll), reg.RBX)
	JGE(operand.LabelRef(loop))
	MOVQ(operand.U32(4), reg.RSI)
	Label(other + "k")
	ADDQ(operand.Imm(unroll), reg.RBX)
	Label(other)
}

// ahead is how many bytes before its use B is fetched by tall tiles: what comes
// from the third-level cache takes about as long as the products of so much.
const ahead = 8192

// multiplyTall adds the products of BX columns of A with rows of B, both packed.
func (t *body) multiplyTall() {
	loop, rest, one, done := t.label("loop", t.kind), t.label("rest", t.kind), t.label("one", t.kind), t.label("done", t.kind)
	SUBQ(operand.Imm(unroll), reg.RBX)
	JL(operand.LabelRef(rest))
	Label(loop)
	for u := range unroll {
		t.column(u)
	}
	t.advance(unroll)
	SUBQ(operand.Imm(unroll), reg.RBX)
	JGE(operand.LabelRef(loop))
	Label(rest)
	ADDQ(operand.Imm(unroll), reg.RBX)
	JZ(operand.LabelRef(done))
	Label(one)
	t.column(0)
	t.advance(1)
	DECQ(reg.RBX)
	JNZ(operand.LabelRef(one))
	Label(done)
}

// column adds the products of column u of a packed panel.
func (t *body) column(u int) {
	size := 4 * t.lanes
	VMOVUPS(at(reg.RDI, u*size), t.b[0])
	PREFETCHT0(at(reg.RDI, u*size+ahead))
	for i := range t.m {
		VFMADD231PS_BCST(at(reg.R8, 4*(u*t.m+i)), t.b[0], t.acc(i, 0))
	}
}

func (t *body) advance(columns int) {
	ADDQ(operand.U32(uint32(columns*4*t.lanes)), reg.RDI)
	ADDQ(operand.U32(uint32(columns*4*t.m)), reg.R8)
}

// each calls f for every accumulator.
func (t *body) each(f func(i, j int, r reg.VecPhysical)) {
	for i := range t.m {
		for j := range t.n {
			f(i, j, t.acc(i, j))
		}
	}
}

// finish takes the sums through alpha, beta, biases and limits into C.
func (t *body) finish() {
	size, a := 4*t.lanes, t.tmp[0]
	VBROADCASTSS(at(reg.RAX, tileAlpha), a)
	t.each(func(_, _ int, r reg.VecPhysical) { VMULPS(a, r, r) })

	t.unless("beta", func(skip operand.LabelRef) {
		MOVL(at(reg.RAX, tileBeta), reg.EDX)
		SHLL(operand.Imm(1), reg.EDX) // -0 is 0
		JZ(skip)
		VBROADCASTSS(at(reg.RAX, tileBeta), a)
		t.walk(tileD, tileDRow, func(i, j int, r reg.VecPhysical) {
			t.load(at(reg.RDI, j*size), t.b[0], t.mask, t.last && j == t.n-1)
			VFMADD231PS(t.b[0], a, r)
		})
	})
	t.unless("column", func(skip operand.LabelRef) {
		MOVQ(at(reg.RAX, tileCol), reg.RDI)
		TESTQ(reg.RDI, reg.RDI)
		JZ(skip)
		for j, b := range t.b {
			t.load(at(reg.RDI, j*size), b, t.mask, t.last && j == t.n-1)
		}
		t.each(func(_, j int, r reg.VecPhysical) { VADDPS(t.b[j], r, r) })
	})
	t.unless("row", func(skip operand.LabelRef) {
		MOVQ(at(reg.RAX, tileRow), reg.RDI)
		TESTQ(reg.RDI, reg.RDI)
		JZ(skip)
		t.each(func(i, j int, r reg.VecPhysical) {
			if j == 0 {
				VBROADCASTSS(at(reg.RDI, 4*i), a)
			}
			VADDPS(a, r, r)
		})
	})
	t.unless("clip", func(skip operand.LabelRef) {
		CMPQ(at(reg.RAX, tileClip), operand.Imm(0))
		JE(skip)
		VBROADCASTSS(at(reg.RAX, tileLow), a)
		VBROADCASTSS(at(reg.RAX, tileHigh), t.b[0])
		Comment("the sum comes last, so that NaN stays")
		t.each(func(_, _ int, r reg.VecPhysical) {
			VMAXPS(r, a, r)
			VMINPS(r, t.b[0], r)
		})
	})
	t.walk(tileC, tileCRow, func(i, j int, r reg.VecPhysical) {
		t.store(r, at(reg.RDI, j*size), t.mask, t.last && j == t.n-1)
	})
}

// walk calls f with DI at each row of a matrix as large as the tile.
func (t *body) walk(matrix, step int, f func(i, j int, r reg.VecPhysical)) {
	MOVQ(at(reg.RAX, matrix), reg.RDI)
	MOVQ(at(reg.RAX, step), reg.RCX)
	t.each(func(i, j int, r reg.VecPhysical) {
		if i > 0 && j == 0 {
			ADDQ(reg.RCX, reg.RDI)
		}
		f(i, j, r)
	})
}

func (t *body) unless(name string, write func(skip operand.LabelRef)) {
	skip := t.label("no"+name, t.kind)
	write(operand.LabelRef(skip))
	Label(skip)
}
