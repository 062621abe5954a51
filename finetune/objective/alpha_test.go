package objective

import (
	"math"
	"math/rand/v2"
	"testing"
)

// criterion is J up to a positive factor and in a form that loses no digits for
// small x: (e^(2x) - e^x) - (lambda sR / sL2) z, with z = alpha sR.
func criterion(alpha, sR, c float64) float64 {
	z := alpha * sR
	x := z * z
	if x > 350 {
		return math.Inf(1)
	}
	return math.Exp(x)*math.Expm1(x) - c*z
}

// bruteForce minimises J on ever finer logarithmic grids; it uses no
// derivative.
func bruteForce(sR, sL2 float64, o AlphaOptions) float64 {
	c := o.Lambda * sR / sL2
	lo, hi := o.Min, o.Max
	best := lo
	for range 40 {
		const n = 400
		ratio := math.Pow(hi/lo, 1.0/n)
		least, at := math.Inf(1), 0
		for i := range n + 1 {
			a := min(lo*math.Pow(ratio, float64(i)), hi)
			if j := criterion(a, sR, c); j < least {
				least, at, best = j, i, a
			}
		}
		if ratio-1 < 1e-9 {
			break
		}
		base := lo
		lo = max(base*math.Pow(ratio, float64(at-2)), o.Min)
		hi = min(base*math.Pow(ratio, float64(at+2)), o.Max)
	}
	return best
}

// randomCase draws s_R, s_L^2 and lambda over many orders of magnitude, so that
// many solutions lie on a bound.
func randomCase(rng *rand.Rand) (sR, sL2, lambda float64) {
	exp10 := func(lo, hi float64) float64 { return math.Pow(10, lo+(hi-lo)*rng.Float64()) }
	return exp10(-3, 2), exp10(-7, 1), exp10(-5, 0)
}

func TestSolveAlphaAgainstBruteForce(t *testing.T) {
	rng := rand.New(rand.NewPCG(20250904, 4063))
	o := DefaultAlpha()
	worst, lower, upper := 0.0, 0, 0
	for range 1000 {
		var sR, sL2 float64
		sR, sL2, o.Lambda = randomCase(rng)
		got, want := SolveAlpha(sR, sL2, o), bruteForce(sR, sL2, o)
		switch got.Bound {
		case -1:
			lower++
		case 1:
			upper++
		default:
			if scale := o.Lambda * sR / sL2; math.Abs(got.Residual) > 1e-9*(1+scale) {
				t.Errorf("F = %v at alpha %v (s_R %v, s_L^2 %v, lambda %v)", got.Residual, got.Alpha, sR, sL2, o.Lambda)
			}
		}
		err := math.Abs(got.Alpha-want) / want
		worst = max(worst, err)
		if err > 1e-6 {
			t.Errorf("alpha = %v, brute force %v (s_R %v, s_L^2 %v, lambda %v)", got.Alpha, want, sR, sL2, o.Lambda)
		}
	}
	t.Logf("worst relative error %.2g; %d on the lower bound, %d on the upper, %d between", worst, lower, upper, 1000-lower-upper)
	if lower < 50 || upper < 50 || lower+upper > 800 {
		t.Errorf("the cases are one-sided: %d on the lower bound, %d on the upper", lower, upper)
	}
}

// TestBisectionAloneIsTooCoarse records why SolveAlpha does not stop where the
// paper's pseudo-code does.
func TestBisectionAloneIsTooCoarse(t *testing.T) {
	rng := rand.New(rand.NewPCG(20250904, 4063))
	o := DefaultAlpha()
	worst, over := 0.0, 0
	for range 1000 {
		var sR, sL2 float64
		sR, sL2, o.Lambda = randomCase(rng)
		exact := SolveAlpha(sR, sL2, o)
		if exact.Bound != 0 {
			continue
		}
		lo, hi := o.Min*o.Min*sR*sR, o.Max*o.Max*sR*sR
		for i := 0; i < o.Iterations && hi-lo > o.Tolerance; i++ {
			if mid := 0.5 * (lo + hi); stationarity(math.Sqrt(mid), o.Lambda*sR/sL2) < 0 {
				lo = mid
			} else {
				hi = mid
			}
		}
		err := math.Abs(math.Sqrt(0.5*(lo+hi))/sR-exact.Alpha) / exact.Alpha
		worst = max(worst, err)
		if err > 1e-6 {
			over++
		}
	}
	t.Logf("20 bisections alone: worst relative error of alpha %.2g, %d cases over 1e-6", worst, over)
	if over == 0 {
		t.Error("bisection alone reaches 1e-6: the Newton steps are not needed")
	}
}

