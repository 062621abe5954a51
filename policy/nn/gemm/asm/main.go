// Command asm writes gemm_amd64.s, the vector code of package gemm:
//
//	go generate arfm/policy/nn/gemm
package main

import (
	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")
	for _, v := range []vectors{zmm, ymm} {
		v.tiles()
		v.copyRows()
		v.pickRows()
	}
	zmm.talls()
	transpose512()
	transpose256()
	Generate()
}

// vectors is one width of vector registers.
type vectors struct {
	suffix string
	lanes  int
	rows   int // of the largest tile
	reg    func(i int) reg.VecPhysical
	masked bool // has mask registers
}

var (
	zmm = vectors{"AVX512", 16, 14, func(i int) reg.VecPhysical { return zs[i] }, true}
	ymm = vectors{"AVX2", 8, 6, func(i int) reg.VecPhysical { return ys[i] }, false}
)

var zs = []reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

var ys = []reg.VecPhysical{
	reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
}

// at is the memory at a register plus disp bytes.
func at(r reg.Register, disp int) operand.Mem { return operand.Mem{Base: r, Disp: disp} }

// laneMask makes the mask of the first CX lanes: K1, or the vector mask.
func (v vectors) laneMask(mask reg.VecPhysical) {
	if v.masked {
		MOVL(operand.U32(1), reg.R15L)
		SHLL(reg.CL, reg.R15L)
		DECL(reg.R15L)
		KMOVW(reg.R15L, reg.K1)
		return
	}
	Comment("the 8 numbers of the table that begin with CX times -1")
	LEAQ(laneTable(), reg.R15)
	SHLQ(operand.Imm(2), reg.RCX)
	SUBQ(reg.RCX, reg.R15)
	VMOVUPS(at(reg.R15, 32), mask)
}

var lanes *operand.Mem

func laneTable() operand.Mem {
	if lanes == nil {
		m := GLOBL("lanes", attr.RODATA|attr.NOPTR)
		for i := range 16 {
			DATA(4*i, operand.U32(0xffffffff*uint32(1-i/8)))
		}
		lanes = &m
	}
	return *lanes
}

// load reads a vector, only the lanes of the mask where last is set. Other
// lanes become 0.
func (v vectors) load(m operand.Mem, to, mask reg.VecPhysical, last bool) {
	switch {
	case last && v.masked:
		VMOVUPS_Z(m, reg.K1, to)
	case last:
		VMASKMOVPS(m, mask, to)
	default:
		VMOVUPS(m, to)
	}
}

func (v vectors) store(from reg.VecPhysical, m operand.Mem, mask reg.VecPhysical, last bool) {
	switch {
	case last && v.masked:
		VMOVUPS(from, reg.K1, m)
	case last:
		VMASKMOVPS(from, mask, m)
	default:
		VMOVUPS(from, m)
	}
}
