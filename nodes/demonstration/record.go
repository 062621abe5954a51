package demonstration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
)

// Topics of every recording, beside those that tell of the arm.
const (
	TopicInstruction = "/arfm/instruction"
	TopicCommand     = "/joint_trajectory_controller/joint_trajectory"
	TopicReward      = "/arfm/reward"
	TopicEpisode     = "/arfm/episode"
)

// Epoch is when recordings start, ns of ROS time: 2026-01-01.
const Epoch = int64(1767225600) * 1e9

// Options says what to record.
type Options struct {
	Episodes int
	Seed     uint64
	Quality  Quality            // default Mixed
	Shares   Shares             // of Mixed; zero: DefaultShares
	PerBag   int                // episodes in a bag; default 25
	NoImages bool               // leave the cameras out
	Progress func(episodes int) // may be nil
}

// Validate completes the options and returns what cannot be used.
func (o *Options) Validate() error {
	switch {
	case o.Episodes < 1:
		return fmt.Errorf("%d episodes to record, give 1 or more", o.Episodes)
	case o.PerBag < 0:
		return fmt.Errorf("%d episodes in a bag, give 1 or more, or 0 for the usual number", o.PerBag)
	}
	if o.Quality == "" {
		o.Quality = Mixed
	}
	if o.Shares == (Shares{}) {
		o.Shares = DefaultShares
	}
	if o.PerBag == 0 {
		o.PerBag = 25
	}
	if err := o.Shares.Validate(); err != nil {
		return err
	}
	_, err := ParseQuality(string(o.Quality))
	return err
}

// Draw returns the quality of an episode's demonstrator: the one that is asked
// for, of Mixed one of the three.
func (o *Options) Draw(rng *rand.Rand) Quality {
	if o.Quality == Mixed {
		return o.Shares.draw(rng)
	}
	return o.Quality
}

// Recorded says what was recorded.
type Recorded struct {
	Bags      []string          `json:"bags"`
	Episodes  int               `json:"episodes"`
	Frames    int               `json:"frames"`
	Successes int               `json:"successes"`
	ByTask    map[string]Tally  `json:"by_task"` // by instruction
	ByQuality map[Quality]Tally `json:"by_quality"`
}

// Tally counts episodes and how many of them succeeded.
type Tally struct {
	Episodes  int `json:"episodes"`
	Successes int `json:"successes"`
}

func (t Tally) plus(success bool) Tally {
	t.Episodes++
	if success {
		t.Successes++
	}
	return t
}

func (r *Recorded) add(task string, q Quality, success bool) {
	total := Tally{r.Episodes, r.Successes}.plus(success)
	r.Episodes, r.Successes = total.Episodes, total.Successes
	r.ByTask[task], r.ByQuality[q] = r.ByTask[task].plus(success), r.ByQuality[q].plus(success)
}

// Event fills and returns the record of TopicEpisode, stamped t, by the name of
// the event's constant.
func Event(m *bags.Messages, t int64, name, task string) *cdr.Record {
	m.Stamp(TopicEpisode, t)
	m.Set(TopicEpisode, "event", m.Constant(TopicEpisode, name))
	m.Set(TopicEpisode, "task", task)
	return m.Of(TopicEpisode)
}

// Reward fills and returns the record of TopicReward for the step that ends at t.
func Reward(m *bags.Messages, t int64, value float64) *cdr.Record {
	m.Stamp(TopicReward, t)
	m.Set(TopicReward, "value", value)
	return m.Of(TopicReward)
}

// Arm is an arm and its demonstrator, one episode at a time. Records are reused.
type Arm interface {
	// Messages holds a record for each topic, those above among them.
	Messages() *bags.Messages
	// Begin draws episode number index, and its demonstrator's quality with
	// o.Draw.
	Begin(index int, o *Options, rng *rand.Rand) (Quality, error)
	// Instruction is the task in words.
	Instruction() string
	// Observation fills and returns the record of a topic that tells of the
	// arm's state, stamped t; nil for other topics.
	Observation(topic string, t int64) (*cdr.Record, error)
	// Next fills the record of TopicCommand with what the demonstrator commands
	// for a period from t on; false: the episode is over.
	Next(t int64) (bool, error)
	// Step lets the period pass under that command and returns its reward.
	Step() (float64, error)
	Success() bool
}

// Recording is an arm with what its bags are called and made of.
type Recording struct {
	Arm     Arm
	Name    string   // of the bags, before quality and number
	Period  int64    // ns
	Cameras []string // topics that NoImages leaves out
}

