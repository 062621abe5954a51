package report

import (
	"fmt"
	"math"
	"sort"
	"strings"
)

// Histogram shows how numbers are spread, such as the advantages of chunks.
type Histogram struct {
	Title, Note string
	XLabel      string
	YLabel      string // empty: "count"
	Samples     []Sample
	Bins        int    // about how many; 0: from the data
	Marks       []Mark // vertical lines, such as the mean; the axis reaches to them
}

// Sample is one set of numbers; several share their bins and lie over one
// another.
type Sample struct {
	Name   string
	Values []float64
}

func (p Histogram) html(r *renderer) any { return r.plot(p, wide, narrow) }

// SVG is the chart as a file of its own.
func (p Histogram) SVG() []byte { return svg(p, wide, "c", true) }

// binned is the samples counted in common bins of one width.
type binned struct {
	from, width float64
	counts      [][]int // of each sample
	sorted      [][]float64
	omitted     int
}

const mostBins = 60

func (p Histogram) count() binned {
	var b binned
	var e extent
	var all []float64
	for _, s := range p.Samples {
		var vs []float64
		for _, v := range s.Values {
			if drawable(v, false) {
				vs = append(vs, v)
				e.add(v)
			} else {
				b.omitted++
			}
		}
		sort.Float64s(vs)
		b.sorted, all = append(b.sorted, vs), append(all, vs...)
	}
	if e.n == 0 {
		return b
	}
	sort.Float64s(all)
	lo, hi := e.widened()
	n := p.Bins
	if n < 1 {
		// Freedman and Diaconis: a width of twice the quartile range over the cube root of n.
		n = 12
		if q := quantile(all, 0.75) - quantile(all, 0.25); q > 0 {
			n = int(min((hi-lo)/(2*q/math.Cbrt(float64(len(all)))), mostBins))
		}
	}
	b.width = step(hi-lo, min(max(n, 8), mostBins))
	first := math.Floor(lo/b.width + 1e-9)
	b.from = first * b.width
	bins := max(1, min(int(math.Floor(hi/b.width+1e-9)-first)+1, 2*mostBins))
	for _, vs := range b.sorted {
		counts := make([]int, bins)
		for _, v := range vs {
			counts[min(max(int(math.Floor((v-b.from)/b.width+1e-9)), 0), bins-1)]++
		}
		b.counts = append(b.counts, counts)
	}
	return b
}

// quantile of sorted numbers, the nearest below.
func quantile(sorted []float64, q float64) float64 {
	return sorted[int(q*float64(len(sorted)-1))]
}

func (p Histogram) head() head {
	b := p.count()
	h := head{title: p.Title, note: p.Note, omitted: b.omitted, why: "not finite"}
	var w strings.Builder
	fmt.Fprintf(&w, "Histogram of %s.", or(p.XLabel, "values"))
	for i, vs := range b.sorted {
		name := or(p.Samples[i].Name, "values")
		if len(vs) == 0 {
			fmt.Fprintf(&w, " %s: no data.", name)
			continue
		}
		fmt.Fprintf(&w, " %s: %d, from %s to %s, median %s.", name, len(vs),
			number(vs[0]), number(vs[len(vs)-1]), number(quantile(vs, 0.5)))
	}
	describeMarks(&w, p.Marks)
	h.desc = w.String()
	return h
}

func (p Histogram) draw(l layout) drawing {
	var c canvas
	b := p.count()
	if len(b.counts) == 0 {
		return c.empty(l)
	}
	var ex, ey extent
	ey.add(0)
	for _, counts := range b.counts {
		ex.add(b.from)
		ex.add(b.from + float64(len(counts))*b.width)
		for _, n := range counts {
			ey.add(float64(n))
		}
	}
	reach(&ex, p.Marks, nil)
	a := axes{xLabel: p.XLabel, yLabel: or(p.YLabel, "count"), marks: p.Marks, x: linear(ex, xTicks(l), false), y: linear(ey, 4, true)}
	if len(p.Samples) > 1 {
		for i, s := range p.Samples {
			a.keys = append(a.keys, key{or(s.Name, fmt.Sprintf("sample %d", i+1)), class(i)})
		}
	}
	height := a.behind(&c, l)
	for i, counts := range b.counts {
		if len(b.sorted[i]) > 0 {
			c.add(`<path class="bars %s" d="%s"/>`, class(i), path(outline(&a, b, counts)))
		}
	}
	a.front(&c)
	return drawing{c.b.Bytes(), height}
}

// outline goes along the tops of the bars, from the axis and back to it.
func outline(a *axes, b binned, counts []int) [][2]float64 {
	xy := [][2]float64{{a.x.at(b.from), a.y.at(0)}}
	for i, n := range counts {
		y := a.y.at(float64(n))
		xy = append(xy, [2]float64{a.x.at(b.from + float64(i)*b.width), y}, [2]float64{a.x.at(b.from + float64(i+1)*b.width), y})
	}
	return append(xy, [2]float64{xy[len(xy)-1][0], a.y.at(0)})
}

func (p Histogram) numbers() Table {
	t := Table{Columns: []string{"from", "to"}}
	b := p.count()
	for _, s := range p.Samples {
		t.Columns = append(t.Columns, or(s.Name, "count"))
	}
	if len(b.counts) == 0 {
		return t
	}
	for i := range b.counts[0] {
		from := b.from + float64(i)*b.width
		row := []string{tickLabel(from, b.width), tickLabel(from+b.width, b.width)}
		for _, counts := range b.counts {
			row = append(row, fmt.Sprint(counts[i]))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
