package onnx

import (
	"fmt"
	"math"
	"slices"
)

func init() {
	register(
		operator{"Resize", 10, 1, 4, only32, prepareResize, false},
		operator{"Upsample", 7, 1, 2, only32, prepareResize, false},
	)
}

// resampling is how one axis is resized.
type resampling struct {
	in, out int
	scale   float64
	start   float64 // region of interest, of the axis
	end     float64
}

// tap is a weighted element of the input; the weights of an output element sum
// to 1, or outside is set and it takes the extrapolation value.
type tap struct {
	at     []int
	weight []float64
	out    bool
}

func prepareResize(c *call) (func() error, error) {
	x := c.in[0]
	axes, err := c.resizePlan()
	if err != nil {
		return nil, err
	}
	shape := make([]int, len(axes))
	for i, a := range axes {
		shape[i] = a.out
	}
	if err := c.out(0, x.Type, shape...); err != nil {
		return nil, err
	}
	if product(shape) == 0 {
		return func() error { return nil }, nil
	}
	weights := 0 // and positions; of a kernel of four, or of all elements once
	for _, a := range axes {
		weights += 8 * max(a.in, a.out)
	}
	if err := c.costs(weights); err != nil {
		return nil, err
	}
	table := make([][]tap, len(axes))
	most := 0
	for i, a := range axes {
		if a.in == 0 {
			return nil, fmt.Errorf("an empty axis cannot be resized")
		}
		table[i] = make([]tap, a.out)
		for o := range table[i] {
			if table[i][o], err = c.taps(a, o); err != nil {
				return nil, err
			}
			most = max(most, len(table[i][o].at))
		}
	}
	cost := []int{most}
	for _, a := range axes {
		cost = append(cost, max(a.in, a.out))
	}
	if err := c.costs(cost...); err != nil {
		return nil, err
	}
	switch x.Type {
	case Float32:
		return resample[float32](c, table), nil
	case Int8:
		return resample[int8](c, table), nil
	case Uint8:
		return resample[uint8](c, table), nil
	case Int32:
		return resample[int32](c, table), nil
	case Int64:
		return resample[int64](c, table), nil
	}
	return nil, fmt.Errorf("%v is not supported here", x.Type)
}

// resizeInputs finds region, scales and sizes where the opset has them.
func (c *call) resizeInputs() (roi, scales []float64, sizes []int64, err error) {
	floats := func(i int) []float64 {
		if !c.has(i) || c.in[i].Len() == 0 {
			return nil
		}
		if c.in[i].data == nil {
			err = errNoData
			return nil
		}
		return toFloat64(c.in[i])
	}
	switch {
	case c.op == "Upsample" && c.version < 9:
		for _, v := range attribute[[]float32](c, "scales", nil) {
			scales = append(scales, float64(v))
		}
	case c.version < 11:
		scales = floats(1)
	default:
		roi, scales = floats(1), floats(2)
		if c.has(3) && err == nil {
			sizes, err = c.input(3)
		}
	}
	return roi, scales, sizes, err
}

func (c *call) resizePlan() ([]resampling, error) {
	x := c.in[0]
	roi, scales, sizes, err := c.resizeInputs()
	if err != nil {
		return nil, err
	}
	chosen := clampInts(c.ints("axes"))
	if len(chosen) == 0 {
		for i := range x.Shape {
			chosen = append(chosen, i)
		}
	}
	n := len(chosen)
	if (len(scales) == n) == (len(sizes) == n) && n > 0 || len(roi) != 0 && len(roi) != 2*n {
		return nil, fmt.Errorf("%d scales, %d sizes and %d numbers of region do not fit %d axes", len(scales), len(sizes), len(roi), n)
	}
	if _, err := axisSet(convert[int64](chosen), len(x.Shape)); err != nil {
		return nil, err
	}
	plan := make([]resampling, len(x.Shape))
	for i, d := range x.Shape {
		plan[i] = resampling{d, d, 1, 0, 1}
	}
	crop := c.string("coordinate_transformation_mode", "") == "tf_crop_and_resize"
	for k, a := range chosen {
		if a < 0 {
			a += len(x.Shape)
		}
		p := &plan[a]
		if crop && roi != nil {
			p.start, p.end = roi[k], roi[n+k]
		}
		if len(sizes) > 0 {
			p.out = clampInt(sizes[k])
			p.scale = float64(p.out) / float64(max(p.in, 1))
			continue
		}
		p.scale = scales[k]
		size := math.Floor(float64(p.in) * p.scale * (p.end - p.start))
		if !(size >= 0 && size < maxVolume && p.scale > 0) {
			return nil, fmt.Errorf("a scale of %g is out of range", p.scale)
		}
		p.out = int(size)
	}
	return plan, c.keepAspect(plan, chosen, len(sizes) > 0)
}

