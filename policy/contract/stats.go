package contract

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
)

// ErrStats is wrapped by every error about statistics that cannot be used.
var ErrStats = errors.New("unusable statistics")

// maxRows is how many rows of state, and of action, quantiles are taken from:
// all of them up to this number, a uniform sample (reservoir) beyond it.
const maxRows = 1 << 16

// Moments describes one number over a data set, in SI units. Q01 and Q99 are
// the 1 % and 99 % quantiles, linearly interpolated.
type Moments struct {
	Mean float64 `json:"mean"`
	Std  float64 `json:"std"` // of the population
	Q01  float64 `json:"q01"`
	Q99  float64 `json:"q99"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
}

// Stats describes a data set: per state element (S) and per action element
// (A). The action is what the network sees: relative where the contract says
// so, and then over all rows of all chunks.
type Stats struct {
	Frames int       `json:"frames"`
	State  []Moments `json:"state"`
	Action []Moments `json:"action"`
	// Return is of the chunks' returns-to-go, where a policy was told them and all
	// rewards are of one kind; else Returns is, of those of each kind.
	Return  *Moments           `json:"return,omitempty"`
	Returns map[string]Moments `json:"returns,omitempty"`
}

// Describe returns the moments of finite numbers, of which there must be one.
func Describe(x []float64) Moments {
	r := newRows(1, 3)
	for _, v := range x {
		r.add([]float32{float32(v)})
	}
	return r.moments()[0]
}

// StatsBuilder gathers Stats. Mean and deviation are Welford's; the result is
// the same for the same frames in the same order.
type StatsBuilder struct {
	c             *Contract
	relative      []int
	frames        int
	state, action rows
	row           []float32
}

// NewStatsBuilder returns an empty builder for a validated contract.
func NewStatsBuilder(c *Contract) *StatsBuilder {
	return &StatsBuilder{
		c: c, relative: c.RelativeTo(), row: make([]float32, c.ActionDim()),
		state: newRows(c.StateDim(), 1), action: newRows(c.ActionDim(), 2),
	}
}

// Add takes one frame: its state (S) and its chunk of absolute actions
// (H, A), of which the first valid rows are unmasked. Absolute actions are
// counted once, by the chunk's first row; relative ones in every row.
func (b *StatsBuilder) Add(state, chunk []float32, valid int) error {
	dim := b.c.ActionDim()
	if len(state) != b.state.dim || valid < 0 || valid*dim > len(chunk) {
		return fmt.Errorf("%w: a frame with %d state and %d action numbers, %d rows valid, does not fit S %d, A %d",
			ErrStats, len(state), len(chunk), valid, b.state.dim, dim)
	}
	if !finite(state) || !finite(chunk[:valid*dim]) {
		return fmt.Errorf("%w: frame %d is not finite", ErrStats, b.frames)
	}
	b.frames++
	b.state.add(state)
	if b.relative == nil {
		valid = min(valid, 1)
	}
	for h := range valid {
		copy(b.row, chunk[h*dim:])
		for a, s := range b.relative {
			b.row[a] -= state[s]
		}
		b.action.add(b.row)
	}
	return nil
}

// Stats returns the statistics of all frames so far. It fails with ErrStats
// where there are none.
func (b *StatsBuilder) Stats() (*Stats, error) {
	if b.frames == 0 || b.action.n == 0 {
		return nil, fmt.Errorf("%w: no frame with an action was added", ErrStats)
	}
	return &Stats{Frames: b.frames, State: b.state.moments(), Action: b.action.moments()}, nil
}

// rows accumulates vectors of one length.
type rows struct {
	dim      int
	n        int
	mean, m2 []float64
	lo, hi   []float64
	kept     []float32 // (min(n, maxRows), dim)
	rng      *rand.Rand
}

func newRows(dim int, stream uint64) rows {
	return rows{
		dim: dim, mean: make([]float64, dim), m2: make([]float64, dim),
		lo: make([]float64, dim), hi: make([]float64, dim),
		rng: rand.New(rand.NewPCG(0x61726d, stream)),
	}
}

func (r *rows) add(x []float32) {
	r.n++
	for i, f := range x[:r.dim] {
		v := float64(f)
		d := v - r.mean[i]
		r.mean[i] += d / float64(r.n)
		r.m2[i] += d * (v - r.mean[i])
		if r.n == 1 {
			r.lo[i], r.hi[i] = v, v
		}
		r.lo[i], r.hi[i] = min(r.lo[i], v), max(r.hi[i], v)
	}
	if r.n <= maxRows {
		r.kept = append(r.kept, x[:r.dim]...)
	} else if k := r.rng.IntN(r.n); k < maxRows {
		copy(r.kept[k*r.dim:], x[:r.dim])
	}
}

func (r *rows) moments() []Moments {
	out := make([]Moments, r.dim)
	column := make([]float32, min(r.n, maxRows))
	for i := range out {
		for k := range column {
			column[k] = r.kept[k*r.dim+i]
		}
		slices.Sort(column)
		out[i] = Moments{
			Mean: r.mean[i], Std: math.Sqrt(r.m2[i] / float64(r.n)),
			Q01: quantile(column, 0.01), Q99: quantile(column, 0.99),
			Min: r.lo[i], Max: r.hi[i],
		}
	}
	return out
}

// quantile interpolates linearly between the order statistics of sorted x
// (type 7 of Hyndman and Fan 1996).
func quantile(x []float32, q float64) float64 {
	at := q * float64(len(x)-1)
	k := int(at)
	if k+1 >= len(x) {
		return float64(x[len(x)-1])
	}
	a, b := float64(x[k]), float64(x[k+1])
	return a + (at-float64(k))*(b-a)
}

// Normalizer maps state and action to the numbers a network works with, and
// back: y = (x - offset) * scale. With NormalizeQuantile -1 and 1 are the 1 %
// and 99 % quantiles, or minimum and maximum where these lie over ten times as
// far apart (see add). An element that never changed in the data becomes 0, and its inverse is that constant whatever the network says. The
// slices may be the same; they hold any number of rows. It is safe for
// concurrent use.
type Normalizer struct {
	state, action affine
}

type affine struct {
	offset, scale, inverse []float32
}

// NewNormalizer returns the contract's normalisation by these statistics.
// Statistics that do not fit the contract or are not finite are refused with
// ErrStats.
func NewNormalizer(c *Contract, s *Stats) (*Normalizer, error) {
	if s == nil || len(s.State) != c.StateDim() || len(s.Action) != c.ActionDim() {
		return nil, fmt.Errorf("%w: they do not have the contract's S %d, A %d", ErrStats, c.StateDim(), c.ActionDim())
	}
	var n Normalizer
	for _, part := range []struct {
		name string
		in   []Moments
		out  *affine
	}{{"state", s.State, &n.state}, {"action", s.Action, &n.action}} {
		for i, m := range part.in {
			if !m.valid() {
				return nil, fmt.Errorf("%w: those of %s element %d are not finite or not in order", ErrStats, part.name, i)
			}
			part.out.add(m, c.Normalize)
		}
	}
	returns := slices.Collect(maps.Values(s.Returns))
	if s.Return != nil {
		returns = append(returns, *s.Return)
	}
	for _, m := range returns {
		if !m.valid() {
			return nil, fmt.Errorf("%w: those of the returns are not finite or not in order", ErrStats)
		}
	}
	return &n, nil
}

func (m *Moments) valid() bool {
	for _, v := range []float64{m.Mean, m.Std, m.Q01, m.Q99, m.Min, m.Max} {
		if math.IsNaN(v) || math.Abs(v) > math.MaxFloat32 {
			return false
		}
	}
	return m.Std >= 0 && m.Q01 <= m.Q99 && m.Min <= m.Max
}

// maxReach is how often minimum to maximum may hold the span of the quantiles.
const maxReach = 10

// add appends one element. Quantiles that say little of where the element goes
// (those of a gripper that seldom moves lie as close as its noise) give way to
// minimum and maximum: a value that does occur is never far outside [-1, 1].
func (a *affine) add(m Moments, normalize string) {
	centre, half := m.Mean, m.Std
	if normalize == NormalizeQuantile {
		lo, hi := m.Q01, m.Q99
		if tiny(hi-lo, m) || m.Max-m.Min > maxReach*(hi-lo) {
			lo, hi = m.Min, m.Max
		}
		centre, half = (lo+hi)/2, (hi-lo)/2
	}
	scale, inverse := 1/half, half
	if tiny(half, m) {
		scale, inverse = 0, 0
	}
	a.offset = append(a.offset, float32(centre))
	a.scale = append(a.scale, float32(scale))
	a.inverse = append(a.inverse, float32(inverse))
}

// tiny says whether a spread is no more than float32's rounding of the values.
func tiny(spread float64, m Moments) bool {
	return spread <= 1e-6*max(1e-3, math.Abs(m.Min), math.Abs(m.Max))
}

// maxState bounds a normalised state. An element that hardly moved in training
// has a large scale: a touch that moves it a little would else drown all others.
const maxState = 5

// State normalises rows of states, (..., S), within +-5.
func (n *Normalizer) State(dst, src []float32) {
	n.state.forward(dst, src)
	for i, x := range dst[:len(src)] {
		dst[i] = min(max(x, -maxState), maxState)
	}
}

// Action normalises rows of actions, (..., A), relative where the contract
// says so.
func (n *Normalizer) Action(dst, src []float32) { n.action.forward(dst, src) }

// InverseAction undoes Action.
func (n *Normalizer) InverseAction(dst, src []float32) {
	a := &n.action
	for i := 0; i < len(src); i += len(a.offset) {
		for k := range a.offset {
			dst[i+k] = src[i+k]*a.inverse[k] + a.offset[k]
		}
	}
}

// Coefficients are the numbers of a Normalizer, for programs that are to
// normalise as it does.
type Coefficients struct {
	StateOffset []float32 `json:"state_offset"` // (S): y = (x - offset) * scale
	StateScale  []float32 `json:"state_scale"`
	StateLimit  float32   `json:"state_limit"` // y is cut off at +-limit
	// ActionOffset and ActionScale, (A), undo the normalisation: x = y * scale + offset.
	ActionOffset []float32 `json:"action_offset"`
	ActionScale  []float32 `json:"action_scale"`
}

// Coefficients returns what State and InverseAction compute with.
func (n *Normalizer) Coefficients() Coefficients {
	return Coefficients{
		StateOffset: slices.Clone(n.state.offset), StateScale: slices.Clone(n.state.scale), StateLimit: maxState,
		ActionOffset: slices.Clone(n.action.offset), ActionScale: slices.Clone(n.action.inverse),
	}
}

func (a *affine) forward(dst, src []float32) {
	for i := 0; i < len(src); i += len(a.offset) {
		for k := range a.offset {
			dst[i+k] = (src[i+k] - a.offset[k]) * a.scale[k]
		}
	}
}

func finite(x []float32) bool {
	for _, v := range x {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
	}
	return true
}
