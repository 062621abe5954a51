package contract

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"arfm/policy"
)

// msg is a message as a decoder would give it, by path.
type msg struct {
	typ    string
	fields map[string]any
}

func (m *msg) TypeName() string { return m.typ }

func (m *msg) Lookup(path string) (any, bool) {
	v, ok := m.fields[path]
	return v, ok
}

// stamped makes a message with a header.
func stamped(typ string, stamp int64, fields map[string]any) *msg {
	fields["header.stamp.sec"] = int32(stamp / 1e9)
	fields["header.stamp.nanosec"] = uint32(stamp % 1e9)
	return &msg{typ, fields}
}

func jointState(stamp int64, names []string, pos, vel []float64) *msg {
	return stamped("sensor_msgs/msg/JointState", stamp, map[string]any{"name": names, "position": pos, "velocity": vel})
}

const msec = int64(1e6)

// oneState is a contract with one joint as state and command.
func oneState(t testing.TB, align string, extra string) *Contract {
	return mustParse(t, fmt.Sprintf(`{version: 1, rate_hz: 10, observation: {state: [
  {topic: /s, type: sensor_msgs/msg/JointState, names: [a], align: %s, max_age_ms: 250%s}]},
  action: {topic: /c, type: std_msgs/msg/Float64MultiArray, indices: [1], unit: position, horizon: 4}}`, align, extra))
}

func TestAlign(t *testing.T) {
	type in struct{ received, stamp int64 } // ms; the value is the time of receipt
	for _, tc := range []struct {
		name, align, extra string
		in                 []in
		t                  int64
		want               float32 // value; -1: stale, -2: no sample
	}{
		{"hold takes the newest", AlignHold, "", []in{{900, 890}, {990, 980}}, 1000, 990},
		{"a stamp at t counts", AlignHold, "", []in{{1000, 1000}}, 1000, 1000},
		{"what is received later is not known", AlignHold, "", []in{{950, 940}, {1001, 990}}, 1000, 950},
		{"hold does not take the future", AlignHold, "", []in{{950, 940}, {990, 1010}}, 1000, 950},
		{"asof takes the nearest, also after t", AlignAsof, "", []in{{950, 940}, {990, 1010}}, 1000, 990},
		{"asof does not take what is received later", AlignAsof, "", []in{{950, 940}, {1001, 1000}}, 1000, 950},
		{"out of order: the newest by stamp", AlignHold, "", []in{{980, 970}, {990, 960}}, 1000, 980},
		{"equal stamps: the later arrival is kept", AlignHold, "", []in{{980, 970}, {990, 970}}, 1000, 990},
		{"asof, equal stamps: the later arrival", AlignAsof, "", []in{{980, 970}, {990, 970}}, 1000, 990},
		{"asof, as near before as after: the newer stamp", AlignAsof, "", []in{{980, 990}, {985, 1010}}, 1000, 985},
		{"asof, as near after as before: the newer stamp", AlignAsof, "", []in{{980, 1010}, {985, 990}}, 1000, 980},
		{"a very late message hides nothing before it came", AlignHold, "", []in{{905, 900}, {1250, 950}}, 1100, 905},
		{"stale", AlignHold, "", []in{{740, 740}}, 1000, -1},
		{"as old as is allowed", AlignHold, "", []in{{750, 750}}, 1000, 750},
		{"drop: within the period", AlignDrop, "", []in{{901, 901}}, 1000, 901},
		{"drop: a period old is too old", AlignDrop, "", []in{{900, 900}}, 1000, -1},
		{"nothing", AlignHold, "", nil, 1000, -2},
		{"only the future", AlignHold, "", []in{{990, 1010}}, 1000, -2},
		{"zero stamp: receive time", AlignHold, "", []in{{990, 0}}, 1000, 990},
		{"clock receive", AlignHold, ", clock: receive", []in{{990, 10}}, 1000, 990},
	} {
		r := NewResampler(oneState(t, tc.align, tc.extra))
		for _, m := range tc.in {
			if err := r.Push("/s", m.received*msec, jointState(m.stamp*msec, []string{"a"}, []float64{float64(m.received)}, nil)); err != nil {
				t.Fatal(err)
			}
		}
		var obs policy.Observation
		err := r.Observe(tc.t*msec, &obs)
		var stale *StaleError
		switch {
		case tc.want == -1:
			if !errors.As(err, &stale) || stale.Topic != "/s" {
				t.Errorf("%s: error %v, want a StaleError", tc.name, err)
			}
		case tc.want == -2:
			if !errors.Is(err, ErrNoSample) {
				t.Errorf("%s: error %v, want ErrNoSample", tc.name, err)
			}
			if said := strings.Contains(err.Error(), "10ms ahead"); said != (len(tc.in) > 0) {
				t.Errorf("%s: %v", tc.name, err)
			}
		case err != nil || obs.State[0] != tc.want:
			t.Errorf("%s: %v, error %v, want %v", tc.name, obs.State, err, tc.want)
		}
	}
}

