package report

import (
	"fmt"
	"math"
	"sort"
	"strings"
)

// Timeline shows how a running policy does while its weights are swapped:
// each episode as a dot, succeeded above and failed below, the rolling success
// rate, and the rate between swaps.
type Timeline struct {
	Title, Note string
	XLabel      string // of At: "time (s)", "episode"
	Episodes    []Episode
	Window      int    // episodes of the rolling rate; 0: 20
	Swaps       []Mark // where weights were swapped
}

// Episode is one try.
type Episode struct {
	At      float64 // its end, in the axis' unit
	Success bool
}

func (p Timeline) html(r *renderer) any { return r.plot(p, wide, narrow) }

// SVG is the chart as a file of its own.
func (p Timeline) SVG() []byte { return svg(p, wide, "c", true) }

// stretch is a run of episodes under the same weights.
type stretch struct {
	label        string
	from, to     float64
	n, successes int
}

// sorted returns the drawable episodes and swaps in order.
func (p Timeline) sorted() (ep []Episode, swaps []Mark) {
	for _, e := range p.Episodes {
		if drawable(e.At, false) {
			ep = append(ep, e)
		}
	}
	for _, m := range p.Swaps {
		if drawable(m.At, false) {
			swaps = append(swaps, m)
		}
	}
	sort.SliceStable(ep, func(i, j int) bool { return ep[i].At < ep[j].At })
	sort.SliceStable(swaps, func(i, j int) bool { return swaps[i].At < swaps[j].At })
	return ep, swaps
}

// stretches parts the episodes at the swaps; one that ends at the moment of a
// swap ran under the weights before it.
func stretches(ep []Episode, swaps []Mark) []stretch {
	out := make([]stretch, len(swaps)+1)
	out[0] = stretch{label: "at the start", from: math.Inf(1)}
	for i, m := range swaps {
		out[i+1] = stretch{label: or(m.Label, fmt.Sprintf("swap %d", i+1)), from: m.At}
		out[i].to = m.At
	}
	k := 0
	for _, e := range ep {
		for k < len(swaps) && e.At > swaps[k].At {
			k++
		}
		s := &out[k]
		if s.n++; e.Success {
			s.successes++
		}
		s.from = min(s.from, e.At)
		if k == len(swaps) {
			s.to = e.At
		}
	}
	if out[0].n == 0 {
		out[0].from = out[0].to
	}
	if last := &out[len(swaps)]; last.n == 0 {
		last.to = last.from
	}
	return out
}

func (s stretch) rate() float64 { return float64(s.successes) / float64(s.n) }

func (p Timeline) head() head {
	h := head{title: p.Title, note: p.Note, why: "without a time"}
	ep, swaps := p.sorted()
	h.omitted = len(p.Episodes) - len(ep)
	var b strings.Builder
	fmt.Fprintf(&b, "Success of %d episodes over %s, with %d swaps of weights.", len(ep), or(p.XLabel, "time"), len(swaps))
	for i, s := range stretches(ep, swaps) {
		if i == 12 {
			b.WriteString(" And so on.")
			break
		}
		if s.n > 0 {
			fmt.Fprintf(&b, " %s: %d of %d succeeded.", s.label, s.successes, s.n)
		}
	}
	h.desc = b.String()
	return h
}

func (p Timeline) draw(l layout) drawing {
	var c canvas
	ep, swaps := p.sorted()
	if len(ep) == 0 {
		return c.empty(l)
	}
	var e extent
	for _, x := range ep {
		e.add(x.At)
	}
	reach(&e, swaps, nil)
	a := axes{xLabel: or(p.XLabel, "time"), marks: swaps, x: linear(e, xTicks(l), false), y: percent(25)}
	window := p.window()
	a.keys = []key{{fmt.Sprintf("rate of the last %d episodes", window), "s1"}}
	if len(swaps) > 0 {
		a.keys = append(a.keys, key{"rate between swaps", "s2"})
	}
	a.keys = append(a.keys, key{"succeeded", "won"}, key{"failed", "lost"})
	// The dots lie in strips above and below the rate.
	a.y.lo, a.y.hi = -0.12, 1.12
	height := a.behind(&c, l)
	if len(swaps) > 0 {
		for _, s := range stretches(ep, swaps) {
			if s.n > 0 {
				y := a.y.at(s.rate())
				c.line(a.x.at(s.from), y, a.x.at(s.to), y, "step s2")
			}
		}
	}
	drawEpisodes(&c, &a, ep)
	c.series(&a, rolling(ep, window), "line bold s1")
	a.front(&c)
	return drawing{c.b.Bytes(), height}
}

func (p Timeline) window() int {
	if p.Window < 1 {
		return 20
	}
	return p.Window
}

// rolling is the success rate of the last window episodes, from the first
// half window on.
func rolling(ep []Episode, window int) []point {
	var out []point
	won := 0
	for i, e := range ep {
		if e.Success {
			won++
		}
		if i >= window && ep[i-window].Success {
			won--
		}
		n := min(i+1, window)
		out = append(out, point{x: e.At, y: float64(won) / float64(n), ok: 2*n >= min(window, len(ep))})
	}
	return out
}

// drawEpisodes draws dots, at most one in half a pixel.
func drawEpisodes(c *canvas, a *axes, ep []Episode) {
	last := map[bool]float64{true: -1, false: -1}
	for _, e := range ep {
		x := math.Round(2*a.x.at(e.At)) / 2
		if x == last[e.Success] {
			continue
		}
		last[e.Success] = x
		if e.Success {
			c.circle(x, a.y.at(1.07), 2.4, "won")
		} else {
			c.circle(x, a.y.at(-0.07), 2.4, "lost")
		}
	}
}

func (p Timeline) numbers() Table {
	t := Table{Columns: []string{"weights", "from", "to", "episodes", "succeeded", "rate"}}
	ep, swaps := p.sorted()
	if len(ep) == 0 {
		return t
	}
	for _, s := range stretches(ep, swaps) {
		row := []string{s.label, number(s.from), number(s.to), fmt.Sprint(s.n), fmt.Sprint(s.successes), ""}
		if s.n > 0 {
			row[5] = percentage(s.rate())
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}
