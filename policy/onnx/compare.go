package onnx

import (
	"fmt"
	"math"
	"slices"
)

// Difference is how far a tensor lies from the one that was expected.
type Difference struct {
	Elements int     `json:"elements"`
	Outside  int     `json:"outside"` // elements beyond the tolerance
	MaxAbs   float64 `json:"max_abs"` // largest |got - want|, where both are finite
	MaxRel   float64 `json:"max_rel"` // largest |got - want| / |want|, where want is not 0
	// Worst names the element that is furthest outside; empty if none is.
	Worst string `json:"worst,omitempty"`
}

// Compare measures got against want, of the same shape, in float64. An element
// is outside unless |got - want| <= atol + rtol*|want|; NaN equals NaN. Strings
// are outside unless they are the same.
func Compare(got, want *Tensor, rtol, atol float64) (Difference, error) {
	if !slices.Equal(got.Shape, want.Shape) {
		return Difference{}, fmt.Errorf("the shape is %v, expected %v", got.Shape, want.Shape)
	}
	d := Difference{Elements: got.Len()}
	if got.Type == String || want.Type == String {
		err := d.compareStrings(got, want)
		return d, err
	}
	a, b := toFloat64(got), toFloat64(want)
	worst, at := 0.0, -1
	for i := range a {
		if a[i] == b[i] || math.IsNaN(a[i]) && math.IsNaN(b[i]) {
			continue
		}
		off := math.Abs(a[i] - b[i])
		excess := off - atol - rtol*math.Abs(b[i])
		if math.IsNaN(off) || math.IsInf(off, 0) {
			excess = math.Inf(1)
		} else {
			d.MaxAbs = max(d.MaxAbs, off)
			if b[i] != 0 {
				d.MaxRel = max(d.MaxRel, min(off/math.Abs(b[i]), math.MaxFloat64))
			}
		}
		if !(excess <= 0) {
			d.Outside++
			if at < 0 || excess > worst {
				worst, at = excess, i
			}
		}
	}
	if at >= 0 {
		d.Worst = fmt.Sprintf("element %v is %.9g, expected %.9g", position(at, got.Shape), a[at], b[at])
	}
	return d, nil
}

// compareStrings counts the strings that differ.
func (d *Difference) compareStrings(got, want *Tensor) error {
	if got.Type != want.Type {
		return fmt.Errorf("it is of %v, expected %v", got.Type, want.Type)
	}
	for i, s := range got.text {
		if s == want.text[i] {
			continue
		}
		if d.Outside++; d.Outside == 1 {
			d.Worst = fmt.Sprintf("element %v is %.100q, expected %.100q", position(i, got.Shape), s, want.text[i])
		}
	}
	return nil
}

// position is the index along each dimension of element i.
func position(i int, shape []int) []int {
	at := make([]int, len(shape))
	for k, s := range strides(shape) {
		at[k] = i / s
		i %= s
	}
	return at
}
