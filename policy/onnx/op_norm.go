package onnx

import (
	"fmt"
	"math"

	"arfm/policy/nn/vec"
)

func init() {
	register(
		operator{"BatchNormalization", 6, 5, 5, only32, prepareBatchNorm, false},
		operator{"InstanceNormalization", 6, 3, 3, only32, prepareGroupNorm, false},
		operator{"GroupNormalization", 18, 3, 3, only32, prepareGroupNorm, false},
		operator{"LayerNormalization", 17, 2, 3, only32, prepareLayerNorm, false},
		operator{"RMSNormalization", 23, 2, 2, only32, prepareLayerNorm, false},
		operator{"MeanVarianceNormalization", 9, 1, 1, only32, prepareMeanVariance, false},
		operator{"LpNormalization", 6, 1, 1, only32, prepareLpNorm, false},
		operator{"LRN", 6, 1, 1, only32, prepareLRN, false},
	)
}

// floats checks that the inputs are float32, after widening.
func (c *call) allFloats() error {
	for i := range c.in {
		if c.has(i) && c.in[i].Type != Float32 {
			return fmt.Errorf("input %d is of %v, which is not supported here", i, c.in[i].Type)
		}
	}
	if !c.has(0) {
		return fmt.Errorf("input 0 is missing")
	}
	return nil
}

// vectors checks that inputs from on hold n numbers each.
func (c *call) vectors(from, n int) error {
	for i := from; i < len(c.in); i++ {
		if c.has(i) && c.in[i].Len() != n {
			return fmt.Errorf("input %d is %v, expected %d numbers", i, c.in[i], n)
		}
	}
	return nil
}

// floatsAt are the numbers of input i, or none.
func (c *call) floatsAt(i int) []float32 {
	if !c.has(i) {
		return nil
	}
	return Data[float32](c.in[i])
}

// prepareBatchNorm scales channels with the statistics of training; in training
// mode, with those of the batch.
func prepareBatchNorm(c *call) (func() error, error) {
	if err := c.allFloats(); err != nil {
		return nil, err
	}
	x := c.in[0]
	if len(x.Shape) < 1 || len(c.result) > 1 && c.int("training_mode", 0) == 0 && c.version >= 14 {
		return nil, fmt.Errorf("%v with %d outputs is not supported", x, len(c.result))
	}
	channels := 1
	if len(x.Shape) > 1 {
		channels = x.Shape[1]
	}
	if err := c.vectors(1, channels); err != nil {
		return nil, err
	}
	for i := 1; i < 5; i++ {
		if !c.has(i) {
			return nil, fmt.Errorf("input %d is missing", i)
		}
	}
	training := c.version >= 14 && c.int("training_mode", 0) != 0
	if training {
		for i := 1; i < 3; i++ {
			if err := c.out(i, Float32, channels); err != nil {
				return nil, err
			}
		}
	}
	inner := 1
	if len(x.Shape) > 2 {
		inner = product(x.Shape[2:])
	}
	return func() error {
		mean, variance := c.floatsAt(3), c.floatsAt(4)
		if training {
			mean, variance = c.batchStatistics(channels, inner)
		}
		scale, bias, eps := c.floatsAt(1), c.floatsAt(2), float64(c.float("epsilon", 1e-5))
		src, dst := Data[float32](x), Data[float32](c.result[0])
		parallel(len(src)/max(inner, 1), 1+(1<<14)/max(inner, 1), func(lo, hi int) {
			for p := lo; p < hi; p++ {
				ch := p % channels
				g := float32(float64(scale[ch]) / math.Sqrt(float64(variance[ch])+eps))
				vec.Line(dst[p*inner:(p+1)*inner], src[p*inner:(p+1)*inner], g, bias[ch]-mean[ch]*g)
			}
		})
		return nil
	}, c.out(0, Float32, x.Shape...)
}

// batchStatistics are mean and variance of each channel; the running ones go to
// outputs 1 and 2.
func (c *call) batchStatistics(channels, inner int) (mean, variance []float32) {
	x := Data[float32](c.in[0])
	sum, squares := make([]float64, channels), make([]float64, channels)
	n := float64(len(x)) / float64(channels)
	visit := func(add func(ch int, v float64)) {
		for i, v := range x {
			add(i/inner%channels, float64(v))
		}
	}
	visit(func(ch int, v float64) { sum[ch] += v / n })
	visit(func(ch int, v float64) { squares[ch] += (v - sum[ch]) * (v - sum[ch]) / n })
	mean, variance = convert[float32](sum), convert[float32](squares)
	m := c.float("momentum", 0.9)
	for i, batch := range [][]float32{mean, variance} {
		if !c.wants(1 + i) {
			continue
		}
		for ch, old := range c.floatsAt(3 + i) {
			Data[float32](c.result[1+i])[ch] = m*old + (1-m)*batch[ch]
		}
	}
	return mean, variance
}

