// Package report writes one self-contained HTML page about a run: a summary,
// key figures, charts with their numbers behind them, camera frames, tables,
// and how it was made. The page needs no network and no script, follows the
// reader's light or dark setting, and reads on a phone and on paper. Every
// chart is also to be had as an SVG file of its own.
//
// Content is plain data. All text is escaped; numbers that are not finite are
// left out and counted under the chart.
package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"strings"
)

// Page is the whole report.
type Page struct {
	Title    string
	Summary  string // a paragraph: what was done and what came out
	Figures  []KeyFigure
	Sections []Section
	Made     Made
}

// KeyFigure is one number that matters, such as success 23 % -> 61 %.
type KeyFigure struct {
	Label string // "success"
	From  string // "23 %"; empty: there was no before
	Value string // "61 %"
	Note  string // "100 episodes each"
}

// Section is a headline with its parts, in order.
type Section struct {
	Title string
	Parts []Part
}

// Made is the footer: how to get the same report again. What is empty is left
// out.
type Made struct {
	Command string
	Seed    string
	Date    string
	Machine string
	More    []Fact
}

// Fact is one more line of the footer.
type Fact struct{ Name, Value string }

// Part is what a section holds: Prose, Success, Lines, Timeline, Histogram,
// Grid, Frames or Table.
type Part interface {
	html(r *renderer) any // the data of the part's template
}

// Plot is a chart: Success, Lines, Timeline or Histogram.
type Plot interface {
	Part
	SVG() []byte // a file of its own, with title, colours and background
	head() head
	draw(l layout) drawing
	numbers() Table
}

// Prose is text: a blank line parts paragraphs, `backquotes` mark code.
type Prose string

// Grid puts plots side by side where the page is wide enough.
type Grid []Plot

// head is what every plot says about itself.
type head struct {
	title, note string
	desc        string // what the plot shows, in words
	omitted     int    // numbers that could not be drawn
	why         string // and why
}

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

//go:embed chart.css
var chartCSS string

var page = template.Must(template.New("page").Parse(pageHTML))

// Write renders the page.
func (p Page) Write(w io.Writer) error {
	var r renderer
	v := pageView{Page: p, CSS: template.CSS(pageCSS + chartCSS), Facts: p.Made.facts()}
	for _, s := range p.Sections {
		sv := sectionView{Title: s.Title}
		for _, part := range s.Parts {
			if part != nil {
				sv.Parts = append(sv.Parts, part.html(&r))
			}
		}
		v.Sections = append(v.Sections, sv)
	}
	if err := page.Execute(w, v); err != nil {
		return fmt.Errorf("report: cannot write the page: %w", err)
	}
	return nil
}

// WriteFile renders the page into a file.
func (p Page) WriteFile(path string) error {
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		return err
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("report: cannot write %s: %w", path, err)
	}
	return nil
}

func (m Made) facts() []Fact {
	var out []Fact
	for _, f := range append([]Fact{{"Command", m.Command}, {"Seed", m.Seed}, {"Date", m.Date}, {"Machine", m.Machine}}, m.More...) {
		if f.Value != "" {
			out = append(out, f)
		}
	}
	return out
}

// renderer numbers the charts of a page, so that their ids differ.
type renderer struct{ charts int }

// The views are what page.html sees.
type (
	pageView struct {
		Page
		CSS      template.CSS
		Facts    []Fact
		Sections []sectionView
	}
	sectionView struct {
		Title string
		Parts []any
	}
	proseView struct {
		Kind       string
		Paragraphs [][]span
	}
	span struct {
		Text string
		Code bool
	}
	plotView struct {
		Kind         string
		Title, Note  string
		Omitted      string
		Wide, Narrow template.HTML
		Numbers      tableView
	}
	gridView struct {
		Kind  string
		Plots []plotView
	}
)

func (p Prose) html(*renderer) any {
	return proseView{"prose", paragraphs(string(p))}
}

func paragraphs(text string) [][]span {
	var out [][]span
	for _, par := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if par = strings.TrimSpace(par); par == "" {
			continue
		}
		pieces := strings.Split(par, "`")
		var spans []span
		for i, piece := range pieces {
			// An odd backquote at the end opens nothing.
			code := i%2 == 1 && i < len(pieces)-1
			if i%2 == 1 && !code {
				piece = "`" + piece
			}
			if piece != "" {
				spans = append(spans, span{piece, code})
			}
		}
		out = append(out, spans)
	}
	return out
}

func (g Grid) html(r *renderer) any {
	v := gridView{Kind: "grid"}
	for _, p := range g {
		if p != nil {
			v.Plots = append(v.Plots, r.plot(p, narrow))
		}
	}
	return v
}

// plot renders a plot at the given widths; the page shows the one that fits.
func (r *renderer) plot(p Plot, layouts ...layout) plotView {
	h := p.head()
	v := plotView{Kind: "plot", Title: h.title, Note: h.note, Omitted: h.left(), Numbers: view(p.numbers())}
	for _, l := range layouts {
		r.charts++
		s := template.HTML(svg(p, l, fmt.Sprintf("c%d", r.charts), false))
		if l.narrow {
			v.Narrow = s
		} else {
			v.Wide = s
		}
	}
	return v
}

func (h head) left() string {
	switch {
	case h.omitted == 0:
		return ""
	case h.omitted == 1:
		return "1 value is " + h.why + " and left out."
	}
	return fmt.Sprintf("%d values are %s and left out.", h.omitted, h.why)
}
