package report

import "sort"

// Mark is a labelled line at a place on an axis, such as the moment of a swap.
type Mark struct {
	At    float64
	Label string
}

// Band shades a stretch of the horizontal axis.
type Band struct {
	From, To float64
	Label    string
}

// axes is the frame of a plot over two axes: what is drawn behind the data.
type axes struct {
	xLabel, yLabel string
	x, y           scale // their pixels are set by draw
	keys           []key
	marks          []Mark // vertical
	levels         []Mark // horizontal; those outside the domain are not drawn
	bands          []Band
}

const lane = 15 // height of a line of mark labels, pixels

// draw draws the frame and returns the y of its lower end.
func (a *axes) draw(c *canvas, l layout) float64 {
	left := 0.0
	for _, t := range a.y.ticks {
		left = max(left, textWidth(t.label, small))
	}
	left += 10
	right := l.width - 10
	a.x.a, a.x.b = left, right
	top := c.legend(l, 0, a.keys)
	if a.yLabel != "" {
		c.text(0, top+11, "soft", shorten(a.yLabel, l.width, fontSize))
		top += 20
	}
	labels, lanes := a.placeLabels(right)
	top += float64(lanes)*lane + 6
	bottom := top + l.height
	a.y.a, a.y.b = bottom, top

	a.drawBands(c, top, bottom)
	for _, t := range a.y.ticks {
		y := a.y.at(t.at)
		c.line(left, y, right, y, "grid")
		c.text(left-8, y+4, "tick end", t.label)
	}
	a.drawXTicks(c, bottom)
	for _, m := range a.levels {
		if m.At >= min(a.y.lo, a.y.hi) && m.At <= max(a.y.lo, a.y.hi) {
			y := a.y.at(m.At)
			c.line(left, y, right, y, "level")
			c.text(right-4, y-5, "mark end", shorten(m.Label, right-left-8, small))
		}
	}
	for _, m := range labels {
		c.line(m.x, top-float64(m.lane)*lane-4, m.x, bottom, "mark-line")
		if m.label != "" {
			c.text(m.tx, top-float64(m.lane)*lane-6, "mark"+m.anchor, m.label)
		}
	}
	end := bottom + 20
	if a.xLabel != "" {
		c.text((left+right)/2, bottom+37, "soft mid", shorten(a.xLabel, right-left, fontSize))
		end += 24
	}
	return end
}

// drawBands shades the bands; a label that does not fit is left out.
func (a *axes) drawBands(c *canvas, top, bottom float64) {
	for _, b := range a.bands {
		if !drawable(b.From, false) || !drawable(b.To, false) {
			continue
		}
		x0, x1 := a.x.at(min(b.From, b.To)), a.x.at(max(b.From, b.To))
		c.rect(x0, top, x1-x0, bottom-top, "band")
		if label := shorten(b.Label, x1-x0-8, small); b.Label != "" && label != "…" {
			c.text(x0+5, top+14, "mark", label)
		}
	}
}

func (a *axes) drawXTicks(c *canvas, bottom float64) {
	c.line(a.x.a, bottom, a.x.b, bottom, "axis")
	free := -1e9
	for _, t := range a.x.ticks {
		x, w := a.x.at(t.at), textWidth(t.label, small)
		c.line(x, bottom, x, bottom+4, "axis")
		// The last label stays inside the picture.
		at := min(x, a.x.b+10-w/2)
		if at-w/2 >= free {
			c.text(at, bottom+17, "tick mid", t.label)
			free = at + w/2 + 6
		}
	}
}

// placed is a mark with the place of its label.
type placed struct {
	x, tx  float64
	lane   int
	anchor string
	label  string // empty: no room for it
}

// placeLabels puts labels of marks above the plot, side by side where they
// fit, else in another lane; those for which three lanes are too few go
// without.
func (a *axes) placeLabels(right float64) (out []placed, lanes int) {
	const most, gap = 3, 6
	var free [most]float64
	marks := append([]Mark(nil), a.marks...)
	sort.SliceStable(marks, func(i, j int) bool { return marks[i].At < marks[j].At })
	for _, m := range marks {
		if !drawable(m.At, false) || m.At < a.x.lo || m.At > a.x.hi {
			continue
		}
		label := shorten(m.Label, min(180, right-a.x.a), small)
		x, w := a.x.at(m.At), textWidth(label, small)
		p := placed{x: x, tx: x - 3}
		from, to := x-3, x-3+w
		if to > right {
			p.tx, p.anchor, from, to = x+3, " end", x+3-w, x+3
		}
		for k := 0; k < most && label != ""; k++ {
			if from >= free[k] {
				p.lane, p.label, free[k] = k, label, to+gap
				lanes = max(lanes, k+1)
				break
			}
		}
		out = append(out, p)
	}
	return out, lanes
}
