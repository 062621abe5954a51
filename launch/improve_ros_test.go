//go:build ros

package launch

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
	"arfm/nodes/ros"
	"arfm/policy"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
)

// answered are the chunks that were heard live, by the stamp of their frame.
type answered struct {
	mu     sync.Mutex
	chunks map[int64][]float32
	hash   map[int64]string
	ages   []time.Duration // of each chunk's frame when the chunk was heard
}

func hearChunks(o *observer) *answered {
	a := &answered{chunks: map[int64][]float32{}, hash: map[int64]string{}}
	o.hear("/policy_node/action_chunk", "arfm/msg/ActionChunk", ros.QoS{Reliable: true, Depth: 100}, func(_ int64, rec *cdr.Record) {
		t := contract.Stamp(rec)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.chunks[t], a.hash[t] = slices.Clone(field[[]float32](rec, "values")), field[string](rec, "checkpoint")
		a.ages = append(a.ages, time.Duration(time.Now().UnixNano()-t))
	})
	return a
}

// stamps returns those of all chunks, in order.
func (a *answered) stamps() []int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.chunks))
}

// of returns the stamps of the chunks that one set of weights gave.
func (a *answered) of(hash string) []int64 {
	return slices.DeleteFunc(a.stamps(), func(t int64) bool { return a.hash[t] != hash })
}

// improve runs the loop of a robot that learns: the policy works, is recorded
// in both storages, is fine-tuned on what sim_node recorded, and the new weights
// take over. Afterwards the frames of the recordings are held against those
// that were built live.
func improve(t *testing.T, o *observer, b *board, checkpoints string) {
	dir := t.TempDir()
	first := filepath.Join(dir, "checkpoints", "first.safetensors")
	copyNewest(t, checkpoints, first)
	params := write(t, "params.yaml", `
policy_node: {ros__parameters: {deterministic: true, replan_rows: 2}}
finetune_node: {ros__parameters: {batch: 16, threads: 1}}
`)
	a := hearChunks(o)
	b.forget()
	p := bringup(t, filepath.Join(dir, "home"), "checkpoint_dir:="+filepath.Dir(first), "params_file:="+params, "record:="+filepath.Join(dir, "mcap"),
		"finetune:=true", "bag_dir:="+filepath.Join(dir, "episodes"), "record_dir:="+filepath.Join(dir, "episodes"))
	db := filepath.Join(dir, "sqlite3", "bag")
	recorder := run(t, "ros2", append([]string{"bag", "record", "--use-sim-time", "--storage", "sqlite3", "--output", db, "/policy_node/action_chunk"}, simTopics(t)...)...)
	b.is(t, "tracking")
	for range 3 { // episodes
		time.Sleep(4 * time.Second)
		shows(t, "reset", call(t, "service", "call", "/sim_node/reset", "arfm/srv/Reset", "{}"), "success=True")
	}
	before := state[string](b, "checkpoint")
	finetuned(t, b, filepath.Dir(first))
	recorder.stop(t, 20*time.Second)
	p.interrupt(t)
	mcap, _ := filepath.Glob(filepath.Join(dir, "mcap", "*"))
	if len(mcap) != 1 {
		t.Fatalf("bags of the launch's recorder: %v", mcap)
	}
	for storage, bag := range map[string]string{"mcap": mcap[0], "sqlite3": db} {
		t.Run(storage, func(t *testing.T) {
			usable(t, bag, first)
			sameFrames(t, bag, first, a, before)
		})
	}
}

// copyNewest copies the newest checkpoint of a folder.
func copyNewest(t *testing.T, from, to string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(from, "*.safetensors"))
	slices.Sort(files)
	if len(files) == 0 {
		t.Fatalf("no checkpoint in %s", from)
	}
	data, err := os.ReadFile(files[len(files)-1])
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(to), 0o777), os.WriteFile(to, data, 0o666))
	}
	if err != nil {
		t.Fatal(err)
	}
}

const simContract = "contracts/sim_state.yaml"

