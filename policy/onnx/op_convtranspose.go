package onnx

import (
	"fmt"

	"arfm/policy/nn/gemm"
)

func init() {
	register(operator{"ConvTranspose", 6, 2, 3, only32, prepareConvTranspose, false})
}

// prepareConvTranspose spreads each input element over the output: columns =
// kernelT image, folded back.
func prepareConvTranspose(c *call) (func() error, error) {
	if err := c.types(0, Float32); err != nil {
		return nil, err
	}
	if err := c.sameType(0, 1, 2); err != nil {
		return nil, err
	}
	v, err := planTransposed(c, c.in[0], c.in[1])
	if err != nil {
		return nil, err
	}
	if c.has(2) && c.in[2].Len() != v.groups*v.cin {
		return nil, fmt.Errorf("the bias %v does not fit %d channels", c.in[2], v.groups*v.cin)
	}
	shape := append([]int{v.batch, v.groups * v.cin}, v.in...)
	return func() error {
		x, k, y := Data[float32](c.in[0]), Data[float32](c.in[1]), Data[float32](c.result[0])
		clear(y)
		in, out, depth := product(v.in), product(v.out), v.cin*product(v.kernel)
		columns, done, err := scratch[float32](c, depth*out)
		if err != nil {
			return err
		}
		defer done()
		for b := range v.batch * v.groups {
			g := b % v.groups
			multiply(&gemm.Product{
				M: depth, N: out, K: v.cout, Alpha: 1, C: columns, LdC: out,
				A: matrix(k[g*v.cout*depth:(g+1)*v.cout*depth], depth, true), B: matrix(x[b*v.cout*out:(b+1)*v.cout*out], out, false),
			})
			to := y[b*v.cin*in : (b+1)*v.cin*in]
			refold(v.window, to, columns, v.cin)
			if c.has(2) {
				addBias(to, Data[float32](c.in[2])[g*v.cin:(g+1)*v.cin], in)
			}
		}
		return nil
	}, c.out(0, Float32, shape...)
}

// planTransposed describes the convolution whose transpose this is: its input
// is our output.
func planTransposed(c *call, x, k *Tensor) (*convolution, error) {
	g := c.int("group", 1)
	if len(x.Shape) < 3 || len(k.Shape) != len(x.Shape) || g < 1 || x.Shape[1] != k.Shape[0] || k.Shape[0]%g != 0 {
		return nil, fmt.Errorf("%v and kernel %v do not fit together in %d groups", x, k, g)
	}
	rank := len(x.Shape) - 2
	w, err := c.windowOf(make([]int, rank), k.Shape[2:])
	if err != nil {
		return nil, err
	}
	w.out = x.Shape[2:]
	extra, want := clampInts(c.ints("output_padding")), clampInts(c.ints("output_shape"))
	if len(extra) == 0 {
		extra = make([]int, rank)
	}
	if len(want) == rank+2 {
		want = want[2:]
	}
	if len(extra) != rank || len(want) != 0 && len(want) != rank {
		return nil, fmt.Errorf("output_padding or output_shape do not fit %d spatial axes", rank)
	}
	auto := c.string("auto_pad", "NOTSET")
	for i := range rank {
		full := (w.out[i]-1)*w.stride[i] + extra[i] + w.span(i)
		same := auto == "SAME_UPPER" || auto == "SAME_LOWER"
		switch {
		case len(want) > 0:
			w.in[i] = want[i]
			w.samePad(i, max(0, full-want[i]), map[bool]string{true: "SAME_UPPER", false: "SAME_LOWER"}[auto == "SAME_UPPER"])
		case same:
			w.in[i] = w.out[i] * w.stride[i]
			w.samePad(i, max(0, full-w.in[i]), auto)
		default:
			if auto == "VALID" {
				w.begin[i], w.end[i] = 0, 0
			}
			w.in[i] = full - w.begin[i] - w.end[i]
		}
		if w.in[i] < 0 || extra[i] < 0 || extra[i] > 1<<24 {
			return nil, fmt.Errorf("the padding leaves no output")
		}
	}
	v := &convolution{window: w, batch: x.Shape[0], groups: g, cin: k.Shape[1], cout: k.Shape[0] / g}
	if _, err = volume(append([]int{v.cin, product(v.kernel)}, w.out...)); err != nil {
		return nil, err
	}
	return v, c.costs(v.batch, k.Len(), product(w.out))
}

// refold adds columns back to the image that they would have come from.
func refold(w *window, image, columns []float32, channels int) {
	in, out, kernel := product(w.in), product(w.out), product(w.kernel)
	place := make([]int, len(w.kernel))
	for ch := range channels {
		clear(place)
		for k := range kernel {
			refoldAxis(w, columns[(ch*kernel+k)*out:(ch*kernel+k+1)*out], image[ch*in:(ch+1)*in], place, 0)
			for i := len(place) - 1; i >= 0; i-- {
				if place[i]++; place[i] < w.kernel[i] {
					break
				}
				place[i] = 0
			}
		}
	}
}

func refoldAxis(w *window, row, image []float32, place []int, a int) {
	n, outer := w.in[a], w.out[a]
	shift := place[a]*w.dilation[a] - w.begin[a]
	part, size := len(row)/max(outer, 1), len(image)/max(n, 1)
	for o := range outer {
		at := o*w.stride[a] + shift
		if at < 0 || at >= n {
			continue
		}
		if a == len(w.in)-1 {
			image[at] += row[o]
			continue
		}
		refoldAxis(w, row[o*part:(o+1)*part], image[at*size:(at+1)*size], place, a+1)
	}
}

func addBias(y, bias []float32, n int) {
	for ch, b := range bias {
		row := y[ch*n : (ch+1)*n]
		for i := range row {
			row[i] += b
		}
	}
}
