package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// kit writes vector code for one level: 8 lanes with AVX2 and FMA, 16 with
// AVX-512. Its methods return new registers unless they say otherwise, so that
// a kernel reads like its formula. Where an operand is an operand.Op it may be
// memory.
type kit struct {
	*build.Context
	wide   bool
	data   map[string]operand.Mem // constants of the file
	labels int                    // in the function
	used   []uint32               // constants of the function, in order of use
	held   map[uint32]vec         // those that stay in registers
}

// holds is how many constants stay in registers: AVX-512 has 32 of them, and
// vectors in memory that a cache line's end cuts cost twice.
const holds = 22

// hold loads the first of the constants that a dry run has used.
func (k *kit) hold(used []uint32) {
	k.held = map[uint32]vec{}
	if !k.wide {
		return
	}
	for _, bits := range used[:min(holds, len(used))] {
		d := k.v()
		k.VBROADCASTSS(k.constant(bits), d)
		k.held[bits] = d
	}
}

type vec = reg.VecVirtual

func (k *kit) lanes() int {
	if k.wide {
		return 16
	}
	return 8
}

func (k *kit) v() vec {
	if k.wide {
		return k.ZMM()
	}
	return k.YMM()
}

// constant is a vector in memory that holds bits in every lane.
func (k *kit) constant(bits uint32) operand.Mem {
	return k.table(fmt.Sprintf("all_%08x", bits), func(int) uint32 { return bits })
}

func (k *kit) table(name string, lane func(i int) uint32) operand.Mem {
	if m, ok := k.data[name]; ok {
		return m
	}
	m := k.StaticGlobal(name)
	k.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range k.lanes() {
		k.AddDatum(4*i, operand.U32(lane(i)))
	}
	k.data[name] = m
	return m
}

// bits is a vector that holds bits in every lane, in memory or a register that
// must not change.
func (k *kit) bits(bits uint32) operand.Op {
	if d, ok := k.held[bits]; ok {
		return d
	}
	if !slices.Contains(k.used, bits) {
		k.used = append(k.used, bits)
	}
	return k.constant(bits)
}

// f is the constant x.
func (k *kit) f(x float32) operand.Op { return k.bits(math.Float32bits(x)) }

// r is the constant x in a register, where an instruction wants one; it must
// not change.
func (k *kit) r(x float32) vec {
	if d, ok := k.f(x).(vec); ok {
		return d
	}
	return k.mov(k.f(x))
}

func (k *kit) mov(x operand.Op) vec {
	d := k.v()
	k.VMOVUPS(x, d)
	return d
}

func (k *kit) zero() vec {
	d := k.v()
	k.VXORPS(d, d, d)
	return d
}

type three func(ops ...operand.Op)

func (k *kit) op(f three, a reg.Register, b operand.Op) vec {
	d := k.v()
	f(b, a, d)
	return d
}

func (k *kit) add(a reg.Register, b operand.Op) vec { return k.op(k.VADDPS, a, b) }
func (k *kit) sub(a reg.Register, b operand.Op) vec { return k.op(k.VSUBPS, a, b) }
func (k *kit) mul(a reg.Register, b operand.Op) vec { return k.op(k.VMULPS, a, b) }
func (k *kit) div(a reg.Register, b operand.Op) vec { return k.op(k.VDIVPS, a, b) }
func (k *kit) and(a reg.Register, b operand.Op) vec { return k.op(k.VANDPS, a, b) }
func (k *kit) or(a reg.Register, b operand.Op) vec  { return k.op(k.VORPS, a, b) }
func (k *kit) xor(a reg.Register, b operand.Op) vec { return k.op(k.VXORPS, a, b) }

// min and max return b where either is NaN.
func (k *kit) min(a reg.Register, b operand.Op) vec { return k.op(k.VMINPS, a, b) }
func (k *kit) max(a reg.Register, b operand.Op) vec { return k.op(k.VMAXPS, a, b) }

// The next three change their first operand.

