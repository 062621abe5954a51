package contract

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/png"
	"math"
	"strings"

	"arfm/policy"
	"arfm/policy/contract/jpeg"
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
	camera  camera
	decoder decoder
	raw     rawImage
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
	d.decoder.decode(&d.camera, &d.raw)
	return d.camera.show(&d.raw, dst)
}

// camera says what is made of the messages of one camera.
type camera struct {
	height, width int
	near, far     float64 // depth range, m; far 0: colour
	compressed    bool
}

func newCamera(f ImageField) *camera {
	c := &camera{height: f.Size[0], width: f.Size[1], compressed: f.Type == typeCompressed}
	if len(f.RangeM) == 2 {
		c.near, c.far = f.RangeM[0], f.RangeM[1]
	}
	return c
}

// rawImage is an image message, copied, and the picture once it is decoded.
type rawImage struct {
	encoding      string // of sensor_msgs/Image; jpeg, png or depth png of CompressedImage
	width, height int
	step          int
	bigEndian     bool
	data          []byte
	quantA        float32 // inverse-depth quantisation of a compressed 32FC1 image: A/(v-B)
	quantB        float32

	pix     []uint8 // (height, width, 3) of the contract
	decoded bool    // pix is valid, or err
	err     error   // it cannot be decoded
	refused bool    // and is counted

	// Between the one who reads and the decoders; see pictures.go.
	ready  chan struct{} // a decoder is done with it
	queued bool          // it is with a decoder, or was and ready says so
	users  int           // frames that wait for it
	let    bool          // no frame to come uses it
}

// read checks an image message by its header fields and copies it into img.
func (c *camera) read(m Message, img *rawImage) error {
	v, _ := m.Lookup("data")
	data, ok := v.([]byte)
	if !ok || len(data) == 0 || len(data) > maxMessageBytes {
		return fmt.Errorf("%w: an image message has 1..%d bytes of data", ErrField, maxMessageBytes)
	}
	buf := img.data[:0]
	*img = rawImage{pix: img.pix, ready: img.ready}
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
	var err error
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xd8}):
		img.encoding = "jpeg"
		img.width, img.height, err = jpeg.Size(data)
	case bytes.HasPrefix(data, []byte("\x89PNG")):
		img.encoding = "png"
		var conf image.Config
		conf, err = png.DecodeConfig(bytes.NewReader(data))
		img.width, img.height = conf.Width, conf.Height
	default:
		return nil, fmt.Errorf("%w: format %q is neither JPEG nor PNG", ErrImage, clip(format))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrImage, err)
	}
	if err := checkSize(img.width, img.height); err != nil {
		return nil, err
	}
	if depth && c.far == 0 {
		return nil, errNoRange(format)
	}
	if c.far != 0 && img.encoding == "jpeg" {
		return nil, fmt.Errorf("%w: range_m is for depth, this is a JPEG; remove range_m", ErrImage)
	}
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

// show copies a decoded image to dst.
func (c *camera) show(img *rawImage, dst *policy.Image) error {
	if img.err != nil {
		return img.err
	}
	dst.Width, dst.Height = c.width, c.height
	dst.Pix = append(dst.Pix[:0], img.pix...)
	return nil
}
