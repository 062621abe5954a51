package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"arfm/policy/nn/vec/coef"
)

// kernel is one function over arrays of n float32 each.
type kernel struct {
	name    string
	arrays  []string
	counts  []string // further integers
	scalars []string
	results []string // "float32 sum"; none for element by element
	whole   bool     // not to be cut into pieces
	body    func(k *kit, n reg.Register, a []reg.Register)
}

var infinity = float32(math.Inf(1))

func kernels() []kernel {
	all := []kernel{
		unary("exp", 2, func(k *kit, x vec, _ []vec) vec {
			return k.exp(k.bound(x, coef.ExpLow, coef.ExpHigh), nil)
		}),
		unary("tanh", 2, func(k *kit, x vec, _ []vec) vec { return k.tanh(x) }),
		unary("sigmoid", 2, func(k *kit, x vec, _ []vec) vec { return k.sigmoid(x) }),
		unary("erf", 2, func(k *kit, x vec, _ []vec) vec { return k.erf(x) }),
		unary("gelu", 2, func(k *kit, x vec, _ []vec) vec { return k.gelu(x) }),
		unary("geluTanh", 2, func(k *kit, x vec, _ []vec) vec { return k.geluTanh(x) }),
		unary("silu", 2, func(k *kit, x vec, _ []vec) vec { return k.silu(x) }),
		slope("geluSlope", (*kit).geluSlope),
		slope("siluSlope", (*kit).siluSlope),
		unary("sqrt", 4, func(k *kit, x vec, _ []vec) vec { k.VSQRTPS(x, x); return x }),
		unary("scale", 4, func(k *kit, x vec, a []vec) vec { return k.mul(x, a[0]) }, "a"),
		unary("line", 4, func(k *kit, x vec, a []vec) vec { return k.xpa(x, a[0], a[1]) }, "a", "b"),
		unary("clamp", 4, func(k *kit, x vec, a []vec) vec { return k.min(a[1], k.max(a[0], x)) }, "low", "high"),
		unary("clampLine", 4, func(k *kit, x vec, a []vec) vec {
			return k.min(a[3], k.max(a[2], k.xpa(x, a[0], a[1])))
		}, "a", "b", "low", "high"),
		unary("normalize", 4, func(k *kit, x vec, a []vec) vec { return k.mul(k.sub(x, a[0]), a[1]) }, "mean", "r"),
		binary("add", (*kit).add), binary("sub", (*kit).sub), binary("mul", (*kit).mul), binary("div", (*kit).div),
		binary("larger", func(k *kit, a reg.Register, b operand.Op) vec {
			y := k.mov(b)
			return k.or(k.max(a, y), k.max(y, a)) // NaN of either comes from one of the two
		}),
	}
	return append(append(all, streams()...), reductions()...)
}

func list(s ...string) []string { return s }

func unary(name string, u int, f func(k *kit, x vec, a []vec) vec, scalars ...string) kernel {
	return kernel{name: name, arrays: list("y", "x"), scalars: scalars, body: func(k *kit, n reg.Register, a []reg.Register) {
		s := k.arguments(scalars)
		k.each(n, u, func(at slot) { at.store(f(k, at.load(a[1]), s), a[0]) })
		k.end()
	}}
}

func (k *kit) arguments(names []string) []vec {
	var s []vec
	for _, name := range names {
		s = append(s, k.argument(name))
	}
	return s
}

// slope is dx = dy f'(x).
func slope(name string, f func(k *kit, x vec) vec) kernel {
	return kernel{name: name, arrays: list("dx", "dy", "x"), body: func(k *kit, n reg.Register, a []reg.Register) {
		k.each(n, 2, func(s slot) { s.store(k.mul(f(k, s.load(a[2])), s.op(a[1])), a[0]) })
		k.end()
	}}
}

func binary(name string, f func(k *kit, a reg.Register, b operand.Op) vec) kernel {
	return kernel{name: name, arrays: list("z", "x", "y"), body: func(k *kit, n reg.Register, a []reg.Register) {
		k.each(n, 4, func(s slot) { s.store(f(k, s.load(a[1]), s.op(a[2])), a[0]) })
		k.end()
	}}
}

