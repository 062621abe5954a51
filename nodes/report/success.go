package report

import (
	"fmt"
	"math"
	"strings"
)

// Success compares success rates with their 95 % intervals: a row a task, in
// it a line a group. The first of several groups is drawn as the baseline.
type Success struct {
	Title, Note string
	Groups      []string // such as "before", "after"
	Rows        []SuccessRow
}

// SuccessRow is a task, or all of them together.
type SuccessRow struct {
	Label   string
	Overall bool   // set apart, in bold
	Rates   []Rate // one a group
}

// Rate is a measured proportion. Rate, Low and High are fractions of 1; Low
// and High bound its 95 % interval (not finite, or both zero: unknown). N is the number
// of episodes; with 0 there is nothing to draw.
type Rate struct {
	Rate, Low, High float64
	N               int
}

// The names of tasks, in pixels.
const nameWidth, nameSize = 200.0, 13.0

func (p Success) html(r *renderer) any { return r.plot(p, wide, narrow) }

// SVG is the chart as a file of its own.
func (p Success) SVG() []byte { return svg(p, wide, "c", true) }

// measured says whether there is a rate to draw.
func (r Rate) measured() bool { return r.N > 0 && r.Rate >= 0 && r.Rate <= 1 }

// interval returns the bounds within 0..1, if they are known.
func (r Rate) interval() (low, high float64, ok bool) {
	low, high = max(0, r.Low), min(1, r.High)
	ok = low <= high && !(r.Low == 0 && r.High == 0)
	return low, high, ok
}

// rate of group g in a row; the zero Rate if it is missing.
func (row SuccessRow) rate(g int) Rate {
	if g < len(row.Rates) {
		return row.Rates[g]
	}
	return Rate{}
}

func (p Success) color(g int) string {
	if len(p.Groups) < 2 {
		return class(g)
	}
	if g == 0 {
		return "s0"
	}
	return class(g - 1)
}

func (p Success) head() head {
	h := head{title: p.Title, note: p.Note, why: "no fraction of 1"}
	var b strings.Builder
	b.WriteString("Success rates with 95 % intervals.")
	for _, row := range p.Rows {
		fmt.Fprintf(&b, " %s:", or(row.Label, "task"))
		for g, name := range p.Groups {
			r := row.rate(g)
			if r.N > 0 && !r.measured() {
				h.omitted++
			}
			if g > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, " %s %s", or(name, "group"), r)
		}
		b.WriteString(".")
	}
	h.desc = b.String()
	return h
}

// String is the rate in words.
func (r Rate) String() string {
	if !r.measured() {
		return "not measured"
	}
	s := percentage(r.Rate)
	if low, high, ok := r.interval(); ok {
		s += fmt.Sprintf(" (%.0f to %.0f %%)", 100*low, 100*high)
	}
	return fmt.Sprintf("%s of %d", s, r.N)
}

func (p Success) draw(l layout) drawing {
	var c canvas
	if len(p.Rows) == 0 || len(p.Groups) == 0 {
		return c.empty(l)
	}
	const line, gap = 20.0, 16.0 // height of a group's line, space between rows
	value, label := 184.0, 0.0   // width of the numbers at the right, and of the names at the left
	x := percent(20)
	if l.narrow {
		value, x = 108, percent(50)
	} else {
		for _, row := range p.Rows {
			for _, s := range wrap(row.Label, nameWidth, nameSize, len(p.Groups)) {
				label = max(label, textWidth(s, nameSize)+16)
			}
		}
	}
	x.a, x.b = max(label, 14), l.width-value
	top := 2.0
	if len(p.Groups) > 1 {
		var keys []key
		for g, name := range p.Groups {
			keys = append(keys, key{or(name, fmt.Sprintf("group %d", g+1)), p.color(g)})
		}
		top = c.legend(l, 0, keys) + 2
	}
	height := 0.0
	for _, row := range p.Rows {
		height += p.rowHeight(row, l, line) + gap
	}
	bottom := top + height
	for _, t := range x.ticks {
		c.line(x.at(t.at), top, x.at(t.at), bottom, "grid")
		c.text(x.at(t.at), bottom+17, "tick mid", t.label)
	}
	c.line(x.a, bottom, x.b, bottom, "axis")
	y := top
	for i, row := range p.Rows {
		h := p.rowHeight(row, l, line) + gap
		if row.Overall && i > 0 {
			c.line(0, y, l.width, y, "axis")
		}
		p.drawRow(&c, l, x, row, y+gap/2, line)
		y += h
	}
	return drawing{c.b.Bytes(), bottom + 24}
}

// rowHeight is the height of a row without the space around it; where the
// picture is narrow, the name takes a line of its own.
func (p Success) rowHeight(row SuccessRow, l layout, line float64) float64 {
	h := line * float64(len(p.Groups))
	if l.narrow && row.Label != "" {
		h += line
	}
	return h
}

func (p Success) drawRow(c *canvas, l layout, x scale, row SuccessRow, y, line float64) {
	class := "name"
	if row.Overall {
		class = "name strong"
	}
	switch {
	case row.Label == "":
	case l.narrow:
		c.text(0, y+line/2+3, class, shorten(row.Label, l.width, nameSize))
		y += line
	default:
		const leading = 16
		lines := wrap(row.Label, nameWidth, nameSize, len(p.Groups))
		at := y + line*float64(len(p.Groups))/2 + 4.5 - leading*float64(len(lines)-1)/2
		for i, s := range lines {
			c.text(0, at+float64(i)*leading, class, s)
		}
	}
	for g := range p.Groups {
		p.drawRate(c, l, x, row.rate(g), p.color(g), y+(float64(g)+0.5)*line)
	}
}

func (p Success) drawRate(c *canvas, l layout, x scale, r Rate, color string, y float64) {
	right := x.b + 16
	if !r.measured() {
		c.text(right, y+4, "soft", "not measured")
		return
	}
	low, high, ok := r.interval()
	if ok {
		c.line(x.at(low), y, x.at(high), y, "whisker "+color)
		c.line(x.at(low), y-4, x.at(low), y+4, "whisker "+color)
		c.line(x.at(high), y-4, x.at(high), y+4, "whisker "+color)
	}
	class := "fill "
	if color == "s0" {
		class = "hollow "
	}
	c.circle(x.at(r.Rate), y, 5, class+color)
	c.text(right+40, y+4, "value end", percentage(r.Rate))
	n := fmt.Sprintf("n %d", r.N)
	if !l.narrow && ok {
		n = fmt.Sprintf("%.0f–%.0f %%, n %d", math.Round(100*low), math.Round(100*high), r.N)
	}
	c.text(right+48, y+4, "soft", n)
}

func (p Success) numbers() Table {
	t := Table{Columns: []string{"task", "group", "success", "from", "to", "episodes"}}
	for _, row := range p.Rows {
		for g, name := range p.Groups {
			r := row.rate(g)
			cells := []string{row.Label, name, "", "", "", fmt.Sprint(r.N)}
			if r.measured() {
				cells[2] = fmt.Sprintf("%.1f %%", 100*r.Rate)
				if low, high, ok := r.interval(); ok {
					cells[3], cells[4] = fmt.Sprintf("%.1f %%", 100*low), fmt.Sprintf("%.1f %%", 100*high)
				}
			}
			t.Rows = append(t.Rows, cells)
		}
	}
	return t
}
