package bags

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/foxglove/mcap/go/mcap"
)

// TestRewardSources: each episode has the first source that rewards it.
func TestRewardSources(t *testing.T) {
	one := 1.0
	r := walk(t, 1000, 4000)
	r.reward(1500*msec, 2)
	path := r.close()
	third := Span{StartFraction: 0.5, EndFraction: 0.75}
	for _, l := range []Labelling{
		{Outcome: EventSuccess, Reward: &one, Span: Span{EndFraction: 0.25}}, // has the topic's too
		{Outcome: EventSuccess, Reward: &one, Span: Span{StartFraction: 0.25, EndFraction: 0.5}},
		{Outcome: EventSuccess, Span: third},
		{Outcome: EventEnd, Span: Span{StartFraction: 0.75}},
	} {
		if _, _, err := LabelEpisode(path, l); err != nil {
			t.Fatal(err)
		}
	}
	eps, report, err := ReadEpisodes(t.Context(), path, parse(t, simple+", reward: {topic: /arfm/reward}}"), Options{})
	if err != nil || len(eps) != 4 {
		t.Fatalf("%d episodes, error %v", len(eps), err)
	}
	for i, want := range []struct {
		source string
		sum    float64
	}{{RewardTopic, 2}, {RewardFile, 1}, {RewardSuccess, 0}, {RewardNone, 0}} {
		sum := 0.0
		for _, f := range eps[i].Frames {
			sum += f.Reward
		}
		if eps[i].RewardSource != want.source || sum != want.sum {
			t.Errorf("episode %d: source %q, sum %v, want %v", i, eps[i].RewardSource, sum, want)
		}
	}
	if len(report.Notes) > 0 {
		t.Errorf("notes %q", report.Notes)
	}
}

// TestRewardOfDroppedFrame: an episode whose only reward lost its frame does
// not get another source's instead.
func TestRewardOfDroppedFrame(t *testing.T) {
	eps := []Episode{{Outcome: Success, Frames: make([]Frame, 2)}}
	eps[0].Frames[0].Stamp, eps[0].Frames[1].Stamp = 100, 500
	if lost := reward(eps, []int64{600}, []rewards{{RewardTopic, []point{{300, -1}}}}, 100); lost[0] != 1 || eps[0].RewardSource != RewardTopic {
		t.Errorf("lost %v, source %q", lost, eps[0].RewardSource)
	}
}

// TestSidecarElsewhere: that a file's rewards fall into no frame is told.
func TestSidecarElsewhere(t *testing.T) {
	one := 1.0
	for _, c := range []struct {
		stamps []int64
		want   string
	}{
		{[]int64{1e18, 2e18}, "none of the 2 rewards in "}, {[]int64{5}, "none of the 1 rewards in "},
		{[]int64{2000 * msec, 2e18}, "1 of 2 rewards belong to no frame"}, {[]int64{2000 * msec}, ""},
	} {
		path := walk(t, 1000, 4000).close()
		var labels []Label
		for _, stamp := range c.stamps {
			labels = append(labels, Label{Stamp: stamp, Reward: &one})
		}
		if err := WriteSidecar(SidecarPath(path, ""), labels); err != nil {
			t.Fatal(err)
		}
		_, report, err := ReadEpisodes(t.Context(), path, parse(t, simple+"}"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(report.Notes, "\n"); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") || strings.Contains(got, "\n") {
			t.Errorf("%v: notes %q, want %q", c.stamps, got, c.want)
		}
	}
}

// TestStopped: reading ends soon after its context does, also where the bag
// is a long silence.
func TestStopped(t *testing.T) {
	r := walk(t, 1000, 60000)
	r.write("/q", "sensor_msgs/msg/JointState", 900000*1000*msec, 1, map[string]any{"name": []string{"a"}, "position": []float64{1}})
	path, c := r.close(), parse(t, simple+"}")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := ReadEpisodes(ctx, path, c, Options{}); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Check(ctx, path, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	t.Logf("stopped after %v", time.Since(start))
}

// TestNotes: a cause is told once, with the number of bags it holds for.
func TestNotes(t *testing.T) {
	c := parse(t, simple+", reward: {topic: /arfm/reward}, episode: {topic: /arfm/episode}}")
	var reports []*CheckReport
	for i := range 3 {
		r := walk(t, 1000, 2000)
		if i == 1 {
			r.reward(1500*msec, 2)
		}
		_, report, err := ReadEpisodes(t.Context(), r.close(), c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, report)
	}
	got := Notes(reports)
	if len(got) != 2 || !strings.Contains(got[0], "/arfm/reward") || !strings.HasSuffix(got[0], "(so in 2 of 3 bags)") ||
		!strings.Contains(got[1], "/arfm/episode") || !strings.HasSuffix(got[1], "(so in 3 of 3 bags)") {
		t.Errorf("%q", got)
	}
	if got := Notes(reports[1:2]); len(got) != 1 || strings.Contains(got[0], "bags)") {
		t.Errorf("%q", got)
	}
}

// TestLate: messages too far out of order to be sorted are counted and told.
func TestLate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "unsorted.mcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := mcap.NewWriter(f, &mcap.WriterOptions{}) // without chunks, so without an index
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder(t)
	const typ = "sensor_msgs/msg/JointState"
	put := func(at int64, frame string) error {
		m := r.message(typ, at, map[string]any{"header.frame_id": frame, "name": []string{"a"}, "position": []float64{1}})
		data, err := m.Type().Encode(m)
		return errors.Join(err, w.WriteMessage(&mcap.Message{ChannelID: 1, LogTime: uint64(at), PublishTime: uint64(at), Data: data}))
	}
	err = errors.Join(w.WriteHeader(&mcap.Header{Profile: "ros2"}), w.WriteSchema(&mcap.Schema{ID: 1, Name: typ}),
		w.WriteChannel(&mcap.Channel{ID: 1, SchemaID: 1, Topic: "/q", MessageEncoding: "cdr"}))
	padding := strings.Repeat("x", 1<<20)
	for i := range int64(80) { // more than is held back to sort
		err = errors.Join(err, put((10+i)*100*msec, padding))
	}
	if err = errors.Join(err, put(500*msec, ""), put(600*msec, ""), w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	report, err := Check(t.Context(), path, parse(t, simple+"}"))
	if err != nil || report.Late != 2 || !strings.Contains(report.String(), "note: 2 messages are left out because") {
		t.Errorf("error %v\n%v", err, report)
	}
}
