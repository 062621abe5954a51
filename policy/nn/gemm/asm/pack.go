package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// copyRows writes copyOneN and copyTwoN: rows of one vector, or two, whose last
// has only some lanes.
func (v vectors) copyRows() {
	v.rowLoop("copy", "func(dst *float32, dstRow int, src *float32, srcRow int, rows int, lanes int)", func(n int) {
		v.moveRow(reg.RSI, n)
		ADDQ(reg.RDX, reg.RSI)
	})
}

// pickRows is copyRows with rows that lie anywhere: offsets (in numbers) from src.
func (v vectors) pickRows() {
	v.rowLoop("pick", "func(dst *float32, dstRow int, src *float32, offsets *int, rows int, lanes int)", func(n int) {
		MOVQ(at(reg.RDX, 0), reg.R8)
		ADDQ(operand.Imm(8), reg.RDX)
		LEAQ(operand.Mem{Base: reg.RSI, Index: reg.R8, Scale: 4}, reg.R8)
		v.moveRow(reg.R8, n)
	})
}

func (v vectors) rowLoop(name, signature string, move func(n int)) {
	for n, count := range []string{"", "One", "Two"} {
		if n == 0 {
			continue
		}
		TEXT(name+count+v.suffix, attr.NOSPLIT, signature)
		fourth := "srcRow"
		if name == "pick" {
			fourth = "offsets"
		}
		Load(Param("lanes"), reg.RCX)
		v.laneMask(v.reg(3))
		Load(Param("dst"), reg.RDI)
		Load(Param("dstRow"), reg.R9)
		Load(Param("src"), reg.RSI)
		Load(Param(fourth), reg.RDX)
		Load(Param("rows"), reg.RBX)
		TESTQ(reg.RBX, reg.RBX)
		JZ(operand.LabelRef("done"))
		Label("loop")
		move(n)
		ADDQ(reg.R9, reg.RDI)
		DECQ(reg.RBX)
		JNZ(operand.LabelRef("loop"))
		Label("done")
		VZEROUPPER()
		RET()
	}
}

func (v vectors) moveRow(from reg.Register, n int) {
	for j := range n {
		v.load(at(from, 4*v.lanes*j), v.reg(j), v.reg(3), j == n-1)
	}
	for j := range n {
		v.store(v.reg(j), at(reg.RDI, 4*v.lanes*j), v.reg(3), j == n-1)
	}
}

const transposeSignature = "func(dst *float32, dstRow int, src *float32, srcRow int, rows int, blocks int)"

// sourceRows leaves in p where n rows of the source begin; rows that are not
// there are the last again.
func sourceRows(n int, p func(i int) operand.Mem) {
	Load(Param("src"), reg.RSI)
	Load(Param("srcRow"), reg.RDX)
	Load(Param("rows"), reg.RCX)
	for i := range n {
		MOVQ(reg.RSI, p(i))
		XORQ(reg.R8, reg.R8)
		CMPQ(reg.RCX, operand.Imm(uint64(i+1)))
		CMOVQGT(reg.RDX, reg.R8)
		ADDQ(reg.R8, reg.RSI)
	}
	Load(Param("dst"), reg.RDI)
	Load(Param("dstRow"), reg.R9)
	Load(Param("blocks"), reg.RBX)
	XORQ(reg.R11, reg.R11)
}

// transpose512 transposes 16 rows, 16 columns at a time.
func transpose512() {
	TEXT("transposeAVX512", attr.NOSPLIT, transposeSignature)
	stack := AllocLocal(16 * 8)
	slot := func(i int) operand.Mem { return stack.Offset(8 * i) }
	sourceRows(16, slot)
	Label("loop")
	for i := range 16 {
		MOVQ(slot(i), reg.R8)
		VMOVUPS(operand.Mem{Base: reg.R8, Index: reg.R11, Scale: 1}, zs[i])
	}
	z := func(i int) reg.VecPhysical { return zs[i] }
	Comment("pairs of rows, then of pairs: 4x4 blocks")
	for i := 0; i < 16; i += 2 {
		VUNPCKLPS(z(i+1), z(i), z(16+i))
		VUNPCKHPS(z(i+1), z(i), z(17+i))
	}
	for i := 0; i < 16; i += 4 {
		VUNPCKLPD(z(16+i+2), z(16+i), z(i))
		VUNPCKHPD(z(16+i+2), z(16+i), z(i+1))
		VUNPCKLPD(z(16+i+3), z(16+i+1), z(i+2))
		VUNPCKHPD(z(16+i+3), z(16+i+1), z(i+3))
	}
	Comment("register 4g+c: in quarter q, column 4q+c of rows 4g to 4g+3")
	for c := range 4 {
		VSHUFF32X4(operand.Imm(0x88), z(4+c), z(c), z(16+c))    // q 0, 2 of g 0, 1
		VSHUFF32X4(operand.Imm(0xdd), z(4+c), z(c), z(20+c))    // q 1, 3 of g 0, 1
		VSHUFF32X4(operand.Imm(0x88), z(12+c), z(8+c), z(24+c)) // of g 2, 3
		VSHUFF32X4(operand.Imm(0xdd), z(12+c), z(8+c), z(28+c))
	}
	for c := range 4 {
		VSHUFF32X4(operand.Imm(0x88), z(24+c), z(16+c), z(c))    // q 0
		VSHUFF32X4(operand.Imm(0xdd), z(24+c), z(16+c), z(8+c))  // q 2
		VSHUFF32X4(operand.Imm(0x88), z(28+c), z(20+c), z(4+c))  // q 1
		VSHUFF32X4(operand.Imm(0xdd), z(28+c), z(20+c), z(12+c)) // q 3
	}
	for i := range 16 {
		VMOVUPS(z(i), at(reg.RDI, 0))
		ADDQ(reg.R9, reg.RDI)
	}
	ADDQ(operand.Imm(64), reg.R11)
	DECQ(reg.RBX)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// transpose256 transposes 8 rows, 8 columns at a time.
func transpose256() {
	TEXT("transposeAVX2", attr.NOSPLIT, transposeSignature)
	stack := AllocLocal(8 * 8)
	slot := func(i int) operand.Mem { return stack.Offset(8 * i) }
	sourceRows(8, slot)
	Label("loop")
	y := func(i int) reg.VecPhysical { return ys[i] }
	for i := range 8 {
		MOVQ(slot(i), reg.R8)
		VMOVUPS(operand.Mem{Base: reg.R8, Index: reg.R11, Scale: 1}, y(i))
	}
	for i := 0; i < 8; i += 2 {
		VUNPCKLPS(y(i+1), y(i), y(8+i))
		VUNPCKHPS(y(i+1), y(i), y(9+i))
	}
	for i := 0; i < 8; i += 4 {
		VUNPCKLPD(y(8+i+2), y(8+i), y(i))
		VUNPCKHPD(y(8+i+2), y(8+i), y(i+1))
		VUNPCKLPD(y(8+i+3), y(8+i+1), y(i+2))
		VUNPCKHPD(y(8+i+3), y(8+i+1), y(i+3))
	}
	for c := range 4 {
		VPERM2F128(operand.Imm(0x20), y(4+c), y(c), y(8+c))
		VPERM2F128(operand.Imm(0x31), y(4+c), y(c), y(12+c))
	}
	for i := range 8 {
		VMOVUPS(y(8+i), at(reg.RDI, 0))
		ADDQ(reg.R9, reg.RDI)
	}
	ADDQ(operand.Imm(32), reg.R11)
	DECQ(reg.RBX)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}
