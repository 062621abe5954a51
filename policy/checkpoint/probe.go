package checkpoint

import (
	"fmt"
	"math"

	"arfm/policy/contract"
	"arfm/policy/vla"
)

// Probe is a few questions with fixed noise and the chunks that the model gave
// when it was saved. The questions are drawn from Seed; the answers are
// normalised actions. A file that was damaged, or a build whose kernels compute
// something else, gives other answers.
type Probe struct {
	Seed   uint64      `json:"seed"`
	Chunks [][]float32 `json:"chunks"` // (questions, H*A)
}

const (
	probeSeed      = 1
	probeQuestions = 2
	maxQuestions   = 8

	// ProbeTolerance is how far an answer may lie off, in units of the larger
	// of 1 and the largest element of the stored answer.
	ProbeTolerance = 1e-4
)

// fits refuses a probe that does not belong to the architecture.
func (p *Probe) fits(c vla.Config) error {
	if p == nil || len(p.Chunks) == 0 || len(p.Chunks) > maxQuestions {
		return fmt.Errorf("%w (the file has no probe of 1 to %d questions)", ErrProbe, maxQuestions)
	}
	for i, chunk := range p.Chunks {
		if len(chunk) != c.Horizon*c.ActionDim {
			return fmt.Errorf("%w (answer %d has %d numbers, a chunk %d)", ErrProbe, i, len(chunk), c.Horizon*c.ActionDim)
		}
	}
	return nil
}

// newProbe asks the model and keeps the answers.
func newProbe(ck *Checkpoint, norm *contract.Normalizer) *Probe {
	return &Probe{Seed: probeSeed, Chunks: ask(ck, norm, probeSeed, probeQuestions)}
}

// Verify asks the model the probe's questions and compares the answers within
// ProbeTolerance. The error wraps ErrProbe or, for a checkpoint built by hand,
// ErrArchitecture or ErrStats. It runs on the calling goroutine alone.
func (ck *Checkpoint) Verify() error {
	norm, err := fits(ck.Model.Config, ck.Contract, ck.Stats)
	if err == nil {
		err = ck.Probe.fits(ck.Model.Config)
	}
	if err != nil {
		return named(ck.path, err)
	}
	got := ask(ck, norm, ck.Probe.Seed, len(ck.Probe.Chunks))
	for i, want := range ck.Probe.Chunks {
		scale := 1.0
		for _, w := range want {
			scale = max(scale, math.Abs(float64(w)))
		}
		for k, w := range want {
			// Written so that a NaN fails.
			if d := math.Abs(float64(got[i][k]) - float64(w)); !(d <= ProbeTolerance*scale) {
				return fail(ck.path, ErrProbe, "question %d, element %d is %g, stored is %g", i, k, got[i][k], w)
			}
		}
	}
	return nil
}

// ask draws n questions from seed and returns the normalised answers, (n, H*A).
func ask(ck *Checkpoint, norm *contract.Normalizer, seed uint64, n int) [][]float32 {
	c := ck.Model.Config
	r := stream(seed)
	ws := ck.Model.NewWorkspaceN(1, false, 1)
	b := c.NewBatch(1)
	state := make([]float32, c.StateDim)
	out := make([][]float32, n)
	for q := range out {
		for i, m := range ck.Stats.State { // a state between the quantiles, SI
			state[i] = float32(m.Q01 + r.uniform()*(m.Q99-m.Q01))
		}
		if c.StateDim > 0 {
			norm.State(b.State, state)
		}
		for _, x := range append(b.Features, b.Text) {
			for i := range x {
				x[i] = r.normalish()
			}
		}
		if c.Language && c.Text == nil {
			text := fmt.Sprintf("probe %d %s", q, ck.Contract.Observation.Instruction.Default)
			copy(b.Words, vla.Words(text, c.Vocab, c.MaxWords))
		}
		for _, img := range b.Images {
			for i := range img {
				img[i] = uint8(r.next() >> 56)
			}
		}
		for i := range b.Noisy {
			b.Noisy[i] = r.normalish()
		}
		ck.Model.Sample(ws, b, c.Steps)
		out[q] = append([]float32(nil), b.Noisy...)
	}
	return out
}

// stream is the SplitMix64 generator (Steele, Lea and Flood, OOPSLA 2014). It
// is written out because the questions are part of the file format.
type stream uint64

func (s *stream) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// normalish draws uniformly with mean 0 and variance 1.
func (s *stream) normalish() float32 { return float32(math.Sqrt(3) * (2*s.uniform() - 1)) }

// uniform draws from [0, 1) in steps of 2^-24.
func (s *stream) uniform() float64 { return float64(s.next()>>40) / (1 << 24) }
