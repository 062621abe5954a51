package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 0.11 } // coordinates are rounded to 0.1

// axisAt finds the pixel of a value from two tick labels of an axis.
func axisAt(t *testing.T, n *node, coordinate, label1 string, v1 float64, label2 string, v2, v float64) float64 {
	t.Helper()
	p1, p2 := n.text(t, label1).num(t, coordinate), n.text(t, label2).num(t, coordinate)
	return p1 + (v-v1)/(v2-v1)*(p2-p1)
}

func TestLinesLieWhereTheTicksSay(t *testing.T) {
	p := Lines{XLabel: "step", YLabel: "loss", Series: []Series{{X: []float64{0, 50, 100}, Y: []float64{0.1, 0.3, 0.2}}},
		Marks: []Mark{{50, "swap"}}, Levels: []Mark{{0.2, "bound"}, {99, "far"}}, Bands: []Band{{25, 75, "warm-up"}}}
	for _, l := range []layout{wide, narrow} {
		n := drawn(t, p, l)
		xy := vertices(t, n.find("path", "line")[0])
		if len(xy) != 3 {
			t.Fatalf("%d vertices", len(xy))
		}
		for i, q := range p.Series[0].X {
			x := axisAt(t, n, "x", "20", 20, "80", 80, q)
			y := axisAt(t, n, "y", "0.0", 0, "0.3", 0.3, p.Series[0].Y[i]) - 4 // the text's baseline is 4 below its tick
			if !near(xy[i][0], x) || !near(xy[i][1], y) {
				t.Errorf("width %v: point %d at %v, the ticks say %v %v", l.width, i, xy[i], x, y)
			}
		}
		mark := vertices(t, n.find("path", "mark-line")[0])
		if !near(mark[0][0], xy[1][0]) {
			t.Errorf("mark at %v, its point at %v", mark[0], xy[1])
		}
		levels := n.find("path", "level")
		if len(levels) != 1 || !near(vertices(t, levels[0])[0][1], xy[2][1]) {
			t.Errorf("%d levels; the one at 0.2 must lie level with the last point", len(levels))
		}
		band := n.find("rect", "band")[0]
		if mid := band.num(t, "x") + band.num(t, "width")/2; !near(mid, xy[1][0]) || !near(band.num(t, "width"), (xy[2][0]-xy[0][0])/2) {
			t.Errorf("band around %v, %v wide", mid, band.attr("width"))
		}
		if n.has("far") || !n.has("bound") || !n.has("swap") || !n.has("warm-up") {
			t.Error("labels are missing, or one of a level outside is there")
		}
	}
}

func TestGivenTicks(t *testing.T) {
	p := Lines{Series: []Series{{X: []float64{0, 0.1, 0.25}, Y: []float64{5, 6, 7}}}, XTicks: []float64{0, 0.1, 0.25, 7}}
	for _, l := range []layout{wide, narrow} {
		n := drawn(t, p, l)
		var labels []string
		for _, tick := range n.find("text", "tick", "mid") {
			labels = append(labels, tick.Text)
		}
		if want := []string{"0", "0.1", "0.25"}; !slices.Equal(labels, want) {
			t.Errorf("width %v: ticks %v, want %v", l.width, labels, want)
		}
		if x := axisAt(t, n, "x", "0", 0, "0.1", 0.1, 0.25); math.Abs(x-n.find("text", "tick", "mid")[2].num(t, "x")) > 12 {
			t.Errorf("width %v: the tick of 0.25 is not at %v", l.width, x)
		}
	}
}

func TestLogAxis(t *testing.T) {
	p := Lines{LogY: true, Series: []Series{{Y: []float64{1, 0.1, 0.001, 0, -5}}}}
	n := drawn(t, p, wide)
	xy := vertices(t, n.find("path", "line")[0])
	if len(xy) != 3 || !near(2*(xy[1][1]-xy[0][1]), xy[2][1]-xy[1][1]) {
		t.Errorf("one decade and two decades: %v", xy)
	}
	for _, label := range []string{"1", "0.1", "0.01", "0.001"} {
		n.text(t, label)
	}
	if h := p.head(); h.omitted != 2 || h.left() != "2 values are not finite or not positive and left out." {
		t.Errorf("omitted: %q", h.left())
	}
}

