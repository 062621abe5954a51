package report

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
)

// Frames is a contact sheet of camera images, in one or more strips.
type Frames struct {
	Title, Note string
	Strips      []Strip
}

// Strip is a row of frames in the order of time.
type Strip struct {
	Label  string // such as "before: missed the target"
	Frames []Frame
}

// Frame is one image. It is stored as PNG or JPEG, whichever is smaller, with
// at most 640 pixels a side. A nil image leaves an empty place.
type Frame struct {
	Image   image.Image
	Caption string // such as "t = 1.5 s"
	Alt     string // what is to be seen; empty: made of the strip and the caption
}

type framesView struct {
	Kind        string
	Title, Note string
	Strips      []stripView
}

type stripView struct {
	Label  string
	Frames []frameView
}

type frameView struct {
	URI           template.URL
	Width, Height int
	Coarse        bool // few pixels: enlarge them as squares
	Caption, Alt  string
}

const mostPixels = 640 // of a side

func (p Frames) html(*renderer) any {
	v := framesView{Kind: "frames", Title: p.Title, Note: p.Note}
	for _, s := range p.Strips {
		sv := stripView{Label: s.Label}
		for i, f := range s.Frames {
			sv.Frames = append(sv.Frames, f.view(fmt.Sprintf("%s, frame %d of %d", or(s.Label, "camera"), i+1, len(s.Frames))))
		}
		v.Strips = append(v.Strips, sv)
	}
	return v
}

func (f Frame) view(place string) frameView {
	v := frameView{Caption: f.Caption, Alt: f.Alt}
	if v.Alt == "" {
		if v.Alt = place; f.Caption != "" {
			v.Alt += ": " + f.Caption
		}
	}
	if f.Image == nil || f.Image.Bounds().Empty() {
		return v
	}
	img := fit(f.Image)
	uri, err := dataURI(img)
	if err != nil {
		return v // an image that neither codec takes leaves an empty place
	}
	b := img.Bounds()
	v.URI, v.Width, v.Height = uri, b.Dx(), b.Dy()
	v.Coarse = max(b.Dx(), b.Dy()) <= 128
	return v
}

func dataURI(img image.Image) (template.URL, error) {
	var p, j bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&p, img); err != nil {
		return "", err
	}
	best, kind := p.Bytes(), "png"
	if o, ok := img.(interface{ Opaque() bool }); ok && o.Opaque() {
		if err := jpeg.Encode(&j, img, &jpeg.Options{Quality: 85}); err == nil && j.Len() < p.Len() {
			best, kind = j.Bytes(), "jpeg"
		}
	}
	return template.URL("data:image/" + kind + ";base64," + base64.StdEncoding.EncodeToString(best)), nil
}

// fit makes a large image smaller by the mean of the pixels that fall
// together.
func fit(img image.Image) image.Image {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	long := max(w, h)
	if long <= mostPixels {
		return img
	}
	nw, nh := max(1, w*mostPixels/long), max(1, h*mostPixels/long)
	out := image.NewRGBA(image.Rect(0, 0, nw, nh))
	for y := range nh {
		y0, y1 := b.Min.Y+y*h/nh, b.Min.Y+(y+1)*h/nh
		for x := range nw {
			x0, x1 := b.Min.X+x*w/nw, b.Min.X+(x+1)*w/nw
			out.SetRGBA(x, y, mean(img, image.Rect(x0, y0, max(x1, x0+1), max(y1, y0+1))))
		}
	}
	return out
}

func mean(img image.Image, box image.Rectangle) color.RGBA {
	var sum [4]uint64
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			r, g, b, a := img.At(x, y).RGBA()
			sum[0], sum[1], sum[2], sum[3] = sum[0]+uint64(r), sum[1]+uint64(g), sum[2]+uint64(b), sum[3]+uint64(a)
		}
	}
	n := uint64(box.Dx()) * uint64(box.Dy()) * 257
	return color.RGBA{uint8(sum[0] / n), uint8(sum[1] / n), uint8(sum[2] / n), uint8(sum[3] / n)}
}