// simTopics are the topics of the simulated arm's contract.
func simTopics(t *testing.T) (topics []string) {
	t.Helper()
	c, err := contract.Load(simContract)
	if err != nil {
		t.Fatal(err)
	}
	for _, use := range c.Topics() {
		topics = append(topics, use.Topic)
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

var resultHash = regexp.MustCompile(`hash: ([0-9a-f]{64})`)

// finetuned sends a goal to finetune_node and waits until policy_node works
// with what comes of it.
func finetuned(t *testing.T, b *board, checkpoints string) {
	t.Helper()
	missed := state[uint64](b, "missed_ticks")
	out := call(t, "action", "send_goal", "--feedback", "/finetune_node/finetune", "arfm/action/Finetune", "{objective: arfm, steps: 30}")
	shows(t, "send_goal", out, "Goal accepted with ID", "Feedback: step: ", "effective_sample_size: ", "success: true", "Goal finished with status: SUCCEEDED")
	m := resultHash.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("there is no hash in the result:\n%s", out)
	}
	eventually(t, time.Minute, "the new weights are in use", func() bool { return state[string](b, "checkpoint") == m[1] })
	if path := state[string](b, "path"); filepath.Dir(path) != checkpoints {
		t.Errorf("the weights are from %s", path)
	}
	if n := state[uint64](b, "swaps"); n != 1 {
		t.Errorf("%d swaps", n)
	}
	b.is(t, "tracking")
	t.Logf("%d ticks missed during fine-tuning and swap, %d before, of %d", state[uint64](b, "missed_ticks")-missed, missed, state[uint64](b, "ticks"))
}

// usable: the command line reads a recording and trains on it.
func usable(t *testing.T, bag, init string) {
	t.Helper()
	program := filepath.Join(os.Getenv("ARFM_ROS_WS"), "arfm/lib/arfm/arfm")
	out, err := exec.Command(program, "bag", "check", "--contract", simContract, bag).CombinedOutput()
	t.Logf("%v\n%s", err, out)
	if err != nil {
		t.Error("bag check: the recording does not fit")
	}
	out, err = exec.Command(program, "train", "--init", init, "--bags", bag, "--steps", "3", "--batch", "8", "--save-every", "0", "--eval-chunks", "8", "--out", filepath.Join(t.TempDir(), "run")).CombinedOutput()
	if err != nil {
		t.Errorf("train: %v\n%s", err, out)
	}
}

// sameFrames holds what the policy answers to the frames of a recording against
// what it answered live, to the bit. A message that came in a frame's last
// moments may have come to one side only: then the answer is that to a frame in
// which some topics' messages are taken as received a little later or earlier.
func sameFrames(t *testing.T, bag, file string, a *answered, hash string) {
	t.Helper()
	ck, err := checkpoint.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	r := record(t, bag, ck)
	stamps := slices.DeleteFunc(a.of(hash), func(t int64) bool { return t < r.start+1e9 || t > r.end })
	equal, other := 0, 0
	moved := map[string]int{}
	for _, at := range stamps {
		if slices.Equal(a.chunks[at], r.answer(t, at, nil)) {
			equal++
		} else if how := r.explain(t, at, a.chunks[at]); how != "" {
			moved[how]++
		} else {
			other++
		}
	}
	t.Logf("of %d chunks %d are equal to the bit; those that are with messages received later or earlier: %v; others: %d", len(stamps), equal, moved, other)
	// A machine that is too busy may lose messages on one side.
	if len(stamps) < 50 || equal < len(stamps)*3/4 || other > len(stamps)/20 {
		t.Errorf("frames of the recording are not those that were built live")
	}
}

// recording is what a policy needs of a bag.
type recording struct {
	start, end int64
	contract   *contract.Contract
	policy     policy.Policy
	topics     []string
	messages   []received
}

type received struct {
	topic string
	at    int64
	rec   *cdr.Record
}

func record(t *testing.T, path string, ck *checkpoint.Checkpoint) *recording {
	t.Helper()
	b, err := rosbag2.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p, err := ck.Policy(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.NoiseScale = 0
	r := &recording{start: b.Info().Start, end: b.Info().End, contract: ck.Contract, policy: p}
	for _, use := range ck.Contract.Topics() {
		switch use.Role {
		case contract.RoleState, contract.RoleImage, contract.RoleInstruction:
			if !slices.Contains(r.topics, use.Topic) {
				r.topics = append(r.topics, use.Topic)
			}
		}
	}
	reg, err := b.Registry()
	if err != nil {
		t.Fatal(err)
	}
	it, err := b.Messages(rosbag2.Filter{Topics: r.topics})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for {
		m, err := it.Next()
		if errors.Is(err, io.EOF) {
			return r
		}
		if err != nil {
			t.Fatal(err)
		}
		typ, err := reg.Type(contract.NormalType(m.Topic.Type))
		if err != nil {
			t.Fatal(err)
		}
		rec, err := typ.Decode(slices.Clone(m.Data))
		if err != nil {
			t.Fatal(err)
		}
		r.messages = append(r.messages, received{m.Topic.Name, m.LogTime, rec})
	}
}

// answer is the policy's to the frame at a time, with the messages of a topic
// taken as received so much later; nil where there is no frame.
func (r *recording) answer(t *testing.T, at int64, later map[string]int64) []float32 {
	t.Helper()
	var before []received
	for _, m := range r.messages {
		if m.at += later[m.topic]; m.at <= at && m.at > at-1e9 || m.topic == "/arfm/instruction" && m.at <= at {
			before = append(before, m)
		}
	}
	slices.SortStableFunc(before, func(a, b received) int { return cmp.Compare(a.at, b.at) })
	resample := contract.NewResampler(r.contract)
	for _, m := range before {
		if err := resample.Push(m.topic, m.at, m.rec); err != nil {
			t.Error(err)
		}
	}
	var obs policy.Observation
	if err := resample.Observe(at, &obs); err != nil {
		return nil
	}
	var chunk policy.ActionChunk
	if err := r.policy.Act(&obs, &chunk); err != nil {
		t.Fatal(err)
	}
	return chunk.Values
}

// explain looks for topics whose messages, received a little later or in no time,
// make the answer at a time what it was.
func (r *recording) explain(t *testing.T, at int64, want []float32) string {
	t.Helper()
	try := func(shifts []int64, n int) string {
		later := map[string]int64{}
		for _, topic := range r.topics {
			if shift := shifts[n%len(shifts)]; shift != 0 {
				later[topic] = shift
			}
			n /= len(shifts)
		}
		if !slices.Equal(r.answer(t, at, later), want) {
			return ""
		}
		var how []string
		for _, topic := range slices.Sorted(maps.Keys(later)) {
			how = append(how, fmt.Sprintf("%s %d ms", topic, later[topic]/1e6))
		}
		return strings.Join(how, ", ")
	}
	for _, shifts := range [][]int64{{0, -100e6}, {0, 10e6}, {0, 20e6}, {0, 30e6}, {0, 40e6}} {
		for n := range int(math.Pow(float64(len(shifts)), float64(len(r.topics)))) {
			if how := try(shifts, n); how != "" {
				return how
			}
		}
	}
	return ""
}
