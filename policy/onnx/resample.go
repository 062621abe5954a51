package onnx

import (
	"math"
	"slices"
)

// resample resizes x axis by axis. Elements that are only picked keep their
// type on the way; else sums are float64, and whole numbers rounded to even.
func resample[T number](c *call, table [][]tap) func() error {
	return func() error {
		shape := slices.Clone(c.in[0].Shape)
		x, y := Data[T](c.in[0]), Data[T](c.result[0])
		order, picked := resampleOrder(shape, table), true
		for _, a := range order {
			picked = picked && !slices.ContainsFunc(table[a], func(t tap) bool { return !t.single() })
		}
		var err error
		switch {
		case len(order) == 0:
			copy(y, x)
		case picked:
			err = resampleAxes[T, T](c, y, x, shape, table, order)
		default:
			err = resampleAxes[T, float64](c, y, x, shape, table, order)
		}
		var fill [1]T
		rounded(fill[:], []float64{float64(c.float("extrapolation_value", 0))})
		markOutside(y, fill[0], shape, table)
		return err
	}
}

// resampleAxes resizes axes of x in order, the first from T to F, the last to T.
func resampleAxes[T, F number](c *call, y, x []T, shape []int, table [][]tap, order []int) error {
	between := make([][]F, len(order)-1) // results of all passes but the last
	full := slices.Clone(shape)
	for i := range between {
		full[order[i]] = len(table[order[i]])
		s, done, err := scratch[F](c, product(full))
		if err != nil {
			return err
		}
		defer done()
		between[i] = s
	}
	last := len(between)
	for i, a := range order {
		outer, n, inner := alongAxis(shape, a)
		shape[a] = len(table[a])
		switch r := (rows{table[a], outer, n, inner}); {
		case i == 0 && last == 0:
			resampleAxis(y, x, r)
		case i == 0:
			resampleAxis(between[0], x, r)
		case i == last:
			resampleAxis(y, between[i-1], r)
		default:
			resampleAxis(between[i], between[i-1], r)
		}
	}
	return nil
}

// resampleOrder is the order of the axes that change: shortest results first,
// and the last axis, whose elements are picked one by one, while there are few.
func resampleOrder(shape []int, table [][]tap) (order []int) {
	for a, taps := range table {
		if len(taps) < shape[a] {
			order = append(order, a)
		}
	}
	for a, taps := range slices.Backward(table) {
		if len(taps) >= shape[a] && !identityTaps(taps, shape[a]) {
			order = append(order, a)
		}
	}
	return order
}

// single says that an element is another as it is.
func (t *tap) single() bool { return t.out || len(t.at) == 1 && t.weight[0] == 1 }

// rows is an array (outer, n, inner) that becomes (outer, len(taps), inner).
type rows struct {
	taps            []tap
	outer, n, inner int
}

func resampleAxis[Y, X number](y []Y, x []X, r rows) {
	taps, inner := r.taps, r.inner
	if inner == 1 {
		p := flatten(taps)
		parallel(r.outer, 1+(1<<14)/len(taps), func(lo, hi int) {
			for o := lo; o < hi; o++ {
				pickRow(y[o*len(taps):(o+1)*len(taps)], x[o*r.n:(o+1)*r.n], p)
			}
		})
		return
	}
	parallel(r.outer*len(taps), 1+(1<<14)/inner, func(lo, hi int) {
		var sums []float64
		for k := lo; k < hi; k++ {
			row, t := y[k*inner:(k+1)*inner], &taps[k%len(taps)]
			at := func(i int) []X { return x[(k/len(taps)*r.n+t.at[i])*inner:][:inner] }
			switch {
			case len(t.at) == 1 && t.single():
				castTo(row, at(0))
			case len(t.at) == 2 && isFloat[Y]():
				a, b, v, w := at(0), at(1), t.weight[0], t.weight[1]
				for i := range row {
					row[i] = Y(v*float64(a[i]) + w*float64(b[i]))
				}
			default:
				sums = append(sums[:0], make([]float64, inner)...)
				for j, w := range t.weight {
					for i, v := range at(j) {
						sums[i] += w * float64(v)
					}
				}
				rounded(row, sums)
			}
		}
	})
}

// picks are the taps of a row, one after another: those of element i end at
// end[i].
type picks struct {
	at     []int
	weight []float64
	end    []int
	single bool // one tap of weight 1 for each
}

func flatten(taps []tap) *picks {
	p := &picks{single: true}
	for i := range taps {
		t := &taps[i]
		p.at, p.weight = append(p.at, t.at...), append(p.weight, t.weight...)
		p.end = append(p.end, len(p.at))
		p.single = p.single && len(t.at) == 1 && t.single()
	}
	return p
}

func pickRow[Y, X number](y []Y, x []X, p *picks) {
	if p.single {
		for i, at := range p.at {
			y[i] = Y(x[at])
		}
		return
	}
	from, float := 0, isFloat[Y]()
	for i, end := range p.end {
		sum := 0.0
		if at, w := p.at[from:end], p.weight[from:end]; len(at) == 2 {
			sum = w[0]*float64(x[at[0]]) + w[1]*float64(x[at[1]])
		} else {
			for j, k := range at {
				sum += w[j] * float64(x[k])
			}
		}
		if from = end; float {
			y[i] = Y(sum)
		} else {
			y[i] = whole[Y](math.RoundToEven(sum))
		}
	}
}

// rounded converts sums, whole numbers to even.
func rounded[Y number](y []Y, x []float64) {
	if isFloat[Y]() {
		castTo(y, x)
		return
	}
	for i, v := range x {
		y[i] = whole[Y](math.RoundToEven(v))
	}
}

func identityTaps(taps []tap, n int) bool {
	if len(taps) != n {
		return false
	}
	for i, t := range taps {
		if len(t.at) != 1 || t.at[0] != i || t.weight[0] != 1 {
			return false
		}
	}
	return true
}

// markOutside gives what lies beyond the region its value.
func markOutside[T number](y []T, fill T, shape []int, table [][]tap) {
	for a, taps := range table {
		outer, n, inner := alongAxis(shape, a)
		for k, t := range taps {
			for o := 0; t.out && o < outer; o++ {
				row := y[(o*n+k)*inner:][:inner]
				for i := range row {
					row[i] = fill
				}
			}
		}
	}
}
