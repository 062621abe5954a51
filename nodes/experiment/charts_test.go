package experiment

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"arfm/finetune/experiment"
	"arfm/finetune/experiment/stat"
	"arfm/nodes/report"
)

// table has rates that rise with method and column.
func table(name string, methods int, numbers bool, columns ...string) experiment.Table {
	t := experiment.Table{Name: name}
	for k, c := range columns {
		column := experiment.TableColumn{Name: c, All: !numbers && k > 0 && k == len(columns)-1}
		if numbers {
			x := float64(k)
			column.X = &x
		}
		for i := range methods {
			n := 10 + 3*i + k
			low, high := stat.Wilson(n, 50)
			column.Cells = append(column.Cells, experiment.TableCell{Successes: n, Episodes: 50, Rate: float64(n) / 50, Low: low, High: high})
		}
		t.Columns = append(t.Columns, column)
	}
	return t
}

// TestCharts: settings that are numbers are an axis, others are rows; many
// methods have a row each.
func TestCharts(t *testing.T) {
	many := make([]string, 12)
	for i := range many {
		many[i] = fmt.Sprintf("arfm, setting %d", i)
	}
	few := []string{"bc", "rwr", "arfm"}
	curve := []experiment.Course{{Name: "goal, arfm", Curve: []experiment.Point{{Step: 1, Alpha: 1, Predicted: 20, Seen: 22}, {Step: 2, Alpha: 2, Predicted: 10, Seen: 12}}}}
	for name, c := range map[string]struct {
		r     experiment.Report
		files []string
		rows  int // of bars; 0: lines
	}{
		"multitask": {experiment.Report{Methods: few, Panels: []experiment.Table{table("", 3, false, "spatial", "goal", "all")}}, []string{"multitask.svg"}, 3},
		"ablation":  {experiment.Report{Methods: many, Panels: []experiment.Table{table("", 12, false, "goal", "long")}, Curves: curve}, []string{"ablation.svg", "ablation-alpha.svg", "ablation-ess.svg"}, 12},
		"perturb": {experiment.Report{Methods: few, Panels: []experiment.Table{
			table("all suites", 3, true, "0", "0.1", "0.2"), table("goal", 3, true, "0", "0.1", "0.2"), table("long", 3, true, "0", "0.1", "0.2"),
		}}, []string{"perturb.svg", "perturb-goal.svg", "perturb-long.svg"}, 0},
	} {
		c.r.Experiment, c.r.Title, c.r.Axis = name, "Title of "+name, "axis"
		var files []string
		for _, chart := range Charts(&c.r) {
			file := name + chart.Suffix + ".svg"
			files = append(files, file)
			path := filepath.Join(t.TempDir(), file)
			if err := os.WriteFile(path, chart.Plot.SVG(), 0o644); err != nil {
				t.Fatal(err)
			}
			if !parses(t, path) {
				t.Errorf("%s is no SVG", file)
			}
		}
		if !reflect.DeepEqual(files, c.files) {
			t.Errorf("%s: charts %v, want %v", name, files, c.files)
		}
		switch p := Charts(&c.r)[0].Plot.(type) {
		case report.Success:
			if len(p.Rows) != c.rows || len(p.Rows[0].Rates) != len(p.Groups) || p.Rows[c.rows-1].Overall != (name == "multitask") {
				t.Errorf("%s: bars %+v", name, p)
			}
		case report.Lines:
			if s := p.Series[2]; c.rows != 0 || p.Series[0].Color != report.Grey || s.Color != 3 || s.Name != "arfm" || len(s.X) != 3 || !reflect.DeepEqual(p.XTicks, s.X) || s.Y[1] != 34 || !(s.Low[1] < s.Y[1] && s.Y[1] < s.High[1]) || strings.Contains(p.Title, "%!") {
				t.Errorf("%s: lines %+v", name, p)
			}
		}
	}
}
