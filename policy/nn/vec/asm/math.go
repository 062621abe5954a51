package main

import (
	"github.com/mmcloughlin/avo/operand"

	"arfm/policy/nn/vec/coef"
)

// expParts reduces x to n, as a float and under the magic number, and e^r - 1.
// lo is added to r where x is the upper part of a sum; x is overwritten.
func (k *kit) expParts(x vec, lo *vec) (n, magic, em1 vec) {
	magic = k.mov(k.f(coef.Magic))
	k.axpy(magic, x, k.f(coef.Log2E))
	n = k.sub(magic, k.f(coef.Magic))
	k.axmy(x, n, k.f(coef.Ln2Hi))
	k.axmy(x, n, k.f(coef.Ln2Lo))
	if lo != nil {
		k.VADDPS(*lo, x, x)
	}
	q := k.horner(x, coef.Exp[:])
	return n, magic, k.xpa(q, k.mul(x, x), x)
}

// exp is e^x for x in [coef.ExpLow, coef.ExpHigh] or NaN, plus lo as above.
// Results below 2^-126 are rounded once, as both levels' last step is a product
// with a power of two.
func (k *kit) exp(x vec, lo *vec) vec {
	n, magic, em1 := k.expParts(x, lo)
	p := k.add(em1, k.f(1))
	if k.wide {
		k.VSCALEFPS(n, p, p)
		return p
	}
	// 2^n in two factors, as n may be beyond a float's exponents.
	i := k.op(k.VPSUBD, magic, k.f(coef.Magic))
	h := k.v()
	k.VPSRAD(operand.U8(1), i, h)
	k.VPSUBD(h, i, i)
	for _, e := range []vec{h, i} {
		k.VPADDD(k.bits(127), e, e)
		k.VPSLLD(operand.U8(23), e, e)
		k.VMULPS(e, p, p)
	}
	return p
}

// bound cuts x to [low, high], NaN stays.
func (k *kit) bound(x vec, low, high float32) vec {
	return k.min(k.r(high), k.max(k.r(low), x))
}

// tail is for t = |x|, cut at coef.TailLimit, e^(-t^2/2) and Phi(-t).
func (k *kit) tail(x vec) (t, density, p vec) {
	t = k.min(k.r(coef.TailLimit), k.abs(x))
	lo := k.mul(t, k.f(-0.5))
	hi := k.mul(lo, t)
	k.VFMSUB213PS(hi, t, lo) // what the product lost
	e := k.exp(hi, &lo)
	v := k.div(k.r(coef.TailShift), k.add(t, k.f(coef.TailShift)))
	return t, e, k.mul(k.mul(k.horner(v, coef.Tail[:]), v), e)
}

func (k *kit) gelu(x vec) vec {
	t, _, p := k.tail(x)
	return k.axmy(k.max(k.zero(), x), t, p)
}

// geluSlope is Phi(x) + x phi(x) = step(x) + sign(x) (t phi(t) - Phi(-t)).
func (k *kit) geluSlope(x vec) vec {
	t, e, p := k.tail(x)
	w := k.mul(t, k.f(coef.InvSqrt2Pi))
	k.VFMSUB213PS(p, e, w)
	negative, step := k.v(), k.v()
	k.VPSRAD(operand.U8(31), x, negative)
	k.VANDNPS(k.f(1), negative, step)
	return k.add(k.xor(w, k.sign(x)), step)
}

func (k *kit) erf(x vec) vec {
	_, _, p := k.tail(k.mul(x, k.f(1.4142135623730951)))
	far := k.or(k.axmy(k.mov(k.f(1)), p, k.f(2)), k.sign(x))
	near := k.mul(k.horner(k.mul(x, x), coef.Erf[:]), x)
	return k.less(k.abs(x), k.f(coef.ErfLimit), near, far)
}

// tanh is, by e^(2|x|) - 1 = e, e / (e + 2) with the sign of x.
func (k *kit) tanh(x vec) vec {
	a := k.min(k.r(coef.TanhLimit), k.abs(x))
	_, s, em1 := k.expParts(k.add(a, a), nil)
	k.VPSLLD(operand.U8(23), s, s)
	k.VPADDD(k.f(1), s, s) // 2^n
	e := k.xpa(em1, s, k.sub(s, k.f(1)))
	return k.or(k.div(e, k.add(e, k.f(2))), k.sign(x))
}

// sigmoid is, by e^-|x| = e, 1 / (1 + e) or e / (1 + e).
func (k *kit) sigmoid(x vec) vec {
	e := k.exp(k.max(k.r(coef.ExpLow), k.or(x, k.bits(signBit))), nil)
	return k.div(k.less(x, k.f(0), e, k.r(1)), k.add(e, k.f(1)))
}

func (k *kit) silu(x vec) vec {
	return k.mul(k.sigmoid(x), k.max(k.r(-coef.SwishLimit), x))
}

func (k *kit) siluSlope(x vec) vec {
	s := k.sigmoid(x)
	other := k.sub(k.r(1), s)
	return k.mul(k.xpa(other, k.bound(x, -coef.SwishLimit, coef.SwishLimit), k.f(1)), s)
}

func (k *kit) geluTanh(x vec) vec {
	u := k.xpa(k.mul(x, x), k.r(coef.GeluTanh3), k.f(coef.GeluTanh1))
	return k.mul(k.sigmoid(k.mul(u, x)), k.max(k.r(-coef.SwishLimit), x))
}

func (k *kit) flush(x vec) vec { return k.less(k.abs(x), k.f(coef.Flush), k.zero(), x) }
