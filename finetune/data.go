package finetune

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"

	"arfm/bags"
	"arfm/finetune/reward"
	"arfm/policy/contract"
	"arfm/policy/flow"
	"arfm/policy/vla"
)

// ErrData is wrapped by every error about the episodes that training is given.
var ErrData = errors.New("unusable training data")

// span is a stretch of frames [lo, hi) of one episode. No chunk reaches beyond
// its span, so that training and held-out chunks share no action.
type span struct{ episode, lo, hi int }

// at is a frame that starts a chunk.
type at struct{ span, frame int32 }

// part is the training or the held-out share of a data set.
type part struct {
	spans  []span
	chunks []at // every frame of every span
}

func (p *part) add(s span) {
	if s.hi <= s.lo {
		return
	}
	for f := s.lo; f < s.hi; f++ {
		p.chunks = append(p.chunks, at{int32(len(p.spans)), int32(f)})
	}
	p.spans = append(p.spans, s)
}

// dataset cuts episodes into chunks. Images stay the bytes of the episodes.
type dataset struct {
	contract *contract.Contract
	config   vla.Config
	episodes []bags.Episode
	norm     *contract.Normalizer
	relative []int // state element of each action element; nil when absolute
	words    map[string][]int32
	encoded  *encoded // by frozen backbones; nil without
	train    part
	heldOut  part

	// Of train.chunks, N of them.
	returns   []float64            // return-to-go; NaN where no reward is known
	groups    []string             // names of those that are compared
	kinds     map[string]*rewarded // those with a reward, by its kind
	advantage []float64
	rewards   []reward.Rewards // of train.spans
}

// newDataset checks the episodes against the contract and splits them.
func newDataset(episodes []bags.Episode, c *contract.Contract, heldOut float64, seed uint64) (*dataset, error) {
	d := &dataset{contract: c, episodes: episodes, relative: c.RelativeTo(), words: map[string][]int32{}}
	for i := range episodes {
		if err := checkEpisode(&episodes[i], c); err != nil {
			return nil, err
		}
	}
	d.split(heldOut, flow.NewStream(seed, streamSplit))
	if len(d.train.chunks) == 0 {
		return nil, fmt.Errorf("%w: no frame is left to train on; check the bags against the contract", ErrData)
	}
	return d, nil
}

func checkEpisode(e *bags.Episode, c *contract.Contract) error {
	cameras := c.Cameras()
	bad := func(frame int, format string, args ...any) error {
		return fmt.Errorf("%w: frame %d of episode %d in %s %s; read the bag with the same contract", ErrData, frame, e.Index, e.Bag, fmt.Sprintf(format, args...))
	}
	for i := range e.Frames {
		f := &e.Frames[i]
		switch {
		case len(f.State) != c.StateDim():
			return bad(i, "has %d state numbers, not %d", len(f.State), c.StateDim())
		case len(f.Action) != c.ActionDim():
			return bad(i, "has %d action numbers, not %d", len(f.Action), c.ActionDim())
		case len(f.Images) != len(cameras):
			return bad(i, "has %d images, not %d", len(f.Images), len(cameras))
		case !finite(f.State) || !finite(f.Action):
			return bad(i, "holds NaN or an infinity")
		case i > 0 && f.Stamp <= e.Frames[i-1].Stamp:
			return bad(i, "is not later than the frame before")
		}
		for k, cam := range cameras {
			if im := &f.Images[k]; im.Width != cam.Width || im.Height != cam.Height || len(im.Pix) != 3*cam.Width*cam.Height {
				return bad(i, "has an image of camera %q of %dx%d, not %dx%d", cam.Name, im.Width, im.Height, cam.Width, cam.Height)
			}
		}
	}
	return nil
}

func finite(x []float32) bool {
	for _, v := range x {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
	}
	return true
}

// split holds out whole episodes, drawn at random but never the last of a task
// with its outcome: advantages need both. Where none can leave, each episode gives
// its last frames by time.
func (d *dataset) split(share float64, s *flow.Stream) {
	held := d.draw(share, s)
	inTime := share > 0 && !slices.Contains(held, true)
	for i := range d.episodes {
		n := len(d.episodes[i].Frames)
		border := n
		switch {
		case held[i]:
			border = 0
		case inTime && n > 1: // both parts have a frame
			border = min(max(n-int(math.Round(share*float64(n))), 1), n-1)
		}
		d.train.add(span{i, 0, border})
		d.heldOut.add(span{i, border, n})
	}
}

// draw chooses the episodes that are held out.
func (d *dataset) draw(share float64, s *flow.Stream) (held []bool) {
	type kind struct {
		task    string
		outcome bags.Outcome
	}
	left, held := map[kind]int{}, make([]bool, len(d.episodes))
	of := func(i int) kind { return kind{d.episodes[i].Task, d.episodes[i].Outcome} }
	for i := range d.episodes {
		left[of(i)]++
	}
	want := int(math.Round(share * float64(len(d.episodes))))
	if share > 0 {
		want = max(want, 1)
	}
	for _, i := range s.Perm(len(d.episodes)) {
		if k := of(i); want > 0 && left[k] > 1 {
			held[i] = true
			left[k]--
			want--
		}
	}
	return held
}

// valid returns how many actions of the chunk at c exist: to the end of its
// span or the first gap in time, at most H.
func (d *dataset) valid(p *part, c at) int {
	s := p.spans[c.span]
	frames := d.episodes[s.episode].Frames
	n, period := 1, d.contract.Period()
	for n < d.contract.Horizon() && int(c.frame)+n < s.hi && frames[int(c.frame)+n].Stamp-frames[int(c.frame)+n-1].Stamp == period {
		n++
	}
	return n
}