func TestGapsAndLonePoints(t *testing.T) {
	nan := math.NaN()
	n := drawn(t, Lines{Series: []Series{{Y: []float64{1, 2, nan, 3, math.Inf(1), 4, 5, 6}}}}, wide)
	if lines := n.find("path", "line"); len(lines) != 2 || len(vertices(t, lines[0])) != 2 || len(vertices(t, lines[1])) != 3 {
		t.Errorf("%d lines, want two with a lone point between", len(lines))
	}
}

func TestNothingToDraw(t *testing.T) {
	nan := math.NaN()
	for _, p := range []Plot{Lines{}, Lines{Series: []Series{{Y: []float64{nan, math.Inf(-1)}}}}, Lines{LogY: true, Series: []Series{{Y: []float64{-1}}}},
		Lines{Series: []Series{{X: []float64{}, Y: []float64{1}}}}, Timeline{}, Timeline{Episodes: []Episode{{nan, true}}, Swaps: []Mark{{1, "a"}}},
		Histogram{}, Histogram{Samples: []Sample{{"a", []float64{nan}}}}, Success{}, Success{Groups: []string{"a"}}} {
		if n := drawn(t, p, narrow); !n.has(noData) {
			t.Errorf("%#v does not say %q", p, noData)
		}
		rendered(t, Page{Sections: []Section{{Parts: []Part{p}}}})
	}
}

// TestAwkwardNumbers draws single points, equal points, the ends of float64
// and mixtures; parse refuses what is no coordinate.
func TestAwkwardNumbers(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, ys := range [][]float64{{0}, {7}, {-3, -3, -3}, {1e16, 1e16 + 2}, {math.MaxFloat64, -math.MaxFloat64, 1}, {1e149, -1e149}, {5e-324, 0}, {1e-300, 2e-300},
		{1e-12, 1, 1e12}, {nan, 1, inf, 2, -inf}, {0.1 + 0.2, 0.3}, {999999999, 1000000001}} {
		for _, log := range []bool{false, true} {
			for _, l := range []layout{wide, narrow} {
				drawn(t, Lines{LogY: log, Smooth: 2, Series: []Series{{Y: ys}, {X: ys, Y: ys, Low: ys, High: ys}, {X: ys}, {X: []float64{1}, Y: ys, Low: []float64{1}}},
					Marks: []Mark{{nan, "n"}, {inf, "i"}, {1, ""}}, Levels: []Mark{{nan, "n"}}, Bands: []Band{{nan, 1, "b"}, {3, 2, "b"}}}, l)
			}
		}
		n := drawn(t, Histogram{Samples: []Sample{{"a", ys}, {"b", nil}}, Marks: []Mark{{nan, "n"}}}, wide)
		if len(n.find("path", "bars"))+len(n.find("text", "mid")) == 0 {
			t.Errorf("%v: neither bars nor a word", ys)
		}
		var ep []Episode
		for _, y := range ys {
			ep = append(ep, Episode{y, y > 0})
		}
		drawn(t, Timeline{Episodes: ep, Swaps: []Mark{{nan, ""}, {ys[0], "a"}, {-1e9, "b"}}}, narrow)
		for _, r := range ys {
			drawn(t, Success{Groups: []string{"a"}, Rows: []SuccessRow{{Rates: []Rate{{r, r, r, 3}, {0.5, nan, r, 1}}}}}, wide)
		}
	}
}