// axpy is d += a b.
func (k *kit) axpy(d vec, a reg.Register, b operand.Op) vec { k.VFMADD231PS(b, a, d); return d }

// axmy is d -= a b.
func (k *kit) axmy(d vec, a reg.Register, b operand.Op) vec { k.VFNMADD231PS(b, a, d); return d }

// xpa is d = d x + a.
func (k *kit) xpa(d vec, x reg.Register, a operand.Op) vec { k.VFMADD213PS(a, x, d); return d }

// horner is the polynomial of c, lowest power first, at x.
func (k *kit) horner(x reg.Register, c []float32) vec {
	p := k.mov(k.f(c[len(c)-1]))
	for i := len(c) - 2; i >= 0; i-- {
		k.xpa(p, x, k.f(c[i]))
	}
	return p
}

const signBit = 1 << 31

func (k *kit) abs(x reg.Register) vec  { return k.and(x, k.bits(signBit-1)) }
func (k *kit) sign(x reg.Register) vec { return k.and(x, k.bits(signBit)) }

// less is a < b ? x : y.
func (k *kit) less(a reg.Register, b operand.Op, x, y reg.Register) vec {
	d := k.v()
	if k.wide {
		m := k.K()
		k.VCMPPS(operand.U8(17), b, a, m) // ordered, quiet
		k.VBLENDMPS(x, y, m, d)
		return d
	}
	m := k.v()
	k.VCMPPS(operand.U8(17), b, a, m)
	k.VBLENDVPS(m, x, y, d)
	return d
}

// argument is a scalar parameter in every lane.
func (k *kit) argument(name string) vec {
	p, err := k.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	d := k.v()
	k.VBROADCASTSS(p.Addr, d)
	return d
}

func (k *kit) load(name string) reg.Register { return k.Load(k.Param(name), k.GP64()) }

// slot is one vector of a loop: an offset from where each array stands, and at
// the end of the arrays a mask.
type slot struct {
	k    *kit
	at   reg.Register // bytes done
	off  int
	mask reg.Register // K or Y register; nil for all lanes
}

func (s slot) mem(p reg.Register) operand.Mem {
	return operand.Mem{Base: p, Index: s.at, Scale: 1, Disp: s.off}
}

// load reads the array at p, 0 beyond its end.
func (s slot) load(p reg.Register) vec {
	d := s.k.v()
	switch {
	case s.mask == nil:
		s.k.VMOVUPS(s.mem(p), d)
	case s.k.wide:
		s.k.VMOVUPS_Z(s.mem(p), s.mask, d)
	default:
		s.k.VMASKMOVPS(s.mem(p), s.mask, d)
	}
	return d
}

// op is the array at p as an operand: memory where there is no mask.
func (s slot) op(p reg.Register) operand.Op {
	if s.mask == nil {
		return s.mem(p)
	}
	return s.load(p)
}

// loadOr reads the array at p, fill beyond its end.
func (s slot) loadOr(p reg.Register, fill vec) vec {
	x := s.load(p)
	if s.mask == nil {
		return x
	}
	d := s.k.v()
	if s.k.wide {
		s.k.VBLENDMPS(x, fill, s.mask, d)
	} else {
		s.k.VBLENDVPS(s.mask, x, fill, d)
	}
	return d
}

// keep sets the lanes beyond the end to 0.
func (s slot) keep(x vec) vec {
	if s.mask == nil {
		return x
	}
	d := s.k.v()
	if s.k.wide {
		s.k.VMOVAPS_Z(x, s.mask, d)
	} else {
		s.k.VANDPS(x, s.mask, d)
	}
	return d
}

func (s slot) store(x vec, p reg.Register) {
	switch {
	case s.mask == nil:
		s.k.VMOVUPS(x, s.mem(p))
	case s.k.wide:
		s.k.VMOVUPS(x, s.mask, s.mem(p))
	default:
		s.k.VMASKMOVPS(x, s.mask, s.mem(p))
	}
}

