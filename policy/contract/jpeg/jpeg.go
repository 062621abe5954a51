// Package jpeg decodes JPEG pictures of cameras into their planes: with
// image/jpeg or, in a build with the tag turbojpeg, with libjpeg-turbo, several
// times as fast. Samples of the two differ by one level, seldom by two.
package jpeg

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
)

// Size returns the width and the height that the header says, without decoding.
func Size(data []byte) (width, height int, err error) {
	conf, err := jpeg.DecodeConfig(bytes.NewReader(data))
	return conf.Width, conf.Height, err
}

// mostWork bounds the pixels that all scans of a picture go through, about a
// second's work: the largest pictures may have 16 scans, as many as encoders make,
// small ones hundreds.
const mostWork = 1 << 29

// limit refuses a picture whose scans would take long: each costs little to send.
func limit(data []byte, width, height int) error {
	scans := bytes.Count(data, []byte{0xff, 0xda}) // nothing that is coded looks like that
	if scans > 1 && scans > mostWork/max(1, width*height) {
		return fmt.Errorf("a picture of %d x %d in %d scans takes too long; encode it with fewer", width, height, scans)
	}
	return nil
}

// standard decodes with image/jpeg, every kind that it knows.
func standard(data []byte, width, height int) (image.Image, error) {
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err == nil && img.Bounds().Size() != image.Pt(width, height) {
		return nil, fmt.Errorf("a picture of %v where its header says %d x %d", img.Bounds().Size(), width, height)
	}
	return img, err
}
