package report

import (
	"sort"
	"unicode/utf8"
)

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

// axes is the frame of a plot over two axes: behind draws what lies behind the
// data, front the labels that lie before it.
type axes struct {
	xLabel, yLabel string
	x, y           scale // their pixels are set by behind
	keys           []key
	marks          []Mark // vertical
	levels         []Mark // horizontal; those outside the domain are not drawn
	bands          []Band

	labels []placed // of the marks
	top    float64  // y of the upper end
}

const lane = 15 // height of a line of mark labels, pixels

// behind draws the frame and returns the y of its lower end.
func (a *axes) behind(c *canvas, l layout) float64 {
	left := 0.0
	for _, t := range a.y.ticks {
		left = max(left, textWidth(t.label, small))
	}
	left += 10
	right := l.width - 10
	a.x.a, a.x.b = left, right
	a.top = c.legend(l, 0, a.keys)
	if a.yLabel != "" {
		c.text(0, a.top+11, "soft", shorten(a.yLabel, l.width, fontSize))
		a.top += 20
	}
	lanes := a.placeLabels(right)
	a.top += float64(lanes)*lane + 6
	bottom := a.top + l.height
	a.y.a, a.y.b = bottom, a.top

	a.drawBands(c, bottom)
	for _, t := range a.y.ticks {
		y := a.y.at(t.at)
		c.line(left, y, right, y, "grid")
		c.text(left-8, y+4, "tick end", t.label)
	}
	a.drawXTicks(c, bottom)
	for _, m := range a.levels {
		if a.onAxis(m) {
			y := a.y.at(m.At)
			c.line(left, y, right, y, "level")
		}
	}
	for _, m := range a.labels {
		c.line(m.x, a.top-float64(m.lane)*lane-4, m.x, bottom, "mark-line")
	}
	end := bottom + 20
	if a.xLabel != "" {
		c.text((left+right)/2, bottom+37, "soft mid", shorten(a.xLabel, right-left, fontSize))
		end += 24
	}
	return end
}

// front writes the labels of levels and marks.
func (a *axes) front(c *canvas) {
	for _, m := range a.levels {
		if a.onAxis(m) && m.Label != "" {
			c.text(a.x.b-4, a.y.at(m.At)-5, "mark end", shorten(m.Label, a.x.b-a.x.a-8, small))
		}
	}
	for _, m := range a.labels {
		if m.label != "" {
			c.text(m.tx, a.top-float64(m.lane)*lane-6, "mark"+m.anchor, m.label)
		}
	}
}

func (a *axes) onAxis(level Mark) bool { return level.At >= a.y.lo && level.At <= a.y.hi }

// drawBands shades the bands; a label that does not fit is left out.
func (a *axes) drawBands(c *canvas, bottom float64) {
	for _, b := range a.bands {
		if !drawable(b.From, false) || !drawable(b.To, false) {
			continue
		}
		x0, x1 := a.x.at(min(b.From, b.To)), a.x.at(max(b.From, b.To))
		c.rect(x0, a.top, x1-x0, bottom-a.top, "band")
		const enough = 8 // characters that still say something
		if label := shorten(b.Label, x1-x0-8, small); label == b.Label || utf8.RuneCountInString(label) > enough {
			c.text(x0+5, a.top+14, "mark", label)
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
// without. It returns the number of lanes.
func (a *axes) placeLabels(right float64) (lanes int) {
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
		a.labels = append(a.labels, p)
	}
	return lanes
}
