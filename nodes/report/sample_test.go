package report

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

// sample is a page with every part, filled with plausible data.
func sample() Page {
	rng := rand.New(rand.NewPCG(7, 7))
	return Page{
		Title: "arfm demo: reach with a two-joint arm",
		Summary: "A policy was cloned from 150 recorded demonstrations, a third of them failures, then fine-tuned on the same " +
			"recordings with ARFM while a second process ran it and took over each checkpoint.",
		Figures: []KeyFigure{
			{Label: "success", From: "23 %", Value: "61 %", Note: "100 episodes each, same tasks"},
			{Label: "time to target", From: "3.00 s", Value: "2.36 s"},
			{Label: "hot swaps", Value: "5", Note: "in the running policy"},
			{Label: "missed control ticks", Value: "0", Note: "of 710"},
		},
		Sections: []Section{
			{Title: "Before and after", Parts: []Part{
				Prose("Both policies saw the same demonstrations. The first gives all of them the same weight; the second weighs each chunk by its advantage.\n\nRun `arfm eval --checkpoint F --episodes 100` to repeat it."),
				sampleSuccess(),
				sampleTimeline(rng),
			}},
			{Title: "Training", Parts: []Part{sampleLoss(rng), sampleGrid(rng)}},
			{Title: "What the camera saw", Parts: []Part{sampleFrames()}},
			{Title: "Swaps", Parts: []Part{sampleTable()}},
		},
		Made: Made{Command: "arfm demo --out demo --seed 1", Seed: "1", Date: "2026-01-31 14:05 UTC", Machine: "2 cores, linux/amd64, Go 1.26, OpenBLAS 0.3.21"},
	}
}

func sampleSuccess() Success {
	return Success{
		Title: "Success by suite", Note: "Dots are rates, whiskers their 95 % intervals.", Groups: []string{"before: bc", "after: arfm"},
		Rows: []SuccessRow{
			{Label: "spatial", Rates: []Rate{{0.24, 0.17, 0.33, 100}, {0.68, 0.58, 0.76, 100}}},
			{Label: "object", Rates: []Rate{{0.31, 0.23, 0.41, 100}, {0.72, 0.62, 0.80, 100}}},
			{Label: "goal: put the red block into the second drawer from the top", Rates: []Rate{{0.20, 0.13, 0.29, 100}, {0.59, 0.49, 0.68, 100}}},
			{Label: "long", Rates: []Rate{{0.17, 0.11, 0.26, 100}, {0.45, 0.36, 0.55, 100}}},
			{Label: "all", Overall: true, Rates: []Rate{{0.23, 0.19, 0.27, 400}, {0.61, 0.56, 0.66, 400}}},
		},
	}
}

func sampleTimeline(rng *rand.Rand) Timeline {
	t := Timeline{Title: "The running policy", Note: "It took over new weights at the dashed lines, without a pause.", XLabel: "time (s)"}
	for i := range 240 {
		at := float64(i) * 3.1
		t.Episodes = append(t.Episodes, Episode{at, rng.Float64() < 0.2+0.45*min(at/500, 1)})
	}
	for i, at := range []float64{90, 200, 310, 325, 540} {
		t.Swaps = append(t.Swaps, Mark{at, []string{"step 100", "step 200", "step 300", "step 400", "step 500"}[i]})
	}
	return t
}

func curve(rng *rand.Rand, n int, f func(t float64) float64, noise float64) Series {
	var s Series
	for i := range n {
		s.X = append(s.X, float64(i+1))
		s.Y = append(s.Y, f(float64(i)/float64(n))*math.Exp(noise*rng.NormFloat64()))
	}
	return s
}