func (d *dataset) frame(p *part, c at) *bags.Frame {
	return &d.episodes[p.spans[c.span].episode].Frames[c.frame]
}

// actions fills dst (H, A) with the absolute actions of the chunk at c, the
// last valid one repeated over the padding, and returns how many are valid.
func (d *dataset) actions(dst []float32, p *part, c at) int {
	n, a := d.valid(p, c), d.contract.ActionDim()
	frames := d.episodes[p.spans[c.span].episode].Frames[c.frame:]
	for h := range d.contract.Horizon() {
		copy(dst[h*a:(h+1)*a], frames[min(h, n-1)].Action)
	}
	return n
}

// stats describes the training split.
func (d *dataset) stats() (*contract.Stats, error) {
	b := contract.NewStatsBuilder(d.contract)
	chunk := make([]float32, d.contract.Horizon()*d.contract.ActionDim())
	for _, c := range d.train.chunks {
		n := d.actions(chunk, &d.train, c)
		if err := b.Add(d.frame(&d.train, c).State, chunk, n); err != nil {
			return nil, err
		}
	}
	return b.Stats()
}

// use sets the architecture and the normalisation that batches are made for.
func (d *dataset) use(config vla.Config, stats *contract.Stats) (err error) {
	d.config = config
	d.norm, err = contract.NewNormalizer(d.contract, stats)
	return err
}

// batch is what one step sees: the network's inputs, and targets.
type batch struct {
	in     *vla.Batch
	clean  []float32 // (B, H, A) normalised actions
	target []float32 // (B, H, A) u = A - eps
	mask   []float32 // (B, H)
	valid  []int     // (B)
}

func (d *dataset) newBatch(n int) *batch {
	h, a := d.config.Horizon, d.config.ActionDim
	return &batch{
		in: d.config.NewBatch(n), clean: make([]float32, n*h*a), target: make([]float32, n*h*a),
		mask: make([]float32, n*h), valid: make([]int, n),
	}
}

// chunk fills dst (H, A) with the actions of the chunk at c as the network gives
// them, relative where the contract says so and normalised, and returns how many
// are valid.
func (d *dataset) chunk(dst []float32, p *part, c at) int {
	n, a, state := d.actions(dst, p, c), d.config.ActionDim, d.frame(p, c).State
	for k, s := range d.relative {
		for j := k; j < len(dst); j += a {
			dst[j] -= state[s]
		}
	}
	d.norm.Action(dst, dst)
	return n
}

// put assembles the chunk at c as sample i of b: everything but the noise. The
// error is a backbone's or its cache's.
func (d *dataset) put(b *batch, i int, p *part, c at) error {
	h, a := d.config.Horizon, d.config.ActionDim
	f := d.frame(p, c)
	n := d.chunk(b.clean[i*h*a:(i+1)*h*a], p, c)
	b.valid[i] = n
	for j := range h {
		b.mask[i*h+j] = 0
		if j < n {
			b.mask[i*h+j] = 1
		}
	}
	if s := len(f.State); s > 0 {
		d.norm.State(b.in.State[i*s:(i+1)*s], f.State)
	}
	if d.config.Vision == nil {
		for k := range f.Images {
			pix := f.Images[k].Pix
			copy(b.in.Images[k][i*len(pix):(i+1)*len(pix)], pix)
		}
	}
	if d.config.Language && d.config.Text == nil {
		copy(b.in.Words[i*d.config.MaxWords:(i+1)*d.config.MaxWords], d.wordsOf(f.Instruction))
	}
	if d.encoded == nil {
		return nil
	}
	return d.encoded.put(b.in, i, p.spans[c.span].episode, int(c.frame), f)
}

func (d *dataset) wordsOf(text string) []int32 {
	ids, ok := d.words[text]
	if !ok {
		ids = vla.Words(text, d.config.Vocab, d.config.MaxWords)
		d.words[text] = ids
	}
	return ids
}

// noise draws eps and tau for the first n samples and sets A^tau and u.
func (b *batch) noise(n int, eps, times *flow.Stream, tau flow.Sampler) {
	row := len(b.clean) / len(b.valid)
	for i := range n {
		at, end := i*row, (i+1)*row
		e := b.in.Noisy[at:end]
		eps.Normal(e)
		b.in.Tau[i] = tau(times.Rand)
		flow.Target(b.target[at:end], b.clean[at:end], e)
		flow.Interpolate(e, b.clean[at:end], e, b.in.Tau[i])
	}
}

// fingerprint is a SHA-256 over everything that training takes from the
// episodes.
func (d *dataset) fingerprint() string {
	sum := sha256.New()
	var buf []byte
	for i := range d.episodes {
		e := &d.episodes[i]
		fmt.Fprintf(sum, "%d %q %v %q\n", len(e.Frames), e.Task, e.Outcome, e.RewardSource)
		for k := range e.Frames {
			buf = hashFrame(sum, &e.Frames[k], buf[:0])
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func hashFrame(sum hash.Hash, f *bags.Frame, buf []byte) []byte {
	le := binary.LittleEndian
	buf = le.AppendUint64(buf, uint64(f.Stamp))
	buf = le.AppendUint64(buf, math.Float64bits(f.Reward))
	for _, x := range [][]float32{f.State, f.Action} {
		for _, v := range x {
			buf = le.AppendUint32(buf, math.Float32bits(v))
		}
	}
	buf = append(buf, f.Instruction...)
	buf = append(buf, 0)
	sum.Write(buf)
	for i := range f.Images {
		sum.Write(f.Images[i].Pix)
	}
	return buf
}
