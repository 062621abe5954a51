package reach

import (
	"math/rand/v2"
	"sync"
	"time"

	"arfm/nodes/loop"
	"arfm/nodes/runner"
	"arfm/policy"
	"arfm/policy/contract"
)

// Live is the arm doing one episode after another, as a loop.Source (virtual
// or by the wall clock) and its loop.Sink. Between episodes the target jumps
// and the arm goes on from where it is.
type Live struct {
	a     *arm
	rng   *rand.Rand
	wall  bool
	begin time.Time
	t     int64 // time that the world has come to, a multiple of Period
	now   int64 // virtual time

	mu      sync.Mutex
	results LiveResults
	recent  []bool
	onEnd   func(success bool, steps int)
}

// LiveResults counts the episodes of a Live arm.
type LiveResults struct {
	Episodes  int     `json:"episodes"`
	Successes int     `json:"successes"`
	Recent    float64 `json:"recent"` // success rate of the last 20 episodes
}

var (
	_ loop.Virtual = (*Live)(nil)
	_ loop.Sink    = (*Live)(nil)
)

// NewLive returns a live arm for a contract. wall: time is the wall clock's,
// else virtual. ended, if not nil, is called at the end of each episode.
func NewLive(c *contract.Contract, seed uint64, wall bool, ended func(success bool, steps int)) (*Live, error) {
	rng := rand.New(rand.NewPCG(seed, evalStream+1))
	a, err := newArm(c, NewWorld(rng))
	if err != nil {
		return nil, err
	}
	return &Live{a: a, rng: rng, wall: wall, begin: time.Now(), t: Epoch, now: Epoch, onEnd: ended}, nil
}

// LoopConfig returns the loop configuration that fits the arm.
func (l *Live) LoopConfig(c *contract.Contract, replanRows int) loop.Config {
	return loop.Config{Runner: runnerConfig(c, replanRows), Virtual: !l.wall}
}

// Results returns the count so far; it may be called from any goroutine.
func (l *Live) Results() LiveResults {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.results
}

// Now implements loop.Source.
func (l *Live) Now() int64 {
	if l.wall {
		return Epoch + int64(time.Since(l.begin))
	}
	return l.now
}

// Advance implements loop.Virtual.
func (l *Live) Advance(t int64) (int64, error) {
	l.now = t
	return t, nil
}

// Observe implements loop.Source: the arm moves on to t, then is looked at.
func (l *Live) Observe(t int64, obs *policy.Observation) error {
	for l.t+Period <= t {
		l.a.step()
		l.t += Period
		if l.a.w.Done() {
			l.next()
		}
	}
	return l.a.observe(t, obs)
}

// Command implements loop.Sink.
func (l *Live) Command(fx *runner.Effects) error {
	l.a.command(fx)
	return nil
}

// next draws the target of the next episode.
func (l *Live) next() {
	old := l.a.w
	w := &World{Q: old.Q, V: old.V, Target: randomTarget(l.rng)}
	for w.Distance() < 0.15 {
		w.Target = randomTarget(l.rng)
	}
	l.a.w = w
	l.mu.Lock()
	l.results.Episodes++
	if old.Success() {
		l.results.Successes++
	}
	l.recent = append(l.recent, old.Success())
	if len(l.recent) > 20 {
		l.recent = l.recent[1:]
	}
	n := 0
	for _, ok := range l.recent {
		if ok {
			n++
		}
	}
	l.results.Recent = float64(n) / float64(len(l.recent))
	l.mu.Unlock()
	if l.onEnd != nil {
		l.onEnd(old.Success(), old.Steps)
	}
}
