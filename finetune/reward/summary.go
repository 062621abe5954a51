package reward

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"arfm/policy/contract"
)

// Summary says what the rewards of several parts are made of.
type Summary struct {
	Parts   map[Source]int `json:"episodes"` // by source
	Terms   []TermStats    `json:"terms"`
	LeftOut []LeftOut      `json:"left_out"` // dense terms without input
	Returns []ReturnStats  `json:"returns"`
}

// ReturnStats describes the mean reward of each part, which is the return-to-go
// of its first frame, over the parts of one source and outcome.
type ReturnStats struct {
	Source  Source  `json:"source"`
	Outcome string  `json:"outcome"`
	Parts   int     `json:"episodes"`
	Mean    float64 `json:"mean"`
	Std     float64 `json:"std"` // of the population
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
}

// TermStats describes a term over all frames that have it, before it is
// weighted. Labelled rewards are one term, named after their source.
type TermStats struct {
	contract.WeightedTerm
	Source Source  `json:"source"`
	Frames int     `json:"frames"`
	Mean   float64 `json:"mean"`
	Std    float64 `json:"std"` // of the population
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	// Share of the return: of the sum of |w r| over the terms of its source, and
	// over all frames.
	Share float64 `json:"share"`
}

// LeftOut counts the parts in which a dense term was left out for one reason.
type LeftOut struct {
	Absent
	Parts int `json:"episodes"`
}

// Summarize describes rewards. The order of parts decides the last bits.
func Summarize(all []Rewards) Summary {
	s := Summary{Parts: map[Source]int{}, Terms: []TermStats{}, LeftOut: []LeftOut{}, Returns: []ReturnStats{}}
	type key struct {
		source Source
		name   string
	}
	terms, returns := map[key]*moments{}, map[key]*moments{}
	of := func(m map[key]*moments, source Source, name string) *moments {
		k := key{source, name}
		if m[k] == nil {
			m[k] = &moments{min: math.Inf(1), max: math.Inf(-1)}
		}
		return m[k]
	}
	weights, left, total := map[string]contract.WeightedTerm{}, map[Absent]int{}, map[Source]float64{}
	for i := range all {
		r := &all[i]
		s.Parts[r.Source]++
		for _, t := range r.Terms {
			weights[t.Name] = t.WeightedTerm
			of(terms, r.Source, t.Name).add(t.Values...)
			for _, v := range t.Values {
				total[r.Source] += math.Abs(t.Weight * v)
			}
		}
		for _, l := range r.LeftOut {
			left[l]++
		}
		if r.Source != Nothing && len(r.Values) > 0 {
			of(returns, r.Source, r.Outcome.String()).add(ReturnToGo(r.Values)[0])
		}
	}
	for k, m := range terms {
		t := TermStats{WeightedTerm: weights[k.name], Source: k.source, Frames: m.n}
		t.Mean, t.Std, t.Min, t.Max = m.mean, m.std(), m.min, m.max
		if total[k.source] > 0 {
			t.Share = math.Abs(t.Weight) * m.size / total[k.source]
		}
		s.Terms = append(s.Terms, t)
	}
	for k, m := range returns {
		s.Returns = append(s.Returns, ReturnStats{k.source, k.name, m.n, m.mean, m.std(), m.min, m.max})
	}
	for absent, n := range left {
		s.LeftOut = append(s.LeftOut, LeftOut{absent, n})
	}
	s.sort()
	return s
}

// sort brings what came from maps into the order of sources and of DefaultTerms.
func (s *Summary) sort() {
	slices.SortFunc(s.Terms, func(a, b TermStats) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(place(a.Name), place(b.Name)))
	})
	slices.SortFunc(s.LeftOut, func(a, b LeftOut) int {
		return cmp.Or(cmp.Compare(place(a.Term), place(b.Term)), cmp.Compare(a.Reason, b.Reason))
	})
	slices.SortFunc(s.Returns, func(a, b ReturnStats) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Outcome, b.Outcome))
	})
}

// place is a term's place in the table of all.
func place(name string) int {
	return slices.IndexFunc(contract.DefaultTerms(), func(t contract.WeightedTerm) bool { return t.Name == name })
}

// moments are a running mean and sum of squares (Welford 1962).
type moments struct {
	n        int
	mean, m2 float64
	min, max float64
	size     float64 // sum of |x|
}

func (m *moments) add(values ...float64) {
	for _, x := range values {
		m.n++
		d := x - m.mean
		m.mean += d / float64(m.n)
		m.m2 += float64(d * (x - m.mean))
		m.min, m.max = min(m.min, x), max(m.max, x)
		m.size += math.Abs(x)
	}
}

func (m *moments) std() float64 { return math.Sqrt(m.m2 / float64(m.n)) }

// Sources names the sources and their numbers of episodes.
func (s *Summary) Sources() string {
	var parts []string
	for _, source := range slices.Sorted(maps.Keys(s.Parts)) {
		name := string(source)
		if source == Nothing {
			name = "none"
		}
		parts = append(parts, fmt.Sprintf("%s in %d episodes", name, s.Parts[source]))
	}
	return strings.Join(parts, ", ")
}

// Missing says in one line which dense terms were left out, and why; "" if none.
func (s *Summary) Missing() string {
	var reasons []string
	terms := map[string][]string{}
	for _, l := range s.LeftOut {
		why := fmt.Sprintf("%s in %d episodes", l.Reason, l.Parts)
		if terms[why] == nil {
			reasons = append(reasons, why)
		}
		terms[why] = append(terms[why], l.Term)
	}
	for i, why := range reasons {
		reasons[i] = strings.Join(terms[why], ", ") + " (" + why + ")"
	}
	return strings.Join(reasons, "; ")
}

// String is the table of terms for people.
func (s *Summary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rewards: %s\n", s.Sources())
	if len(s.Terms) > 0 {
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "SOURCE\tTERM\tWEIGHT\tFRAMES\tMEAN\tSTD\tMIN\tMAX\tSHARE")
		for _, t := range s.Terms {
			fmt.Fprintf(w, "%s\t%s\t%.4g\t%d\t%.4g\t%.4g\t%.4g\t%.4g\t%.1f %%\n", t.Source, t.Name, t.Weight, t.Frames, t.Mean, t.Std, t.Min, t.Max, 100*t.Share)
		}
		fmt.Fprintln(w, "\nSOURCE\tOUTCOME\tEPISODES\tRETURN\tSTD\tMIN\tMAX")
		for _, t := range s.Returns {
			fmt.Fprintf(w, "%s\t%s\t%d\t%.4g\t%.4g\t%.4g\t%.4g\n", t.Source, t.Outcome, t.Parts, t.Mean, t.Std, t.Min, t.Max)
		}
		w.Flush()
	}
	if missing := s.Missing(); missing != "" {
		fmt.Fprintf(&b, "\nleft out: %s\n", missing)
	}
	return b.String()
}