func TestTicksAreRound(t *testing.T) {
	for _, c := range []struct {
		lo, hi  float64
		n       int
		rounded bool
		want    string
	}{
		{0, 1, 5, true, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{3, 97, 5, true, "0 20 40 60 80 100"},
		{-0.013, 0.021, 4, true, "−0.02 −0.01 0.00 0.01 0.02 0.03"},
		{1, 2000, 4, false, "500 1000 1500 2000"},
		{95, 100, 5, true, "95 96 97 98 99 100"},
		{0, 120000, 3, false, "0 50\u2009000 100\u2009000"},
		{0, 3e-7, 3, true, "0 1·10⁻⁷ 2·10⁻⁷ 3·10⁻⁷"},
	} {
		s := linear(extent{c.lo, c.hi, 2}, c.n, c.rounded)
		if got := labels(s); got != c.want {
			t.Errorf("%v to %v: %s, want %s", c.lo, c.hi, got, c.want)
		}
	}
	for _, c := range []struct {
		lo, hi float64
		want   string
	}{
		{0.3, 4, "0.2 0.5 1 2 5"}, {0.05, 1, "0.05 0.1 0.2 0.5 1"}, {1e-8, 1, "10⁻⁸ 10⁻⁶ 10⁻⁴ 0.01 1"}, {3, 3, "2 5"},
	} {
		if got := labels(logarithmic(extent{c.lo, c.hi, 2})); got != c.want {
			t.Errorf("log %v to %v: %s, want %s", c.lo, c.hi, got, c.want)
		}
	}
}

func labels(s scale) string {
	var out []string
	for _, t := range s.ticks {
		out = append(out, t.label)
	}
	return strings.Join(out, " ")
}

func TestManyPointsStayFewAndKeepTheirPeaks(t *testing.T) {
	const n = 200_000
	ys := make([]float64, n)
	for i := range ys {
		ys[i] = math.Sin(float64(i))
	}
	ys[77_777] = 9
	p := Lines{Series: []Series{{Y: ys}}}
	xy := vertices(t, drawn(t, p, wide).find("path", "line")[0])
	if len(xy) > 4*int(wide.width) {
		t.Errorf("%d vertices in %v pixels", len(xy), wide.width)
	}
	peak := xy[0]
	for _, q := range xy {
		if q[1] < peak[1] {
			peak = q
		}
	}
	first, last := xy[0], xy[len(xy)-1]
	if want := first[0] + 77_777.0/(n-1)*(last[0]-first[0]); math.Abs(peak[0]-want) > 0.2 {
		t.Errorf("the peak lies at %v, want %v", peak[0], want)
	}
	if rows := len(p.numbers().Rows); rows != 24 {
		t.Errorf("%d rows of numbers", rows)
	}
	var ep []Episode
	for i := range n {
		ep = append(ep, Episode{float64(i), i%3 == 0})
	}
	if dots := len(drawn(t, Timeline{Episodes: ep}, wide).find("circle")); dots > 4*int(wide.width) {
		t.Errorf("%d dots", dots)
	}
}

func TestSmoothing(t *testing.T) {
	var raw, want []float64
	for i := range 101 {
		want = append(want, float64(i))
		raw = append(raw, float64(i)+3*float64(1-2*(i%2)))
	}
	pts, _ := Series{Y: raw}.points(false)
	for i, q := range smooth(pts, 21, false)[10:91] {
		if math.Abs(q.y-want[10+i]) > 0.2 {
			t.Fatalf("point %d is %v, want about %v", 10+i, q.y, want[10+i])
		}
	}
	p := Lines{Smooth: 21, Series: []Series{{Y: raw}, {Y: raw[:30]}}}
	n := drawn(t, p, wide)
	if len(n.find("path", "raw", "s1")) != 1 || len(n.find("path", "bold", "s1")) != 1 || len(n.find("path", "raw", "s2")) != 0 {
		t.Error("the long series wants a pale raw line and a bold one, the short one neither")
	}
	geometric, _ := Series{Y: []float64{1, 100, 1}}.points(true)
	if got := smooth(geometric, 3, true)[1].y; math.Abs(got-math.Pow(100, 1.0/3)) > 1e-9 {
		t.Errorf("the geometric mean is %v", got)
	}
}

func TestIntervalIsShaded(t *testing.T) {
	n := drawn(t, Lines{Series: []Series{{Y: []float64{1, 2}, Low: []float64{0, 1}, High: []float64{2, 3}}}}, wide)
	xy, line := vertices(t, n.find("path", "area")[0]), vertices(t, n.find("path", "line")[0])
	if len(xy) != 4 || !near(xy[0][1]+xy[3][1], 2*line[0][1]) || !near(xy[1][1]+xy[2][1], 2*line[1][1]) {
		t.Errorf("the area %v does not lie around the line %v", xy, line)
	}
}

func TestSuccessRates(t *testing.T) {
	p := sampleSuccess()
	p.Rows = append(p.Rows, SuccessRow{Label: "none", Rates: []Rate{{N: 0}}}, SuccessRow{Label: "bad", Rates: []Rate{{1.2, 0, 0, 5}, {0, 0, 0.3, 10}}})
	for _, l := range []layout{wide, narrow} {
		n := drawn(t, p, l)
		zero, one := n.text(t, "0 %").num(t, "x"), n.text(t, "100 %").num(t, "x")
		dots := append(n.find("circle", "hollow", "s0"), n.find("circle", "fill", "s1")...)
		if len(dots) != 11 {
			t.Fatalf("%d dots", len(dots))
		}
		for i, want := range []float64{0.24, 0.31, 0.20, 0.17, 0.23, 0.68, 0.72, 0.59, 0.45, 0.61, 0} {
			if got := dots[i].num(t, "cx"); !near(got, zero+want*(one-zero)) {
				t.Errorf("dot %d at %v, want %v of the axis", i, got, want)
			}
		}
		w := vertices(t, n.find("path", "whisker", "s0")[0])
		if !near(w[0][0], zero+0.17*(one-zero)) || !near(w[1][0], zero+0.33*(one-zero)) || !near(w[0][1], dots[0].num(t, "cy")) {
			t.Errorf("whisker %v", w)
		}
		if n.find("text", "strong")[0].Text != "all" || !n.has("not measured") {
			t.Error("the overall row is not bold, or the missing rate not named")
		}
		if !n.has("n 100") && !n.has("17–33 %, n 100") {
			t.Error("n is not shown")
		}
	}
	if h := p.head(); h.omitted != 1 || !strings.Contains(h.desc, "spatial: before: bc 24 % (17 to 33 %) of 100, after: arfm 68 %") {
		t.Errorf("described as %q, %d omitted", h.desc, h.omitted)
	}
}

func TestTimelinePartsAtSwaps(t *testing.T) {
	p := Timeline{Window: 2, Swaps: []Mark{{20, "b"}, {10, "a"}, {100, "late"}}}
	for i := range 40 {
		p.Episodes = append(p.Episodes, Episode{float64(i), i > 10 && i%2 == 0 || i > 20})
	}
	var got []string
	for _, row := range p.numbers().Rows {
		got = append(got, strings.Join(row, " "))
	}
	want := []string{"at the start 0 10 11 0 0 %", "a 10 20 10 5 50 %", "b 20 100 19 19 100 %", "late 100 100 0 0 "}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("stretches %q, want %q", got, want)
	}
	n := drawn(t, p, wide)
	steps := n.find("path", "step")
	if len(steps) != 3 || len(n.find("path", "mark-line")) != 3 {
		t.Fatalf("%d steps, %d marks", len(steps), len(n.find("path", "mark-line")))
	}
	zero, one := n.text(t, "0 %").num(t, "y")-4, n.text(t, "100 %").num(t, "y")-4
	for i, rate := range []float64{0, 0.5, 1} {
		if y := vertices(t, steps[i])[0][1]; !near(y, zero+rate*(one-zero)) {
			t.Errorf("step %d at %v, want %v", i, y, zero+rate*(one-zero))
		}
	}
	if won, lost := len(n.find("circle", "won")), len(n.find("circle", "lost")); won != 24 || lost != 16 {
		t.Errorf("%d succeeded, %d failed", won, lost)
	}
	if xy := vertices(t, n.find("path", "line")[0]); !near(xy[len(xy)-1][1], one) || !near(xy[0][1], zero) {
		t.Errorf("the rolling rate goes from %v to %v", xy[0], xy[len(xy)-1])
	}
}

