//go:build turbojpeg && cgo

package jpeg

/*
#cgo CFLAGS: -O2
#cgo LDFLAGS: -lturbojpeg
#include <turbojpeg.h>

enum { flags = TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS };

static int decode(tjhandle h, const unsigned char *data, unsigned long n,
	unsigned char *y, int y_stride, unsigned char *cb, unsigned char *cr, int c_stride) {
	unsigned char *planes[3] = {y, cb, cr};
	int strides[3] = {y_stride, c_stride, c_stride};
	return tjDecompressToYUVPlanes(h, data, n, planes, 0, strides, 0, flags);
}
*/
import "C"

import (
	"image"
	"runtime"
	"unsafe"
)

// Library is what decodes in this build.
const Library = "libjpeg-turbo"

// Decoder decodes one picture after another; the zero value is ready. It is not
// for concurrent use.
type Decoder struct {
	turbo C.tjhandle // nil: there is none
	end   runtime.Cleanup
	grey  image.Gray
	ycc   image.YCbCr
	pix   []uint8
}

// ratios are the kinds of chroma subsampling that libjpeg-turbo gives planes of.
var ratios = map[C.int]image.YCbCrSubsampleRatio{
	C.TJSAMP_444: image.YCbCrSubsampleRatio444,
	C.TJSAMP_422: image.YCbCrSubsampleRatio422,
	C.TJSAMP_420: image.YCbCrSubsampleRatio420,
	C.TJSAMP_440: image.YCbCrSubsampleRatio440,
	C.TJSAMP_411: image.YCbCrSubsampleRatio411,
}

// Decode returns the picture in data, of the size that its header says: an
// *image.YCbCr or *image.Gray for what cameras send. It is valid until the next
// call. The caller has bounded the size, which bounds what is allocated. What
// libjpeg-turbo does not take, image/jpeg decides on.
func (d *Decoder) Decode(data []byte, width, height int) (image.Image, error) {
	if err := limit(data, width, height); err != nil {
		return nil, err
	}
	if img := d.fast(data, width, height); img != nil {
		return img, nil
	}
	d.forget()
	return standard(data, width, height)
}

// begin makes sure that there is a handle.
func (d *Decoder) begin() bool {
	if d.turbo == nil {
		if d.turbo = C.tjInitDecompress(); d.turbo == nil {
			return false
		}
		d.end = runtime.AddCleanup(d, func(h C.tjhandle) { C.tjDestroy(h) }, d.turbo)
	}
	return true
}

// forget lets go of the handle: after a picture that ends amid a header it takes
// no other.
func (d *Decoder) forget() {
	if d.turbo != nil {
		d.end.Stop()
		C.tjDestroy(d.turbo)
		d.turbo = nil
	}
}

// fast decodes with libjpeg-turbo; nil: it is nothing that it takes.
func (d *Decoder) fast(data []byte, width, height int) image.Image {
	if len(data) == 0 || !d.begin() {
		return nil
	}
	defer runtime.KeepAlive(d)
	in, n := (*C.uchar)(unsafe.SliceData(data)), C.ulong(len(data))
	var w, h, sampling, space C.int
	if C.tjDecompressHeader3(d.turbo, in, n, &w, &h, &sampling, &space) != 0 || int(w) != width || int(h) != height {
		return nil
	}
	rect := image.Rect(0, 0, width, height)
	yw, yh := int(C.tjPlaneWidth(0, w, sampling)), int(C.tjPlaneHeight(0, h, sampling))
	if space == C.TJCS_GRAY && sampling == C.TJSAMP_GRAY {
		d.room(yw * yh)
		if C.decode(d.turbo, in, n, d.at(0), C.int(yw), nil, nil, 0) != 0 {
			return nil
		}
		d.grey = image.Gray{Pix: d.pix, Stride: yw, Rect: rect}
		return &d.grey
	}
	ratio, ok := ratios[sampling]
	if !ok || space != C.TJCS_YCbCr {
		return nil
	}
	cw, ch := int(C.tjPlaneWidth(1, w, sampling)), int(C.tjPlaneHeight(1, h, sampling))
	cb, cr := yw*yh, yw*yh+cw*ch
	d.room(cr + cw*ch)
	if C.decode(d.turbo, in, n, d.at(0), C.int(yw), d.at(cb), d.at(cr), C.int(cw)) != 0 {
		return nil
	}
	d.ycc = image.YCbCr{
		Y: d.pix[:cb], Cb: d.pix[cb:cr], Cr: d.pix[cr:],
		YStride: yw, CStride: cw, SubsampleRatio: ratio, Rect: rect,
	}
	return &d.ycc
}

// room makes pix n bytes long.
func (d *Decoder) room(n int) {
	if cap(d.pix) < n {
		d.pix = make([]uint8, n)
	}
	d.pix = d.pix[:n]
}

func (d *Decoder) at(i int) *C.uchar { return (*C.uchar)(&d.pix[i]) }
