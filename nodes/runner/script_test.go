package runner

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"arfm/policy"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt with what the runner does")

// TestScripts plays testdata/*.txt: each block holds events, a line ----, and
// the effects that the events must have. Events:
//
//	config key=value...            a new runner
//	policy GEN | hold R | resume | stop R | rearm | lost R
//	observe T state=a,b            T as a duration
//	observation-fails REASON
//	chunk SEQ stamp=T rows=a,b;c,d | chunk SEQ error=REASON
//	tick T | blind FROM TO STEP    ticks without observations
//	run FROM TO STEP               observes what was commanded before each tick
//	live FROM TO STEP rows=a,b;c,d the same, and answers every request with these rows
//	counters
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			s := &script{t: t}
			for _, block := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
				input, want, _ := strings.Cut(block+"\n", "----\n")
				want = strings.TrimSpace(want)
				s.out.Reset()
				for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
					if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
						s.do(line)
					}
				}
				got := strings.TrimSpace(s.out.String())
				if got != want && !*update {
					t.Errorf("%s\ngot:\n%s\nwant:\n%s", strings.TrimSpace(input), got, want)
				}
				out = append(out, strings.TrimSpace(input)+"\n----\n"+got)
			}
			if *update {
				if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

type script struct {
	t    *testing.T
	r    *Runner
	cfg  Config
	out  strings.Builder
	last []float32 // what was commanded last: the measured state of live
}

func (s *script) do(line string) {
	f := strings.Fields(line)
	arg := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		s.t.Fatalf("%s: argument %d is missing", line, i)
		return ""
	}
	kv := map[string]string{}
	for _, w := range f {
		if k, v, ok := strings.Cut(w, "="); ok {
			kv[k] = v
		}
	}
	rest := strings.TrimSpace(strings.TrimPrefix(line, f[0]))
	switch f[0] {
	case "config":
		s.config(kv)
	case "policy":
		n, _ := strconv.ParseUint(arg(1), 10, 64)
		s.step(NewPolicy(n))
	case "hold":
		s.step(Hold(rest))
	case "resume":
		s.step(Resume())
	case "lost":
		s.step(Lost(rest))
	case "stop":
		s.step(Stop(rest))
	case "rearm":
		s.step(Rearm())
	case "observe":
		s.last = floats(kv["state"])
		s.step(Observed(&policy.Observation{Stamp: s.dur(arg(1)), State: s.last}))
	case "observation-fails":
		s.step(ObservationFailed(errors.New(rest)))
	case "chunk":
		seq, _ := strconv.ParseUint(arg(1), 10, 64)
		if e, ok := kv["error"]; ok {
			s.step(ChunkReady(seq, nil, errors.New(e)))
			return
		}
		s.step(ChunkReady(seq, s.chunk(s.dur(kv["stamp"]), rows(kv["rows"])), nil))
	case "tick":
		s.step(Tick(s.dur(arg(1))))
	case "run":
		s.live(s.dur(arg(1)), s.dur(arg(2)), s.dur(arg(3)), nil)
	case "blind":
		for t := s.dur(arg(1)); t <= s.dur(arg(2)); t += s.dur(arg(3)) {
			s.step(Tick(t))
		}
	case "live":
		s.live(s.dur(arg(1)), s.dur(arg(2)), s.dur(arg(3)), rows(kv["rows"]))
	case "counters":
		c := s.r.Counters()
		for i := NotReady; i < NumInterventions; i++ {
			if c[i] != (Counter{}) {
				fmt.Fprintf(&s.out, "%s events=%d ticks=%d\n", i, c[i].Events, c[i].Ticks)
			}
		}
	default:
		s.t.Fatalf("unknown event %q", line)
	}
}

func (s *script) dur(x string) int64 {
	d, err := time.ParseDuration(x)
	if err != nil {
		s.t.Fatal(err)
	}
	return d.Nanoseconds()
}

