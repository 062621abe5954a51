package loop

import (
	"errors"

	"arfm/nodes/runner"
	"arfm/policy"
)

// judge tells the guard which ticks the weights are to blame for: those on
// which their chunk passed a limit, did not start where the arm is, held NaN or
// could not be used, or was missing because inference failed or was slow. A
// sensor that drops out is no fault of theirs: ticks without a usable
// observation, and those until an answer to one after them, are not counted;
// nor are limits that act while the arm catches up after that. The same holds
// for answers that could not be checked.
type judge struct {
	marks     uint64 // policy's interventions up to the last tick
	unseen    bool   // the last observation was not usable
	blind     bool   // since an unusable observation nothing was followed or answered
	blindSeq  uint64 // the last request before that
	catchUp   int    // ticks in which the arm catches up after that
	asked     uint64 // the last request
	unchecked bool   // the last answer could not be checked
	fault     bool   // the last answer was of no use
	blame     bool   // such an answer came since the last counted tick
	fresh     bool   // it came since the last tick
	chunkEnd  int64  // where its plan ends, ns
	confirmed uint64 // the generation that the slot was last told to be proven
}

// catchUpTicks is how long an arm that braked for want of observations may need
// to be back on its plan.
const catchUpTicks = 10

// refusals counts what the runner finds wrong with an observation or a chunk as
// it comes in.
func refusals(c runner.Counters) uint64 {
	return c[runner.NonFinite].Events + c[runner.NotReady].Events
}

// observed takes whether the frame could be used.
func (j *judge) observed(usable bool) { j.unseen = !usable }

// answered takes an inference's result; refused says that the runner did.
func (j *judge) answered(res *result, chunk *policy.ActionChunk, refused bool) {
	if unchecked := errors.Is(res.err, ErrUnchecked); unchecked || j.unchecked {
		j.unchecked, j.catchUp = unchecked, catchUpTicks
		if unchecked {
			j.fault, j.fresh = false, false
			return
		}
	}
	j.fault = res.err != nil || refused
	j.blame = j.blame || j.fault
	if j.fresh = !j.fault; j.fresh {
		j.chunkEnd = chunk.Stamp + int64(chunk.Horizon())*chunk.Period
	}
	if res.seq > j.blindSeq {
		j.blind = false
	}
}

// tick returns the interventions to blame the weights for, 0 or 1, and whether
// the tick counts at all.
func (j *judge) tick(c runner.Counters, holding runner.Intervention, then int64) (bad int64, counts bool) {
	marks := uint64(0)
	for _, i := range [...]runner.Intervention{runner.PositionLimit, runner.VelocityLimit, runner.AccelerationLimit, runner.StartMismatch, runner.Starved} {
		marks += c[i].Events + c[i].Ticks
	}
	acted := marks != j.marks
	j.marks = marks
	if j.fresh && j.chunkEnd < then { // the answer came too late for its plan
		j.fault, j.blame = true, true
	}
	j.fresh = false
	switch {
	case j.unseen || holding == runner.StaleObservation && !j.fault:
		j.blind, j.blindSeq, j.catchUp = true, j.asked, catchUpTicks
	case holding == runner.None:
		j.blind = false
	}
	if j.blind || j.unchecked || holding >= runner.Held {
		return 0, false
	}
	faulty := j.blame || j.fault && holding != runner.None
	j.blame = false
	if j.catchUp > 0 {
		j.catchUp--
		if !faulty {
			return 0, false
		}
	}
	if acted || faulty {
		bad = 1
	}
	return bad, true
}

// judge feeds the guard and does what it asks for.
func (m *machine) judge(fx *runner.Effects, t int64) {
	bad, counts := m.blame.tick(m.run.Counters(), fx.Holding, t+m.cfg.Runner.Period)
	if m.guard == nil || m.answered == 0 || !counts {
		return
	}
	failed := m.guard.Observe(m.answered, bad, 1)
	if p := m.guard.Proven(); p != m.blame.confirmed {
		m.blame.confirmed = p
		m.slot.Confirm(p)
	}
	if !failed {
		return
	}
	back, err := m.slot.RollbackFrom(m.answered)
	if err == nil {
		m.guard.RolledBack(back)
		m.stats.rollbacks++
	}
	if m.cfg.Rollback != nil {
		m.cfg.Rollback(err)
	}
}