func TestSelect(t *testing.T) {
	names := Selection{Field: "position", Names: []string{"b", "a"}}
	both := Selection{Field: "position", Names: []string{"b", "a"}, Indices: []int{2, 0}}
	js := func(names []string, pos ...float64) *msg { return jointState(1, names, pos, nil) }
	for _, tc := range []struct {
		name string
		sel  Selection
		m    *msg
		want []float32
		err  error
	}{
		{"by name", names, js([]string{"a", "c", "b"}, 1, 2, 3), []float32{3, 1}, nil},
		{"by order", names, js(nil, 1, 2), []float32{1, 2}, nil},
		{"by index where there are no names", both, js(nil, 1, 2, 3), []float32{3, 1}, nil},
		{"names go before indices", both, js([]string{"a", "b"}, 1, 2), []float32{2, 1}, nil},
		{"neither order nor index", names, js(nil, 1, 2, 3), nil, ErrField},
		{"a joint is missing", names, js([]string{"a", "c"}, 1, 2), nil, ErrField},
		{"none of the joints", names, js([]string{"x", "y"}, 1, 2), nil, errOtherJoints},
		{"short array", names, js([]string{"a", "b"}, 1), nil, ErrField},
		{"NaN", names, js([]string{"a", "b"}, 1, math.NaN()), nil, ErrNotFinite},
		{"too big for float32", names, js([]string{"a", "b"}, 1, 1e300), nil, ErrNotFinite},
		{"NaN elsewhere", names, js([]string{"a", "b", "c"}, 1, 2, math.NaN()), []float32{2, 1}, nil},
		{"paths", Selection{Fields: []string{"p.x", "on", "arr.1"}},
			&msg{"x", map[string]any{"p.x": float32(2), "on": true, "arr": []int16{7, 8}}}, []float32{2, 1, 8}, nil},
		{"no number", Selection{Fields: []string{"p"}}, &msg{"x", map[string]any{"p": "text"}}, nil, ErrField},
		{"one number", Selection{Field: "data"}, &msg{"x", map[string]any{"data": uint8(9)}}, []float32{9}, nil},
		{"nested names", Selection{Field: "actual.positions", Names: []string{"b"}},
			&msg{"x", map[string]any{"joint_names": []string{"a", "b"}, "actual.positions": []float64{1, 2}}}, []float32{2}, nil},
		{"no such field", Selection{Field: "q", Indices: []int{0}}, js(nil, 1), nil, ErrField},
	} {
		e, dst := newExtractor(tc.sel), make([]float32, tc.sel.Dim())
		for range 2 { // the second time by the remembered order
			err := e.take(tc.m, dst)
			if !errors.Is(err, tc.err) || (tc.err == nil && !slices.Equal(dst, tc.want)) {
				t.Errorf("%s: %v, error %v, want %v, %v", tc.name, dst, err, tc.want, tc.err)
			}
		}
	}
}

