package replay_test

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"testing"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
	"arfm/nodes/demonstration"
	"arfm/nodes/reach"
	"arfm/nodes/replay"
	"arfm/policy"
	"arfm/policy/contract"
)

// renamed copies a recording, its n-th start of an episode with "task n".
func renamed(t *testing.T, path string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "renamed")
	in, err := rosbag2.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	w, err := rosbag2.Create(out, rosbag2.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]rosbag2.TopicID{}
	for _, topic := range in.Info().Topics {
		if ids[topic.Name], err = w.AddTopic(topic); err != nil {
			t.Fatal(err)
		}
	}
	typ, err := cdr.NewRegistry().Type("arfm/msg/EpisodeEvent")
	if err != nil {
		t.Fatal(err)
	}
	it, err := in.Messages(rosbag2.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	starts := 0
	for {
		m, err := it.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		data := m.Data
		if m.Topic.Name == reach.TopicEpisode {
			rec, err := typ.Decode(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			if e, _ := contract.Number(rec, "event"); e == 0 {
				starts++
			}
			if err := rec.Set("task", fmt.Sprintf("task %d", starts)); err != nil {
				t.Fatal(err)
			}
			if data, err = typ.Encode(rec); err != nil {
				t.Fatal(err)
			}
		}
		if err = errors.Join(err, w.Write(ids[m.Topic.Name], m.LogTime, data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestReplayEqualsTraining: every frame that training takes from a bag is, its
// instruction too, what a replay of the bag shows the policy.
func TestReplayEqualsTraining(t *testing.T) {
	whole := load(t, "reach_2dof.yaml")
	bare := *whole // without a topic of episodes the sidecar tells them
	bare.Episode = contract.Episode{}
	labelled := func(path string) string {
		for i, span := range []string{"0%:30%", "30%:50%", "60%:90%"} {
			s, err := bags.ParseSpan(span)
			if err != nil {
				t.Fatal(err)
			}
			task := []string{"go left", "go right", ""}[i]
			if _, _, err := bags.LabelEpisode(path, bags.Labelling{Span: s, Outcome: bags.EventEnd, Task: task}); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	for name, tc := range map[string]struct {
		path  string
		c     *contract.Contract
		tasks int
	}{
		"topic":             {renamed(t, recorded(t, demonstration.Expert, 4)), whole, 4},
		"sidecar":           {labelled(recorded(t, demonstration.Expert, 4)), &bare, 3},
		"topic and sidecar": {labelled(renamed(t, recorded(t, demonstration.Expert, 4))), whole, 4},
		"neither":           {recorded(t, demonstration.Expert, 2), &bare, 1},
	} {
		t.Run(name, func(t *testing.T) {
			eps, _, err := bags.ReadEpisodes(t.Context(), tc.path, tc.c, bags.Options{})
			if err != nil {
				t.Fatal(err)
			}
			want := map[int64]policy.Observation{}
			tasks := map[string]bool{}
			for _, e := range eps {
				for _, f := range e.Frames {
					want[f.Stamp], tasks[f.Instruction] = f.Observation, true
				}
			}
			if len(tasks) != tc.tasks {
				t.Fatalf("training has the tasks %v, want %d", tasks, tc.tasks)
			}
			src := open(t, tc.path, tc.c, replay.Options{})
			start, end := src.Span()
			for at := start; at <= end; at += tc.c.Period() {
				var got policy.Observation
				err := src.Observe(at, &got)
				w, ok := want[at]
				if !ok {
					continue
				}
				delete(want, at)
				if err != nil || got.Instruction != w.Instruction || !reflect.DeepEqual(got, w) {
					t.Fatalf("at %d the replay says %q (%v), training %q", at, got.Instruction, err, w.Instruction)
				}
			}
			if len(want) > 0 {
				t.Errorf("%d frames of training are not in the replay", len(want))
			}
		})
	}
}