// groups loops over n elements, u vectors at a time and at the end one by one,
// the last under a mask. group gets the number of its first vector, below u.
func (k *kit) groups(n reg.Register, u int, group func(first int, s []slot)) {
	loop, tail, done := k.label("loop"), k.label("tail"), k.label("done")
	w := k.lanes()
	at, rest := k.GP64(), k.GP64()
	k.XORQ(at, at)
	k.MOVQ(n, rest)
	k.Label(loop)
	k.CMPQ(rest, operand.I32(u*w))
	k.JLT(operand.LabelRef(tail))
	var all []slot
	for i := range u {
		all = append(all, slot{k: k, at: at, off: 4 * w * i})
	}
	group(0, all)
	k.ADDQ(operand.I32(4*u*w), at)
	k.SUBQ(operand.I32(u*w), rest)
	k.JMP(operand.LabelRef(loop))
	k.Label(tail)
	for i := range u {
		k.CMPQ(rest, operand.I32(0))
		k.JLE(operand.LabelRef(done))
		group(i, []slot{{k: k, at: at, off: 4 * w * i, mask: k.first(rest)}})
		k.SUBQ(operand.I32(w), rest)
	}
	k.Label(done)
}

// label is a new name in the function.
func (k *kit) label(name string) string {
	k.labels++
	return fmt.Sprint(name, k.labels)
}

// first is the mask of the first n lanes; n may be more than there are.
func (k *kit) first(n reg.GPVirtual) reg.Register {
	if k.wide {
		bits, m := k.GP32(), k.K()
		k.MOVL(operand.U32(math.MaxUint32), bits)
		k.BZHIL(n.As32(), bits, bits)
		k.KMOVW(bits, m)
		return m
	}
	x, y := k.XMM(), k.YMM()
	k.VMOVD(n.As32(), x)
	k.VPBROADCASTD(x, y)
	k.VPCMPGTD(k.table("lane", func(i int) uint32 { return uint32(i) }), y, y)
	return y
}

// each loops over n elements vector by vector, u to a round.
func (k *kit) each(n reg.Register, u int, body func(s slot)) {
	k.groups(n, u, func(_ int, s []slot) {
		for i := range s {
			body(s[i])
		}
	})
}

// reduce loops over n elements with lanes partial results, element i going to
// i modulo lanes, so that both levels add in the same order.
func (k *kit) reduce(n reg.Register, lanes int, acc []vec, body func(s slot, acc vec)) {
	u := lanes / k.lanes()
	k.groups(n, u, func(first int, s []slot) {
		for i := range s {
			body(s[i], acc[first+i])
		}
	})
}

// partials are the partial results for reduce.
func (k *kit) partials(lanes int, start func() vec) []vec {
	var acc []vec
	for range lanes / k.lanes() {
		acc = append(acc, start())
	}
	return acc
}

// fold combines partial results to one in the lowest lane, upper half onto
// lower half until one is left; size is that of a lane in bytes.
func (k *kit) fold(acc []vec, size int, f three) vec {
	for len(acc) > 1 {
		half := len(acc) / 2
		for i := range half {
			f(acc[i+half], acc[i], acc[i])
		}
		acc = acc[:half]
	}
	y, x, t := acc[0].AsY(), k.XMM(), k.XMM()
	if k.wide {
		high := k.YMM()
		k.VEXTRACTF64X4(operand.U8(1), acc[0], high)
		f(high, y, high)
		y = high
	}
	k.VEXTRACTF128(operand.U8(1), y, x)
	f(y.(reg.Vec).AsX(), x, x)
	k.VPERMILPD(operand.U8(1), x, t) // the upper 64 bits
	f(t, x, x)
	if size == 4 {
		k.VMOVSHDUP(x, t)
		f(t, x, x)
	}
	return x
}

// spread puts the lowest lane into all.
func (k *kit) spread(x vec) vec {
	d := k.v()
	k.VBROADCASTSS(x, d)
	return d
}

// end returns with the given results.
func (k *kit) end(results ...vec) {
	k.VZEROUPPER()
	for i, r := range results {
		k.Store(r, k.ReturnIndex(i))
	}
	k.RET()
}
