package report

import (
	"math"
	"strconv"
	"strings"
)

// huge is the largest number that is drawn; beyond it differences overflow.
const huge = 1e150

// drawable says whether v has a place on an axis.
func drawable(v float64, log bool) bool {
	return math.Abs(v) <= huge && (!log || v >= 1/huge)
}

// extent is the range of the numbers added to it.
type extent struct {
	lo, hi float64
	n      int
}

func (e *extent) add(v float64) {
	if e.n == 0 {
		e.lo, e.hi = v, v
	}
	e.lo, e.hi, e.n = min(e.lo, v), max(e.hi, v), e.n+1
}

// widened is an extent that ticks can be put on: never a single point.
func (e extent) widened() (lo, hi float64) {
	least := max(1e-9*max(math.Abs(e.lo), math.Abs(e.hi)), 1e-140)
	if e.hi-e.lo >= least {
		return e.lo, e.hi
	}
	half := max(0.05*math.Abs(e.lo), least)
	if e.lo == 0 {
		half = 1
	}
	return e.lo - half, e.hi + half
}

// scale maps a domain onto pixels.
type scale struct {
	lo, hi float64 // domain
	a, b   float64 // pixels of lo and hi
	log    bool
	ticks  []tick
}

type tick struct {
	at    float64
	label string
}

func (s *scale) at(v float64) float64 {
	lo, hi := s.lo, s.hi
	if s.log {
		v, lo, hi = math.Log10(v), math.Log10(lo), math.Log10(hi)
	}
	return s.a + (s.b-s.a)*(v-lo)/(hi-lo)
}

// step is a round number (1, 2 or 5 times a power of ten) so that width holds
// about n of it.
func step(width float64, n int) float64 {
	raw := width / float64(n)
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= raw*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// linear makes a scale with about n ticks. A rounded one begins and ends on a
// tick, and begins at zero where that costs little room.
func linear(e extent, n int, rounded bool) scale {
	lo, hi := e.widened()
	if rounded && lo > 0 && lo < 0.4*hi {
		lo = 0
	}
	d := step(hi-lo, n)
	first, last := math.Ceil(lo/d-1e-9), math.Floor(hi/d+1e-9)
	if rounded {
		first, last = math.Floor(lo/d+1e-9), math.Ceil(hi/d-1e-9)
		lo, hi = first*d, last*d
	}
	s := scale{lo: lo, hi: hi}
	for i := 0.0; i <= last-first && i < 50; i++ {
		v := (first + i) * d
		s.ticks = append(s.ticks, tick{v, tickLabel(v, d)})
	}
	return s
}

// put replaces the ticks by those of ats that lie on the scale.
func (s *scale) put(ats []float64) {
	s.ticks = nil
	for _, v := range ats {
		if v >= s.lo && v <= s.hi {
			s.ticks = append(s.ticks, tick{v, number(v)})
		}
	}
}

// logarithmic makes a scale with ticks at powers of ten, or at 1, 2 and 5
// times them where the domain is short.
func logarithmic(e extent) scale {
	first, last := math.Floor(math.Log10(e.lo)+1e-9), math.Ceil(math.Log10(e.hi)-1e-9)
	if first == last {
		last++
	}
	mults, every := []float64{1}, math.Ceil((last-first)/6)
	if last-first <= 2 {
		mults = []float64{1, 2, 5}
	}
	var all []float64
	for p := first; p <= last; p += every {
		for _, m := range mults {
			all = append(all, m*math.Pow(10, p))
		}
	}
	lo, hi := 0, len(all)-1
	for len(mults) > 1 && lo+1 < hi && all[lo+1] <= e.lo {
		lo++
	}
	for hi-1 > lo && all[hi-1] >= e.hi {
		hi--
	}
	s := scale{lo: all[lo], hi: max(all[hi], e.hi), log: true}
	for _, v := range all[lo : hi+1] {
		s.ticks = append(s.ticks, tick{v, powerLabel(v)})
	}
	return s
}

// percent is the scale of a rate.
func percent(every float64) scale {
	s := scale{hi: 1}
	for v := 0.0; v <= 100; v += every {
		s.ticks = append(s.ticks, tick{v / 100, strconv.Itoa(int(v)) + " %"})
	}
	return s
}

// tickLabel writes v with the decimals that a step of d needs.
func tickLabel(v, d float64) string {
	if big := max(math.Abs(v), d); big >= 1e7 || d < 1e-5 {
		if v == 0 {
			return "0"
		}
		mantissa, exp, _ := strings.Cut(strconv.FormatFloat(v, 'e', -1, 64), "e")
		if len(mantissa) > 5 {
			mantissa, exp, _ = strings.Cut(strconv.FormatFloat(v, 'e', 3, 64), "e")
		}
		e, _ := strconv.Atoi(exp)
		return minus(mantissa) + "·10" + superscript(e)
	}
	decimals := max(0, -int(math.Floor(math.Log10(d)+1e-9)))
	return minus(group(strconv.FormatFloat(v, 'f', decimals, 64)))
}

func powerLabel(v float64) string {
	if v >= 0.00099 && v < 1e5 {
		return group(strconv.FormatFloat(v, 'g', 3, 64))
	}
	e := math.Floor(math.Log10(v) + 1e-9)
	m := strconv.FormatFloat(v/math.Pow(10, e), 'f', 0, 64)
	if m == "1" {
		return "10" + superscript(int(e))
	}
	return m + "·10" + superscript(int(e))
}

// number writes a value for people, to four digits.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "not a number"
	case math.IsInf(v, 0):
		return minus(strings.Trim(strconv.FormatFloat(v, 'f', -1, 64), "+"))
	case v == math.Trunc(v) && a < 1e7:
		return minus(group(strconv.FormatFloat(v, 'f', 0, 64)))
	case a >= 1e7 || a < 1e-4:
		return minus(strconv.FormatFloat(v, 'e', 3, 64))
	case a >= 1000:
		return minus(group(strconv.FormatFloat(v, 'f', 1, 64)))
	}
	return minus(strconv.FormatFloat(v, 'g', 4, 64))
}

// group parts the digits of a large number by thin spaces.
func group(s string) string {
	whole, rest, dot := strings.Cut(s, ".")
	digits := strings.TrimLeft(whole, "-")
	if len(digits) < 5 {
		return s
	}
	for i := len(whole) - 3; i > len(whole)-len(digits); i -= 3 {
		whole = whole[:i] + "\u2009" + whole[i:]
	}
	if dot {
		return whole + "." + rest
	}
	return whole
}

func minus(s string) string { return strings.ReplaceAll(s, "-", "−") }

func superscript(n int) string {
	return strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵",
		"6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹").Replace(strconv.Itoa(n))
}

// percentage writes a rate.
func percentage(v float64) string { return strconv.FormatFloat(100*v, 'f', 0, 64) + " %" }