// moments are the mean of a row and what the square root of its variance plus
// eps divides by.
func moments(x []float32, eps float64) (mean, r float32) {
	n := float64(len(x))
	mean = vec.Sum(x) / float32(n)
	return mean, float32(1 / math.Sqrt(float64(vec.Deviations(x, mean))/n+eps))
}

// prepareGroupNorm normalises groups of channels; InstanceNormalization has a
// group per channel. Scale and bias are per group before opset 21, per channel
// after.
func prepareGroupNorm(c *call) (func() error, error) {
	if err := c.allFloats(); err != nil {
		return nil, err
	}
	x := c.in[0]
	if len(x.Shape) < 2 {
		return nil, fmt.Errorf("%v is not supported", x)
	}
	channels := x.Shape[1]
	groups, perScale := channels, 1
	if c.op == "GroupNormalization" {
		groups = c.int("num_groups", 0)
		if groups < 1 || groups > channels || channels%groups != 0 {
			return nil, fmt.Errorf("%d channels do not divide into %d groups", channels, groups)
		}
		if c.version < 21 {
			perScale = channels / groups
		}
	}
	if err := c.vectors(1, channels/perScale); err != nil {
		return nil, err
	}
	return func() error {
		scale, bias, eps := c.floatsAt(1), c.floatsAt(2), float64(c.float("epsilon", 1e-5))
		src, dst := Data[float32](x), Data[float32](c.result[0])
		inner := product(x.Shape[2:])
		each := channels / max(groups, 1)
		size := each * inner
		parallel(x.Shape[0]*groups, 1+(1<<14)/max(size, 1), func(lo, hi int) {
			for g := lo; g < hi; g++ {
				mean, r := moments(src[g*size:(g+1)*size], eps)
				for p := g * each; p < (g+1)*each; p++ {
					ch, y := p%channels/perScale, dst[p*inner:(p+1)*inner]
					vec.Normalize(y, src[p*inner:(p+1)*inner], mean, r*scale[ch])
					vec.Line(y, y, 1, bias[ch])
				}
			}
		})
		return nil
	}, c.out(0, Float32, x.Shape...)
}

// prepareLayerNorm normalises over the axes from one on, to mean 0 and variance
// 1, or for RMSNormalization to mean square 1.
func prepareLayerNorm(c *call) (func() error, error) {
	if err := c.allFloats(); err != nil {
		return nil, err
	}
	x := c.in[0]
	a, err := axis(attribute(c, "axis", int64(-1)), len(x.Shape))
	if err != nil {
		return nil, err
	}
	row := x.Shape[a:]
	for i := 1; i < len(c.in); i++ {
		if c.has(i) {
			s, err := broadcastShape(c.in[i].Shape, row)
			if err != nil || product(s) != product(row) {
				return nil, fmt.Errorf("%v does not stretch to %v", c.in[i], row)
			}
		}
	}
	stats := append([]int{}, x.Shape[:a]...)
	for range row {
		stats = append(stats, 1)
	}
	for i := 1; i < 3 && c.op == "LayerNormalization"; i++ {
		if err := c.out(i, Float32, stats...); err != nil {
			return nil, err
		}
	}
	if err := c.out(0, Float32, x.Shape...); err != nil {
		return nil, err
	}
	return func() error { c.normaliseRows(row); return nil }, nil
}

func (c *call) normaliseRows(row []int) {
	scale, bias := c.stretched(1, row), c.stretched(2, row)
	eps, d := float64(c.float("epsilon", 1e-5)), product(row)
	src, dst := Data[float32](c.in[0]), Data[float32](c.result[0])
	parallel(len(src)/max(d, 1), 1+(1<<13)/max(d, 1), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			x, y := src[i*d:(i+1)*d], dst[i*d:(i+1)*d]
			m, f := moments(x, eps)
			if c.op == "RMSNormalization" {
				m, f = 0, float32(1/math.Sqrt(vec.SumSquares(x)/float64(d)+eps))
			}
			if bias != nil {
				vec.NormalizeAffine(y, x, scale, bias, m, f)
			} else {
				vec.Normalize(y, x, m, f)
				vec.Mul(y, y, scale)
			}
			if c.wants(1) {
				Data[float32](c.result[1])[i] = m
			}
			if c.wants(2) {
				Data[float32](c.result[2])[i] = f
			}
		}
	})
}