func TestHistogramCounts(t *testing.T) {
	p := Histogram{XLabel: "advantage", Bins: 10, Samples: []Sample{{"", []float64{0, 0.5, 1, 1, 1.5, 9.99, 10, math.NaN()}}}}
	rows := p.numbers().Rows
	total := 0
	for _, row := range rows {
		var n int
		fmt.Sscan(row[2], &n)
		total += n
	}
	if total != 7 || strings.Join(rows[0], " ") != "0 1 2" || strings.Join(rows[1], " ") != "1 2 3" || strings.Join(rows[9], " ") != "9 10 1" {
		t.Errorf("%d counted in %q", total, rows)
	}
	if p.head().omitted != 1 {
		t.Errorf("%d omitted", p.head().omitted)
	}
	n := drawn(t, p, wide)
	xy := vertices(t, n.find("path", "bars")[0])
	if h := xy[0][1] - xy[3][1]; !near(h, 3*axisUnit(t, n)) {
		t.Errorf("the bar of 3 is %v high, want %v", h, 3*axisUnit(t, n))
	}
}

// axisUnit is the height of one count.
func axisUnit(t *testing.T, n *node) float64 {
	ticks := n.find("text", "tick", "end")
	var v0, v1 float64
	fmt.Sscan(ticks[0].Text, &v0)
	fmt.Sscan(ticks[1].Text, &v1)
	return (ticks[0].num(t, "y") - ticks[1].num(t, "y")) / (v1 - v0)
}

