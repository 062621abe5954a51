//go:build ros

// Package validity asks MoveIt whether the way-points of an action chunk are
// free of collisions and within its constraints, before the chunk leaves.
package validity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/loop"
	"arfm/nodes/ros"
	"arfm/policy"
)

// What is done with a chunk when no answer comes within the budget.
const (
	Hold = "hold" // it is not let through: the arm brakes where its last chunk ends
	Pass = "pass" // it is let through, and counted
)

// Options says who is asked, and about what.
type Options struct {
	Service    string        // moveit_msgs/srv/GetStateValidity, as move_group offers it
	Group      string        // planning group; empty: the whole robot
	Joints     []string      // columns that MoveIt knows; none: all
	Budget     time.Duration // for all way-points of a chunk
	OnNoAnswer string        // Hold or Pass
}

// Counts says how the gate has answered.
type Counts struct {
	Passed, Refused, NoAnswer uint64 // chunks
	Last                      string // why a chunk was refused, or not checked, last
}

// ErrInvalid says that MoveIt found a way-point in collision or out of bounds.
var ErrInvalid = errors.New("MoveIt refuses the chunk")

// ErrOptions is wrapped by New for options that cannot be used.
var ErrOptions = errors.New("validity options")

// Gate checks chunks. Check is for one goroutine at a time.
type Gate struct {
	o       Options
	columns []int // of the chunk that are asked about
	names   []string
	client  *ros.Client

	mu     sync.Mutex
	counts Counts
}

// New returns a gate for chunks with these columns; answers come in through g.
func New(n *ros.Node, g *ros.Group, names []string, o Options) (*Gate, error) {
	if o.OnNoAnswer != Hold && o.OnNoAnswer != Pass {
		return nil, fmt.Errorf("%w: on_no_answer is %q, it must be %s or %s", ErrOptions, o.OnNoAnswer, Hold, Pass)
	}
	if o.Budget <= 0 {
		return nil, fmt.Errorf("%w: the budget is %v, it must be positive", ErrOptions, o.Budget)
	}
	gate := &Gate{o: o}
	if len(o.Joints) == 0 {
		o.Joints = names
	}
	for _, joint := range o.Joints {
		i := slices.Index(names, joint)
		if i < 0 {
			return nil, fmt.Errorf("%w: the action has no joint %s, it has %v", ErrOptions, joint, names)
		}
		gate.columns, gate.names = append(gate.columns, i), append(gate.names, joint)
	}
	var err error
	gate.client, err = n.Client(g, o.Service, "moveit_msgs/srv/GetStateValidity")
	return gate, err
}

// Close ends the gate.
func (g *Gate) Close() error { return g.client.Close() }

// Counts returns how the gate has answered so far; it may be called from any
// goroutine.
func (g *Gate) Counts() Counts {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counts
}

// atOnce is how many rows are asked about at a time: a service's queue holds ten
// requests, and drops what is over that.
const atOnce = 4

// Check asks about every row of a chunk and waits for the answers, for
// the budget at most. The error wraps ErrInvalid, or loop.ErrUnchecked where no
// answer came and that holds the arm.
func (g *Gate) Check(chunk *policy.ActionChunk) error {
	err := g.ask(chunk)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil:
		g.counts.Passed++
		return nil
	case errors.Is(err, ErrInvalid):
		g.counts.Refused++
		g.counts.Last = err.Error()
		return err
	}
	g.counts.NoAnswer++
	g.counts.Last = err.Error()
	if g.o.OnNoAnswer == Pass {
		return nil
	}
	return fmt.Errorf("%w: %w", loop.ErrUnchecked, err)
}

func (g *Gate) ask(chunk *policy.ActionChunk) error {
	ctx, cancel := context.WithTimeout(context.Background(), g.o.Budget)
	defer cancel()
	rows := make([]*cdr.Record, chunk.Horizon()) // the chunk is not ours once this returns
	for h := range rows {
		var err error
		if rows[h], err = g.request(chunk.Row(h)); err != nil {
			return err
		}
	}
	answers := make(chan error, len(rows))
	var next atomic.Int64
	for range min(atOnce, len(rows)) {
		go func() {
			for h := int(next.Add(1)) - 1; h < len(rows); h = int(next.Add(1)) - 1 {
				answers <- g.row(ctx, rows[h], h)
			}
		}()
	}
	var unanswered error
	for range rows {
		switch err := <-answers; {
		case errors.Is(err, ErrInvalid):
			return err // the other rows end with the context
		case err != nil:
			unanswered = err
		}
	}
	return unanswered
}

// request asks about one row; what MoveIt knows of the rest of the robot stays.
func (g *Gate) request(row []float32) (*cdr.Record, error) {
	q := make([]float64, len(g.columns))
	for i, c := range g.columns {
		q[i] = float64(row[c])
	}
	req := g.client.Request.New()
	return req, errors.Join(
		req.Set("group_name", g.o.Group),
		req.Set("robot_state.is_diff", true),
		req.Set("robot_state.joint_state.name", g.names),
		req.Set("robot_state.joint_state.position", q),
	)
}

// row is MoveIt's answer about row h.
func (g *Gate) row(ctx context.Context, req *cdr.Record, h int) error {
	answer, err := g.client.Call(ctx, req)
	if err != nil {
		return err
	}
	if ok, _ := answer.Lookup("valid"); ok == true {
		return nil
	}
	reason := "it is out of bounds or breaks a constraint"
	if a, ok := answer.Lookup("contacts.0.contact_body_1"); ok {
		b, _ := answer.Lookup("contacts.0.contact_body_2")
		reason = fmt.Sprintf("%v would touch %v", a, b)
	}
	return fmt.Errorf("%w: row %d of the chunk: %s", ErrInvalid, h, reason)
}