func (s *script) config(kv map[string]string) {
	cfg := Config{Names: strings.Split(kv["joints"], ","), Ramp: -1, StartTolerance: 0.5}
	cfg.Limits = unlimited(cfg.Names)
	num := func(key string, dst []float64) {
		if kv[key] != "" {
			for j := range dst {
				dst[j] = float64(floats(kv[key])[0])
			}
		}
	}
	num("lower", cfg.Limits.Lower)
	num("upper", cfg.Limits.Upper)
	num("velocity", cfg.Limits.Velocity)
	num("acceleration", cfg.Limits.Acceleration)
	cfg.Period, cfg.RowPeriod = s.dur(kv["period"]), s.dur(kv["row"])
	if kv["kind"] == "rate" {
		cfg.Kind = Rate
	} else {
		for j := range cfg.Names {
			cfg.StateIndex = append(cfg.StateIndex, j)
		}
	}
	if kv["ramp"] != "" {
		cfg.Ramp = s.dur(kv["ramp"])
	}
	if kv["replan"] != "" {
		cfg.ReplanRows, _ = strconv.Atoi(kv["replan"])
	}
	r, err := New(cfg)
	if err != nil {
		fmt.Fprintln(&s.out, err)
		return
	}
	s.r, s.cfg, s.last = r, cfg, make([]float32, len(cfg.Names))
}

func (s *script) chunk(stamp int64, rows [][]float32) *policy.ActionChunk {
	c := &policy.ActionChunk{Stamp: stamp, Period: s.cfg.RowPeriod, Dim: len(rows[0])}
	for _, r := range rows {
		c.Values = append(c.Values, r...)
	}
	return c
}

func (s *script) live(from, to, step int64, rows [][]float32) {
	for t := from; t <= to; t += step {
		fx := s.step(Observed(&policy.Observation{Stamp: t, State: s.last}))
		if fx.Infer != nil && rows != nil {
			s.step(ChunkReady(fx.Infer.Seq, s.chunk(t, rows), nil))
		}
		if fx := s.step(Tick(t)); fx.Command != nil {
			for j, q := range fx.Command.SetPoint {
				s.last[j] = float32(q)
			}
		}
	}
}

// step prints an event's effects, one a line.
func (s *script) step(ev Event) *Effects {
	fx := s.r.Step(ev)
	ms := func(ns int64) string { return time.Duration(ns).String() }
	if fx.Infer != nil {
		fmt.Fprintf(&s.out, "infer seq=%d generation=%d stamp=%s\n", fx.Infer.Seq, fx.Infer.Generation, ms(fx.Infer.Observation.Stamp))
	}
	for _, r := range fx.Reports {
		fmt.Fprintf(&s.out, "report %s\n", r)
	}
	if c := fx.Command; c != nil {
		fmt.Fprintf(&s.out, "%s command %.4f velocity %.4f", ms(c.Stamp), c.SetPoint, c.Velocity)
		if c.Generation > 0 {
			fmt.Fprintf(&s.out, " generation=%d", c.Generation)
		}
		if tr := c.Trajectory; tr != nil {
			n, a := tr.Points(), len(s.cfg.Names)
			fmt.Fprintf(&s.out, " plan %d points to %s %.4f", n, ms(tr.Times[n-1]), tr.Positions[(n-1)*a:])
		}
		fmt.Fprintln(&s.out)
	}
	if fx.Holding != None {
		fmt.Fprintf(&s.out, "holding %s\n", fx.Holding)
	}
	return fx
}

func floats(s string) []float32 {
	var out []float32
	for _, w := range strings.Split(s, ",") {
		x, err := strconv.ParseFloat(w, 32)
		if err != nil {
			panic(err)
		}
		out = append(out, float32(x))
	}
	return out
}

func rows(s string) [][]float32 {
	var out [][]float32
	for _, r := range strings.Split(s, ";") {
		out = append(out, floats(r))
	}
	return out
}