// Record writes demonstrations as rosbag2 bags (MCAP) into the folder dir,
// which is made if need be; the bags must not exist. Several episodes share a
// bag, marked by events on TopicEpisode. The same options give the same bytes.
func (r *Recording) Record(ctx context.Context, dir string, o Options) (Recorded, error) {
	out := Recorded{ByTask: map[string]Tally{}, ByQuality: map[Quality]Tally{}}
	if err := o.Validate(); err != nil {
		return out, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return out, fmt.Errorf("cannot make the folder for the bags: %w", err)
	}
	bag := func(first int) string {
		return filepath.Join(dir, fmt.Sprintf("%s_%s_%03d", r.Name, o.Quality, first/o.PerBag))
	}
	for first := 0; first < o.Episodes; first += o.PerBag {
		if _, err := os.Lstat(bag(first)); err == nil {
			return out, fmt.Errorf("bag %s %w: name another folder, or remove it", bag(first), rosbag2.ErrExists)
		}
	}
	for first := 0; first < o.Episodes; first += o.PerBag {
		path := bag(first)
		if err := r.bag(ctx, path, &o, first, &out); err != nil {
			return out, err
		}
		out.Bags = append(out.Bags, path)
	}
	return out, nil
}

// bag records the episodes of one bag, from number first on.
func (r *Recording) bag(ctx context.Context, path string, o *Options, first int, out *Recorded) error {
	rec, err := bags.NewRecorder(path, rosbag2.WriterOptions{})
	if err != nil {
		return err
	}
	defer rec.Abort()
	b := &bag{rec: rec, Recording: r, m: r.Arm.Messages(), t: Epoch}
	for _, t := range b.m.Topics() {
		qos := ""
		switch {
		case o.NoImages && slices.Contains(r.Cameras, t.Topic):
			continue
		case t.Topic == TopicInstruction:
			qos = bags.Latched
		default:
			b.topics = append(b.topics, t.Topic)
		}
		if err := rec.Declare(t.Topic, b.m.Of(t.Topic).Type(), qos); err != nil {
			return err
		}
	}
	for i := first; i < min(first+o.PerBag, o.Episodes); i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.episode(i, o, out); err != nil {
			return fmt.Errorf("episode %d: %w", i, err)
		}
		if o.Progress != nil {
			o.Progress(out.Episodes)
		}
	}
	return rec.Close()
}

// bag is one bag being written.
type bag struct {
	*Recording
	rec    *bags.Recorder
	m      *bags.Messages
	topics []string // but TopicInstruction
	t      int64    // now; the next episode starts here
}

// write takes the topic's record as it stands.
func (b *bag) write(topic string) error {
	if err := b.m.Err(); err != nil {
		return err
	}
	return b.rec.Write(topic, b.t, b.m.Of(topic))
}

// event writes an EpisodeEvent by the name of its constant.
func (b *bag) event(name string) error {
	Event(b.m, b.t, name, b.Arm.Instruction())
	return b.write(TopicEpisode)
}

// observe writes what is seen now.
func (b *bag) observe() error {
	for _, topic := range b.topics {
		switch rec, err := b.Arm.Observation(topic, b.t); {
		case err != nil:
			return err
		case rec == nil: // a topic of another kind
		default:
			if err := b.write(topic); err != nil {
				return err
			}
		}
	}
	return nil
}

// start writes what stands at an episode's beginning.
func (b *bag) start() error {
	b.m.Set(TopicInstruction, "data", b.Arm.Instruction())
	if err := b.write(TopicInstruction); err != nil {
		return err
	}
	return b.event("START")
}

// period writes one frame and lets its period pass; false: the episode is over.
func (b *bag) period() (bool, error) {
	if err := b.observe(); err != nil {
		return false, err
	}
	more, err := b.Arm.Next(b.t)
	if err != nil || !more {
		return false, err
	}
	if err := b.write(TopicCommand); err != nil {
		return false, err
	}
	value, err := b.Arm.Step()
	if err != nil {
		return false, err
	}
	b.t += b.Period
	Reward(b.m, b.t, value)
	return true, b.write(TopicReward)
}

// episode records one demonstration. It goes on for a moment after a success,
// so that the data show how to stay.
func (b *bag) episode(index int, o *Options, out *Recorded) error {
	q, err := b.Arm.Begin(index, o, rand.New(rand.NewPCG(o.Seed, uint64(index))))
	if err != nil {
		return err
	}
	if err := b.start(); err != nil {
		return err
	}
	for more := true; more; {
		if more, err = b.period(); err != nil {
			return err
		}
		if more {
			out.Frames++
		}
	}
	out.add(b.Arm.Instruction(), q, b.Arm.Success())
	end := "FAILURE"
	if b.Arm.Success() {
		end = "SUCCESS"
	}
	err = b.event(end)
	// The next episode starts two periods later: the command in force a period
	// after the last frame is still this one's.
	b.t += 2 * b.Period
	return err
}
