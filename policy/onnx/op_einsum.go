package onnx

import (
	"fmt"
	"slices"
	"strings"
)

func init() {
	register(operator{"Einsum", 12, 1, many, half, prepareEinsum, false})
}

// einsum is an equation with its axes numbered: those of the result first, then
// those that are summed.
type einsum struct {
	dims   []int   // size of each axis
	output int     // how many make up the result
	from   [][]int // strides of each operand along the axes
}

func prepareEinsum(c *call) (func() error, error) {
	shapes := make([][]int, len(c.in))
	for i, t := range c.in {
		if t == nil || t.Type != c.in[0].Type {
			return nil, fmt.Errorf("input %d is missing or of another type than the first", i)
		}
		shapes[i] = t.Shape
	}
	e, err := parseEinsum(c.string("equation", ""), shapes)
	if err != nil {
		return nil, err
	}
	if _, err := volume(e.dims); err != nil {
		return nil, err
	}
	if err := c.costs(append([]int{len(c.in)}, e.dims...)...); err != nil {
		return nil, err
	}
	if err := c.out(0, c.in[0].Type, e.dims[:e.output]...); err != nil {
		return nil, err
	}
	switch c.in[0].Type {
	case Float32:
		return sumProducts[float32](c, e), nil
	case Float64:
		return sumProducts[float64](c, e), nil
	case Int32:
		return sumProducts[int32](c, e), nil
	case Int64:
		return sumProducts[int64](c, e), nil
	}
	return nil, fmt.Errorf("%v is not supported here", c.in[0].Type)
}

// parseEinsum reads terms of letters and ellipses, "ij,jk->ik". An axis of an
// ellipsis is named by its distance from the ellipsis's end.
func parseEinsum(equation string, shapes [][]int) (*einsum, error) {
	left, right, explicit := strings.Cut(strings.ReplaceAll(equation, " ", ""), "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(shapes) {
		return nil, fmt.Errorf("the equation %q has %d terms for %d inputs", equation, len(terms), len(shapes))
	}
	size, count := map[string]int{}, map[string]int{}
	labels := make([][]string, len(terms))
	dots := 0
	for i, term := range terms {
		var err error
		if labels[i], err = termLabels(term, len(shapes[i])); err != nil {
			return nil, err
		}
		for k, l := range labels[i] {
			count[l]++
			if strings.HasPrefix(l, ".") {
				dots = max(dots, len(l))
			}
			if old, ok := size[l]; ok && old != 1 && shapes[i][k] != 1 && old != shapes[i][k] {
				return nil, fmt.Errorf("the axis %q of the equation %q is both %d and %d", l, equation, old, shapes[i][k])
			}
			size[l] = max(size[l], shapes[i][k])
			if shapes[i][k] == 0 {
				return nil, fmt.Errorf("empty inputs are not supported")
			}
		}
	}
	out, err := outputLabels(right, explicit, count, dots)
	if err != nil {
		return nil, fmt.Errorf("the equation %q: %w", equation, err)
	}
	order := slices.Clone(out)
	for _, list := range labels {
		for _, l := range list {
			if !slices.Contains(order, l) {
				order = append(order, l)
			}
		}
	}
	e := &einsum{output: len(out), dims: make([]int, len(order)), from: make([][]int, len(terms))}
	for a, l := range order {
		if e.dims[a] = size[l]; e.dims[a] == 0 {
			return nil, fmt.Errorf("the equation %q makes the axis %q of nothing", equation, l)
		}
	}
	for i, list := range labels {
		e.from[i] = make([]int, len(order))
		own := strides(shapes[i])
		for k, l := range list {
			if shapes[i][k] != 1 {
				e.from[i][slices.Index(order, l)] += own[k] // a diagonal adds up
			}
		}
	}
	return e, nil
}

func termLabels(term string, rank int) ([]string, error) {
	before, after, dots := strings.Cut(term, "...")
	var list []string
	for _, r := range before {
		list = append(list, string(r))
	}
	if dots {
		for k := rank - len(before) - len(after); k > 0; k-- {
			list = append(list, strings.Repeat(".", k))
		}
	}
	for _, r := range after {
		list = append(list, string(r))
	}
	if len(list) != rank || strings.Contains(before+after, ".") {
		return nil, fmt.Errorf("the term %q does not fit an input of %d dimensions", term, rank)
	}
	return list, nil
}

func outputLabels(right string, explicit bool, count map[string]int, dots int) ([]string, error) {
	var out []string
	if explicit {
		rank := len(strings.Replace(right, "...", "", 1))
		if strings.Contains(right, "...") {
			rank += dots
		}
		list, err := termLabels(right, rank)
		if err != nil {
			return nil, err
		}
		for i, l := range list {
			if slices.Contains(list[:i], l) {
				return nil, fmt.Errorf("the axis %q appears twice in the result", l)
			}
		}
		return list, nil
	}
	for k := dots; k > 0; k-- {
		out = append(out, strings.Repeat(".", k))
	}
	var letters []string
	for l, n := range count {
		if n == 1 && l[0] != '.' {
			letters = append(letters, l)
		}
	}
	slices.Sort(letters)
	return append(out, letters...), nil
}

func sumProducts[T number](c *call, e *einsum) func() error {
	return func() error {
		y := Data[T](c.result[0])
		clear(y)
		x := make([][]T, len(c.in))
		for i, t := range c.in {
			x[i] = Data[T](t)
		}
		to := make([]int, len(e.dims))
		copy(to, strides(e.dims[:e.output]))
		walkRows(e.dims, append([][]int{to}, e.from...), func(_ int, from []int, n int, step []int) {
			for k := range n {
				v := T(1)
				for i := range x {
					v *= x[i][from[i+1]+k*step[i+1]]
				}
				y[from[0]+k*step[0]] += v
			}
		})
		return nil
	}
}