// TestMarkLabelsDoNotOverlap gives more marks than there is room for.
func TestMarkLabelsDoNotOverlap(t *testing.T) {
	p := Lines{Series: []Series{{Y: make([]float64, 101)}}}
	for i := range 101 {
		p.Marks = append(p.Marks, Mark{float64(i), fmt.Sprintf("swap number %d", i)})
	}
	n := drawn(t, p, narrow)
	if lines := len(n.find("path", "mark-line")); lines != 101 {
		t.Errorf("%d lines", lines)
	}
	type box struct{ from, to, y float64 }
	var boxes []box
	for _, e := range n.find("text", "mark") {
		x, w := e.num(t, "x"), textWidth(e.Text, small)
		if strings.Contains(e.attr("class"), "end") {
			x -= w
		}
		b := box{x, x + w, e.num(t, "y")}
		if b.to > narrow.width+1 || b.y < 0 {
			t.Errorf("%q leaves the picture", e.Text)
		}
		for _, o := range boxes {
			if o.y == b.y && b.from < o.to && o.from < b.to {
				t.Errorf("%q overlaps another label", e.Text)
			}
		}
		boxes = append(boxes, b)
	}
	if len(boxes) < 6 {
		t.Errorf("only %d labels", len(boxes))
	}
}

func TestLongTextIsShortened(t *testing.T) {
	for _, s := range []string{strings.Repeat("wide ", 10_000), strings.Repeat("漢", 500), "ends here and there and everywhere"} {
		got := shorten(s, 100, fontSize)
		if !strings.HasSuffix(got, "…") || textWidth(got, fontSize) > 100 || textWidth(got, fontSize) < 60 {
			t.Errorf("%.20q... became %q", s, got)
		}
	}
	if got := wrap("goal: put the red block into the second drawer", 110, 13, 2); len(got) != 2 || !strings.HasSuffix(got[1], "…") {
		t.Errorf("wrapped as %q", got)
	}
	if got := wrap("one two", 150, 13, 2); len(got) != 1 || got[0] != "one two" {
		t.Errorf("wrapped as %q", got)
	}
}

func TestAloneAndInAPageAreTheSameDrawing(t *testing.T) {
	p := sampleSuccess()
	alone := parse(t, p.SVG())
	if alone.num(t, "width") != wide.width+32 || len(alone.find("rect", "paper")) != 1 || len(alone.find("style")) != 1 || !alone.has(p.Title) {
		t.Error("an SVG of its own wants a size, a background, colours and its title")
	}
	if a, b := len(alone.find("circle")), len(drawn(t, p, wide).find("circle")); a != b {
		t.Errorf("%d dots alone, %d in a page", a, b)
	}
}
