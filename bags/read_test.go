package bags

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"arfm/bags/rosbag2"
	"arfm/policy"
	"arfm/policy/contract"
)

func TestReadEpisodes(t *testing.T) {
	rec := reach(t, 4) // 1 s to 5 s
	rec.event(1500*msec, 0, "touch the dot")
	rec.event(2500*msec, 2, "")
	rec.event(3000*msec, 0, "")
	rec.event(4000*msec, 3, "")
	rec.reward(2000*msec, 0.5)  // of the frame at 1.95 s
	rec.reward(2001*msec, 0.25) // both of the frame at 2 s
	rec.reward(2050*msec, 0.25)
	rec.reward(2700*msec, 9) // between the episodes
	path := rec.close()
	c := load(t, "reach_2dof.yaml")
	eps, report, err := ReadEpisodes(t.Context(), path, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(eps) != 2 {
		t.Fatalf("%d episodes\n%s", len(eps), report)
	}
	a, b := eps[0], eps[1]
	if a.Outcome != Success || b.Outcome != Failure || a.Task != "touch the dot" || b.Task != "reach the target" || b.Index != 1 || a.Bag != path {
		t.Errorf("episodes %v %q, %v %q", a.Outcome, a.Task, b.Outcome, b.Task)
	}
	if len(a.Frames) != 20 || a.Frames[0].Stamp != 1500*msec || len(b.Frames) != 20 || b.Frames[19].Stamp != 3950*msec {
		t.Errorf("%d frames from %d, %d frames", len(a.Frames), a.Frames[0].Stamp, len(b.Frames))
	}
	f := a.Frames[10] // at 2 s
	now := float32(2)
	if !reflect.DeepEqual(f.State, []float32{now, -now, 0.5, now}) || f.Instruction != "touch the dot" || len(f.Images) != 1 || f.Images[0].Width != 48 {
		t.Errorf("frame at 2 s: %v %q", f.State, f.Instruction)
	}
	if a.Frames[9].Reward != 0.5 || f.Reward != 0.5 || a.Frames[11].Reward != 0 || a.RewardSource != RewardTopic {
		t.Errorf("rewards %v %v %v of %q", a.Frames[9].Reward, f.Reward, a.Frames[11].Reward, a.RewardSource)
	}
	if !strings.Contains(report.String(), "1 of 4 rewards belong to no frame") || report.Outside != report.Frames-40 {
		t.Errorf("report\n%s", report)
	}
}

// TestParity: a frame of a bag equals, to the bit, the frame built from the
// same messages as they arrive.
func TestParity(t *testing.T) {
	path := reach(t, 2).close()
	c := load(t, "reach_2dof.yaml")
	eps, _, err := ReadEpisodes(t.Context(), path, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	frames := eps[0].Frames
	bag, err := rosbag2.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer bag.Close()
	reg, err := bag.Registry()
	if err != nil {
		t.Fatal(err)
	}
	it, err := bag.Messages(rosbag2.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	live := contract.NewResampler(c)
	var obs policy.Observation
	act := make([]float32, c.ActionDim())
	for k := 0; ; {
		m, err := it.Next()
		if errors.Is(err, io.EOF) {
			if k < len(frames)-1 {
				t.Errorf("compared %d of %d frames", k, len(frames))
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		typ, err := reg.Type(m.Topic.Type)
		if err != nil {
			t.Fatal(err)
		}
		r, err := typ.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if err := live.Push(m.Topic.Name, m.LogTime, r); err != nil {
			t.Fatal(err)
		}
		// A live node asks a little late, when later messages have come.
		if next := &frames[min(k, len(frames)-1)]; k < len(frames) && m.LogTime > next.Stamp+c.Period()+2*msec {
			if err := live.Observe(next.Stamp, &obs); err != nil {
				t.Fatal(err)
			}
			if err := live.Action(next.Stamp+c.Period(), act); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(obs, next.Observation) || !reflect.DeepEqual(act, next.Action) {
				t.Fatalf("frame %d: live %v %v, bag %v %v", k, obs.State, act, next.State, next.Action)
			}
			k++
		}
	}
}

const simple = `{version: 1, rate_hz: 10, observation: {state: [{topic: /q, type: sensor_msgs/msg/JointState, names: [a], max_age_ms: 250}]},
  action: {from: next_state, names: [a], unit: position, horizon: 4}`

// walk records joint a, whose position is the time in s, every 100 ms.
func walk(t testing.TB, from, to int64) *recorder {
	r := newRecorder(t)
	for at := from; at <= to; at += 100 {
		r.write("/q", "sensor_msgs/msg/JointState", at*msec, at*msec, map[string]any{"name": []string{"a"}, "position": []float64{float64(at) / 1000}})
	}
	return r
}

func TestNextState(t *testing.T) {
	eps, report, err := ReadEpisodes(t.Context(), walk(t, 1000, 2000).close(), parse(t, simple+"}"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := eps[0].Frames
	if len(f) != 10 || report.Ticks != 10 || f[0].State[0] != 1 || f[0].Action[0] != 1.1 || f[9].Action[0] != 2 {
		t.Errorf("%d frames of %d, first %+v", len(f), report.Ticks, f[0])
	}
	if eps[0].RewardSource != RewardNone || eps[0].Outcome != Unknown {
		t.Errorf("reward %q, outcome %v", eps[0].RewardSource, eps[0].Outcome)
	}
}

func TestSidecarLabels(t *testing.T) {
	one := 1.0
	for _, tc := range []struct {
		name   string
		labels []Label
		source string
		want   float64 // of the last frame
		end    Outcome
	}{
		{"success flag", []Label{{Stamp: 1000 * msec, Event: EventStart}, {Stamp: 1500 * msec, Event: EventSuccess}}, RewardSuccess, 0, Success},
		{"failure flag", []Label{{Stamp: 1000 * msec, Event: EventStart}, {Stamp: 1500 * msec, Event: EventFailure}}, RewardSuccess, 0, Failure},
		{"rewards go before the flag", []Label{{Stamp: 1100 * msec, Reward: &one}, {Stamp: 1500 * msec, Event: EventSuccess}}, RewardFile, 0, Success},
		{"end alone", []Label{{Stamp: 1500 * msec, Event: EventEnd}}, RewardNone, 0, Unknown},
	} {
		path := walk(t, 1000, 1500).close()
		if err := WriteSidecar(SidecarPath(path, ""), tc.labels); err != nil {
			t.Fatal(err)
		}
		eps, _, err := ReadEpisodes(t.Context(), path, parse(t, simple+"}"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		e := eps[0]
		if n := len(e.Frames); n != 5 || e.RewardSource != tc.source || e.Frames[n-1].Reward != tc.want || e.Outcome != tc.end || e.Frames[1].Reward != 0 {
			t.Errorf("%s: %d frames, source %q, outcome %v", tc.name, len(e.Frames), e.RewardSource, e.Outcome)
		}
		if tc.source == RewardFile && e.Frames[0].Reward != 1 {
			t.Errorf("%s: rewards %+v", tc.name, e.Frames)
		}
	}
}

// TestTopicsGoFirst: events and rewards of the bag win over the sidecar's.
func TestTopicsGoFirst(t *testing.T) {
	r := walk(t, 1000, 2000)
	r.event(1500*msec, 3, "")
	r.reward(1100*msec, 2)
	path := r.close()
	one := 1.0
	if err := WriteSidecar(SidecarPath(path, ""), []Label{{Stamp: 1100 * msec, Reward: &one}, {Stamp: 1200 * msec, Event: EventSuccess}}); err != nil {
		t.Fatal(err)
	}
	eps, _, err := ReadEpisodes(t.Context(), path, parse(t, simple+", reward: {topic: /arfm/reward}, episode: {topic: /arfm/episode}}"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if e := eps[0]; len(e.Frames) != 5 || e.Outcome != Failure || e.RewardSource != RewardTopic || e.Frames[0].Reward != 2 {
		t.Errorf("%d frames, %v, %q, first %+v", len(e.Frames), e.Outcome, e.RewardSource, e.Frames[0])
	}
}

func TestReadErrors(t *testing.T) {
	good := parse(t, simple+"}")
	if _, _, err := ReadEpisodes(t.Context(), filepath.Join(t.TempDir(), "none"), good, Options{}); !errors.Is(err, os.ErrNotExist) && !errors.Is(err, rosbag2.ErrNotBag) {
		t.Errorf("no bag: error %v", err)
	}
	path := walk(t, 1000, 2000).close()
	for _, tc := range []struct {
		name, contract, says string
		is                   error
	}{
		{"other topic", strings.Replace(simple, "/q", "/joints", 1), "the bag has /q (sensor_msgs/msg/JointState, 11 messages)", ErrTopic},
		{"other type", strings.Replace(simple, "sensor_msgs/msg/JointState, names", "std_msgs/msg/Float64MultiArray, names", 1), "/q is sensor_msgs/msg/JointState in the bag", ErrType},
		{"other joint", strings.ReplaceAll(simple, "[a]", "[b]"), "names any of the contract's joints; its names are a", ErrType},
		{"empty array", strings.Replace(simple, "names: [a]", "field: velocity, names: [a]", 1), "every message is refused", ErrType},
		{"unknown type", strings.Replace(simple, "/q, type: sensor_msgs/msg/JointState", "/q, type: no_msgs/msg/No, field: x", 1), "no_msgs/msg/No", ErrType},
	} {
		c := strings.Replace(tc.contract, "unit: position", "unit: twist", 1) + "}" // of any quantity
		_, _, err := ReadEpisodes(t.Context(), path, parse(t, c), Options{})
		if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: error %v, want %v that says %q", tc.name, err, tc.is, tc.says)
		}
	}
	if err := os.WriteFile(SidecarPath(path, ""), []byte("time,reward\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadEpisodes(t.Context(), path, good, Options{}); !errors.Is(err, ErrSidecar) {
		t.Errorf("bad sidecar: error %v", err)
	}
}

// TestFarTimes: a bag whose times span years is refused, not walked through.
func TestFarTimes(t *testing.T) {
	r := walk(t, 1000, 2000)
	at := int64(4e18)
	r.write("/q", "sensor_msgs/msg/JointState", at, 1, map[string]any{"name": []string{"a"}, "position": []float64{1}})
	if _, err := Check(t.Context(), r.close(), parse(t, simple+"}")); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v, want ErrTooLarge", err)
	}
}

// TestBrokenOff: a bag that was cut is read up to there.
func TestBrokenOff(t *testing.T) {
	path := walk(t, 1000, 1300000).close()
	files, _ := filepath.Glob(filepath.Join(path, "*.mcap"))
	info, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(files[0], info.Size()/2); err != nil {
		t.Fatal(err)
	}
	r, err := Check(t.Context(), path, parse(t, simple+"}"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Notes) == 0 || !strings.Contains(strings.Join(r.Notes, "\n"), "breaks off") {
		t.Errorf("notes %q, problems %q", r.Notes, r.Problems)
	}
}

// TestReport compares the report of a bag with every kind of trouble with a
// golden file (ARFM_UPDATE=1 writes it).
func TestReport(t *testing.T) {
	r := newRecorder(t)
	put := func(at, stamp int64, names []string, pos ...float64) {
		r.write("/q", "sensor_msgs/msg/JointState", at*msec, stamp*msec, map[string]any{"name": names, "position": pos})
	}
	a := []string{"a"}
	for at := int64(1000); at <= 3000; at += 50 {
		if at > 2000 && at < 2600 {
			continue // a gap: frames go stale
		}
		put(at, at-10, a, 1)
	}
	put(1010, 900, a, 1)            // out of order
	put(1020, 0, a, 1)              // unstamped
	put(1030, 1020, a, math.NaN())  // refused
	put(1040, 1030, []string{"b"})  // another robot's
	r.event(1500*msec, 2, "")       // the episode ends, a second begins
	r.reward(1400*msec, math.NaN()) // refused
	r.write("/other", "std_msgs/msg/String", 1000*msec, 0, map[string]any{"data": "x"})
	path := r.close()
	// A second field of the topic: a frame that lacks it is counted once.
	two := strings.Replace(simple, "max_age_ms: 250}", "max_age_ms: 250}, {topic: /q, type: sensor_msgs/msg/JointState, fields: [header.stamp.nanosec], max_age_ms: 250}", 1)
	report, err := Check(t.Context(), path, parse(t, two+", reward: {topic: /arfm/reward}, episode: {topic: /arfm/episode}}"))
	if err != nil {
		t.Fatal(err)
	}
	js, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(report.String()+"\n"+string(js)+"\n", path, "BAG")
	golden := filepath.Join("testdata", "report.golden")
	if os.Getenv("ARFM_UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the report changed:\n%s", got)
	}
}
