package report

import (
	"strings"
	"unicode"
)

// Table is rows of text. A column of numbers is set to the right.
type Table struct {
	Title, Note string
	Columns     []string
	Rows        [][]string // a short row ends in empty cells, a long one is cut
}

type tableView struct {
	Kind        string
	Title, Note string
	Columns     []cellView
	Rows        [][]cellView
}

type cellView struct {
	Text   string
	Number bool
}

func (t Table) html(*renderer) any { return view(t) }

func view(t Table) tableView {
	v := tableView{Kind: "table", Title: t.Title, Note: t.Note}
	for k, name := range t.Columns {
		v.Columns = append(v.Columns, cellView{name, t.numeric(k)})
	}
	for _, row := range t.Rows {
		cells := make([]cellView, len(t.Columns))
		for k := range cells {
			cells[k].Number = v.Columns[k].Number
			if k < len(row) {
				cells[k].Text = row[k]
			}
		}
		v.Rows = append(v.Rows, cells)
	}
	return v
}

// numeric says whether every cell of column k begins like a number, or is
// empty or a dash, and one is a number.
func (t Table) numeric(k int) bool {
	some := false
	for _, row := range t.Rows {
		if k >= len(row) {
			continue
		}
		s := strings.TrimLeft(row[k], " +-−–<>≈±")
		if s == "" || s == "not a number" || s == "Inf" {
			continue
		}
		if !unicode.IsDigit([]rune(s)[0]) {
			return false
		}
		some = true
	}
	return some
}