func TestSolveAlphaEdges(t *testing.T) {
	o := DefaultAlpha()
	for _, c := range []struct {
		name     string
		sR, sL2  float64
		alpha    float64
		bound    int
		residual bool // F is finite and has the sign of the bound
	}{
		{"no signal", 0, 0.1, o.Min, -1, false},
		{"no variance", 1, 0, o.Max, 1, false},
		{"tiny variance", 1, 1e-320, o.Max, 1, false},
		{"small network", 0.1, 0.05, o.Min, -1, true},
		{"huge advantages", 1e6, 1e-3, o.Min, -1, true},
		{"tiny advantages", 1e-6, 1e-9, o.Max, 1, true},
	} {
		got := SolveAlpha(c.sR, c.sL2, o)
		if got.Alpha != c.alpha || got.Bound != c.bound {
			t.Errorf("%s: alpha %v on bound %d, want %v on %d", c.name, got.Alpha, got.Bound, c.alpha, c.bound)
		}
		if math.IsNaN(got.X) || math.IsInf(got.Residual, 0) || math.IsNaN(got.Residual) {
			t.Errorf("%s: x %v, residual %v", c.name, got.X, got.Residual)
		}
		if c.residual && got.Residual*float64(c.bound) > 0 {
			t.Errorf("%s: F = %v has the wrong sign for bound %d", c.name, got.Residual, c.bound)
		}
	}
}

func TestAlphaOptionsValidate(t *testing.T) {
	for _, change := range []func(*AlphaOptions){
		func(o *AlphaOptions) { o.Lambda = math.NaN() },
		func(o *AlphaOptions) { o.Min = 6 },
		func(o *AlphaOptions) { o.Iterations = 0 },
		func(o *AlphaOptions) { o.Tolerance = -1 },
	} {
		o := DefaultAlpha()
		change(&o)
		if o.Validate() == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// TestSolveAlphaWithWideBounds: how far the bounds are does not matter to a root
// between them.
func TestSolveAlphaWithWideBounds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 6))
	for range 2000 {
		o := RelativeAlpha()
		sR, sL2, _ := randomCase(rng)
		o.Lambda, o.Iterations = math.Pow(10, 12*rng.Float64()-3), 1+rng.IntN(20)
		o.Min, o.Max = 0, 1e6
		got := SolveAlpha(sR, sL2, o)
		c := o.Lambda * sR / sL2
		if got.Bound != 0 || math.Abs(got.Residual) > 1e-9*c {
			t.Fatalf("s_R %v, s_L^2 %v, lambda %v: alpha %v on bound %d with residual %v of %v", sR, sL2, o.Lambda, got.Alpha, got.Bound, got.Residual, c)
		}
	}
}

// TestFitAlpha: the weights have the effective sample size that was asked for, or
// alpha lies on the bound next to it.
func TestFitAlpha(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	o := DefaultAlpha()
	bounds := [3]int{}
	for range 500 {
		r := make([]float64, 2+rng.IntN(100))
		for i := range r {
			r[i] = rng.NormFloat64() * math.Exp(rng.NormFloat64()) // tails that are not Gaussian
		}
		size := 1 + rng.Float64()*float64(len(r))
		alpha, bound := FitAlpha(r, size, o)
		bounds[bound+1]++
		var sum, squares float64
		for _, v := range r {
			w := math.Exp(alpha * (v - r[0]))
			sum, squares = sum+w, squares+w*w
		}
		got := sum * sum / squares
		if bound == 0 && math.Abs(got-size) > 1e-9*size || bound < 0 && (alpha != o.Min || got > size) || bound > 0 && (alpha != o.Max || got < size) {
			t.Errorf("alpha %v, bound %d: effective sample size %v, not %v", alpha, bound, got, size)
		}
	}
	if bounds[0] == 0 || bounds[1] < 100 || bounds[2] == 0 {
		t.Errorf("%v cases on the lower bound, between, on the upper", bounds)
	}
}

// TestSpread: for a large batch of Gaussian advantages both spreads give about the
// same alpha; one far out takes all the weight with one and not with the other.
func TestSpread(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	const b = 20000
	l, adv, w, r := make([]float32, b), make([]float32, b), make([]float32, b), make([]float64, b)
	for i := range l {
		l[i], adv[i] = float32(rng.ExpFloat64()), float32(rng.NormFloat64())
	}
	weigh := func(n int, lambda float64, s Spread) (float64, float64) {
		o := &ARFM{Options: RelativeAlpha(), Scale: Relative, Spread: s}
		o.Options.Lambda = lambda
		got, err := o.weigh(w[:n], l[:n], adv[:n], r[:n])
		if err != nil {
			t.Fatal(err)
		}
		var sum, squares float64
		for _, v := range w[:n] {
			sum, squares = sum+float64(v), squares+float64(v)*float64(v)
		}
		return got.Alpha, sum * sum / squares / (float64(n) * math.Exp(-got.X))
	}
	gaussian, _ := weigh(b, 5, Gaussian)
	if batch, _ := weigh(b, 5, Batch); math.Abs(batch/gaussian-1) > 0.02 {
		t.Errorf("alpha %v and %v", gaussian, batch)
	}
	adv[0] = 8
	_, size := weigh(64, 50, Gaussian)
	_, fitted := weigh(64, 50, Batch)
	if size > 0.2 || math.Abs(fitted-1) > 1e-4 {
		t.Errorf("with an outlier the effective sample size is %v and %v of the predicted", size, fitted)
	}
}