// TestNamesOfTheMessage: what is said of joints that do not fit lists those
// that are there, bounded and on one line.
func TestNamesOfTheMessage(t *testing.T) {
	many := []string{"a", "line\nbreak", strings.Repeat("long", 1000)}
	for i := range 5000 {
		many = append(many, fmt.Sprint("joint_", i))
	}
	order := make([]int, 2)
	err := matchNames([]string{"a", "b"}, many, order)
	for _, want := range []string{`joint "b"`, `a, line\nbreak, longlong`, "joint_8 and 4991 more"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 500 {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if err := matchNames([]string{"b", "c"}, []string{"x", "y"}, order); !errors.Is(err, errOtherJoints) || !strings.Contains(err.Error(), "x, y") {
		t.Errorf("error %v", err)
	}
}

// TestRefused: a message that is refused leaves no trace in any stream.
func TestRefused(t *testing.T) {
	c := mustParse(t, `{version: 1, rate_hz: 10, observation: {state: [
  {topic: /s, type: sensor_msgs/msg/JointState, field: position, names: [a]},
  {topic: /s, type: sensor_msgs/msg/JointState, field: velocity, names: [a]}]},
  action: {from: next_state, names: [a], unit: velocity, horizon: 1}}`)
	r := NewResampler(c)
	push := func(m Message) error { return r.Push("/s", 900*msec, m) }
	if err := push(jointState(800*msec, []string{"a"}, []float64{1}, []float64{2})); err != nil {
		t.Fatal(err)
	}
	if err := push(jointState(850*msec, []string{"a"}, []float64{5}, []float64{math.Inf(1)})); !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), "/s") {
		t.Errorf("error %v, want ErrNotFinite that names the topic", err)
	}
	if err := push(jointState(0, []string{"z"}, []float64{5}, []float64{5})); err != nil {
		t.Errorf("another robot's joints: %v", err)
	}
	if err := push(jointState(700*msec, []string{"a"}, []float64{8}, []float64{8})); err != nil {
		t.Errorf("late: %v", err)
	}
	if err := push(jointState(2000*msec, []string{"a"}, []float64{8}, []float64{8})); err != nil {
		t.Errorf("from the future: %v", err)
	}
	if err := push(&msg{typ: "std_msgs/msg/String"}); !errors.Is(err, ErrType) {
		t.Errorf("error %v, want ErrType", err)
	}
	if err := r.Push("/other", 1, &msg{}); !errors.Is(err, ErrTopic) {
		t.Errorf("error %v, want ErrTopic", err)
	}
	var obs policy.Observation
	if err := r.Observe(1000*msec, &obs); err != nil || !slices.Equal(obs.State, []float32{1, 2}) {
		t.Errorf("state %v, error %v", obs.State, err)
	}
	if got := r.Samples()[0]; got.Age != 200*time.Millisecond || got.Topic != "/s" {
		t.Errorf("sample %+v", got)
	}
	act := make([]float32, 1)
	if err := r.Action(1100*msec, act); err != nil || act[0] != 2 {
		t.Errorf("next state %v, error %v, want the velocity 2", act, err)
	}
	n := r.Counts()[0]
	if n.Reason = ""; n.Others != "z" {
		t.Errorf("the skipped message names %q", n.Others)
	}
	n.Others = ""
	if want := (TopicCount{Topic: "/s", Messages: 6, Unstamped: 1, OutOfOrder: 1, Ahead: 1, Refused: 2, Skipped: 1}); n != want {
		t.Errorf("counts %+v, want %+v", n, want)
	}
	if err := r.Observe(100*msec, &obs); !errors.Is(err, ErrPast) {
		t.Errorf("error %v, want ErrPast", err)
	}
}

