//go:build !turbojpeg || !cgo

package jpeg

import "image"

// Library is what decodes in this build.
const Library = "image/jpeg"

// Decoder decodes one picture after another; the zero value is ready. It is not
// for concurrent use.
type Decoder struct{}

// Decode returns the picture in data, of the size that its header says: an
// *image.YCbCr or *image.Gray for what cameras send. It is valid until the next
// call. The caller has bounded the size, which bounds what is allocated.
func (*Decoder) Decode(data []byte, width, height int) (image.Image, error) {
	if err := limit(data, width, height); err != nil {
		return nil, err
	}
	return standard(data, width, height)
}
