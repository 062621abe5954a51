package bags

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"arfm/bags/rosbag2"
	"arfm/policy/contract"
)

func TestSegments(t *testing.T) {
	const lo, hi = math.MinInt64, math.MaxInt64
	for _, tc := range []struct {
		name string
		in   []mark
		want []segment
	}{
		{"no marks: all is one", nil, []segment{{lo, hi, "", Unknown}}},
		{"start and end", []mark{{1, EventStart, "x"}, {2, EventSuccess, ""}}, []segment{{1, 2, "x", Success}}},
		{"two, out of order", []mark{{3, EventStart, "y"}, {4, EventFailure, ""}, {1, EventStart, "x"}, {2, EventEnd, "z"}},
			[]segment{{1, 2, "x", Unknown}, {3, 4, "y", Failure}}},
		{"start closes", []mark{{1, EventStart, "x"}, {2, EventStart, "y"}}, []segment{{1, 2, "x", Unknown}, {2, hi, "y", Unknown}}},
		{"began before the bag", []mark{{1, EventSuccess, ""}, {2, EventStart, ""}}, []segment{{lo, 1, "", Success}, {2, hi, "", Unknown}}},
		{"an end after the end is nothing", []mark{{1, EventStart, ""}, {2, EventSuccess, ""}, {3, EventEnd, ""}}, []segment{{1, 2, "", Success}}},
		{"only ends", []mark{{1, EventSuccess, ""}, {2, EventFailure, ""}},
			[]segment{{lo, 1, "", Success}, {1, 2, "", Failure}, {2, hi, "", Unknown}}},
	} {
		if got := segments(tc.in); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestReward: each reward goes to the step that it ends, and at an episode's
// end also to the last step.
func TestReward(t *testing.T) {
	for _, tc := range []struct {
		end   int64
		stamp int64 // of a reward of 1; frames at 100, 200, 300
		want  [3]float64
	}{
		{math.MaxInt64, 100, [3]float64{}},
		{math.MaxInt64, 101, [3]float64{1}},
		{math.MaxInt64, 200, [3]float64{1}},
		{math.MaxInt64, 201, [3]float64{0, 1}},
		{math.MaxInt64, 400, [3]float64{0, 0, 1}},
		{math.MaxInt64, 500, [3]float64{0, 0, 1}},
		{math.MaxInt64, 501, [3]float64{}},
		{430, 430, [3]float64{0, 0, 1}},
		{430, 431, [3]float64{}},
		{350, 390, [3]float64{0, 0, 1}}, // as the definition says
	} {
		frames := make([]Frame, 3)
		for i := range frames {
			frames[i].Stamp = int64(i+1) * 100
		}
		eps, ends, outside := split("b", frames, []segment{{start: 0, end: tc.end}})
		lost := reward(eps, ends, []rewards{{RewardTopic, []point{{tc.stamp, 1}}}}, 100)
		got := [3]float64{frames[0].Reward, frames[1].Reward, frames[2].Reward}
		sum := got[0] + got[1] + got[2]
		if got != tc.want || lost[0] != 1-int(sum) || outside != 0 {
			t.Errorf("end %d, reward at %d: %v, lost %v, want %v", tc.end, tc.stamp, got, lost, tc.want)
		}
	}
}

// TestLabelEpisode: a label on the whole of a bag rewards its last frame, and
// a second label on the same span replaces the first.
func TestLabelEpisode(t *testing.T) {
	r := walk(t, 1000, 2000)
	r.write("/other", "std_msgs/msg/String", 2030*msec, 0, map[string]any{"data": "the bag ends between two frames"})
	path := r.close()
	one := 1.0
	for _, outcome := range []Event{EventSuccess, EventFailure} {
		file, n, err := LabelEpisode(path, Labelling{Outcome: outcome, Task: "wave", Reward: &one})
		if err != nil || n != 1 || file != SidecarPath(path, "") {
			t.Fatalf("%s, %d episodes, error %v", file, n, err)
		}
	}
	eps, _, err := ReadEpisodes(t.Context(), path, parse(t, simple+"}"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if e := eps[0]; e.Outcome != Failure || e.Task != "wave" || e.RewardSource != RewardFile || e.Frames[len(e.Frames)-1].Reward != 1 {
		t.Errorf("%v %q %q, last frame %+v", e.Outcome, e.Task, e.RewardSource, e.Frames[len(e.Frames)-1])
	}
	if _, _, err := LabelEpisode(path, Labelling{Outcome: "won"}); !errors.Is(err, ErrSidecar) {
		t.Errorf("unknown outcome: error %v", err)
	}
}

func TestParseSpan(t *testing.T) {
	for _, tc := range []struct {
		text   string
		lo, hi int64 // of a bag from 1000 s to 1100 s, in s
		ok     bool
	}{
		{"0%:80%", 1000, 1080, true}, {"80%:", 1080, math.MaxInt64 / int64(1e9), true}, {":", math.MinInt64 / int64(1e9), math.MaxInt64 / int64(1e9), true},
		{"10s:1m", 1010, 1060, true}, {"50%:1m", 1050, 1060, true},
		{"80%", 0, 0, false}, {"80%:20%", 0, 0, false}, {"x:", 0, 0, false}, {"-1s:", 0, 0, false}, {"0%:101%", 0, 0, false}, {"NaN%:", 0, 0, false},
	} {
		s, err := ParseSpan(tc.text)
		if (err == nil) != tc.ok || (err != nil && !errors.Is(err, ErrSpan)) {
			t.Errorf("%q: error %v", tc.text, err)
			continue
		}
		if err != nil {
			continue
		}
		if lo, hi, err := s.resolve(1000e9, 1100e9); err != nil || lo/1e9 != tc.lo || hi/1e9 != tc.hi {
			t.Errorf("%q: %d to %d, error %v", tc.text, lo, hi, err)
		}
	}
	both := Span{StartFraction: 0.1, Start: time.Second}
	if _, _, err := both.resolve(0, 1); !errors.Is(err, ErrSpan) {
		t.Errorf("fraction and time: error %v", err)
	}
}

func TestSidecar(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rewards.csv")
	v := 0.1
	in := []Label{{Stamp: 5, Reward: &v}, {Stamp: 2, Event: EventStart, Task: `say "hi", twice`}, {Stamp: 9, Event: EventSuccess, Reward: &v}}
	if err := WriteSidecar(path, in); err != nil {
		t.Fatal(err)
	}
	got, err := ReadSidecar(path)
	if want := []Label{in[1], in[0], in[2]}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, error %v, want %+v", got, err, want)
	}
	nan := math.NaN()
	for _, l := range []Label{{Stamp: -1}, {Reward: &nan}, {Event: "won"}, {Task: "two\nlines"}} {
		if err := WriteSidecar(path, []Label{l}); !errors.Is(err, ErrSidecar) {
			t.Errorf("%+v: error %v", l, err)
		}
	}
	if again, err := ReadSidecar(path); err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("a refused write changed the file: %+v, %v", again, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestSidecarRefused: what no one could mean is refused, with its line.
func TestSidecarRefused(t *testing.T) {
	const head = "stamp_ns,reward,event,task\n1,0.5,,\n"
	for _, tc := range []struct{ rows, says string }{
		{"2,NaN,,\n", `line 3: unusable sidecar file: reward "NaN" is no finite number`},
		{"2,-Inf,,\n", `line 3: unusable sidecar file: reward "-Inf"`},
		{"2,1e999,,\n", `line 3: unusable sidecar file: reward "1e999"`},
		{"2,1,,\n3,1,,\n", "over 2 rows"},
	} {
		_, err := parseSidecar(strings.NewReader(head+tc.rows), 2)
		if !errors.Is(err, ErrSidecar) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q: error %v", tc.rows, err)
		}
	}
	if labels, err := parseSidecar(strings.NewReader(head+"2,1,,\n"), 2); err != nil || len(labels) != 2 {
		t.Errorf("%d labels, error %v", len(labels), err)
	}
}

// TestSidecarByteOrderMark: spreadsheets begin a table with one.
func TestSidecarByteOrderMark(t *testing.T) {
	labels, err := parseSidecar(strings.NewReader("\ufeffstamp_ns,reward,event,task\r\n1,0.5,,\r\n"), 2)
	if err != nil || len(labels) != 1 {
		t.Errorf("%d labels, error %v", len(labels), err)
	}
}

// TestSidecarUnreadable: what is in a file's place, and a disk's fault, are said.
func TestSidecarUnreadable(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.csv")
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe} {
		if _, err := ReadSidecar(path); !errors.Is(err, ErrSidecar) || !errors.Is(err, rosbag2.ErrNotRegular) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", path, err)
		}
	}
	const head = "stamp_ns,reward,event,task\n"
	for _, text := range []string{"", head} {
		_, err := parseSidecar(io.MultiReader(strings.NewReader(text), iotest.ErrReader(syscall.EIO)), 2)
		if !errors.Is(err, ErrSidecar) || !errors.Is(err, syscall.EIO) {
			t.Errorf("after %q: error %v", text, err)
		}
	}
}

// TestWrongType: the sentence does not deny the topic that it names.
func TestWrongType(t *testing.T) {
	topics := []rosbag2.Topic{{Name: "/x", Type: "std_msgs/msg/String", Format: "cdr", Count: 1}, {Name: "/\x1b[31m/x", Type: "std_msgs/msg/Bool", Format: "cdr", Count: 1}}
	use := contract.TopicUse{Topic: "/x", Type: "std_msgs/msg/Float64", Role: contract.RoleState}
	_, err := fit("bag", topics[:1], nil, use)
	if !errors.Is(err, ErrType) || strings.Contains(err.Error(), "nothing near") {
		t.Errorf("error %v", err)
	}
	if _, err = fit("bag", topics, nil, use); !strings.Contains(err.Error(), `"/\x1b[31m/x"`) {
		t.Errorf("error %v", err)
	}
	if _, err = fit("bag", topics[:1], nil, contract.TopicUse{Topic: "/something/else", Type: use.Type}); !errors.Is(err, ErrTopic) || !strings.Contains(err.Error(), "nothing near") {
		t.Errorf("error %v", err)
	}
	report := CheckReport{Unused: []string{"/a\x1b[2J"}}
	report.note("joints", "the message names %s", "\x1b[2J")
	report.fail(errors.New("one\ntwo\x1b"))
	if text := report.String(); strings.Contains(text, "\x1b") || !strings.Contains(text, `"/a\x1b[2J"`) {
		t.Errorf("%q", text)
	}
}

// FuzzSidecar: what is read can be written and read again.
func FuzzSidecar(f *testing.F) {
	f.Add([]byte("stamp_ns,reward,event,task\n1,0.5,,\n2,,start,\"a, b\"\n"))
	f.Add([]byte("stamp_ns,reward\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		labels, err := parseSidecar(bytes.NewReader(data), maxSidecarRows)
		if err != nil {
			if !errors.Is(err, ErrSidecar) {
				t.Fatalf("error %v does not wrap ErrSidecar", err)
			}
			return
		}
		path := filepath.Join(t.TempDir(), "s.csv")
		if err := WriteSidecar(path, labels); err != nil {
			t.Fatal(err)
		}
		if back, err := ReadSidecar(path); err != nil || len(back) != len(labels) {
			t.Fatalf("%d labels of %d come back, error %v", len(back), len(labels), err)
		}
	})
}

func TestNearby(t *testing.T) {
	topics := []rosbag2.Topic{
		{Name: "/joint_state", Type: "std_msgs/msg/String", Count: 1},
		{Name: "/arm/joint_states", Type: "sensor_msgs/msg/JointState", Count: 2},
		{Name: "/joint_stats", Type: "sensor_msgs/JointState", Count: 3},
		{Name: "/camera/info", Type: "sensor_msgs/msg/CameraInfo", Count: 4},
		{Name: "/empty", Type: "sensor_msgs/msg/JointState"},
	}
	use := contract.TopicUse{Topic: "/joint_states", Type: "sensor_msgs/msg/JointState", Role: contract.RoleState}
	want := "; the bag has /joint_stats (sensor_msgs/JointState, 3 messages), /arm/joint_states (sensor_msgs/msg/JointState, 2 messages), /joint_state (std_msgs/msg/String, 1 messages)"
	if got := nearby(topics, use); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	if got := nearby(topics[3:], use); got != "" {
		t.Errorf("%q", got)
	}
}

// TestFinished: what a recorder has closed, the youngest first, beside what it
// has not.
func TestFinished(t *testing.T) {
	dir := t.TempDir()
	if done, open, err := Finished(dir); err != nil || len(done)+len(open) > 0 {
		t.Fatalf("an empty folder: %v, %v, %v", done, open, err)
	}
	for _, name := range []string{"b", "a", "c"} {
		r, joints, _ := declare(t, filepath.Join(dir, name))
		if err := errors.Join(r.Write("/joint_states", 5e9, joints), r.Close()); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "a", "metadata.yaml"), old, old); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(dir, "c", "c_0.mcap")
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		"half/half_0.mcap":     string(data[:len(data)/2]),
		"splits/splits_0.mcap": string(data),
		"splits/splits_1.mcap": string(data[:len(data)/2]),
		"live/live_0.db3":      "SQLite format 3",
		"lone/x.mcap":          string(data),
		"lone/y.db3":           "SQLite format 3",
		"lone/z.db3":           "SQLite format 3",
		"lone/z.db3-wal":       "to come",
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	done, open, err := Finished(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := func(paths []string) (out []string) {
		for _, p := range paths {
			rel, err := filepath.Rel(dir, p)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, rel)
		}
		return out
	}
	if got := names(done); len(got) != 5 || got[4] != "a" || !slices.Equal(slices.Sorted(slices.Values(got)), []string{"a", "b", "c", "lone/x.mcap", "lone/y.db3"}) {
		t.Errorf("finished %v", got)
	}
	if got := names(rosbag2.EndedSplits(filepath.Join(dir, "splits"))); !slices.Equal(got, []string{"splits/splits_0.mcap"}) {
		t.Errorf("ended splits %v", got)
	}
	if got := names(open); !slices.Equal(got, []string{"half", "live", "lone/z.db3", "splits"}) {
		t.Errorf("open %v", got)
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	for _, file := range []string{"b/metadata.yaml", "b/b_0.mcap", "b/b_1.mcap", "a/one.db3", "a/notes.txt", ".trash/x.mcap", "deep/er/z/metadata.yaml", "deep/er/z/z.mcap.zstd", "zst/one.mcap.zst", "zst/x/metadata.yaml", "zst/x/x.db3.zst", "meta/metadata.yaml", "split/x_0.db3", "split/x_1.db3", "days/may_1.mcap", "days/may_2.mcap"} {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(root, "a", "pipe.mcap"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Find(root, filepath.Join(root, "b"), filepath.Join(root, "a", "one.db3"))
	want := []string{filepath.Join(root, "a/one.db3"), filepath.Join(root, "b"), filepath.Join(root, "days/may_1.mcap"), filepath.Join(root, "days/may_2.mcap"), filepath.Join(root, "deep/er/z"), filepath.Join(root, "split"), filepath.Join(root, "zst/one.mcap.zst"), filepath.Join(root, "zst/x")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, error %v, want %v", got, err, want)
	}
	if _, err := Find(filepath.Join(root, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("wrong path: error %v", err)
	}
	if _, err := Find(filepath.Join(root, "meta")); !errors.Is(err, ErrNoBag) {
		t.Errorf("no bags: error %v", err)
	}
}

// TestFindLinks: linked folders are followed, each folder once.
func TestFindLinks(t *testing.T) {
	root, far := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(root, "own", "one.mcap"), filepath.Join(far, "bag", "bag_0.mcap"), filepath.Join(far, "two.db3")} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"a_up": filepath.Dir(root), "a_self": root, "b_own": filepath.Join(root, "own"), "far": far, "far_again": far, ".hidden": far, "nowhere": filepath.Join(far, "none")} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(far, filepath.Join(far, "circle")); err != nil {
		t.Fatal(err)
	}
	got, err := Find(root)
	want := []string{filepath.Join(root, "far/bag"), filepath.Join(root, "far/two.db3"), filepath.Join(root, "own/one.mcap")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, error %v, want %v", got, err, want)
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := int64(1); i <= 10000; i++ {
		h.add(i * 1e5)
	}
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
		want := q * 1e9
		if got := float64(h.quantile(q)); math.Abs(got-want) > 0.02*want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if n := h.above(5e8); n < 4900 || n > 5000 {
		t.Errorf("%d values above the middle", n)
	}
	for _, v := range []int64{0, 1, 63, 64, 127, 128, 1000, 1 << 40, math.MaxInt64} {
		if m := middle(bin(v)); math.Abs(float64(m)-float64(v)) > 0.01*float64(v) {
			t.Errorf("%d is counted as %d", v, m)
		}
	}
	if (&histogram{}).quantile(0.5) != 0 {
		t.Error("quantile of nothing")
	}
}
