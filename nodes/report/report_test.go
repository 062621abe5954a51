package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// node is a parsed XML element.
type node struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Text    string     `xml:",chardata"`
	Nodes   []node     `xml:",any"`
}

func (n *node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (n *node) num(t *testing.T, name string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(n.attr(name), 64)
	if err != nil {
		t.Fatalf("%s of <%s>: %v", name, n.XMLName.Local, err)
	}
	return v
}

// find returns the elements of a name that have all the classes.
func (n *node) find(name string, classes ...string) (out []*node) {
	if n.XMLName.Local == name {
		have, all := strings.Fields(n.attr("class")), true
		for _, c := range classes {
			all = all && strings.Contains(" "+strings.Join(have, " ")+" ", " "+c+" ")
		}
		if all {
			out = append(out, n)
		}
	}
	for i := range n.Nodes {
		out = append(out, n.Nodes[i].find(name, classes...)...)
	}
	return out
}

// text returns where a text stands.
func (n *node) text(t *testing.T, s string) *node {
	t.Helper()
	for _, e := range n.find("text") {
		if e.Text == s {
			return e
		}
	}
	t.Fatalf("no text %q", s)
	return nil
}

func (n *node) has(s string) bool {
	for _, e := range n.find("text") {
		if e.Text == s {
			return true
		}
	}
	return false
}

var notANumber = regexp.MustCompile(`NaN|Inf|e[+-]\d`)

// parse checks that data is well-formed, with numbers in all coordinates.
func parse(t *testing.T, data []byte) *node {
	t.Helper()
	var n node
	if err := xml.Unmarshal(data, &n); err != nil {
		t.Fatalf("not well-formed: %v\n%s", err, data)
	}
	var walk func(n *node)
	walk = func(n *node) {
		for _, a := range n.Attrs {
			switch a.Name.Local {
			case "x", "y", "cx", "cy", "r", "d", "width", "height", "viewBox":
				if notANumber.MatchString(a.Value) {
					t.Errorf("<%s %s=%q>", n.XMLName.Local, a.Name.Local, a.Value)
				}
			}
		}
		for i := range n.Nodes {
			walk(&n.Nodes[i])
		}
	}
	walk(&n)
	return &n
}

// drawn is a plot as drawn in a page.
func drawn(t *testing.T, p Plot, l layout) *node {
	t.Helper()
	return parse(t, svg(p, l, "c", false))
}

// vertices of a path.
func vertices(t *testing.T, n *node) (xy [][2]float64) {
	t.Helper()
	for _, s := range strings.FieldsFunc(n.attr("d"), func(r rune) bool { return strings.ContainsRune("MLZ", r) }) {
		a, b, _ := strings.Cut(s, " ")
		x, err1 := strconv.ParseFloat(a, 64)
		y, err2 := strconv.ParseFloat(b, 64)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		xy = append(xy, [2]float64{x, y})
	}
	return xy
}

func rendered(t *testing.T, p Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// elements counts the tags of a page, which is well-formed XML too.
func elements(t *testing.T, html string) map[string]int {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(html))
	d.Entity = xml.HTMLEntity
	count := map[string]int{}
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return count
		}
		if err != nil {
			t.Fatalf("the page does not parse: %v", err)
		}
		if s, ok := tok.(xml.StartElement); ok {
			count[s.Name.Local]++
			for _, a := range s.Attr {
				if strings.HasPrefix(a.Name.Local, "on") {
					t.Errorf("<%s> has a handler %s", s.Name.Local, a.Name.Local)
				}
			}
		}
	}
}

func TestThePageHasAllPartsAndStandsAlone(t *testing.T) {
	html := rendered(t, sample())
	n := elements(t, html)
	// Two figures in two widths, one Lines in two widths, four plots in a grid.
	for tag, want := range map[string]int{"svg": 10, "section": 4, "figure": 9, "details": 7, "img": 13, "h1": 1, "h2": 4, "footer": 1, "script": 0, "link": 0, "iframe": 0} {
		if n[tag] != want {
			t.Errorf("%d <%s>, want %d", n[tag], tag, want)
		}
	}
	if i := regexp.MustCompile(`(src|href)="[^d]|url\(|@import`).FindString(html); i != "" {
		t.Errorf("the page fetches something: %s", i)
	}
	for _, want := range []string{`<span class="from">23 % →</span> <span class="to">61 %</span>`, "<code>arfm eval --checkpoint F --episodes 100</code>",
		"<dt>Seed</dt><dd>1</dd>", "<code>arfm demo --out demo --seed 1</code>", "1 value is not finite or not positive and left out.", `role="img"`} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	ids := regexp.MustCompile(`id="([^"]+)"`).FindAllStringSubmatch(html, -1)
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id[1]] {
			t.Errorf("id %s is there twice", id[1])
		}
		seen[id[1]] = true
	}
	for _, ref := range regexp.MustCompile(`aria-labelledby="([^"]+)"`).FindAllStringSubmatch(html, -1) {
		for _, id := range strings.Fields(ref[1]) {
			if !seen[id] {
				t.Errorf("aria-labelledby names %s, which is not there", id)
			}
		}
	}
	if again := rendered(t, sample()); again != html {
		t.Error("the same content gives another page")
	}
}

