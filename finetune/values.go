package finetune

import (
	"context"
	"fmt"
	"math"
	"slices"

	"arfm/finetune/critic"
	"arfm/policy"
)

// What a critic sees of pictures and instructions.
const (
	thumbnail = 8  // side of the grid of mean colours that stands for a picture
	mostTasks = 64 // instructions that it tells apart
)

// transitions are the training chunks as a critic sees them. An observation is
// the normalised state, a thumbnail of each picture and which instruction it is.
//
// Rewards are counted in deviations of the returns-to-go of their kind, from
// their mean, and times 1-gamma: a value is a discounted mean of what is still to
// come, as a return is its plain mean. At an episode's end the arm stays as it is:
// the last reward goes on for ever. A span that ends before its episode is valued
// by its last frame.
type transitions struct {
	d       *dataset
	gamma   float64
	seen    []float32 // (N, observation without instruction)
	width   int
	tasks   int
	task    []int       // (N)
	rewards [][]float64 // of each span
}

var _ critic.Data = (*transitions)(nil)

func newTransitions(d *dataset, gamma float64) *transitions {
	t := &transitions{d: d, gamma: gamma, width: d.config.StateDim + 3*thumbnail*thumbnail*len(d.config.Cameras)}
	var texts []string
	for _, c := range d.train.chunks {
		texts = append(texts, d.frame(&d.train, c).Instruction)
	}
	known := slices.Clone(texts)
	slices.Sort(known)
	known = slices.Compact(known)
	t.tasks = min(len(known), mostTasks)
	t.seen = make([]float32, len(texts)*t.width)
	for k, c := range d.train.chunks {
		i, _ := slices.BinarySearch(known, texts[k])
		t.task = append(t.task, i%t.tasks)
		f, row := d.frame(&d.train, c), t.seen[k*t.width:(k+1)*t.width]
		if n := d.config.StateDim; n > 0 {
			d.norm.State(row[:n], f.State)
			row = row[n:]
		}
		for i := range f.Images {
			row = thumb(row, &f.Images[i])
		}
	}
	t.standardise()
	return t
}

// thumb writes the mean colours of a grid over the picture into dst, from -1 to
// 1, and returns what is behind them.
func thumb(dst []float32, im *policy.Image) []float32 {
	cell := func(i, size int) (lo, hi int) {
		lo = i * size / thumbnail
		return lo, max(lo+1, (i+1)*size/thumbnail)
	}
	for y := range thumbnail {
		top, bottom := cell(y, im.Height)
		for x := range thumbnail {
			left, right := cell(x, im.Width)
			var sum [3]int
			for r := top; r < bottom; r++ {
				for i, v := range im.Pix[3*(r*im.Width+left) : 3*(r*im.Width+right)] {
					sum[i%3] += int(v)
				}
			}
			n := float32((bottom - top) * (right - left))
			for c, s := range sum {
				dst[3*(y*thumbnail+x)+c] = float32(s)/(127.5*n) - 1
			}
		}
	}
	return dst[3*thumbnail*thumbnail:]
}

// standardise brings the rewards of each kind into deviations of its returns.
func (t *transitions) standardise() {
	for i := range t.d.train.spans {
		r := &t.d.rewards[i]
		z, mean, std := slices.Clone(r.Values), 0.0, 1.0
		if of := t.d.kinds[r.Kind()]; of != nil {
			if mean, std = spreadOf(of.returns); std == 0 {
				std = 1
			}
		}
		for k := range z {
			z[k] = (z[k] - mean) / std
		}
		t.rewards = append(t.rewards, z)
	}
}

// spreadOf returns the mean and the deviation of the population: exactly 0 where
// all are equal.
func spreadOf(x []float64) (mean, std float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += (v - x[0]) / n
	}
	mean += x[0]
	for _, v := range x {
		std += (v - mean) * (v - mean) / n
	}
	return mean, math.Sqrt(std)
}

// Sizes returns F and H*A.
func (t *transitions) Sizes() (observation, chunk int) {
	return t.width + t.tasks, t.d.config.Horizon * t.d.config.ActionDim
}

// Known lists the chunks with a return.
func (t *transitions) Known() (known []int) {
	for k, g := range t.d.returns {
		if !math.IsNaN(g) {
			known = append(known, k)
		}
	}
	return known
}

// Observe fills dst with the state, thumbnails and instruction of chunk k.
func (t *transitions) Observe(dst []float32, k int) {
	clear(dst[copy(dst, t.seen[k*t.width:(k+1)*t.width]):])
	dst[t.width+t.task[k]] = 1
}

// Actions fills dst with the actions of chunk k.
func (t *transitions) Actions(dst []float32, k int) {
	t.d.chunk(dst, &t.d.train, t.d.train.chunks[k])
}

// Follow returns what chunk k led to.
func (t *transitions) Follow(k int) critic.Transition {
	c := t.d.train.chunks[k]
	s := t.d.train.spans[c.span]
	z, at, n := t.rewards[c.span], int(c.frame)-s.lo, t.d.valid(&t.d.train, c)
	ends := at+n == len(z)
	whole := s.hi == len(t.d.episodes[s.episode].Frames)
	if ends && !whole {
		n--
	}
	sum, g := 0.0, 1.0
	for j := range n {
		sum += g * (1 - t.gamma) * z[at+j]
		g *= t.gamma
	}
	if ends && whole {
		return critic.Transition{Reward: float32(sum + g*z[len(z)-1])}
	}
	return critic.Transition{Reward: float32(sum), Next: k + n, Discount: float32(g)}
}

// learn does the critic's updates that come before the first step.
func (t *trainer) learn(ctx context.Context) error {
	if t.critic == nil || t.n > 0 {
		return nil
	}
	total := t.obj.Needs().Critic.WarmUp
	said := func(done int64) {
		if t.o.Learning != nil {
			t.o.Learning(done, total)
		}
	}
	for i := range total {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped before the first step: %w", err)
		}
		said(i)
		if err := t.critic.Update(t.streams.Get(streamCritic).Rand); err != nil {
			return fmt.Errorf("%w after %d updates; lower the critic's learning rate or check the rewards", err, i)
		}
	}
	if total > 0 {
		said(total)
	}
	return nil
}

// judge lets the critic take a step and say how good the batch's chunks are.
func (t *trainer) judge() error {
	if t.critic == nil {
		return nil
	}
	if err := t.critic.Update(t.streams.Get(streamCritic).Rand); err != nil {
		return err
	}
	t.appraise(t.step.Advantage, t.chunks)
	return nil
}

// appraise fills dst with the critic's advantages of chunks, 0 where no reward is
// known: neither good nor bad.
func (t *trainer) appraise(dst []float32, chunks []int) {
	t.critic.Advantage(dst, chunks)
	for i, k := range chunks {
		if math.IsNaN(t.data.returns[k]) {
			dst[i] = 0
		}
	}
}
