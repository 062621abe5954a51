package reach

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"arfm/bags"
	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
)

// Epoch is when recordings start, ns of ROS time: 2026-01-01.
const Epoch = int64(1767225600) * 1e9

// RecordOptions says what to record.
type RecordOptions struct {
	Episodes int
	Seed     uint64
	Quality  Quality // default Mixed
	Shares   Shares  // of Mixed; zero: DefaultShares
	PerBag   int     // episodes in a bag; default 25
	NoImages bool    // leave the camera out
	Progress func(episodes int)
}

// Recorded says what was recorded.
type Recorded struct {
	Bags      []string        `json:"bags"`
	Episodes  int             `json:"episodes"`
	Frames    int             `json:"frames"`
	Successes int             `json:"successes"`
	ByQuality map[Quality]int `json:"by_quality"`
}

// Record writes demonstrations as rosbag2 bags (MCAP) into the folder dir,
// which is made if need be; the bags must not exist. Several episodes share a
// bag, marked by events on TopicEpisode. The same options give the same bytes.
func Record(ctx context.Context, dir string, o RecordOptions) (Recorded, error) {
	out := Recorded{ByQuality: map[Quality]int{}}
	if o.Episodes < 1 {
		return out, fmt.Errorf("reach: %d episodes to record, give 1 or more", o.Episodes)
	}
	if o.Quality == "" {
		o.Quality = Mixed
	}
	if _, err := ParseQuality(string(o.Quality)); err != nil {
		return out, err
	}
	if o.Shares == (Shares{}) {
		o.Shares = DefaultShares
	}
	if o.PerBag <= 0 {
		o.PerBag = 25
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return out, fmt.Errorf("reach: %w", err)
	}
	s, err := newSpeaker()
	if err != nil {
		return out, err
	}
	for first := 0; first < o.Episodes; first += o.PerBag {
		path := filepath.Join(dir, fmt.Sprintf("reach_%s_%03d", o.Quality, first/o.PerBag))
		if err := recordBag(ctx, path, s, o, first, &out); err != nil {
			return out, err
		}
		out.Bags = append(out.Bags, path)
	}
	return out, nil
}

// recordBag records the episodes of one bag, from number first on.
func recordBag(ctx context.Context, path string, s *speaker, o RecordOptions, first int, out *Recorded) error {
	rec, err := bags.NewRecorder(path, rosbag2.WriterOptions{})
	if err != nil {
		return err
	}
	defer rec.Abort()
	b := &bag{rec: rec, s: s, o: o, t: Epoch}
	for _, t := range topicTypes {
		qos := ""
		switch {
		case t.topic == TopicImage && o.NoImages:
			continue
		case t.topic == TopicInstruction:
			qos = bags.Latched
		}
		if err := rec.Declare(t.topic, s.types[t.topic], qos); err != nil {
			return err
		}
	}
	if err := b.write(TopicInstruction, b.t, s.recs[TopicInstruction]); err != nil {
		return err
	}
	for i := first; i < min(first+o.PerBag, o.Episodes); i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.episode(uint64(i), out); err != nil {
			return err
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
	s   *speaker
	o   RecordOptions
	t   int64 // when the next episode starts
}

func (b *bag) write(topic string, t int64, rec *cdr.Record) error {
	if b.s.err != nil {
		return b.s.err
	}
	return b.rec.Write(topic, t, rec)
}

// observe writes what is seen at time t.
func (b *bag) observe(w *World, t int64) error {
	err := b.write(TopicState, t, b.s.state(w, t))
	if err == nil {
		err = b.write(TopicTarget, t, b.s.target(w, t))
	}
	if err == nil && !b.o.NoImages {
		err = b.write(TopicImage, t, b.s.image(w, t))
	}
	return err
}

// episode records one demonstration. It goes on for a moment after a success,
// so that the data show how to stay.
func (b *bag) episode(index uint64, out *Recorded) error {
	rng := rand.New(rand.NewPCG(b.o.Seed, index))
	w := NewWorld(rng)
	q := b.o.Quality
	if q == Mixed {
		q = b.o.Shares.draw(rng)
	}
	demo := newDemonstrator(q, w, rng)
	t, last := b.t, w.Q
	if err := b.write(TopicEpisode, t, b.s.event("START", t)); err != nil {
		return err
	}
	for {
		if err := b.observe(w, t); err != nil {
			return err
		}
		set, ok := demo.next()
		if !ok || w.Steps == MaxSteps {
			break
		}
		if err := b.write(TopicCommand, t, b.s.command(last, set, t)); err != nil {
			return err
		}
		t, last = t+Period, set
		if err := b.write(TopicReward, t, b.s.reward(w.Step(set), t)); err != nil {
			return err
		}
		out.Frames++
	}
	event := "FAILURE"
	if w.Success() {
		event = "SUCCESS"
		out.Successes++
	}
	out.Episodes++
	out.ByQuality[q]++
	// The next episode starts two periods later: the command in force a period
	// after the last frame is still this one's.
	b.t = t + 2*Period
	return b.write(TopicEpisode, t, b.s.event(event, t))
}