func TestHostileTextIsText(t *testing.T) {
	const evil = "</style></svg><script>alert(1)</script>\"'&<b>\x00\x1b\xff]]>{{.}} `"
	sets := []float64{1, 2, 3}
	plots := []Plot{
		Success{Title: evil, Note: evil, Groups: []string{evil, evil}, Rows: []SuccessRow{{Label: evil, Rates: []Rate{{0.5, 0.4, 0.6, 9}}}}},
		Lines{Title: evil, Note: evil, XLabel: evil, YLabel: evil, Series: []Series{{Name: evil, Y: sets}, {Name: evil, Y: sets}},
			Marks: []Mark{{1, evil}}, Levels: []Mark{{2, evil}}, Bands: []Band{{0, 2, evil}}},
		Timeline{Title: evil, Note: evil, XLabel: evil, Episodes: []Episode{{1, true}}, Swaps: []Mark{{1, evil}}},
		Histogram{Title: evil, Note: evil, XLabel: evil, YLabel: evil, Samples: []Sample{{evil, sets}, {evil, sets}}, Marks: []Mark{{1, evil}}},
	}
	img := image.NewGray(image.Rect(0, 0, 2, 2))
	p := Page{Title: evil, Summary: evil, Figures: []KeyFigure{{evil, evil, evil, evil}}, Made: Made{evil, evil, evil, evil, []Fact{{evil, evil}}}}
	parts := []Part{Prose(evil), Grid(plots), Frames{evil, evil, []Strip{{evil, []Frame{{img, evil, evil}, {img, evil, ""}, {nil, evil, ""}}}}},
		Table{evil, evil, []string{evil}, [][]string{{evil}, {evil, evil}}}}
	for _, plot := range plots {
		parts = append(parts, plot)
		n := parse(t, plot.SVG())
		if len(n.find("script"))+len(n.find("b")) > 0 || len(n.find("style")) != 1 {
			t.Errorf("%T: text became elements", plot)
		}
	}
	p.Sections = []Section{{Title: evil, Parts: parts}}
	html := strings.ReplaceAll(rendered(t, p), "\x00", "")
	if strings.Contains(html, "<script") || strings.Contains(html, "<b>") || strings.Count(html, "</style>") != 1 {
		t.Error("text became elements")
	}
	if strings.Count(html, "&lt;script&gt;alert(1)") < 40 {
		t.Errorf("the text is there only %d times", strings.Count(html, "&lt;script&gt;alert(1)"))
	}
}

func TestProse(t *testing.T) {
	html := rendered(t, Page{Sections: []Section{{Parts: []Part{Prose("one `two` three\nfour\r\n\r\n  five ` six\n\n\n\n"), nil}}}})
	want := `<div class="prose"><p>one <code>two</code> three` + "\nfour</p><p>five ` six</p></div>"
	if !strings.Contains(html, want) {
		t.Errorf("no %s in\n%s", want, html[strings.Index(html, "<body>"):])
	}
}

func TestEmptyPage(t *testing.T) {
	n := elements(t, rendered(t, Page{}))
	if n["section"]+n["dl"]+n["footer"] > 0 || n["h1"] != 1 {
		t.Errorf("an empty page has %v", n)
	}
}

func TestTableAlignsNumbers(t *testing.T) {
	v := view(Table{Columns: []string{"name", "value", "none", "mixed"}, Rows: [][]string{{"a", "−1.5 s", "", "3"}, {"b", "2", "", "x", "cut"}, {"c"}}})
	for k, want := range []bool{false, true, false, false} {
		if v.Columns[k].Number != want {
			t.Errorf("column %s: number %v", v.Columns[k].Text, !want)
		}
	}
	for _, row := range v.Rows {
		if len(row) != 4 {
			t.Errorf("a row of %d cells", len(row))
		}
	}
}

func TestFramesAreImages(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	noise := image.NewRGBA(image.Rect(10, 20, 1310, 670)) // 1300 x 650: made smaller
	for i := range noise.Pix {
		noise.Pix[i] = uint8(rng.Uint32())
		if i%4 == 3 {
			noise.Pix[i] = 255
		}
	}
	flat := image.NewRGBA(image.Rect(0, 0, 48, 48))
	flat.SetRGBA(1, 1, color.RGBA{255, 0, 0, 128})
	html := rendered(t, Page{Sections: []Section{{Parts: []Part{Frames{Strips: []Strip{{"run", []Frame{
		{Image: noise, Caption: "now"}, {Image: flat, Alt: "a red dot"}, {Image: nil}, {Image: image.NewRGBA(image.Rectangle{})}}}}}}}}})
	for _, want := range []string{`width="640" height="320" alt="run, frame 1 of 4: now"`, `src="data:image/jpeg;base64,`, `src="data:image/png;base64,`,
		`width="48" height="48" alt="a red dot" class="coarse"`, `aria-label="no frame: run, frame 3 of 4"`, `aria-label="no frame: run, frame 4 of 4"`} {
		if !strings.Contains(html, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestLargeImagesAreAveraged(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 1280, 2))
	for x := 0; x < 1280; x += 2 {
		img.SetGray(x, 0, color.Gray{200})
		img.SetGray(x, 1, color.Gray{200})
	}
	got := fit(img)
	if b := got.Bounds(); b.Dx() != 640 || b.Dy() != 1 {
		t.Fatalf("bounds %v", b)
	}
	if c := color.GrayModel.Convert(got.At(333, 0)).(color.Gray); c.Y != 100 {
		t.Errorf("grey %d, want the mean 100", c.Y)
	}
}

func TestWriteFileNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "index.html")
	if err := sample().WriteFile(path); err == nil || !strings.Contains(err.Error(), path) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
