package reach

import (
	"image"
	"image/color"
	"math"
)

// The camera looks straight down on a square around the base.
const (
	ImageSide = 48  // pixels
	viewWidth = 1.5 // m
)

// Render draws the arm and the target as the camera sees them into img, which
// is ImageSide pixels square; nil allocates one. Edges are smoothed over one
// pixel by their distance. The same world gives the same pixels.
func Render(w *World, img *image.RGBA) *image.RGBA {
	if img == nil {
		img = image.NewRGBA(image.Rect(0, 0, ImageSide, ImageSide))
	}
	elbow, tip := Forward(w.Q)
	const pixel = viewWidth / ImageSide
	for row := range ImageSide {
		for col := range ImageSide {
			p := Point{(float64(col)+0.5)*pixel - viewWidth/2, viewWidth/2 - (float64(row)+0.5)*pixel}
			c := [3]float64{225, 225, 220}
			paint(&c, p.distance(w.Target)-0.05, [3]float64{220, 40, 30})
			paint(&c, toSegment(p, Point{}, elbow)-0.035, [3]float64{40, 60, 150})
			paint(&c, toSegment(p, elbow, tip)-0.025, [3]float64{30, 140, 120})
			paint(&c, p.distance(tip)-0.022, [3]float64{20, 20, 20})
			img.SetRGBA(col, row, color.RGBA{uint8(c[0] + 0.5), uint8(c[1] + 0.5), uint8(c[2] + 0.5), 255})
		}
	}
	return img
}

// paint covers c with a colour by how far inside a shape the pixel lies.
func paint(c *[3]float64, distance float64, with [3]float64) {
	a := min(max(0.5-distance/(viewWidth/ImageSide), 0), 1)
	for i := range c {
		c[i] += a * (with[i] - c[i])
	}
}

// toSegment is the distance from p to the segment from a to b.
func toSegment(p, a, b Point) float64 {
	dx, dy := b.X-a.X, b.Y-a.Y
	s := min(max(((p.X-a.X)*dx+(p.Y-a.Y)*dy)/(dx*dx+dy*dy), 0), 1)
	return math.Hypot(p.X-a.X-s*dx, p.Y-a.Y-s*dy)
}
