package simulator

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/nodes/demonstration"
	"arfm/nodes/runner"
	"arfm/nodes/sim"
	"arfm/nodes/sim/jtc"
)

func TestTrajectoryReachesItsTarget(t *testing.T) {
	l := &listener{}
	o := testOptions(t, l)
	s, stop := start(t, o)
	home := sim.Home()
	to := home[:]
	to[0] += 0.3
	to[2] -= 0.2
	if err := s.Follow(command(t, sim.JointNames, to, 1e9)); err != nil {
		t.Fatal(err)
	}
	within(t, "the arm is there", func() bool { return l.count(sim.TopicJoints) > 0 && near(joints(t, l), to, 0.01) })
	to[1] += 0.2
	if err := s.Follow(command(t, sim.JointNames[1:2], to[1:2], 5e8)); err != nil {
		t.Fatal(err)
	}
	within(t, "the one joint is there, the others stay", func() bool { return near(joints(t, l), to, 0.01) })
	for name, rec := range map[string]*cdr.Record{
		"an unknown joint": command(t, []string{"elbow"}, []float64{1}, 1e9),
		"no points":        command(t, sim.JointNames, to),
		"times back":       command(t, sim.JointNames, to, 1e9, 5e8),
		"NaN":              command(t, sim.JointNames[:1], []float64{math.NaN()}, 1e9),
	} {
		if err := s.Follow(rec); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	stop()
	if st := s.Stats(); st.Refused != 4 || st.Phase == "" {
		t.Errorf("%+v", st)
	}
	if err := s.Follow(command(t, sim.JointNames, to, 1e9)); err == nil {
		t.Error("a trajectory is taken while no time passes")
	}
}

func TestGoals(t *testing.T) {
	l := &listener{}
	s, _ := start(t, testOptions(t, l))
	at := func(d float64) []float64 {
		q := sim.Home()
		q[0] += d
		return q[:]
	}
	heard := 0
	g := s.FollowGoal(t.Context(), goalOf(t, command(t, sim.JointNames, at(0.2), 5e8)), func(Standing) { heard++ })
	if g.Status != jtc.Succeeded || g.Code != jtc.Successful || heard < 5 || !near(joints(t, l), at(0.2), 0.01) {
		t.Errorf("%+v, %d feedbacks, at %v", g, heard, joints(t, l))
	}
	if g := s.FollowGoal(t.Context(), goalOf(t, command(t, []string{"x"}, []float64{1}, 1e9)), nil); g.Status != jtc.Aborted || g.Code != jtc.InvalidGoal {
		t.Errorf("unknown joint: %+v", g)
	}
	first := make(chan jtc.Goal)
	go func() { first <- s.FollowGoal(t.Context(), goalOf(t, command(t, sim.JointNames, at(-1), 30e9)), nil) }()
	within(t, "the first goal is followed", func() bool {
		going := false
		_ = s.do(func(w *world) error { going = w.goal != nil; return nil })
		return going
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if g := <-first; g.Status != jtc.Canceled || !strings.Contains(g.Text, "new goal") {
			t.Errorf("pre-empted: %+v", g)
		}
		cancel()
	}()
	if g := s.FollowGoal(ctx, goalOf(t, command(t, sim.JointNames, at(1), 30e9)), nil); g.Status != jtc.Canceled {
		t.Errorf("canceled: %+v", g)
	}
	tight := goalOf(t, command(t, sim.JointNames, at(2.5), 1e8))
	typ, _ := cdr.NewRegistry().Type("control_msgs/msg/JointTolerance")
	tol := typ.New()
	if err := tol.Set("name", sim.JointNames[0]); err != nil {
		t.Fatal(err)
	}
	if err := tol.Set("position", 0.001); err != nil {
		t.Fatal(err)
	}
	if err := tight.Set("path_tolerance", []*cdr.Record{tol}); err != nil {
		t.Fatal(err)
	}
	if g := s.FollowGoal(t.Context(), tight, nil); g.Status != jtc.Aborted || g.Code != jtc.PathToleranceViolated {
		t.Errorf("beyond its tolerance: %+v", g)
	}
}

// episodes runs n of them as fast as it goes, while nobody commands.
func episodes(t *testing.T, l *listener, o Options, n int) (s *Simulator) {
	t.Helper()
	o.Rate, o.Episodes = 0, n
	short := *o.Suite
	short.TimeLimit = 20
	o.Suite = &short
	s, stop := start(t, o)
	within(t, "all episodes are done", func() bool { st := s.Stats(); return st.Phase == "finished" && st.Episodes == n })
	if err := s.Follow(command(t, sim.JointNames, make([]float64, sim.Joints), 1e9)); err == nil || !strings.Contains(err.Error(), "~/reset") {
		t.Errorf("after the last episode: %v", err)
	}
	stop()
	return s
}

// TestEpisodes: events come in order, the arm stands where it will begin before
// it does, time never goes back, and the same seed gives the same episodes.
func TestEpisodes(t *testing.T) {
	var first []string
	for run := range 2 {
		l := &listener{}
		o := testOptions(t, l)
		o.Record.Dir = t.TempDir()
		episodes(t, l, o, 3)
		if left, err := os.ReadDir(o.Record.Dir); err != nil || len(left) > 0 {
			t.Errorf("episodes without a command are recorded: %v, %v", left, err)
		}
		var story []string
		for _, m := range l.of(sim.TopicEpisode) {
			rec := decode(t, "arfm/msg/EpisodeEvent", m)
			event, _ := rec.Lookup("event")
			task, _ := rec.Lookup("task")
			story = append(story, fmt.Sprint(event, task))
		}
		if len(story) != 6 || !strings.HasPrefix(story[0], "0") || !strings.HasPrefix(story[1], "3") {
			t.Fatalf("%q", story)
		}
		last, moved := Message{}, 0.0
		var q []float64
		for _, m := range l.of(sim.TopicJoints) {
			v, _ := decode(t, "sensor_msgs/msg/JointState", m).Lookup("position")
			at := v.([]float64)
			if q != nil {
				for j := range at {
					moved = max(moved, math.Abs(at[j]-q[j]))
				}
			}
			if q = at; m.Time <= last.Time {
				t.Fatalf("a state at %d after one at %d", m.Time, last.Time)
			}
			last = m
		}
		if moved > 1.2*homeSpeed/100 {
			t.Errorf("the arm jumps by %g rad between two states", moved)
		}
		// The states that the episodes begin with, relative to their start.
		for _, m := range l.of(sim.TopicObjects)[:50] {
			v, _ := decode(t, "geometry_msgs/msg/PoseArray", m).Lookup("poses")
			for _, p := range v.([]*cdr.Record) {
				x, _ := p.Lookup("position.x")
				story = append(story, fmt.Sprint(x))
			}
		}
		if run == 0 {
			first = story
		} else if !slices.Equal(first, story) {
			t.Error("the same seed gives other episodes")
		}
		clocks := l.of(TopicClock)
		for i := 1; i < len(clocks); i++ {
			if clocks[i].Time <= clocks[i-1].Time {
				t.Fatal("/clock stands or goes back")
			}
		}
	}
}

func TestBetweenEpisodes(t *testing.T) {
	l := &listener{}
	o := testOptions(t, l)
	short := *o.Suite
	short.TimeLimit = 5
	o.Suite = &short
	s, _ := start(t, o)
	goal := make(chan jtc.Goal)
	go func() {
		goal <- s.FollowGoal(t.Context(), goalOf(t, command(t, sim.JointNames, make([]float64, sim.Joints), 30e9)), nil)
	}()
	within(t, "the arm goes home", func() bool { return s.Stats().Phase == "returning" })
	if g := <-goal; g.Status != jtc.Aborted || g.Code != jtc.GoalToleranceViolated {
		t.Errorf("the goal of the episode: %+v", g)
	}
	err := s.Follow(command(t, sim.JointNames, make([]float64, sim.Joints), 1e9))
	if err == nil || !strings.Contains(err.Error(), "START") {
		t.Errorf("between two episodes: %v", err)
	}
	if err := s.CheckGoal(goalOf(t, command(t, sim.JointNames, make([]float64, sim.Joints), 1e9))); err == nil {
		t.Error("a goal between two episodes is taken")
	}
	within(t, "the next begins", func() bool { return s.Stats().Phase == "running" })
}

func TestReset(t *testing.T) {
	l := &listener{}
	s, _ := start(t, testOptions(t, l))
	want := "put the white ball into the basket"
	for _, name := range []string{want, "4"} {
		if got, err := s.Reset(name, 0); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	if _, err := s.Reset("dance", 0); err == nil {
		t.Error("an unknown task")
	}
	if _, err := s.Reset("0", 99); err != nil {
		t.Fatal(err)
	}
	var a, b [3]float64
	_ = s.do(func(w *world) error { a = w.e.Arena.Object(0); return nil })
	if _, err := s.Reset("0", 99); err != nil {
		t.Fatal(err)
	}
	_ = s.do(func(w *world) error { b = w.e.Arena.Object(0); return nil })
	if d := a[0] - b[0]; math.Abs(d) > 1e-9 {
		t.Errorf("the same seed puts it %g m elsewhere", d)
	}
}

// TestRecordings: bags fit the contracts, hold whole episodes and what was
// commanded, and old ones go.
func TestRecordings(t *testing.T) {
	l := &listener{}
	o := testOptions(t, l)
	dir := t.TempDir()
	o.Record = RecordOptions{Dir: dir, Episodes: 2, Keep: 2}
	short := *o.Suite
	short.TimeLimit = 40
	o.Suite, o.Rate, o.Episodes = &short, 5, 5
	s, stop := start(t, o)
	home := sim.Home()
	within(t, "all episodes are done", func() bool {
		_ = s.Follow(command(t, sim.JointNames, home[:], 2e8)) // refused between episodes
		return s.Stats().Phase == "finished"
	})
	stop()
	if st := s.Stats(); st.Camera != "" {
		t.Skip(st.Camera)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	for i, want := range []int{2, 1} {
		for _, name := range []string{"sim_state.yaml", "sim_vision.yaml"} {
			eps, report, err := bags.ReadEpisodes(t.Context(), filepath.Join(dir, entries[i].Name()), loadContract(t, name), bags.Options{})
			if err != nil || report.Err() != nil {
				t.Fatalf("%v, %v", err, report)
			}
			if len(eps) != want || eps[0].Outcome != bags.Failure {
				t.Errorf("%s: %d episodes, %v", name, len(eps), report)
			}
			// Pictures are left out where the machine is busy, nothing else is.
			if frames := len(eps[0].Frames); frames < 38 && name == "sim_state.yaml" || len(report.Problems) > 0 {
				t.Errorf("%s: %d frames of 40, %v", name, frames, report)
			}
		}
	}
}

// TestDescription: whoever reads the description and the packaged limits finds
// the arm's own.
func TestDescription(t *testing.T) {
	l, err := runner.ParseURDF([]byte(Description()))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range sim.JointNames {
		j, want := slices.Index(l.Names, name), sim.Limits[i]
		if j < 0 {
			t.Errorf("it has no %s", name)
		} else if !near([]float64{l.Lower[j], l.Upper[j], l.Velocity[j]}, []float64{want.Lower, want.Upper, want.Velocity}, 1e-5) {
			t.Errorf("%s: %g to %g, %g; the arm has %+v", name, l.Lower[j], l.Upper[j], l.Velocity[j], want)
		}
	}
	text, err := os.ReadFile("../../launch/params/sim_joint_limits.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if l, err = runner.ParseJointLimits(text); err != nil {
		t.Fatal(err)
	}
	for i, name := range sim.JointNames {
		if j := slices.Index(l.Names, name); j < 0 || l.Acceleration[j] != sim.Limits[i].Acceleration {
			t.Errorf("sim_joint_limits.yaml gives %s another acceleration than %g", name, sim.Limits[i].Acceleration)
		}
	}
}

func TestOptionsRefused(t *testing.T) {
	good := testOptions(t, &listener{})
	for name, change := range map[string]func(*Options){
		"no suite":   func(o *Options) { o.Suite = nil },
		"rate":       func(o *Options) { o.Rate = math.NaN() },
		"state rate": func(o *Options) { o.StateHz = 0 },
		"pictures":   func(o *Options) { o.Width = 4000 },
		"task":       func(o *Options) { o.Tasks = []int{9} },
	} {
		o := good
		change(&o)
		if err := o.Validate(); err == nil {
			t.Errorf("%s is taken", name)
		} else {
			t.Log(err)
		}
	}
	for text, want := range map[string]int{"turns": 0, "random": 0, "0,2": 2, "1": 1, "x": -1} {
		o := good
		if err := o.SetOrder(text); (err != nil) != (want < 0) || err == nil && len(o.Tasks) != want {
			t.Errorf("%q: %v, %v", text, o.Tasks, err)
		}
	}
}

// TestExpertSucceeds: a demonstrator that commands through the topic, as a
// policy would, does its task, and the recording tells so.
func TestExpertSucceeds(t *testing.T) {
	l := &listener{}
	o := testOptions(t, l)
	dir := t.TempDir()
	o.Record = RecordOptions{Dir: dir}
	s, stop := start(t, o)
	var demo *sim.Demonstrator
	step, over := -1, false
	within(t, "the expert does its task", func() bool {
		var set, velocity [sim.Joints]float64
		due := false
		_ = s.do(func(w *world) error {
			if over = w.phase != running; over {
				return nil
			}
			if demo == nil {
				demo = sim.NewDemonstrator(demonstration.Expert, w.e, rand.New(rand.NewPCG(1, 2)))
			}
			if due = w.e.Steps > step; due {
				step = w.e.Steps
				set, velocity, _ = demo.Next()
			}
			return nil
		})
		if due && !over {
			rec := command(t, sim.JointNames, set[:], sim.Period)
			points := list[*cdr.Record](rec, "points")
			if err := points[0].Set("velocities", velocity[:]); err != nil {
				t.Fatal(err)
			}
			if err := s.Follow(rec); err != nil {
				t.Log(err)
			}
		}
		return over
	})
	stop()
	if st := s.Stats(); st.Successes != 1 {
		t.Fatalf("%+v", st)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	eps, report, err := bags.ReadEpisodes(t.Context(), filepath.Join(dir, names[0].Name()), loadContract(t, "sim_state.yaml"), bags.Options{})
	if err != nil || len(eps) != 1 || eps[0].Outcome != bags.Success || eps[0].RewardSource != bags.RewardTopic {
		t.Fatalf("%v, %v", err, report)
	}
	sum := 0.0
	for _, f := range eps[0].Frames {
		sum += f.Reward / sim.RateHz
	}
	if !(sum > 0.5 && sum < 1.001) {
		t.Errorf("rewards of a success sum to a progress of %g\n%v", sum, report)
	}
}
