package contract

import (
	"encoding/binary"
	"fmt"
	"image"
	"math"
)

// encodings of sensor_msgs/Image: bytes per pixel, and for colour the places
// of red, green and blue.
var encodings = map[string]struct {
	bytes   int
	depth   bool
	r, g, b int
	bayer   string // colours of the pixels (0,0) (1,0) (0,1) (1,1)
}{
	"rgb8":        {bytes: 3, r: 0, g: 1, b: 2},
	"bgr8":        {bytes: 3, r: 2, g: 1, b: 0},
	"8UC3":        {bytes: 3, r: 2, g: 1, b: 0}, // as OpenCV orders it
	"rgba8":       {bytes: 4, r: 0, g: 1, b: 2},
	"bgra8":       {bytes: 4, r: 2, g: 1, b: 0},
	"mono8":       {bytes: 1},
	"8UC1":        {bytes: 1},
	"mono16":      {bytes: 2},
	"bayer_rggb8": {bytes: 1, bayer: "rggb"},
	"bayer_bggr8": {bytes: 1, bayer: "bggr"},
	"bayer_gbrg8": {bytes: 1, bayer: "gbrg"},
	"bayer_grbg8": {bytes: 1, bayer: "grbg"},
	"16UC1":       {bytes: 2, depth: true},
	"32FC1":       {bytes: 4, depth: true},
}

// readRaw checks the layout of a sensor_msgs/Image and returns its rows.
func (c *camera) readRaw(m Message, data []byte, img *rawImage) ([]byte, error) {
	v, _ := m.Lookup("encoding")
	img.encoding, _ = v.(string)
	e, ok := encodings[img.encoding]
	if !ok {
		return nil, fmt.Errorf("%w: encoding %q is not supported, publish rgb8, bgr8, mono8, Bayer or depth", ErrImage, clip(img.encoding))
	}
	var dims [3]int
	for i, path := range [...]string{"width", "height", "step"} {
		x, ok := Number(m, path)
		if !ok || x < 0 || x > math.MaxUint32 {
			return nil, fmt.Errorf("%w: %s of the image", ErrField, path)
		}
		dims[i] = int(x)
	}
	img.width, img.height, img.step = dims[0], dims[1], dims[2]
	if err := checkSize(img.width, img.height); err != nil {
		return nil, err
	}
	big, _ := Number(m, "is_bigendian")
	img.bigEndian = big != 0
	row := img.width * e.bytes
	if img.step < row || img.step > maxMessageBytes || len(data) < (img.height-1)*img.step+row {
		return nil, fmt.Errorf("%w: %d bytes with step %d do not hold %d x %d pixels of %s",
			ErrImage, len(data), img.step, img.width, img.height, img.encoding)
	}
	switch {
	case e.depth && c.far == 0:
		return nil, errNoRange(img.encoding)
	case c.far != 0 && !e.depth && img.encoding != "mono16":
		return nil, fmt.Errorf("%w: range_m is for depth, this is %s; remove range_m", ErrImage, img.encoding)
	case e.bayer != "" && (img.width < 2 || img.height < 2):
		return nil, fmt.Errorf("%w: a Bayer image of %d x %d pixels", ErrImage, img.width, img.height)
	}
	return data[:(img.height-1)*img.step+row], nil
}

// rawDepth reads 16UC1 and mono16 (millimetres) and 32FC1 (metres); 0 and NaN
// are unknown, infinities are too near and too far (REP 118).
func rawDepth(img *rawImage) func(x, y int) float64 {
	var order binary.ByteOrder = binary.LittleEndian
	if img.bigEndian {
		order = binary.BigEndian
	}
	return func(x, y int) float64 {
		var d float64
		if img.encoding == "32FC1" {
			d = float64(math.Float32frombits(order.Uint32(img.data[y*img.step+4*x:])))
		} else {
			d = float64(order.Uint16(img.data[y*img.step+2*x:])) / 1000
		}
		if d == 0 {
			return math.NaN()
		}
		return d
	}
}

// demosaic fills dst from a Bayer mosaic: a missing colour is the mean of its
// two or four nearest samples; beyond an edge the mosaic is mirrored, which
// keeps the colours in place. pattern names pixels (0,0) (1,0) (0,1) (1,1).
func demosaic(dst *image.RGBA, src []byte, step int, pattern string) {
	w, h := dst.Rect.Dx(), dst.Rect.Dy()
	for y := range h {
		up, down := mirror(y-1, h), mirror(y+1, h)
		mid, above, below := src[y*step:], src[up*step:], src[down*step:]
		colours := pattern[y%2*2 : y%2*2+2]
		for x := range w {
			l, r := mirror(x-1, w), mirror(x+1, w)
			p := int(mid[x])
			across := (int(mid[l]) + int(mid[r]) + 1) / 2
			along := (int(above[x]) + int(below[x]) + 1) / 2
			q := dst.Pix[y*dst.Stride+4*x:][:4]
			q[3] = 255
			if colours[x%2] == 'g' {
				red, blue := across, along
				if colours[1-x%2] == 'b' {
					red, blue = along, across
				}
				q[0], q[1], q[2] = uint8(red), uint8(p), uint8(blue)
				continue
			}
			cross := (int(mid[l]) + int(mid[r]) + int(above[x]) + int(below[x]) + 2) / 4
			diag := (int(above[l]) + int(above[r]) + int(below[l]) + int(below[r]) + 2) / 4
			q[0], q[1], q[2] = uint8(p), uint8(cross), uint8(diag)
			if colours[x%2] == 'b' {
				q[0], q[2] = uint8(diag), uint8(p)
			}
		}
	}
}

// mirror reflects i into 0..n-1 about the edge pixels; n is at least 2.
func mirror(i, n int) int {
	if i < 0 {
		return 1
	}
	if i >= n {
		return n - 2
	}
	return i
}
