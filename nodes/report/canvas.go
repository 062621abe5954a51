package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// layout is a width to draw for, in pixels.
type layout struct {
	width  float64
	height float64 // of the plotting area
	narrow bool
}

var (
	wide   = layout{width: 820, height: 230}
	narrow = layout{width: 380, height: 190, narrow: true}
)

const (
	fontSize = 12.0
	small    = 11.0
	noData   = "no data"
)

// drawing is the inside of an SVG.
type drawing struct {
	body   []byte
	height float64
}

// svg wraps a plot's drawing. Alone it carries its title, colours and
// background; in a page those come from the page.
func svg(p Plot, l layout, id string, alone bool) []byte {
	const pad, titleHeight, noteHeight = 16, 30, 20
	h, d := p.head(), p.draw(l)
	w, height := l.width, math.Ceil(d.height)
	if alone {
		w, height = w+2*pad, height+2*pad
		if h.title != "" {
			height += titleHeight
		}
		if h.note != "" {
			height += noteHeight
		}
	}
	desc := h.desc
	if left := h.left(); left != "" {
		desc += " " + left
	}
	var c canvas
	c.add(`<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 %s %s" role="img" aria-labelledby="%s-t %s-d"`, px(w), px(height), id, id)
	if alone {
		c.add(` width="%s" height="%s"`, px(w), px(height))
	}
	c.add(`><title id="%s-t">%s</title><desc id="%s-d">%s</desc>`, id, escape(or(h.title, "Chart")), id, escape(desc))
	if !alone {
		c.b.Write(d.body)
		c.add("</svg>")
		return c.b.Bytes()
	}
	c.add(`<style>%s</style><rect class="paper" width="100%%" height="100%%"/>`, escape(chartCSS))
	top := float64(pad)
	if h.title != "" {
		c.text(pad, pad+14, "title", shorten(h.title, l.width, 15))
		top += titleHeight
	}
	if h.note != "" {
		c.text(pad, top+small-2, "soft", shorten(h.note, l.width, small))
		top += noteHeight
	}
	c.add(`<g transform="translate(%s %s)">`, px(pad), px(top))
	c.b.Write(d.body)
	c.add("</g></svg>\n")
	return c.b.Bytes()
}

// canvas collects SVG elements. Text is escaped, coordinates are rounded to a
// tenth of a pixel.
type canvas struct{ b bytes.Buffer }

func (c *canvas) add(format string, args ...any) { fmt.Fprintf(&c.b, format, args...) }

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	c.add(`<path class="%s" d="M%s %sL%s %s"/>`, class, px(x1), px(y1), px(x2), px(y2))
}

func (c *canvas) rect(x, y, w, h float64, class string) {
	c.add(`<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`, class, px(x), px(y), px(max(w, 0)), px(max(h, 0)))
}

func (c *canvas) circle(x, y, r float64, class string) {
	c.add(`<circle class="%s" cx="%s" cy="%s" r="%s"/>`, class, px(x), px(y), px(r))
}

// text writes s with its baseline at y; class may hold "mid" or "end" for the
// anchor.
func (c *canvas) text(x, y float64, class, s string) {
	c.add(`<text class="%s" x="%s" y="%s">%s</text>`, class, px(x), px(y), escape(s))
}

// empty is a plot without anything to draw.
func (c *canvas) empty(l layout) drawing {
	const height = 96
	c.rect(0.5, 0.5, l.width-1, height-1, "void")
	c.text(l.width/2, height/2+4, "mid", noData)
	return drawing{c.b.Bytes(), height}
}

// key is an entry of a legend.
type key struct{ name, class string }

// legend writes the entries from y downwards and returns the height used.
func (c *canvas) legend(l layout, y float64, keys []key) float64 {
	const row, swatch, gap = 20, 14, 18
	x, top := 0.0, y
	for _, k := range keys {
		name := shorten(k.name, l.width-swatch-8, fontSize)
		w := swatch + 8 + textWidth(name, fontSize)
		if x > 0 && x+w > l.width {
			x, y = 0, y+row
		}
		if strings.HasSuffix(k.class, " dashed") {
			c.rect(x, y+4, 5, 4, "fill "+k.class)
			c.rect(x+swatch-5, y+4, 5, 4, "fill "+k.class)
		} else {
			c.rect(x, y+4, swatch, 4, "fill "+k.class)
		}
		c.text(x+swatch+7, y+10.5, "", name)
		x += w + gap
	}
	if len(keys) == 0 {
		return 0
	}
	return y + row + 4 - top
}

func px(v float64) string {
	v = math.Round(v*10) / 10
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func escape(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		panic(err) // a strings.Builder does not fail
	}
	return b.String()
}

// textWidth estimates the width of s in pixels in a common sans-serif, rather
// too wide than too narrow.
func textWidth(s string, size float64) float64 {
	em := 0.0
	for _, r := range s {
		switch {
		case strings.ContainsRune("iljtfr.,:;'|!()[] \u2009", r):
			em += 0.36
		case r >= 'A' && r <= 'Z', strings.ContainsRune("mw%@", r):
			em += 0.78
		case r >= 0x1100:
			em += 1.05
		default:
			em += 0.6
		}
	}
	return em * size
}

// shorten cuts s to a width in pixels.
func shorten(s string, width, size float64) string {
	const longest = 400 // runes that are looked at
	n, cut := 0, len(s)
	for i := range s {
		if n++; n > longest {
			cut = i
			break
		}
	}
	if cut == len(s) && textWidth(s, size) <= width {
		return s
	}
	for s = s[:cut]; s != ""; {
		_, size1 := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size1]
		if t := strings.TrimRight(s, " ") + "…"; textWidth(t, size) <= width {
			return t
		}
	}
	return "…"
}

// wrap breaks s at spaces into at most n lines of a width in pixels; the last
// is shortened.
func wrap(s string, width, size float64, n int) []string {
	var lines []string
	words := strings.Fields(s)
	for len(words) > 0 && len(lines) < n-1 {
		k := 1
		for k < len(words) && textWidth(strings.Join(words[:k+1], " "), size) <= width {
			k++
		}
		lines = append(lines, shorten(strings.Join(words[:k], " "), width, size))
		words = words[k:]
	}
	if len(words) > 0 {
		lines = append(lines, shorten(strings.Join(words, " "), width, size))
	}
	return lines
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
