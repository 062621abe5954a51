//go:build ros

package driver

import (
	"errors"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
	"arfm/policy"
	"arfm/policy/contract"
)

// maxUnsent bounds the chunks that wait to be published; more are dropped.
const maxUnsent = 4

// chunks publishes what the policy answered on ~/action_chunk, beside the loop.
type chunks struct {
	pub   *ros.Publisher
	rec   *cdr.Record
	board *board
	log   Logger
	full  chan *answer
	empty chan *answer
	done  chan struct{}
}

type answer struct {
	hash  string
	chunk policy.ActionChunk
}

func newChunks(n *ros.Node, b *board, log Logger) (*chunks, error) {
	pub, err := n.Publisher("~/action_chunk", "arfm/msg/ActionChunk", ros.Default)
	if err != nil {
		return nil, err
	}
	c := &chunks{pub: pub, rec: pub.Type.New(), board: b, log: log, full: make(chan *answer, maxUnsent), empty: make(chan *answer, maxUnsent), done: make(chan struct{})}
	for range maxUnsent {
		c.empty <- &answer{}
	}
	go c.run()
	return c, nil
}

// begin names the columns.
func (c *chunks) begin(ct *contract.Contract) error { return c.rec.Set("names", ct.ActionNames()) }

// put copies a chunk. It does not block.
func (c *chunks) put(hash string, chunk *policy.ActionChunk) {
	select {
	case a := <-c.empty:
		a.hash = hash
		a.chunk.Stamp, a.chunk.Period, a.chunk.Dim = chunk.Stamp, chunk.Period, chunk.Dim
		a.chunk.Values = append(a.chunk.Values[:0], chunk.Values...)
		c.full <- a
	default:
		c.board.set(func() { c.board.lost++ })
	}
}

func (c *chunks) run() {
	defer close(c.done)
	for a := range c.full {
		err := errors.Join(ros.SetTime(c.rec, "header.stamp", a.chunk.Stamp), ros.SetTime(c.rec, "period", a.chunk.Period),
			c.rec.Set("horizon", a.chunk.Horizon()), c.rec.Set("values", a.chunk.Values), c.rec.Set("checkpoint", a.hash))
		if err == nil {
			err = c.pub.Publish(c.rec)
		}
		if err != nil {
			c.log.Errorf("chunk: %v", err)
		}
		c.board.mu.Lock()
		c.board.chunks++
		c.board.mu.Unlock()
		c.empty <- a
	}
}

// close ends it; nothing may be put any more.
func (c *chunks) close() error {
	close(c.full)
	<-c.done
	return c.pub.Close()
}
