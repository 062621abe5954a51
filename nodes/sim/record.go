package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
)

// Epoch is when recordings start, ns of ROS time: 2026-01-01.
const Epoch = int64(1767225600) * 1e9

// RecordOptions says what to record.
type RecordOptions struct {
	Suite    *Suite
	Episodes int // the suite's tasks take turns
	Seed     uint64
	Quality  Quality            // default Expert
	Shares   Shares             // of Mixed; zero: DefaultShares
	PerBag   int                // episodes in a bag; default 25
	NoImages bool               // leave the cameras out
	Progress func(episodes int) // may be nil
}

// Recorded says what was recorded.
type Recorded struct {
	Bags      []string         `json:"bags"`
	Episodes  int              `json:"episodes"`
	Frames    int              `json:"frames"`
	Successes int              `json:"successes"`
	ByTask    map[string]Tally `json:"by_task"` // by instruction
	ByQuality map[string]Tally `json:"by_quality"`
}

// Tally counts episodes and how many of them succeeded.
type Tally struct {
	Episodes  int `json:"episodes"`
	Successes int `json:"successes"`
}

func (r *Recorded) add(e *Episode, q Quality) {
	t, k := r.ByTask[e.Instruction()], r.ByQuality[string(q)]
	t.Episodes++
	k.Episodes++
	r.Episodes++
	if e.Success() {
		t.Successes++
		k.Successes++
		r.Successes++
	}
	r.ByTask[e.Instruction()], r.ByQuality[string(q)] = t, k
}

// Validate completes the options and returns what cannot be used.
func (o *RecordOptions) Validate() error {
	switch {
	case o.Suite == nil:
		return errors.New("sim: no suite to record")
	case o.Episodes < 1:
		return fmt.Errorf("sim: %d episodes to record, give 1 or more", o.Episodes)
	}
	if o.Quality == "" {
		o.Quality = Expert
	}
	if o.Shares == (Shares{}) {
		o.Shares = DefaultShares
	}
	if o.PerBag <= 0 {
		o.PerBag = 25
	}
	_, err := ParseQuality(string(o.Quality))
	return err
}

// Record writes demonstrations as rosbag2 bags (MCAP) into the folder dir,
// which is made if need be; the bags must not exist. Several episodes share a
// bag, marked by events on TopicEpisode. The same options give the same bytes.
func Record(ctx context.Context, dir string, o RecordOptions) (Recorded, error) {
	out := Recorded{ByTask: map[string]Tally{}, ByQuality: map[string]Tally{}}
	if err := o.Validate(); err != nil {
		return out, err
	}
	e, err := o.Suite.NewEpisode()
	if err != nil {
		return out, err
	}
	defer e.Close()
	s, err := NewSpeaker(e)
	if err != nil {
		return out, err
	}
	defer s.Close()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return out, fmt.Errorf("sim: cannot make the folder for the bags: %w", err)
	}
	for first := 0; first < o.Episodes; first += o.PerBag {
		path := filepath.Join(dir, fmt.Sprintf("%s_%s_%03d", o.Suite.Name, o.Quality, first/o.PerBag))
		if err := recordBag(ctx, path, e, s, &o, first, &out); err != nil {
			return out, err
		}
		out.Bags = append(out.Bags, path)
	}
	return out, nil
}

// recordBag records the episodes of one bag, from number first on.
func recordBag(ctx context.Context, path string, e *Episode, s *Speaker, o *RecordOptions, first int, out *Recorded) error {
	rec, err := bags.NewRecorder(path, rosbag2.WriterOptions{})
	if err != nil {
		return err
	}
	defer rec.Abort()
	b := &bag{rec: rec, e: e, s: s, o: o, t: Epoch}
	for _, t := range Topics {
		qos := ""
		switch {
		case o.NoImages && slices.Contains(CameraTopics, t.Topic):
			continue
		case t.Topic == TopicInstruction:
			qos = bags.Latched
		}
		if err := rec.Declare(t.Topic, s.msg.Of(t.Topic).Type(), qos); err != nil {
			return err
		}
	}
	for i := first; i < min(first+o.PerBag, o.Episodes); i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.episode(i, out); err != nil {
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
	rec *bags.Recorder
	e   *Episode
	s   *Speaker
	o   *RecordOptions
	t   int64 // when the next episode starts, ns
}

// write takes what the speaker gives.
func (b *bag) write(topic string, t int64, rec *cdr.Record, err error) error {
	if err != nil {
		return err
	}
	return b.rec.Write(topic, t, rec)
}

// observe writes what is seen at time t.
func (b *bag) observe(t int64) error {
	for _, topic := range Topics {
		if topic.Topic == TopicInstruction || b.o.NoImages && slices.Contains(CameraTopics, topic.Topic) {
			continue
		}
		rec, err := b.s.Observation(topic.Topic, t)
		if rec == nil && err == nil {
			continue // a topic of another kind
		}
		if err := b.write(topic.Topic, t, rec, err); err != nil {
			return err
		}
	}
	return nil
}

// episode records one demonstration. It goes on for a moment after a success,
// so that the data show how to stay.
func (b *bag) episode(index int, out *Recorded) error {
	rng := rand.New(rand.NewPCG(b.o.Seed, uint64(index)))
	q := b.o.Quality
	if q == Mixed {
		q = b.o.Shares.draw(rng)
	}
	if err := b.e.Begin(index%len(b.e.Tasks), rng); err != nil {
		return err
	}
	demo, t := NewDemonstrator(q, b.e, rng), b.t
	event := func(name string) error {
		rec, err := b.s.event(name, t)
		return b.write(TopicEpisode, t, rec, err)
	}
	rec, err := b.s.Observation(TopicInstruction, t)
	if err := b.write(TopicInstruction, t, rec, err); err != nil {
		return err
	}
	if err := event("START"); err != nil {
		return err
	}
	for {
		if err := b.observe(t); err != nil {
			return err
		}
		set, velocity, ok := demo.Next()
		if !ok || b.e.Steps == b.e.TimeLimit {
			break
		}
		rec, err := b.s.command(set, velocity, t)
		if err := b.write(TopicCommand, t, rec, err); err != nil {
			return err
		}
		r, err := b.e.Step(set, velocity)
		if err != nil {
			return err
		}
		t += Period
		rec, err = b.s.reward(r, t)
		if err := b.write(TopicReward, t, rec, err); err != nil {
			return err
		}
		out.Frames++
	}
	out.add(b.e, q)
	// The next episode starts two periods later: the command in force a period
	// after the last frame is still this one's.
	b.t = t + 2*Period
	if b.e.Success() {
		return event("SUCCESS")
	}
	return event("FAILURE")
}