// stretched is input i stretched to the shape of a row; nil without the input.
func (c *call) stretched(i int, row []int) []float32 {
	v := c.floatsAt(i)
	if v == nil || len(v) == product(row) {
		return v
	}
	out := make([]float32, product(row))
	copyStrided(out, v, row, stretch(c.in[i].Shape, row), 0)
	return out
}

// prepareMeanVariance normalises over given axes.
func prepareMeanVariance(c *call) (func() error, error) {
	if err := c.allFloats(); err != nil {
		return nil, err
	}
	x := c.in[0]
	axes := c.ints("axes")
	if axes == nil {
		axes = []int64{0, 2, 3}
	}
	set, err := axisSet(axes, len(x.Shape))
	if err != nil {
		return nil, err
	}
	return func() error {
		src, dst := Data[float32](x), Data[float32](c.result[0])
		n, groups := 1, 1
		for i, d := range x.Shape {
			if set[i] {
				n *= d
			} else {
				groups *= d
			}
		}
		sum, squares := make([]float64, groups), make([]float64, groups)
		to := reducedStrides(x.Shape, set)
		foldInto(sum, src, x.Shape, to, plus)
		foldInto(squares, src, x.Shape, to, square)
		walkRows(x.Shape, [][]int{to}, func(at int, from []int, count int, step []int) {
			for i, v := range src[at : at+count] {
				g := from[0] + i*step[0]
				mean := sum[g] / float64(n)
				variance := max(0, squares[g]/float64(n)-mean*mean)
				dst[at+i] = float32((float64(v) - mean) / (math.Sqrt(variance) + 1e-9))
			}
		})
		return nil
	}, c.out(0, Float32, x.Shape...)
}

func prepareLpNorm(c *call) (func() error, error) {
	if err := c.allFloats(); err != nil {
		return nil, err
	}
	x := c.in[0]
	a, err := axis(attribute(c, "axis", int64(-1)), len(x.Shape))
	if err != nil {
		return nil, err
	}
	p := float64(c.int("p", 2))
	return func() error {
		src, dst := Data[float32](x), Data[float32](c.result[0])
		outer, n, inner := alongAxis(x.Shape, a)
		for r := range outer * inner {
			base, sum := r/inner*n*inner+r%inner, 0.0
			for k := range n {
				sum += math.Pow(math.Abs(float64(src[base+k*inner])), p)
			}
			norm := float32(math.Pow(sum, 1/p))
			for k := range n {
				dst[base+k*inner] = 0
				if norm != 0 {
					dst[base+k*inner] = src[base+k*inner] / norm
				}
			}
		}
		return nil
	}, c.out(0, Float32, x.Shape...)
}

// prepareLRN divides by the energy of neighbouring channels.
func prepareLRN(c *call) (func() error, error) {
	if err := c.allFloats(); err != nil {
		return nil, err
	}
	x, size := c.in[0], c.int("size", 0)
	if len(x.Shape) < 2 || size < 1 {
		return nil, fmt.Errorf("%v over %d channels is not supported", x, size)
	}
	if err := c.costs(x.Len(), min(size, x.Shape[1])); err != nil {
		return nil, err
	}
	alpha, beta, bias := float64(c.float("alpha", 1e-4)), float64(c.float("beta", 0.75)), float64(c.float("bias", 1))
	return func() error {
		src, dst := Data[float32](x), Data[float32](c.result[0])
		n, inner := x.Shape[1], product(x.Shape[2:])
		for i, v := range src {
			ch := i / inner % n
			sum := 0.0
			for k := max(0, ch-(size-1)/2); k <= min(n-1, ch+size/2); k++ {
				w := float64(src[i+(k-ch)*inner])
				sum += w * w
			}
			dst[i] = float32(float64(v) / math.Pow(bias+alpha/float64(size)*sum, beta))
		}
		return nil
	}, c.out(0, Float32, x.Shape...)
}
