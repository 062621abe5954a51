package bench

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// goals that are no ratio of a race.
const (
	goalShare    = 0.6   // of the peak, at least
	goalSpeed    = 0.9   // of the baseline's on one core, at least
	goalResident = 150e6 // bytes, under
	goalOutside  = 10    // percent of a training step, under
)

// line is a row of the table.
type line struct {
	work, measured, goal string
	met                  bool
}

// String prints the table: each goal beside what was measured.
func (r *PeersReport) String() string {
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "work\tours\tfastest peer\tits\tratio\tgoal\t")
	for _, c := range r.Works {
		if len(c.Peers) == 0 {
			fmt.Fprintf(tw, "%s\t%.1f ms\tnone\t\t\tat most %.2f\tnot compared\n", c.Work, c.Ours, c.Goal)
			continue
		}
		p := c.Peers[0]
		fmt.Fprintf(tw, "%s\t%.1f ms\t%s, threads: %d\t%.1f ms\t%.2f\tat most %.2f\t%s\n",
			c.Work, c.Ours, p.Peer, p.Threads, p.Median, c.Ratio, c.Goal, verdict(c.Ratio <= c.Goal))
	}
	tw.Flush()
	fmt.Fprintln(&b)
	fmt.Fprintln(tw, "beside them\tmeasured\tgoal\t")
	for _, l := range r.lines() {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", l.work, l.measured, l.goal, verdict(l.met))
	}
	tw.Flush()
	r.notes(&b)
	return b.String()
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "missed"
}

// lines are the rows without a peer.
func (r *PeersReport) lines() (lines []line) {
	for _, c := range r.Works {
		lines = append(lines, line{
			"share of the GEMM peak, " + c.Work,
			fmt.Sprintf("%.0f %% (%.2f GFLOP, %.1f GFLOP/s)", 100*c.Share, c.GFLOP, 1e3*c.GFLOP/c.Ours),
			fmt.Sprintf("at least %.0f %%", 100*goalShare), c.Share >= goalShare,
		})
	}
	if l := r.Loop; l != nil {
		lines = append(lines, line{"allocations per chunk, base", fmt.Sprintf("%.1f", l.Allocs), "0", l.Allocs == 0})
		if l.Resident > 0 {
			lines = append(lines, line{
				"resident set of the loop, base", fmt.Sprintf("%.0f MB, %.0f at most", float64(l.Resident)/1e6, float64(l.ResidentPeak)/1e6),
				fmt.Sprintf("under %.0f MB", goalResident/1e6), l.ResidentPeak < goalResident,
			})
		}
	}
	if t := r.Training; t != nil {
		lines = append(lines, line{
			"training outside network and optimiser, demo's size", fmt.Sprintf("%.1f %%", t.Overhead),
			fmt.Sprintf("under %d %%", goalOutside), t.Overhead < goalOutside,
		})
	}
	if i := r.Ingest; i != nil {
		for _, on := range i.On {
			lines = append(lines, line{
				"ingest against foxglove's reader and image/jpeg, " + cores(on.Cores), fmt.Sprintf("%.2f of their speed", on.Speed),
				fmt.Sprintf("at least %.1f", goalSpeed), on.Speed >= goalSpeed,
			})
		}
		if n := i.On[len(i.On)-1].Cores; n > 1 {
			lines = append(lines, line{
				fmt.Sprintf("ingest on %s against one", cores(n)), fmt.Sprintf("%.2f times", i.scaling()),
				fmt.Sprintf("at least %.1f", goalSpeed*float64(n)), i.scaling() >= goalSpeed*float64(n),
			})
		}
	}
	return lines
}

// notes say what was compared, on what, and what was not.
func (r *PeersReport) notes(b *strings.Builder) {
	fmt.Fprintf(b, `
The same policy, weight for weight, in each program: 64 tokens of context (state
and words), 7 actions, 10 Euler steps; every peer's answer is within %g of ours.
ours and its are medians of interleaved rounds, ratio is the median of their
ratios; rivals far behind the fastest leave after some.
`, agreement)
	for _, c := range r.Works {
		for _, p := range c.Peers {
			fmt.Fprintf(b, "  %s: %s, threads: %d: %.1f ms, ratio %.2f, rounds: %d\n", c.Work, p.Peer, p.Threads, p.Median, p.Ratio, p.Rounds)
		}
	}
	fmt.Fprintf(b, "GEMM peak, squares of %d by %s: %.0f GFLOP/s on one core, %.0f on all at best;\nshares are medians of interleaved rounds too, of ours by theirs\n", peakSide, r.Peak.Kernel, r.Peak.One, r.Peak.All)
	for _, m := range r.Missing {
		fmt.Fprintf(b, "not found: %s\n", m)
	}
	for _, m := range r.Refused {
		fmt.Fprintf(b, "refused: %s\n", m)
	}
	fmt.Fprintf(b, "on %v\n", r.Machine)
}
