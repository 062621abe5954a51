package contract

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"

	"arfm/policy/contract/jpeg"
	"arfm/policy/contract/resize"
)

// decoder decodes and resizes image messages, of any camera. It holds the
// buffers for that, so that each goroutine has its own.
type decoder struct {
	jpeg    jpeg.Decoder
	resizer resize.Resizer
	rgba    *image.RGBA // full size
}

// decode fills img.pix, or img.err, unless that is done.
func (d *decoder) decode(c *camera, img *rawImage) {
	if img.decoded {
		return
	}
	img.pix = grow(img.pix, 3*c.height*c.width)
	img.err = d.picture(c, img)
	img.decoded = true
}

func (d *decoder) picture(c *camera, img *rawImage) error {
	if !c.compressed {
		if c.far != 0 {
			c.depth(img, rawDepth(img))
		} else {
			d.raw(c, img)
		}
		return nil
	}
	var src image.Image
	var err error
	if img.encoding == "jpeg" {
		src, err = d.jpeg.Decode(img.data, img.width, img.height)
	} else {
		src, err = png.Decode(bytes.NewReader(img.data))
	}
	if err != nil {
		return fmt.Errorf("%w: %v", ErrImage, err)
	}
	deep, ok := src.(*image.Gray16)
	switch {
	case c.far == 0:
		d.colour(c, img, src)
	case !ok:
		return fmt.Errorf("%w: range_m is for depth, this is no 16-bit grey PNG; remove range_m", ErrImage)
	default:
		c.depth(img, pngDepth(img, deep))
	}
	return nil
}

// raw resizes a raw colour or grey image, without unpacking it.
func (d *decoder) raw(c *camera, img *rawImage) {
	e := encodings[img.encoding]
	switch {
	case e.bayer != "":
		rgba := d.full(img.width, img.height)
		demosaic(rgba, img.data, img.step, e.bayer)
		d.resize(c, img, rgba.Pix, rgba.Stride, 4, 0, 1, 2)
	case e.bytes == 2 && !img.bigEndian: // the high byte comes second
		d.resize(c, img, img.data, img.step, 2, 1)
	case e.bytes <= 2:
		d.resize(c, img, img.data, img.step, e.bytes, 0)
	default:
		d.resize(c, img, img.data, img.step, e.bytes, e.r, e.g, e.b)
	}
}

// colour resizes a decoded image. The planes of a JPEG are resized by
// themselves and only the result is turned into RGB, which is faster.
func (d *decoder) colour(c *camera, img *rawImage, src image.Image) {
	switch src := src.(type) {
	case *image.YCbCr:
		d.planes(c, img, src)
	case *image.Gray:
		d.resize(c, img, src.Pix, src.Stride, 1, 0)
	case *image.Gray16: // big-endian
		d.resize(c, img, src.Pix, src.Stride, 2, 0)
	default:
		rgba := d.full(img.width, img.height)
		draw.Draw(rgba, rgba.Rect, src, src.Bounds().Min, draw.Src)
		d.resize(c, img, rgba.Pix, rgba.Stride, 4, 0, 1, 2)
	}
}

func (d *decoder) full(w, h int) *image.RGBA {
	if d.rgba == nil || d.rgba.Rect.Dx() != w || d.rgba.Rect.Dy() != h {
		d.rgba = image.NewRGBA(image.Rect(0, 0, w, h))
	}
	return d.rgba
}

// resize fills img.pix from samples of step bytes, which hold red, green and
// blue at these places, or grey at one.
func (d *decoder) resize(c *camera, img *rawImage, pix []uint8, stride, step int, at ...int) {
	d.scale(c, img, img.pix, resize.Raster{Pix: pix, Stride: stride, Step: step}, image.Pt(1, 1), at...)
	if len(at) == 1 {
		for p := img.pix; len(p) > 0; p = p[3:] {
			p[1], p[2] = p[0], p[0]
		}
	}
}

// planes fills img.pix from those of a JPEG.
func (d *decoder) planes(c *camera, img *rawImage, src *image.YCbCr) {
	sub := [...]image.Point{ // pixels to a sample of colour
		image.YCbCrSubsampleRatio444: {1, 1},
		image.YCbCrSubsampleRatio422: {2, 1},
		image.YCbCrSubsampleRatio420: {2, 2},
		image.YCbCrSubsampleRatio440: {1, 2},
		image.YCbCrSubsampleRatio411: {4, 1},
		image.YCbCrSubsampleRatio410: {4, 2},
	}[src.SubsampleRatio]
	d.scale(c, img, img.pix, resize.Raster{Pix: src.Y, Stride: src.YStride, Step: 1}, image.Pt(1, 1), 0)
	d.scale(c, img, img.pix[1:], resize.Raster{Pix: src.Cb, Stride: src.CStride, Step: 1}, sub, 0)
	d.scale(c, img, img.pix[2:], resize.Raster{Pix: src.Cr, Stride: src.CStride, Step: 1}, sub, 0)
	for p := img.pix; len(p) > 0; p = p[3:] {
		p[0], p[1], p[2] = color.YCbCrToRGB(p[0], p[1], p[2])
	}
}

// scale fills every third byte of dst for each place of a sample, of which there
// is one to some pixels.
func (d *decoder) scale(c *camera, img *rawImage, dst []uint8, p resize.Raster, pixels image.Point, at ...int) {
	across := resize.Side{Size: img.width, Divisor: pixels.X, Outputs: c.width}
	down := resize.Side{Size: img.height, Divisor: pixels.Y, Outputs: c.height}
	d.resizer.Resize(dst, p, across, down, at...)
}

// depth fills img.pix from the metres at each source pixel: near..far becomes
// 1..255, what lies beyond is clamped, 0 is unknown (NaN).
func (c *camera) depth(img *rawImage, metres func(x, y int) float64) {
	w, h := img.width, img.height
	for y := range c.height {
		sy := (2*y + 1) * h / (2 * c.height)
		for x := range c.width {
			d := metres((2*x+1)*w/(2*c.width), sy)
			var v uint8
			if !math.IsNaN(d) {
				d = min(max((d-c.near)/(c.far-c.near), 0), 1)
				v = 1 + uint8(math.Round(254*d))
			}
			k := 3 * (y*c.width + x)
			img.pix[k], img.pix[k+1], img.pix[k+2] = v, v, v
		}
	}
}

// pngDepth reads a 16-bit PNG: millimetres, or inverse depth as
// compressed_depth_image_transport quantises 32FC1. 0 is unknown.
func pngDepth(img *rawImage, p *image.Gray16) func(x, y int) float64 {
	return func(x, y int) float64 {
		v := float64(binary.BigEndian.Uint16(p.Pix[y*p.Stride+2*x:]))
		switch {
		case v == 0:
			return math.NaN()
		case img.quantA != 0:
			return float64(img.quantA) / (v - float64(img.quantB))
		}
		return v / 1000
	}
}