// streams are element by element over several arrays.
func streams() []kernel {
	return []kernel{
		{name: "axpy", arrays: list("y", "x"), scalars: list("a"), body: func(k *kit, n reg.Register, a []reg.Register) {
			f := k.argument("a")
			k.each(n, 4, func(s slot) { s.store(k.axpy(s.load(a[0]), f, s.op(a[1])), a[0]) })
			k.end()
		}},
		{name: "lerp", arrays: list("y", "x"), scalars: list("a"), body: func(k *kit, n reg.Register, a []reg.Register) {
			f := k.argument("a")
			k.each(n, 4, func(s slot) {
				y := s.load(a[0])
				s.store(k.axpy(y, k.sub(s.load(a[1]), y), f), a[0])
			})
			k.end()
		}},
		{name: "mulAdd", arrays: list("z", "x", "y"), body: func(k *kit, n reg.Register, a []reg.Register) {
			k.each(n, 4, func(s slot) { s.store(k.axpy(s.load(a[0]), s.load(a[1]), s.op(a[2])), a[0]) })
			k.end()
		}},
		{name: "affine", arrays: list("y", "x", "gain", "bias"), scalars: list("one"), body: func(k *kit, n reg.Register, a []reg.Register) {
			one := k.argument("one")
			k.each(n, 4, func(s slot) {
				s.store(k.xpa(k.add(one, s.op(a[2])), s.load(a[1]), s.op(a[3])), a[0])
			})
			k.end()
		}},
		{name: "affineSlope", arrays: list("dx", "dgain", "dbias", "dy", "x", "gain"), scalars: list("one"), body: func(k *kit, n reg.Register, a []reg.Register) {
			one := k.argument("one")
			k.each(n, 2, func(s slot) {
				dy := s.load(a[3])
				s.store(k.axpy(s.load(a[1]), dy, s.op(a[4])), a[1])
				s.store(k.add(dy, s.op(a[2])), a[2])
				s.store(k.mul(k.add(one, s.op(a[5])), dy), a[0])
			})
			k.end()
		}},
		{name: "gateSlope", arrays: list("ds", "dgate", "dx", "s", "gate"), body: func(k *kit, n reg.Register, a []reg.Register) {
			k.each(n, 2, func(s slot) {
				dx := s.load(a[2])
				s.store(k.axpy(s.load(a[1]), dx, s.op(a[3])), a[1])
				s.store(k.mul(dx, s.op(a[4])), a[0])
			})
			k.end()
		}},
		{name: "normalizeAffine", arrays: list("y", "x", "gain", "bias"), scalars: list("mean", "r"), body: func(k *kit, n reg.Register, a []reg.Register) {
			mean, r := k.argument("mean"), k.argument("r")
			k.each(n, 2, func(s slot) {
				h := k.mul(k.sub(s.load(a[1]), mean), r)
				s.store(k.xpa(h, s.load(a[2]), s.op(a[3])), a[0])
			})
			k.end()
		}},
		{name: "normalizeSlope", arrays: list("dx", "dy", "xhat"), scalars: list("mean", "p", "r"), body: func(k *kit, n reg.Register, a []reg.Register) {
			mean, p, r := k.argument("mean"), k.argument("p"), k.argument("r")
			k.each(n, 2, func(s slot) {
				g := k.axmy(k.sub(s.load(a[1]), mean), p, s.op(a[2]))
				s.store(k.axpy(s.load(a[0]), g, r), a[0])
			})
			k.end()
		}},
		{name: "adamw", arrays: list("p", "grad", "m", "v"), scalars: list("scale", "b1", "c1", "b2", "c2", "lr", "root", "eps", "keep"), body: adamw},
	}
}

// adamw is on AVX2 short of registers: the scalars are read as they are needed.
func adamw(k *kit, n reg.Register, a []reg.Register) {
	k.each(n, 1, func(s slot) {
		g := k.mul(k.argument("scale"), s.op(a[1]))
		m := k.flush(k.axpy(k.mul(g, k.argument("c1")), k.argument("b1"), s.op(a[2])))
		s.store(m, a[2])
		v := k.flush(k.axpy(k.mul(k.mul(g, g), k.argument("c2")), k.argument("b2"), s.op(a[3])))
		s.store(v, a[3])
		k.VSQRTPS(v, v)
		d := k.xpa(v, k.argument("root"), k.argument("eps"))
		step := k.div(k.mul(m, k.argument("lr")), d)
		p := k.mul(k.argument("keep"), s.op(a[0]))
		s.store(k.sub(p, step), a[0])
	})
	k.end()
}

