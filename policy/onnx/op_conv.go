package onnx

import (
	"fmt"
)

func init() {
	register(
		operator{"Conv", 6, 2, 3, only32, prepareConv, false},
		operator{"ConvInteger", 10, 2, 4, asIs, prepareConvInteger, false},
	)
}

// window is how a kernel slides over the image: per spatial axis.
type window struct {
	in, out, kernel         []int
	stride, dilation, begin []int
	end                     []int
}

// windowOf reads kernel, strides, dilations and the padding attributes.
func (c *call) windowOf(in, kernel []int) (*window, error) {
	rank := len(in)
	w := &window{in: in, kernel: kernel, out: make([]int, rank), begin: make([]int, rank), end: make([]int, rank)}
	var err error
	if w.stride, err = c.spatial("strides", rank); err != nil {
		return nil, err
	}
	if w.dilation, err = c.spatial("dilations", rank); err != nil {
		return nil, err
	}
	for _, k := range kernel {
		if k < 1 || k > 1<<24 {
			return nil, fmt.Errorf("a kernel of %v is not supported", kernel)
		}
	}
	if pads := c.ints("pads"); len(pads) > 0 {
		if len(pads) != 2*rank {
			return nil, fmt.Errorf("%d pads for %d spatial axes", len(pads), rank)
		}
		for i := range rank {
			if min(pads[i], pads[rank+i]) < 0 || max(pads[i], pads[rank+i]) > 1<<24 {
				return nil, fmt.Errorf("the pads %v are out of range", pads)
			}
			w.begin[i], w.end[i] = int(pads[i]), int(pads[rank+i])
		}
	}
	return w, nil
}

// spatial reads one number, 1 or more, per spatial axis; 1 where it is left out.
func (c *call) spatial(name string, rank int) ([]int, error) {
	list := clampInts(c.ints(name))
	if len(list) == 0 {
		for range rank {
			list = append(list, 1)
		}
	}
	if len(list) != rank {
		return nil, fmt.Errorf("%d %s for %d spatial axes", len(list), name, rank)
	}
	for _, v := range list {
		if v < 1 || v > 1<<24 {
			return nil, fmt.Errorf("%s of %v are not supported", name, list)
		}
	}
	return list, nil
}

// span is what a kernel covers along axis i.
func (w *window) span(i int) int { return (w.kernel[i]-1)*w.dilation[i] + 1 }

// slide finds the output's size, and the padding that auto_pad asks for.
func (w *window) slide(autoPad string, ceil bool) error {
	for i, n := range w.in {
		switch autoPad {
		case "SAME_UPPER", "SAME_LOWER":
			w.out[i] = (n + w.stride[i] - 1) / w.stride[i]
			w.samePad(i, max(0, (w.out[i]-1)*w.stride[i]+w.span(i)-n), autoPad)
			continue
		case "VALID":
			w.begin[i], w.end[i] = 0, 0
		case "NOTSET", "":
		default:
			return fmt.Errorf("auto_pad %q is not supported", autoPad)
		}
		steps := n + w.begin[i] + w.end[i] - w.span(i)
		if ceil {
			steps += w.stride[i] - 1
		}
		if steps < 0 {
			return fmt.Errorf("a kernel of %v does not fit an image of %v", w.kernel, w.in)
		}
		w.out[i] = steps/w.stride[i] + 1
		if ceil && (w.out[i]-1)*w.stride[i] >= n+w.begin[i] {
			w.out[i]-- // no window may start beyond the image
		}
	}
	return nil
}

func (w *window) samePad(i, total int, autoPad string) {
	w.begin[i], w.end[i] = total/2, total-total/2
	if autoPad == "SAME_LOWER" {
		w.begin[i], w.end[i] = w.end[i], w.begin[i]
	}
}

// convolution is a Conv whose shapes fit.
type convolution struct {
	*window
	batch, groups, cin, cout int  // channels per group
	clip                     bool // the result, to low..high
	low, high                float32
}

func planConv(c *call, x, k *Tensor) (*convolution, error) {
	if len(x.Shape) < 3 || len(k.Shape) != len(x.Shape) {
		return nil, fmt.Errorf("%v and kernel %v do not fit together", x, k)
	}
	g := c.int("group", 1)
	if g < 1 || g > k.Shape[0] || k.Shape[0]%g != 0 || x.Shape[1] != k.Shape[1]*g {
		return nil, fmt.Errorf("%v and kernel %v do not fit in %d groups", x, k, g)
	}
	w, err := c.windowOf(x.Shape[2:], k.Shape[2:])
	if err != nil {
		return nil, err
	}
	if err := w.slide(c.string("auto_pad", "NOTSET"), false); err != nil {
		return nil, err
	}
	if _, err := volume(append([]int{k.Shape[1], product(k.Shape[2:])}, w.out...)); err != nil {
		return nil, err
	}
	if err := c.costs(x.Shape[0], k.Len(), product(w.out)); err != nil {
		return nil, err
	}
	return &convolution{w, x.Shape[0], g, k.Shape[1], k.Shape[0] / g, c.operator == clippedConv, c.float(lowAttr, 0), c.float(highAttr, 0)}, nil
}

func (v *convolution) shape() []int {
	return append([]int{v.batch, v.groups * v.cout}, v.out...)
}

func prepareConv(c *call) (func() error, error) {
	if err := c.types(0, Float32); err != nil {
		return nil, err
	}
	if err := c.sameType(0, 1, 2, 3); err != nil {
		return nil, err
	}
	v, err := planConv(c, c.in[0], c.in[1])
	if err != nil {
		return nil, err
	}
	if c.has(2) && c.in[2].Len() != v.groups*v.cout {
		return nil, fmt.Errorf("the bias %v does not fit %d channels", c.in[2], v.groups*v.cout)
	}
	if err := c.stretches(3, v.shape()); err != nil {
		return nil, err
	}
	return func() error { return v.run(c) }, c.out(0, Float32, v.shape()...)
}

// inside gives the places of the output along an axis, lo to hi, whose input
// place*stride + shift lies in the image.
func (w *window) inside(a, shift int) (lo, hi int) {
	return reach(w.out[a], w.in[a], shift, w.stride[a])
}

// prepareConvInteger convolves 8-bit images less their zero points in int32.
func prepareConvInteger(c *call) (func() error, error) {
	if err := c.octetTypes([2]int{0, 2}, [2]int{1, 3}); err != nil {
		return nil, err
	}
	v, err := planConv(c, c.in[0], c.in[1])
	if err != nil {
		return nil, err
	}
	return func() error {
		return v.integers(c, Data[int32](c.result[0]), [2]int{0, 2}, [2]int{1, 3})
	}, c.out(0, Int32, v.shape()...)
}
