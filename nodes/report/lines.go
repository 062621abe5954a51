package report

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
)

// Lines is a line chart, such as the loss over training steps.
type Lines struct {
	Title, Note    string
	XLabel, YLabel string
	Series         []Series
	XTicks         []float64 // where the horizontal axis has ticks; nil: at round numbers
	LogY           bool      // values that are not positive are left out
	Smooth         int       // points of a centred mean (geometric if LogY), the raw line pale behind; series up to twice as long stay raw
	Marks          []Mark    // vertical lines at x; the axis reaches to them
	Levels         []Mark    // horizontal lines at y, drawn where the axis has them
	Bands          []Band    // shaded stretches of x; the axis reaches to them
}

// Series is one line. A value that is not finite is a gap.
type Series struct {
	Name      string
	X         []float64 // nil: 0, 1, 2, ...
	Y         []float64
	Low, High []float64 // an interval around Y, shaded; nil: none
	Dashed    bool
	Color     int // 1 to 6, or Grey; 0: by its place among the series
}

// Grey is the colour of a baseline.
const Grey = -1

func (p Lines) html(r *renderer) any { return r.plot(p, wide, narrow) }

// SVG is the chart as a file of its own.
func (p Lines) SVG() []byte { return svg(p, wide, "c", true) }

// point is a drawable value of a series; ok is false at a gap.
type point struct {
	x, y, low, high float64
	ok              bool
}

// points of a series in the order of x, with the number of those left out.
func (s Series) points(log bool) (pts []point, omitted int) {
	n := len(s.Y)
	if s.X != nil {
		n = min(n, len(s.X))
	}
	banded := len(s.Low) >= n && len(s.High) >= n
	for i := range n {
		p := point{x: float64(i), y: s.Y[i]}
		if s.X != nil {
			p.x = s.X[i]
		}
		if !drawable(p.x, false) {
			omitted++
			continue
		}
		p.ok = drawable(p.y, log)
		if !p.ok {
			omitted++
		}
		p.low, p.high = p.y, p.y
		if banded && drawable(s.Low[i], log) && drawable(s.High[i], log) {
			p.low, p.high = s.Low[i], s.High[i]
		}
		pts = append(pts, p)
	}
	sort.SliceStable(pts, func(i, j int) bool { return pts[i].x < pts[j].x })
	return pts, omitted
}