func TestActionHold(t *testing.T) {
	r := NewResampler(oneState(t, AlignHold, ""))
	dst := make([]float32, 1)
	if err := r.Action(100*msec, dst); !errors.Is(err, ErrNoSample) {
		t.Errorf("error %v, want ErrNoSample", err)
	}
	for i, at := range []int64{100, 150, 210} {
		if err := r.Push("/c", at*msec, &msg{"std_msgs/msg/Float64MultiArray", map[string]any{"data": []float64{9, float64(i)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Action(200*msec, dst); err != nil || dst[0] != 1 {
		t.Errorf("command at 200 ms is %v, error %v, want 1", dst, err)
	}
	if err := r.Action(9000*msec, dst); err != nil || dst[0] != 2 {
		t.Errorf("command at 9 s is %v, error %v, want 2: a command holds until the next", dst, err)
	}
	if n := r.Counts()[1]; n.Unstamped != 3 {
		t.Errorf("unstamped %d, want 3", n.Unstamped)
	}
}

// parityContract uses every alignment, two fields of one topic, and images.
const parityContract = `
version: 1
rate_hz: 10
observation:
  state:
    - {topic: /s, type: sensor_msgs/msg/JointState, field: position, names: [a, b], align: hold}
    - {topic: /s, type: sensor_msgs/msg/JointState, field: velocity, names: [a], align: asof}
    - {topic: /f, type: geometry_msgs/msg/TwistStamped, fields: [x], align: drop}
  images:
    cam: {topic: /i, type: sensor_msgs/msg/Image, size: [8, 8]}
action: {topic: /t, type: trajectory_msgs/msg/JointTrajectory, names: [a], unit: position, horizon: 4}
`

type arrival struct {
	topic    string
	received int64
	m        Message
}

// traffic makes jittered, delayed, sometimes bad messages in order of arrival.
func traffic(rng *rand.Rand, seconds int64) []arrival {
	var out []arrival
	rates := map[string]int64{"/s": 7, "/f": 40, "/i": 33, "/t": 210} // ms between messages
	for topic, every := range rates {
		for at := every; at < seconds*1000; at += every {
			stamp := at*msec + rng.Int64N(every*msec)
			if rng.IntN(40) == 0 {
				stamp += 300 * msec // a glitch of the sender's clock
			}
			v := rng.NormFloat64()
			if rng.IntN(50) == 0 {
				v = math.NaN()
			}
			var m Message
			switch topic {
			case "/s":
				m = jointState(stamp, []string{"b", "a"}, []float64{v, float64(at)}, []float64{1, v})
			case "/f":
				m = stamped("geometry_msgs/msg/TwistStamped", stamp, map[string]any{"x": v})
			case "/i":
				pix := make([]byte, 16*16)
				for i := range pix {
					pix[i] = byte(rng.Uint32())
				}
				m = rawImageMsg("mono8", 16, 16, 16, false, pix)
			case "/t":
				m = trajectoryMsg(stamp, []string{"a"}, point{300 * msec, []float64{v}, []float64{0.1}, nil})
			}
			out = append(out, arrival{topic, at*msec + rng.Int64N(30*msec), m})
		}
	}
	slices.SortFunc(out, func(a, b arrival) int { return int(a.received - b.received) })
	return out
}

type answer struct {
	obs    policy.Observation
	action [1]float32
	errs   [2]string
}

func ask(r *Resampler, t int64) answer {
	var a answer
	if err := r.Action(t, a.action[:]); err != nil {
		a.errs[0], a.action = err.Error(), [1]float32{}
	}
	if err := r.Observe(t, &a.obs); err != nil {
		a.errs[1], a.obs = err.Error(), policy.Observation{}
	}
	return a
}

// TestParity: frames asked offline, as soon as the bag passes their time, are
// equal to the bit to frames asked live, some messages late.
func TestParity(t *testing.T) {
	c := mustParse(t, parityContract)
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 0))
		in := traffic(rng, 6)
		offline, live := NewResampler(c), NewResampler(c)
		usable := 0
		next := c.Period()
		var want []answer
		for _, m := range in {
			for ; next < m.received; next += c.Period() {
				want = append(want, ask(offline, next))
			}
			_ = offline.Push(m.topic, m.received, m.m)
		}
		k := 0
		late := rng.Int64N(c.Period())
		for i, m := range in {
			_ = live.Push(m.topic, m.received, m.m)
			due := int64(k+1)*c.Period() + late
			if k >= len(want) || m.received < due || (i+1 < len(in) && m.received > due+c.Period()/2) {
				continue
			}
			got := ask(live, int64(k+1)*c.Period())
			if !reflect.DeepEqual(got, want[k]) {
				t.Fatalf("seed %d, frame %d asked %v late:\n%+v\noffline\n%+v", seed, k, time.Duration(late), got, want[k])
			}
			if got.errs[1] == "" {
				usable++
			}
			k++
		}
		if usable < 10 {
			t.Errorf("seed %d: only %d frames were usable", seed, usable)
		}
	}
}

// TestHistoryIsBounded floods every stream, also from the future.
func TestHistoryIsBounded(t *testing.T) {
	c := mustParse(t, parityContract)
	r := NewResampler(c)
	for i := range int64(20000) {
		stamp := i * msec
		if i > 10000 {
			stamp += 1e15
		}
		if err := r.Push("/f", i*msec, stamped("geometry_msgs/msg/TwistStamped", stamp, map[string]any{"x": 1.0})); err != nil {
			t.Fatal(err)
		}
		if n := len(r.byTopic["/f"].streams[0].history); n > maxSamples || (i < 10000 && n > 300) {
			t.Fatalf("after %d messages the history has %d", i, n)
		}
	}
}

// TestBytesAreBounded: what images take is bounded whatever their number.
func TestBytesAreBounded(t *testing.T) {
	s := &stream{camera: &camera{}}
	for i := range int64(12) {
		s.push(sample{received: i, stamp: i, image: &rawImage{data: make([]byte, 60<<20)}}, -1)
		if s.bytes > maxTotal || len(s.history) != min(int(i)+1, maxTotal/(60<<20)) {
			t.Fatalf("after %d images %d are kept, %d bytes", i+1, len(s.history), s.bytes)
		}
		for _, m := range s.freeImg { // not for use again in this test
			m.data = nil
		}
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	r := NewResampler(oneState(t, AlignHold, ""))
	m := jointState(1000*msec, []string{"a"}, []float64{1}, nil)
	if err := r.Push("/s", 1000*msec, m); err != nil {
		t.Fatal(err)
	}
	var obs policy.Observation
	if n := testing.AllocsPerRun(100, func() {
		if err := r.Observe(1000*msec, &obs); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
