package demo

import (
	"fmt"
	"maps"
	"runtime"
	"slices"

	"arfm/nodes/demonstration"
	"arfm/nodes/eval"
	"arfm/nodes/report"
	"arfm/nodes/training"
)

// page is the report to look at.
func (s *story) page() *report.Page {
	r := &s.report
	p := &report.Page{
		Title: "From mixed demonstrations to a better policy",
		Summary: fmt.Sprintf("A simulated UR5e learns the %d tasks of the %s suite from %d recorded demonstrations, of which %d failed. "+
			"Behaviour cloning imitates all of them. ARFM then weighs each chunk by how well it went, while the arm goes on working and takes over new weights in motion.",
			len(s.suite.Tasks), s.suite.Name, r.Recorded.Episodes, r.Recorded.Episodes-r.Recorded.Successes),
		Figures: []report.KeyFigure{
			{Label: "success", From: percent(r.Before.Rate), Value: percent(r.After.Rate), Note: fmt.Sprintf("of %d episodes each", r.After.Episodes)},
			{Label: "weights swapped in motion", Value: fmt.Sprint(len(r.Live.Swaps)), Note: fmt.Sprintf("%d of %d control ticks missed", r.Live.Stats.Missed, r.Live.Stats.Ticks)},
			{Label: "time", Value: fmt.Sprintf("%.0f s", r.Seconds), Note: "recording, training, evaluation"},
		},
		Made: report.Made{Command: "arfm demo", Seed: fmt.Sprint(r.Seed), Machine: fmt.Sprintf("%d CPUs, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)},
	}
	p.Sections = append(p.Sections,
		report.Section{Title: "Before and after", Parts: []report.Part{success(r), s.recordings()}},
		report.Section{Title: "While it worked", Parts: []report.Part{
			report.Prose("A second process ran the loop on the simulated arm at 20 Hz, one task after another. Each mark is a checkpoint that it found, checked and took over at the end of a chunk."),
			timeline(&r.Live)}},
		report.Section{Title: "Training", Parts: curves(r)},
	)
	if len(s.reels) > 0 {
		p.Sections = append(p.Sections, report.Section{Title: "At work", Parts: []report.Part{s.frames()}})
	}
	return p
}

func percent(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) }

// success compares the two policies, task by task.
func success(r *Report) report.Success {
	rate := func(s *eval.Score) report.Rate {
		return report.Rate{Rate: s.Rate, Low: s.Low, High: s.High, N: s.Episodes}
	}
	out := report.Success{Title: "Success", Note: "Share of episodes that did their task, with the 95 % Wilson interval.", Groups: []string{"before: bc", "after: arfm"}}
	for i := range r.Before.Tasks {
		row := report.SuccessRow{Label: r.Before.Tasks[i].Task, Rates: []report.Rate{rate(&r.Before.Tasks[i].Score), {}}}
		for k := range r.After.Tasks {
			if r.After.Tasks[k].Task == row.Label {
				row.Rates[1] = rate(&r.After.Tasks[k].Score)
			}
		}
		out.Rows = append(out.Rows, row)
	}
	out.Rows = append(out.Rows, report.SuccessRow{Label: "all tasks", Overall: true, Rates: []report.Rate{rate(&r.Before.Score), rate(&r.After.Score)}})
	return out
}

// recordings tells what both were trained on.
func (s *story) recordings() report.Table {
	t := report.Table{Title: "Demonstrations", Columns: []string{"demonstrator", "episodes", "did the task"}}
	for _, q := range slices.Sorted(maps.Keys(s.recorded.ByQuality)) {
		n := s.recorded.ByQuality[q]
		t.Rows = append(t.Rows, []string{about[q], fmt.Sprint(n.Episodes), fmt.Sprint(n.Successes)})
	}
	return t
}

var about = map[demonstration.Quality]string{
	demonstration.Expert:  "expert: straight to it",
	demonstration.Sloppy:  "sloppy: detours, pauses, an unsteady hand",
	demonstration.Failing: "failing: misses, drops, takes the wrong thing",
}

func timeline(l *LiveReport) report.Timeline {
	t := report.Timeline{Title: "Episodes of the running arm", XLabel: "time / s"}
	for _, e := range l.Tasks {
		t.Episodes = append(t.Episodes, report.Episode{At: e.Time, Success: e.Success})
	}
	for _, w := range l.Swaps {
		t.Swaps = append(t.Swaps, report.Mark{At: w.Time, Label: fmt.Sprintf("step %d", w.Step)})
	}
	return t
}

// curves are the two runs' logs.
func curves(r *Report) []report.Part {
	var swaps []report.Mark
	for _, w := range r.Live.Swaps {
		swaps = append(swaps, report.Mark{At: float64(w.Step), Label: "swap"})
	}
	return []report.Part{
		training.Loss("Loss of behaviour cloning", r.CloneLines),
		report.Grid{
			training.Loss("Loss of fine-tuning", r.TuneLines, swaps...),
			training.Alpha(r.TuneLines),
			training.SampleSize(r.TuneLines, 0),
		},
	}
}

// framesPerTask is how many pictures of an episode the report shows.
const framesPerTask = 6

func (s *story) frames() report.Frames {
	f := report.Frames{Title: "The fine-tuned policy", Note: "The first episode of each task in the evaluation."}
	for i := range s.reels {
		r := &s.reels[i]
		outcome := "not done"
		if r.Success {
			outcome = "done"
		}
		strip := report.Strip{Label: r.Task + ": " + outcome}
		for _, k := range r.Spread(framesPerTask) {
			strip.Frames = append(strip.Frames, report.Frame{Image: r.Frames[k], Caption: fmt.Sprintf("%.1f s", r.Times[k]), Alt: fmt.Sprintf("the arm after %.1f s", r.Times[k])})
		}
		f.Strips = append(f.Strips, strip)
	}
	return f
}
