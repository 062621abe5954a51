package report_test

import (
	"bytes"
	"fmt"
	"os"

	"arfm/nodes/report"
)

// A page with one chart, and the chart as a file of its own.
func Example() {
	loss := report.Lines{
		Title: "Loss", XLabel: "step", YLabel: "loss", LogY: true, Smooth: 25,
		Series: []report.Series{{Name: "training", X: []float64{0, 100, 200}, Y: []float64{1.2, 0.4, 0.3}}},
		Marks:  []report.Mark{{At: 100, Label: "swap"}},
	}
	p := report.Page{
		Title:    "A short run",
		Summary:  "The loss fell by three quarters in 200 steps.",
		Figures:  []report.KeyFigure{{Label: "loss", From: "1.2", Value: "0.3"}},
		Sections: []report.Section{{Title: "Training", Parts: []report.Part{report.Prose("Steps of `arfm train`."), loss}}},
		Made:     report.Made{Command: "arfm train --steps 200", Seed: "1"},
	}
	var html bytes.Buffer
	if err := p.Write(&html); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	fmt.Println(bytes.Count(html.Bytes(), []byte("<svg")), "drawings, for wide and for narrow screens")
	fmt.Printf("%.5s... is a file of its own\n", loss.SVG())
	// Output:
	// 2 drawings, for wide and for narrow screens
	// <svg ... is a file of its own
}