func reductions() []kernel {
	return []kernel{
		{name: "sum", arrays: list("x"), results: list("float32"), body: func(k *kit, n reg.Register, a []reg.Register) {
			acc := k.partials(64, k.zero)
			k.reduce(n, 64, acc, func(s slot, acc vec) { k.VADDPS(s.op(a[0]), acc, acc) })
			k.end(k.fold(acc, 4, k.VADDPS))
		}},
		{name: "deviations", arrays: list("x"), scalars: list("mean"), results: list("float32"), body: func(k *kit, n reg.Register, a []reg.Register) {
			acc, mean := k.partials(64, k.zero), k.argument("mean")
			k.reduce(n, 64, acc, func(s slot, acc vec) {
				d := s.keep(k.sub(s.load(a[0]), mean))
				k.axpy(acc, d, d)
			})
			k.end(k.fold(acc, 4, k.VADDPS))
		}},
		{name: "sumDot", arrays: list("x", "y"), results: list("float32", "float32"), body: func(k *kit, n reg.Register, a []reg.Register) {
			acc, other := k.partials(32, k.zero), k.partials(32, k.zero)
			k.groups(n, len(acc), func(first int, s []slot) {
				for i := range s {
					x := s[i].load(a[0])
					k.VADDPS(x, acc[first+i], acc[first+i])
					k.axpy(other[first+i], x, s[i].op(a[1]))
				}
			})
			k.end(k.fold(acc, 4, k.VADDPS), k.fold(other, 4, k.VADDPS))
		}},
		{name: "sumSquares", arrays: list("x"), results: list("float64"), body: sumSquares},
		{name: "largest", arrays: list("x"), results: list("float32"), body: func(k *kit, n reg.Register, a []reg.Register) {
			k.end(k.largest(n, a[0]))
		}},
		{name: "expSum", arrays: list("y", "x"), scalars: list("shift"), results: list("float32"), body: func(k *kit, n reg.Register, a []reg.Register) {
			k.end(k.expSum(n, a[0], a[1], k.argument("shift")))
		}},
		{name: "softmax", arrays: list("y", "x"), whole: true, body: func(k *kit, n reg.Register, a []reg.Register) {
			total := k.expSum(n, a[0], a[1], k.spread(k.largest(n, a[1])))
			r := k.div(k.r(1), k.spread(total))
			k.each(n, 2, func(s slot) { s.store(k.mul(r, s.op(a[0])), a[0]) })
			k.end()
		}},
		{name: "softmaxSlope", arrays: list("dp", "p"), whole: true, body: func(k *kit, n reg.Register, a []reg.Register) {
			acc := k.partials(32, k.zero)
			k.reduce(n, 32, acc, func(s slot, acc vec) { k.axpy(acc, s.load(a[0]), s.op(a[1])) })
			total := k.spread(k.fold(acc, 4, k.VADDPS))
			k.each(n, 2, func(s slot) { s.store(k.mul(k.sub(s.load(a[0]), total), s.op(a[1])), a[0]) })
			k.end()
		}},
		{name: "addRows", arrays: list("y", "x"), counts: list("rows"), whole: true, body: addRows},
	}
}

func (k *kit) largest(n, x reg.Register) vec {
	low := k.r(-infinity)
	acc := k.partials(32, func() vec { return k.mov(low) })
	k.reduce(n, 32, acc, func(s slot, acc vec) { k.VMAXPS(s.loadOr(x, low), acc, acc) })
	return k.fold(acc, 4, k.VMAXPS)
}

// expSum sets y = e^(x - shift), where x <= shift, and adds it up.
func (k *kit) expSum(n, y, x reg.Register, shift vec) vec {
	acc := k.partials(32, k.zero)
	k.reduce(n, 32, acc, func(s slot, acc vec) {
		e := k.exp(k.max(k.r(coef.ExpLow), k.sub(s.load(x), shift)), nil)
		s.store(e, y)
		k.VADDPS(s.keep(e), acc, acc)
	})
	return k.fold(acc, 4, k.VADDPS)
}

// sumSquares adds in float64.
func sumSquares(k *kit, n reg.Register, a []reg.Register) {
	acc := k.partials(64, k.zero) // 32 lanes of twice the size
	k.groups(n, len(acc)/2, func(first int, s []slot) {
		for i := range s {
			x, low, high := s[i].load(a[0]), k.v(), k.v()
			if k.wide {
				top := k.YMM()
				k.VEXTRACTF64X4(operand.U8(1), x, top)
				k.VCVTPS2PD(x.AsY(), low)
				k.VCVTPS2PD(top, high)
			} else {
				top := k.XMM()
				k.VEXTRACTF128(operand.U8(1), x, top)
				k.VCVTPS2PD(x.AsX(), low)
				k.VCVTPS2PD(top, high)
			}
			k.VFMADD231PD(low, low, acc[2*(first+i)])
			k.VFMADD231PD(high, high, acc[2*(first+i)+1])
		}
	})
	k.end(k.fold(acc, 8, k.VADDPD))
}

// addRows adds rows of n each to y, column by column from the first row on.
func addRows(k *kit, n reg.Register, a []reg.Register) {
	rows, step := k.load("rows"), k.GP64()
	k.MOVQ(n, step)
	k.SHLQ(operand.U8(2), step)
	k.groups(n, 4, func(_ int, s []slot) {
		loop, done := k.label("rows"), k.label("summed")
		row, left := k.GP64(), k.GP64()
		k.MOVQ(a[1], row)
		k.MOVQ(rows, left)
		var acc []vec
		for i := range s {
			acc = append(acc, s[i].load(a[0]))
		}
		k.Label(loop)
		k.CMPQ(left, operand.I32(0))
		k.JLE(operand.LabelRef(done))
		for i := range s {
			k.VADDPS(s[i].op(row), acc[i], acc[i])
		}
		k.ADDQ(step, row)
		k.DECQ(left)
		k.JMP(operand.LabelRef(loop))
		k.Label(done)
		for i := range s {
			s[i].store(acc[i], a[0])
		}
	})
	k.end()
}
