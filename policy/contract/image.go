package contract

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"strings"

	"golang.org/x/image/draw"

	"arfm/policy"
)

// Bounds of an image message.
const (
	maxMessageBytes = 128 << 20 // of pixel data, compressed or not
	maxPixels       = 1 << 25   // 8K UHD
	maxSide         = 1 << 15
)

// ImageDecoder turns the messages of one camera into images of the contract's
// size: sensor_msgs/Image (rgb8, bgr8, rgba8, bgra8, mono8, mono16, 8-bit
// Bayer, and 16UC1 or 32FC1 with a range) and CompressedImage (JPEG, PNG).
// Colour is averaged over the area of each new pixel (triangle filter); depth
// takes the nearest pixel, so that no depth is made up at an edge. It reuses
// its buffers and is not for concurrent use.
type ImageDecoder struct {
	camera camera
	raw    rawImage
}

// NewImageDecoder returns a decoder for a camera of a validated contract.
func NewImageDecoder(f ImageField) *ImageDecoder {
	return &ImageDecoder{camera: *newCamera(f)}
}

// Decode fills dst, (height, width, 3) of the contract. Errors wrap ErrImage
// or ErrField.
func (d *ImageDecoder) Decode(m Message, dst *policy.Image) error {
	if err := d.camera.read(m, &d.raw); err != nil {
		return err
	}
	return d.camera.frame(&d.raw, dst)
}

// rawImage is an image message, copied but not decoded.
type rawImage struct {
	seq           uint64
	encoding      string // of sensor_msgs/Image; jpeg, png or depth png of CompressedImage
	width, height int
	step          int
	bigEndian     bool
	data          []byte
	quantA        float32 // inverse-depth quantisation of a compressed 32FC1 image: A/(v-B)
	quantB        float32
	err           error // it was tried and cannot be decoded
}

// camera decodes and resizes the images of one camera.
type camera struct {
	height, width int
	near, far     float64 // depth range, m; far 0: colour
	compressed    bool
	seq           uint64 // of the last message read
	done          uint64 // of the message that pix shows
	fresh         bool   // the last frame call decoded
	pix           []uint8
	rgba          *image.RGBA // full size, of a raw message
	gray          *image.Gray
	out           *image.RGBA // of the contract's size
	scalers       [2]scaler   // of pictures, of the colour planes of JPEGs
}

// scaler is a draw.Scaler with the size that it takes.
type scaler struct {
	draw.Scaler
	from image.Point
}

func newCamera(f ImageField) *camera {
	c := &camera{
		height: f.Size[0], width: f.Size[1],
		compressed: f.Type == typeCompressed,
		out:        image.NewRGBA(image.Rect(0, 0, f.Size[1], f.Size[0])),
		pix:        make([]uint8, 3*f.Size[0]*f.Size[1]),
	}
	if len(f.RangeM) == 2 {
		c.near, c.far = f.RangeM[0], f.RangeM[1]
	}
	return c
}

// read checks an image message by its header fields and copies it into img.
func (c *camera) read(m Message, img *rawImage) error {
	v, _ := m.Lookup("data")
	data, ok := v.([]byte)
	if !ok || len(data) == 0 || len(data) > maxMessageBytes {
		return fmt.Errorf("%w: an image message has 1..%d bytes of data", ErrField, maxMessageBytes)
	}
	buf := img.data[:0]
	c.seq++
	*img = rawImage{seq: c.seq}
	var err error
	if c.compressed {
		data, err = c.readCompressed(m, data, img)
	} else {
		data, err = c.readRaw(m, data, img)
	}
	img.data = append(buf, data...)
	return err
}

// readCompressed recognises the format by its first bytes and bounds the size
// that decoding will allocate.
func (c *camera) readCompressed(m Message, data []byte, img *rawImage) ([]byte, error) {
	v, _ := m.Lookup("format")
	format, _ := v.(string)
	depth := strings.Contains(format, "compressedDepth")
	if depth && len(data) > 12 { // compressed_depth_image_transport's ConfigHeader
		if strings.HasPrefix(format, "32FC1") {
			img.quantA = math.Float32frombits(binary.LittleEndian.Uint32(data[4:]))
			img.quantB = math.Float32frombits(binary.LittleEndian.Uint32(data[8:]))
		}
		data = data[12:]
	}
	var conf image.Config
	var err error
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xd8}):
		img.encoding = "jpeg"
		conf, err = jpeg.DecodeConfig(bytes.NewReader(data))
	case bytes.HasPrefix(data, []byte("\x89PNG")):
		img.encoding = "png"
		conf, err = png.DecodeConfig(bytes.NewReader(data))
	default:
		return nil, fmt.Errorf("%w: format %q is neither JPEG nor PNG", ErrImage, clip(format))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrImage, err)
	}
	if err := checkSize(conf.Width, conf.Height); err != nil {
		return nil, err
	}
	if depth && c.far == 0 {
		return nil, errNoRange(format)
	}
	if c.far != 0 && img.encoding == "jpeg" {
		return nil, fmt.Errorf("%w: range_m is for depth, this is a JPEG; remove range_m", ErrImage)
	}
	img.width, img.height = conf.Width, conf.Height
	return data, nil
}