func sampleLoss(rng *rand.Rand) Lines {
	train := curve(rng, 2000, func(t float64) float64 { return 0.05 + 0.9*math.Exp(-6*t) }, 0.15)
	train.Name = "training"
	held := Series{Name: "held out"}
	for i := 0; i <= 2000; i += 100 {
		v := 0.08 + 0.85*math.Exp(-6*float64(i)/2000)
		held.X, held.Y = append(held.X, float64(i)), append(held.Y, v)
		held.Low, held.High = append(held.Low, 0.9*v), append(held.High, 1.1*v)
	}
	return Lines{Title: "Loss", Note: "Flow-matching loss of each step, and on the held-out part.", XLabel: "step", YLabel: "loss", LogY: true, Smooth: 51,
		Series: []Series{train, held}, Marks: []Mark{{At: 1300, Label: "fine-tuning begins"}}, Bands: []Band{{0, 200, "warm-up"}}}
}

func sampleGrid(rng *rand.Rand) Grid {
	alpha := curve(rng, 500, func(t float64) float64 { return 0.4 + 1.2*t }, 0.05)
	ess := curve(rng, 500, func(t float64) float64 { return 31 - 12*t }, 0.05)
	norm := curve(rng, 500, func(t float64) float64 { return 12 * math.Exp(-3*t) }, 0.5)
	norm.Y[40] = math.NaN()
	var good, bad Sample
	good.Name, bad.Name = "succeeded", "failed"
	for range 3500 {
		good.Values = append(good.Values, 0.08+0.1*rng.NormFloat64())
	}
	for range 1800 {
		bad.Values = append(bad.Values, -0.15+0.07*rng.NormFloat64())
	}
	return Grid{
		Lines{Title: "Alpha", XLabel: "step", Series: []Series{alpha}, Smooth: 25, Levels: []Mark{{1.5, "bound"}}},
		Lines{Title: "Effective sample size", Note: "Of a batch of 32.", XLabel: "step", Series: []Series{ess}, Smooth: 25},
		Lines{Title: "Gradient norm", XLabel: "step", Series: []Series{norm}, Smooth: 25, LogY: true, Levels: []Mark{{10, "clip"}}},
		Histogram{Title: "Advantages", XLabel: "advantage", YLabel: "chunks", Samples: []Sample{good, bad}, Marks: []Mark{{At: 0, Label: "mean"}}},
	}
}

func sampleFrames() Frames {
	f := Frames{Title: "Two episodes on the same task", Note: "Every tenth frame of the wrist camera."}
	for row, label := range []string{"before: stops short of the target", "after: reaches it"} {
		s := Strip{Label: label}
		for i := range 7 {
			img := image.NewRGBA(image.Rect(0, 0, 48, 48))
			for y := range 48 {
				for x := range 48 {
					c := color.RGBA{225, 225, 220, 255}
					if math.Hypot(float64(x-34), float64(y-14)) < 5 {
						c = color.RGBA{220, 40, 30, 255}
					}
					if math.Hypot(float64(x-10-(2+2*row)*i), float64(y-38+(2+2*row)*i)) < 4 {
						c = color.RGBA{30, 60, 150, 255}
					}
					img.SetRGBA(x, y, c)
				}
			}
			s.Frames = append(s.Frames, Frame{Image: img, Caption: "t = " + number(float64(i)*0.5) + " s"})
		}
		f.Strips = append(f.Strips, s)
	}
	f.Strips[0].Frames[6].Image = nil
	return f
}

func sampleTable() Table {
	return Table{Columns: []string{"checkpoint", "step", "taken over at", "late by", "outcome"}, Rows: [][]string{
		{"policy-00000100.safetensors", "100", "90.2 s", "0.4 ms", "kept"},
		{"policy-00000200.safetensors", "200", "200.1 s", "0.3 ms", "kept"},
		{"policy-00000300.safetensors", "300", "310.0 s", "0.6 ms", "rolled back: more interventions than before"},
	}}
}

// TestWriteSample leaves the sample page where ARFM_REPORT_SAMPLE says, to be
// looked at.
func TestWriteSample(t *testing.T) {
	path := os.Getenv("ARFM_REPORT_SAMPLE")
	if path == "" {
		t.Skip("set ARFM_REPORT_SAMPLE=/tmp/sample.html to get a page to look at")
	}
	if err := sample().WriteFile(path); err != nil {
		t.Fatal(err)
	}
}