// keepAspect makes the sizes' axes share one scale when the policy asks for it.
func (c *call) keepAspect(plan []resampling, chosen []int, sizes bool) error {
	policy := c.string("keep_aspect_ratio_policy", "stretch")
	if policy == "stretch" || !sizes || len(chosen) == 0 {
		return nil
	}
	var scales []float64
	for _, a := range chosen {
		scales = append(scales, plan[(a+len(plan))%len(plan)].scale)
	}
	scale := slices.Min(scales)
	if policy == "not_smaller" {
		scale = slices.Max(scales)
	} else if policy != "not_larger" {
		return fmt.Errorf("the policy %q is not supported", policy)
	}
	for _, a := range chosen {
		p := &plan[(a+len(plan))%len(plan)]
		p.scale = scale
		p.out = clampInt(int64(math.Floor(scale*float64(p.in) + 0.5)))
	}
	return nil
}

// source is the place in the input that element o of the output stands for.
func (c *call) source(a resampling, o int) (float64, error) {
	mode := c.string("coordinate_transformation_mode", "half_pixel")
	if c.version < 11 {
		mode = "asymmetric"
	}
	x, in, out := float64(o), float64(a.in), float64(a.out)
	switch mode {
	case "half_pixel":
		return (x+0.5)/a.scale - 0.5, nil
	case "half_pixel_symmetric":
		whole := a.scale * in
		return in/2*(1-out/whole) + (x+0.5)/a.scale - 0.5, nil
	case "pytorch_half_pixel":
		if a.out <= 1 {
			return -0.5, nil
		}
		return (x+0.5)/a.scale - 0.5, nil
	case "align_corners":
		if a.out <= 1 {
			return 0, nil
		}
		whole := a.scale * in
		return x * (in - 1) / (whole - 1), nil
	case "asymmetric":
		return x / a.scale, nil
	case "tf_crop_and_resize":
		if a.out <= 1 {
			return (a.start + a.end) / 2 * (in - 1), nil
		}
		return a.start*(in-1) + x*(a.end-a.start)*(in-1)/(out-1), nil
	}
	return 0, fmt.Errorf("the transformation %q is not supported", mode)
}

// taps finds which elements of the input make up element o of the output.
func (c *call) taps(a resampling, o int) (tap, error) {
	if a.in == a.out && a.scale == 1 && a.start == 0 && a.end == 1 {
		return tap{at: []int{o}, weight: []float64{1}}, nil
	}
	x, err := c.source(a, o)
	if err != nil {
		return tap{}, err
	}
	if math.IsNaN(x) || math.Abs(x) > maxVolume {
		return tap{}, fmt.Errorf("the scale %g leads nowhere", a.scale)
	}
	if c.string("coordinate_transformation_mode", "") == "tf_crop_and_resize" && (x < 0 || x > float64(a.in-1)) {
		return tap{out: true}, nil
	}
	stretch := 1.0 // of the filter, to weigh all that shrinks into one element
	if c.int("antialias", 0) != 0 && a.scale < 1 {
		stretch = 1 / a.scale
	}
	switch mode := c.string("mode", "nearest"); mode {
	case "nearest":
		return tap{at: []int{min(max(c.nearest(x), 0), a.in-1)}, weight: []float64{1}}, nil
	case "linear":
		return c.filter(a, x, stretch, func(d float64) float64 { return max(0, 1-math.Abs(d)) }, 1)
	case "cubic":
		k := float64(c.float("cubic_coeff_a", -0.75))
		return c.filter(a, x, stretch, func(d float64) float64 { return cubicWeight(math.Abs(d), k) }, 2)
	default:
		return tap{}, fmt.Errorf("the mode %q is not supported", mode)
	}
}

func (c *call) nearest(x float64) int {
	mode := c.string("nearest_mode", "round_prefer_floor")
	if c.version < 11 {
		mode = "floor"
	}
	switch mode {
	case "floor":
		return int(math.Floor(x))
	case "ceil":
		return int(math.Ceil(x))
	case "round_prefer_ceil":
		return int(math.Floor(x + 0.5))
	}
	return int(math.Ceil(x - 0.5))
}

func cubicWeight(d, a float64) float64 {
	switch {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a
	}
	return 0
}

// filter weighs the elements within radius of x; those beyond the edge repeat
// it or, with exclude_outside, count for nothing.
func (c *call) filter(a resampling, x, stretch float64, weight func(float64) float64, radius float64) (tap, error) {
	lo, hi := math.Ceil(x-radius*stretch), math.Floor(x+radius*stretch)
	if hi-lo > maxTaps {
		return tap{}, fmt.Errorf("the scale %g shrinks too much", a.scale)
	}
	exclude := c.int("exclude_outside", 0) != 0
	var t tap
	sum := 0.0
	for i := int(lo); i <= int(hi); i++ {
		w := weight((float64(i) - x) / stretch)
		if w == 0 || exclude && (i < 0 || i >= a.in) {
			continue
		}
		t.at = append(t.at, min(max(i, 0), a.in-1))
		t.weight = append(t.weight, w)
		sum += w
	}
	if sum != 0 {
		for i := range t.weight {
			t.weight[i] /= sum
		}
	}
	return t, nil
}

const maxTaps = 1 << 16
