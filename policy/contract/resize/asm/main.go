// Command asm writes the AVX2 kernels of policy/contract/resize. What they
// compute is in plain Go there; both give the same bits.
package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const lanes = 8 // of 32 bits

func main() {
	ConstraintExpr("amd64")
	weigh()
	combine()
	Generate()
}

// weigh adds rows by weights for n columns, a multiple of the lanes: 32 at a
// time, then 8.
func weigh() {
	TEXT("weighAVX2", attr.NOSPLIT, "func(dst *uint32, src *uint8, stride, n int, weights *uint32, count int)")
	Pragma("noescape")
	dst, src := Load(Param("dst"), GP64()), Load(Param("src"), GP64())
	stride, n := Load(Param("stride"), GP64()), Load(Param("n"), GP64())
	weights, count := Load(Param("weights"), GP64()), Load(Param("count"), GP64())
	half := YMM()
	constant(half, 0x80)
	for _, blocks := range []int{4, 1} {
		name := map[int]string{4: "wide", 1: "narrow"}[blocks]
		Label(name)
		CMPQ(n, U32(blocks*lanes))
		JLT(LabelRef(name + "done"))
		sums := make([]reg.VecVirtual, blocks)
		for i := range sums {
			sums[i] = YMM()
			VMOVDQA(half, sums[i])
		}
		row, weight, left := GP64(), GP64(), GP64()
		MOVQ(src, row)
		MOVQ(weights, weight)
		MOVQ(count, left)
		Label(name + "row")
		w := YMM()
		VPBROADCASTD(Mem{Base: weight}, w)
		for i, sum := range sums {
			v := YMM()
			VPMOVZXBD(Mem{Base: row, Disp: i * lanes}, v)
			VPMULLD(w, v, v)
			VPADDD(v, sum, sum)
		}
		ADDQ(stride, row)
		ADDQ(U8(4), weight)
		DECQ(left)
		JNZ(LabelRef(name + "row"))
		for i, sum := range sums {
			VPSRLD(U8(8), sum, sum)
			VMOVDQU(sum, Mem{Base: dst, Disp: 4 * i * lanes})
		}
		ADDQ(U32(blocks*lanes), src)
		ADDQ(U32(4*blocks*lanes), dst)
		SUBQ(U32(blocks*lanes), n)
		JMP(LabelRef(name))
		Label(name + "done")
	}
	VZEROUPPER()
	RET()
}

// combine makes n outputs, each of count weights, a multiple of the lanes, and
// the samples from the output's first on, into every third byte.
func combine() {
	TEXT("combineAVX2", attr.NOSPLIT, "func(dst *uint8, row *uint32, first *int, n int, weights *uint32, count int)")
	Pragma("noescape")
	dst, row := Load(Param("dst"), GP64()), Load(Param("row"), GP64())
	first, n := Load(Param("first"), GP64()), Load(Param("n"), GP64())
	weights, count := Load(Param("weights"), GP64()), Load(Param("count"), GP64())
	Label("output")
	sample, left := GP64(), GP64()
	MOVQ(Mem{Base: first}, sample)
	LEAQ(Mem{Base: row, Index: sample, Scale: 4}, sample)
	MOVQ(count, left)
	sum := YMM()
	VPXOR(sum, sum, sum)
	Label("samples")
	v := YMM()
	VMOVDQU(Mem{Base: sample}, v)
	VPMULLD(Mem{Base: weights}, v, v)
	VPADDD(v, sum, sum)
	ADDQ(U32(4*lanes), sample)
	ADDQ(U32(4*lanes), weights)
	SUBQ(U32(lanes), left)
	JNZ(LabelRef("samples"))
	low, high := sum.AsX(), XMM()
	VEXTRACTI128(U8(1), sum, high)
	VPADDD(high, low, low)
	VPSHUFD(U8(0b1110), low, high)
	VPADDD(high, low, low)
	VPSHUFD(U8(0b01), low, high)
	VPADDD(high, low, low)
	total := GP32()
	VMOVD(low, total)
	ADDL(U32(1<<23), total)
	SHRL(U8(24), total)
	MOVB(total.As8(), Mem{Base: dst})
	ADDQ(U8(3), dst)
	ADDQ(U8(8), first)
	DECQ(n)
	JNZ(LabelRef("output"))
	VZEROUPPER()
	RET()
}

// constant fills all lanes.
func constant(y reg.VecVirtual, value uint32) {
	g, x := GP32(), XMM()
	MOVL(U32(value), g)
	VMOVD(g, x)
	VPBROADCASTD(x, y)
}