func errNoRange(encoding string) error {
	return fmt.Errorf("%w: %s is depth, add range_m: [near, far] in metres to the camera", ErrImage, clip(encoding))
}

func checkSize(w, h int) error {
	if w < 1 || h < 1 || w > maxSide || h > maxSide || w*h > maxPixels {
		return fmt.Errorf("%w: %d x %d pixels, %d are allowed", ErrImage, w, h, maxPixels)
	}
	return nil
}

// frame fills dst with img in the contract's size. A message that was decoded
// for the frame before is not decoded again.
func (c *camera) frame(img *rawImage, dst *policy.Image) error {
	c.fresh = false
	if img.err != nil {
		return img.err
	}
	if c.done != img.seq {
		c.fresh = true
		if err := c.decode(img); err != nil {
			img.err = err
			return err
		}
		c.done = img.seq
	}
	dst.Width, dst.Height = c.width, c.height
	dst.Pix = grow(dst.Pix, len(c.pix))
	copy(dst.Pix, c.pix)
	return nil
}

func (c *camera) decode(img *rawImage) error {
	if !c.compressed {
		if c.far != 0 {
			c.depth(img.width, img.height, rawDepth(img))
			return nil
		}
		c.resize(c.expand(img))
		return nil
	}
	read := png.Decode
	if img.encoding == "jpeg" {
		read = jpeg.Decode
	}
	src, err := read(bytes.NewReader(img.data))
	if err != nil {
		return fmt.Errorf("%w: %v", ErrImage, err)
	}
	deep, ok := src.(*image.Gray16)
	switch {
	case c.far == 0 && ok:
		c.resize(c.highByte(deep.Pix, deep.Stride, deep.Rect.Dx(), deep.Rect.Dy(), 0))
	case c.far == 0:
		c.resize(src)
	case !ok:
		return fmt.Errorf("%w: range_m is for depth, this is no 16-bit grey PNG; remove range_m", ErrImage)
	default:
		c.depth(img.width, img.height, pngDepth(img, deep))
	}
	return nil
}

// resize fills pix with src. The triangle filter widens with the reduction,
// so every source pixel counts and nothing aliases.
func (c *camera) resize(src image.Image) {
	b, to := src.Bounds(), c.out.Rect
	if b.Size() == to.Size() {
		draw.Draw(c.out, to, src, b.Min, draw.Src)
	} else if yuv, ok := src.(*image.YCbCr); ok && c.resizePlanes(yuv) {
		return
	} else {
		c.scale(0, src)
	}
	for i, j := 0, 0; j < len(c.pix); i, j = i+4, j+3 {
		copy(c.pix[j:j+3], c.out.Pix[i:i+3])
	}
}

// scale fills out with src by the scaler of a slot.
func (c *camera) scale(slot int, src image.Image) {
	s, b, to := &c.scalers[slot], src.Bounds(), c.out.Rect
	if s.from != b.Size() {
		s.Scaler, s.from = draw.BiLinear.NewScaler(to.Dx(), to.Dy(), b.Dx(), b.Dy()), b.Size()
	}
	s.Scale(c.out, to, src, b, draw.Src, nil)
}

// resizePlanes resizes the three planes of a JPEG by themselves and turns only
// the result into RGB, which is faster. false: planes of a kind that
// JPEG does not use, nothing is done.
func (c *camera) resizePlanes(src *image.YCbCr) bool {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	cw, ch := w, h
	switch src.SubsampleRatio {
	case image.YCbCrSubsampleRatio444:
	case image.YCbCrSubsampleRatio422:
		cw = (w + 1) / 2
	case image.YCbCrSubsampleRatio420:
		cw, ch = (w+1)/2, (h+1)/2
	default:
		return false
	}
	for k, plane := range [3]image.Gray{
		{Pix: src.Y, Stride: src.YStride, Rect: image.Rect(0, 0, w, h)},
		{Pix: src.Cb, Stride: src.CStride, Rect: image.Rect(0, 0, cw, ch)},
		{Pix: src.Cr, Stride: src.CStride, Rect: image.Rect(0, 0, cw, ch)},
	} {
		c.scale(min(k, 1), &plane)
		for i, j := 0, k; j < len(c.pix); i, j = i+4, j+3 {
			c.pix[j] = c.out.Pix[i]
		}
	}
	for p := c.pix; len(p) > 0; p = p[3:] {
		p[0], p[1], p[2] = color.YCbCrToRGB(p[0], p[1], p[2])
	}
	return true
}

// depth fills pix from the metres at each source pixel: near..far becomes
// 1..255, what lies beyond is clamped, 0 is unknown (NaN).
func (c *camera) depth(w, h int, metres func(x, y int) float64) {
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
			c.pix[k], c.pix[k+1], c.pix[k+2] = v, v, v
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
