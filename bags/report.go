package bags

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"arfm/bags/rosbag2"
)

// CheckReport says how a contract fits a bag.
type CheckReport struct {
	Bag      string         `json:"bag"`
	Seconds  float64        `json:"seconds"` // of the bag
	RateHz   float64        `json:"rate_hz"` // of the contract
	Ticks    int            `json:"ticks"`   // frames that the clock grid has in the span
	Frames   int            `json:"frames"`  // usable ones
	Outside  int            `json:"outside"` // usable, but in no episode
	Episodes int            `json:"episodes"`
	Outcomes map[string]int `json:"outcomes"`
	Rewards  map[string]int `json:"rewards"` // episodes by source of reward; "": none yet
	Late     int64          `json:"late"`    // messages left out: recorded too far out of order
	Bytes    int64          `json:"-"`       // of memory that ReadEpisodes took for the frames
	Topics   []*TopicReport `json:"topics"`
	Unused   []string       `json:"unused"`   // topics of the bag that the contract does not read
	Problems []string       `json:"problems"` // why the bag cannot be used; empty: it can
	Notes    []string       `json:"notes"`    // what deserves a look
	causes   []string       // of Notes, the same for bags of one cause
	problem  error          // the first of Problems
}

// TopicReport is about one topic that the contract reads.
type TopicReport struct {
	Topic      string         `json:"topic"`
	Type       string         `json:"type"`
	Roles      []string       `json:"roles"`
	Count      int64          `json:"count"`
	RateHz     float64        `json:"rate_hz"`
	Gaps       int64          `json:"gaps"`          // intervals over three times the median
	LongestGap float64        `json:"longest_gap_s"` // s
	AgeMS      *Percentiles   `json:"age_ms"`        // of the samples that frames looked at; nil: not an input
	Dropped    map[string]int `json:"dropped"`       // frames, by reason
	Unstamped  int64          `json:"unstamped"`     // aligned by receive time, having no header stamp
	OutOfOrder int64          `json:"out_of_order"`  // stamped before the message before
	Ahead      int64          `json:"ahead"`         // stamped well after it was received
	Refused    int64          `json:"refused"`       // messages that were not used: undecodable, NaN, a missing field
	Skipped    int64          `json:"skipped"`       // messages with none of the joints
	Reason     string         `json:"reason"`        // of the last refusal

	intervals, ages histogram
	first, last     int64
	others          string // the joints that a skipped message names
	needed          bool   // no frame can be made without it
}

// Percentiles of a time in ms, to 2 %; Max is exact.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Err is nil when the bag can be used with the contract, else the first
// problem; it wraps ErrTopic, ErrType or ErrNoFrame.
func (r *CheckReport) Err() error { return r.problem }

func (r *CheckReport) fail(err error) {
	r.Problems = append(r.Problems, oneLine(err.Error()))
	if r.problem == nil {
		r.problem = err
	}
}

// oneLine keeps the control characters of a recording's texts from the terminal.
func oneLine(text string) string {
	return rosbag2.Printable(strings.ReplaceAll(text, "\n", "; "))
}

func (r *CheckReport) note(cause, format string, args ...any) {
	r.Notes, r.causes = append(r.Notes, oneLine(fmt.Sprintf(format, args...))), append(r.causes, cause)
}

// Notes returns the notes on several bags: for each cause the first, with the
// number of bags that it holds for.
func Notes(reports []*CheckReport) []string {
	var causes []string
	first, last, count := map[string]string{}, map[string]int{}, map[string]int{}
	for i, r := range reports {
		for k, cause := range r.causes {
			if _, ok := first[cause]; !ok {
				first[cause], last[cause] = r.Notes[k], -1
				causes = append(causes, cause)
			}
			if last[cause] < i { // a bag counts once
				last[cause] = i
				count[cause]++
			}
		}
	}
	var out []string
	for _, cause := range causes {
		text := first[cause]
		if len(reports) > 1 {
			text += fmt.Sprintf(" (so in %d of %d bags)", count[cause], len(reports))
		}
		out = append(out, text)
	}
	return out
}

func (t *TopicReport) arrived(at int64) {
	if t.Count > 0 {
		t.intervals.add(at - t.last)
	} else {
		t.first = at
	}
	t.last = at
	t.Count++
}

// finish turns the histograms into figures.
func (t *TopicReport) finish() {
	if t.last > t.first {
		t.RateHz = round3(float64(t.Count-1) / (float64(t.last-t.first) * 1e-9))
		t.Gaps = t.intervals.above(3 * t.intervals.quantile(0.5))
		t.LongestGap = round3(float64(t.intervals.max) * 1e-9)
	}
	if t.ages.n > 0 {
		ms := func(ns int64) float64 { return round3(float64(ns) * 1e-6) }
		t.AgeMS = &Percentiles{ms(t.ages.quantile(0.5)), ms(t.ages.quantile(0.9)), ms(t.ages.quantile(0.99)), ms(t.ages.max)}
	}
}

func round3(x float64) float64 { return float64(int64(x*1000+0.5)) / 1000 }

// String writes the report for people.
func (r *CheckReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %.1f s, %d of %d frames at %g Hz are usable", r.Bag, r.Seconds, r.Frames, r.Ticks, r.RateHz)
	fmt.Fprintf(&b, "\nepisodes: %d (%s), rewards: %s", r.Episodes, counts(r.Outcomes), counts(r.Rewards))
	if r.Outside > 0 {
		fmt.Fprintf(&b, ", %d frames in no episode", r.Outside)
	}
	b.WriteString("\n\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tROLE\tCOUNT\tHZ\tGAPS\tLONGEST\tAGE p50/p90/p99/max ms\tDROPPED\tUNSTAMPED\tUNORDERED\tREFUSED")
	for _, t := range r.Topics {
		age := "-"
		if a := t.AgeMS; a != nil {
			age = fmt.Sprintf("%.0f/%.0f/%.0f/%.0f", a.P50, a.P90, a.P99, a.Max)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.1f\t%d\t%.2f s\t%s\t%s\t%d\t%d\t%d\n", t.Topic, strings.Join(t.Roles, ","), t.Count, t.RateHz,
			t.Gaps, t.LongestGap, age, counts(t.Dropped), t.Unstamped, t.OutOfOrder, t.Refused)
	}
	w.Flush()
	if len(r.Unused) > 0 {
		unused := slices.Clone(r.Unused)
		for i := range unused {
			unused[i] = rosbag2.Printable(unused[i])
		}
		fmt.Fprintf(&b, "\nnot read: %s\n", strings.Join(unused, ", "))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "PROBLEM: %s\n", p)
	}
	return b.String()
}

// counts writes a map of numbers in a fixed order.
func counts(m map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		name := k
		if name == "" {
			name = "none"
		}
		parts = append(parts, fmt.Sprintf("%s %d", name, m[k]))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}