func (p Lines) head() head {
	h := head{title: p.Title, note: p.Note, why: "not finite"}
	if p.LogY {
		h.why = "not finite or not positive"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Line chart of %s over %s.", or(p.YLabel, "values"), or(p.XLabel, "the index"))
	for _, s := range p.Series {
		pts, omitted := s.points(p.LogY)
		h.omitted += omitted
		pts = slices.DeleteFunc(pts, func(q point) bool { return !q.ok })
		if len(pts) == 0 {
			fmt.Fprintf(&b, " %s: no data.", or(s.Name, "line"))
			continue
		}
		var e extent
		for _, q := range pts {
			e.add(q.y)
		}
		first, last := pts[0], pts[len(pts)-1]
		fmt.Fprintf(&b, " %s: from %s at %s to %s at %s, between %s and %s.", or(s.Name, "line"),
			number(first.y), number(first.x), number(last.y), number(last.x), number(e.lo), number(e.hi))
	}
	describeMarks(&b, p.Marks)
	h.desc = b.String()
	return h
}

func describeMarks(b *strings.Builder, marks []Mark) {
	const most = 20
	if len(marks) == 0 {
		return
	}
	b.WriteString(" Marks:")
	for i, m := range marks[:min(len(marks), most)] {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(b, " %s at %s", or(m.Label, "mark"), number(m.At))
	}
	if len(marks) > most {
		fmt.Fprintf(b, " and %d more", len(marks)-most)
	}
	b.WriteString(".")
}

func (p Lines) draw(l layout) drawing {
	var c canvas
	var ex, ey extent
	all := make([][]point, len(p.Series))
	for i, s := range p.Series {
		all[i], _ = s.points(p.LogY)
		for _, q := range all[i] {
			if q.ok {
				ex.add(q.x)
				ey.add(q.low)
				ey.add(q.high)
				ey.add(q.y)
			}
		}
	}
	if ey.n == 0 {
		return c.empty(l)
	}
	reach(&ex, p.Marks, p.Bands)
	a := axes{xLabel: p.XLabel, yLabel: p.YLabel, marks: p.Marks, levels: p.Levels, bands: p.Bands}
	a.x = linear(ex, xTicks(l), false)
	if p.XTicks != nil {
		a.x.put(p.XTicks)
	}
	if p.LogY {
		a.y = logarithmic(ey)
	} else {
		a.y = linear(ey, 5, true)
	}
	if len(p.Series) > 1 {
		for i, s := range p.Series {
			a.keys = append(a.keys, key{or(s.Name, fmt.Sprintf("line %d", i+1)), p.class(i)})
		}
	}
	height := a.behind(&c, l)
	for i, pts := range all {
		p.drawSeries(&c, &a, pts, p.class(i), p.Series[i].Low != nil)
	}
	a.front(&c)
	return drawing{c.b.Bytes(), height}
}

func xTicks(l layout) int {
	if l.narrow {
		return 5
	}
	return 8
}

// reach widens the axis to the marks and bands.
func reach(e *extent, marks []Mark, bands []Band) {
	add := func(v float64) {
		if drawable(v, false) {
			e.add(v)
		}
	}
	for _, m := range marks {
		add(m.At)
	}
	for _, b := range bands {
		add(b.From)
		add(b.To)
	}
}

// class is that of the colour of the i-th series; they come round after six.
func class(i int) string { return fmt.Sprintf("s%d", i%6+1) }

// class is that of the i-th series.
func (p Lines) class(i int) string {
	s := class(i)
	switch c := p.Series[i].Color; {
	case c == Grey:
		s = "s0"
	case c > 0:
		s = class(c - 1)
	}
	if p.Series[i].Dashed {
		s += " dashed"
	}
	return s
}

func (p Lines) drawSeries(c *canvas, a *axes, pts []point, class string, banded bool) {
	if banded {
		c.area(a, pts, class)
	}
	line := "line "
	if p.Smooth > 1 && len(pts) > 2*p.Smooth {
		c.series(a, pts, "raw "+class)
		pts = smooth(pts, p.Smooth, p.LogY)
		line = "line bold "
	} else if len(pts) <= 30 {
		for _, q := range pts {
			if q.ok {
				c.circle(a.x.at(q.x), a.y.at(q.y), 2.6, "fill "+class)
			}
		}
	}
	c.series(a, pts, line+class)
}

// smooth replaces each value by the mean of those up to half a window away.
func smooth(pts []point, window int, log bool) []point {
	out := slices.Clone(pts)
	half := window / 2
	sum, count := make([]float64, len(pts)+1), make([]int, len(pts)+1)
	for i, q := range pts {
		sum[i+1], count[i+1] = sum[i], count[i]
		if q.ok {
			v := q.y
			if log {
				v = math.Log(v)
			}
			sum[i+1], count[i+1] = sum[i]+v, count[i]+1
		}
	}
	for i := range out {
		// Near an end the window shrinks on both sides, so that it stays centred
		// and does not flatten the beginning; a third of it stays against the noise.
		h := max(min(half, i, len(pts)-1-i), half/3)
		lo, hi := max(0, i-h), min(i+h+1, len(pts))
		if n := count[hi] - count[lo]; out[i].ok && n > 0 {
			out[i].y = (sum[hi] - sum[lo]) / float64(n)
			if log {
				out[i].y = math.Exp(out[i].y)
			}
		}
	}
	return out
}

// series draws a line with gaps where points are not ok; a point alone
// between gaps becomes a dot.
func (c *canvas) series(a *axes, pts []point, class string) {
	for _, run := range runs(pts) {
		xy := make([][2]float64, len(run))
		for i, q := range run {
			xy[i] = [2]float64{a.x.at(q.x), a.y.at(q.y)}
		}
		if len(xy) == 1 {
			c.circle(xy[0][0], xy[0][1], 2.6, "fill "+class[strings.LastIndex(class, " ")+1:])
			continue
		}
		c.add(`<path class="%s" d="%s"/>`, class, path(decimate(xy)))
	}
}

// area shades between low and high.
func (c *canvas) area(a *axes, pts []point, class string) {
	for _, run := range runs(pts) {
		up, down := make([][2]float64, len(run)), make([][2]float64, len(run))
		for i, q := range run {
			up[i] = [2]float64{a.x.at(q.x), a.y.at(q.high)}
			down[i] = [2]float64{a.x.at(q.x), a.y.at(q.low)}
		}
		down = decimate(down)
		slices.Reverse(down)
		c.add(`<path class="area %s" d="%sZ"/>`, class, path(append(decimate(up), down...)))
	}
}

// runs parts the points at the gaps.
func runs(pts []point) (out [][]point) {
	from := -1
	for i, q := range pts {
		switch {
		case q.ok && from < 0:
			from = i
		case !q.ok && from >= 0:
			out, from = append(out, pts[from:i]), -1
		}
	}
	if from >= 0 {
		out = append(out, pts[from:])
	}
	return out
}

// decimate keeps of each pixel column the first, the lowest, the highest and
// the last point: the picture stays the same.
func decimate(xy [][2]float64) [][2]float64 {
	var out [][2]float64
	for i := 0; i < len(xy); {
		j, lo, hi := i, i, i
		for ; j < len(xy) && math.Floor(xy[j][0]) == math.Floor(xy[i][0]); j++ {
			if xy[j][1] < xy[lo][1] {
				lo = j
			}
			if xy[j][1] > xy[hi][1] {
				hi = j
			}
		}
		keep := []int{i, min(lo, hi), max(lo, hi), j - 1}
		for _, k := range slices.Compact(keep) {
			out = append(out, xy[k])
		}
		i = j
	}
	return out
}

func path(xy [][2]float64) string {
	var b strings.Builder
	for i, q := range xy {
		if i == 0 {
			b.WriteByte('M')
		} else {
			b.WriteByte('L')
		}
		b.WriteString(px(q[0]))
		b.WriteByte(' ')
		b.WriteString(px(q[1]))
	}
	return b.String()
}

// numbers samples each series evenly, its ends included.
func (p Lines) numbers() Table {
	const most = 24 // rows of a series
	t := Table{Columns: []string{or(p.XLabel, "x")}}
	rows := map[float64][]string{}
	sampled := false
	for i, s := range p.Series {
		t.Columns = append(t.Columns, or(s.Name, or(p.YLabel, "value")))
		pts, _ := s.points(p.LogY)
		sampled = sampled || len(pts) > most
		for k := range min(len(pts), most) {
			if len(pts) > most {
				k = k * (len(pts) - 1) / (most - 1)
			}
			q := pts[k]
			if rows[q.x] == nil {
				rows[q.x] = make([]string, len(p.Series)+1)
				rows[q.x][0] = number(q.x)
			}
			rows[q.x][i+1] = number(q.y)
		}
	}
	if sampled {
		t.Note = fmt.Sprintf("Of each line %d values, evenly spread.", most)
	}
	var xs []float64
	for x := range rows {
		xs = append(xs, x)
	}
	sort.Float64s(xs)
	for _, x := range xs {
		t.Rows = append(t.Rows, rows[x])
	}
	return t
}
