package replay

import (
	"fmt"
	"math"
	"strings"

	"arfm/policy"
	"arfm/policy/contract"
)

// Errors compares a policy's chunks with the recorded actions, in the action's
// units.
type Errors struct {
	Names []string  `json:"names"`
	Count int64     `json:"count"`  // rows compared
	MAE   []float64 `json:"mae"`    // (A) mean absolute error
	RMSE  []float64 `json:"rmse"`   // (A)
	ByRow []float64 `json:"by_row"` // (H) mean absolute error over the columns, by row of the chunk
	Last  float64   `json:"last"`   // running mean absolute error of the last second or so
}

// String is the comparison in a line.
func (e Errors) String() string {
	if e.Count == 0 {
		return "no recorded action to compare with"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "against %d recorded actions:", e.Count)
	for j, n := range e.Names {
		fmt.Fprintf(&b, " %s %.4f (rms %.4f)", n, e.MAE[j], e.RMSE[j])
	}
	return b.String()
}

// tally compares foreseen actions with recorded ones as their times come.
type tally struct {
	names     []string
	horizon   int
	pending   []policy.ActionChunk // storage is reused
	live      int                  // pending[:live] are in use
	action    []float32
	n         int64
	abs, sq   []float64
	rowSum    []float64
	rowN      []int64
	last      float64
	lastKnown bool
}

// maxPending bounds the chunks whose rows are still to come.
const maxPending = 64

func (t *tally) init(c *contract.Contract) {
	a, h := c.ActionDim(), c.Horizon()
	*t = tally{names: c.ActionNames(), horizon: h, action: make([]float32, a), abs: make([]float64, a), sq: make([]float64, a),
		rowSum: make([]float64, h), rowN: make([]int64, h)}
}

func (t *tally) forget() { t.live = 0 }

func (t *tally) add(c *policy.ActionChunk) {
	if c.Dim != len(t.action) || len(c.Values) != t.horizon*c.Dim || c.Period <= 0 {
		return
	}
	if t.live == maxPending {
		t.drop(0)
	}
	if t.live == len(t.pending) {
		t.pending = append(t.pending, policy.ActionChunk{})
	}
	p := &t.pending[t.live]
	t.live++
	p.Stamp, p.Period, p.Dim = c.Stamp, c.Period, c.Dim
	p.Values = append(p.Values[:0], c.Values...)
}

// drop takes chunk i out and keeps its storage.
func (t *tally) drop(i int) {
	old := t.pending[i]
	copy(t.pending[i:t.live], t.pending[i+1:t.live])
	t.live--
	t.pending[t.live] = old
}

// compare holds every row for time now against the action recorded for it.
func (t *tally) compare(now int64, r *contract.Resampler) {
	for i := 0; i < t.live; {
		if c := &t.pending[i]; now > c.Stamp+int64(t.horizon)*c.Period {
			t.drop(i)
			continue
		}
		i++
	}
	if t.live == 0 || r.Action(now, t.action) != nil {
		return
	}
	for i := range t.live {
		c := &t.pending[i]
		since := now - c.Stamp
		h := int(since/c.Period) - 1
		if since%c.Period != 0 || h < 0 || h >= t.horizon {
			continue
		}
		mean := 0.0
		for j, want := range t.action {
			d := math.Abs(float64(c.Row(h)[j]) - float64(want))
			if d != d || d > math.MaxFloat32 {
				d = math.MaxFloat32
			}
			t.abs[j] += d
			t.sq[j] += d * d
			mean += d / float64(len(t.action))
		}
		t.n++
		t.rowSum[h] += mean
		t.rowN[h]++
		if !t.lastKnown {
			t.last, t.lastKnown = mean, true
		}
		t.last += 0.05 * (mean - t.last)
	}
}

func (t *tally) result() Errors {
	e := Errors{Names: t.names, Count: t.n, Last: t.last, ByRow: make([]float64, t.horizon)}
	for j := range t.abs {
		n := float64(max(t.n, 1))
		e.MAE = append(e.MAE, t.abs[j]/n)
		e.RMSE = append(e.RMSE, math.Sqrt(t.sq[j]/n))
	}
	for h := range e.ByRow {
		e.ByRow[h] = t.rowSum[h] / float64(max(t.rowN[h], 1))
	}
	return e
}
