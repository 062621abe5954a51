//go:build ros

package ros

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/tiiuae/rclgo/pkg/rclgo"
)

// Group runs callbacks one after another on a goroutine of its own. What has to
// be prompt is put into another group than what takes long: joint states into
// another than pictures. Entities may come and go while it runs, which rclgo's
// own spinning does not see.
type Group struct {
	ctx *Context
	log func(error)

	mu     sync.Mutex // held while the wait set changes
	subs   []*rclgo.Subscription
	srvs   []*rclgo.Service
	cls    []*rclgo.Client
	cancel context.CancelFunc // ends the wait in progress
	done   chan struct{}      // closed when it has ended
	closed bool
}

// NewGroup returns a group without entities; log takes what goes wrong in it.
func (c *Context) NewGroup(log func(error)) *Group { return &Group{ctx: c, log: log} }

// change stops the waiting, changes the entities and waits again.
func (g *Group) change(edit func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop()
	edit()
	if !g.closed && len(g.subs)+len(g.srvs)+len(g.cls) > 0 {
		g.start()
	}
}

func (g *Group) stop() {
	if g.cancel != nil {
		g.cancel()
		<-g.done
		g.cancel = nil
	}
}

func (g *Group) start() {
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel, g.done = cancel, make(chan struct{})
	subs, srvs, cls, done := slices.Clone(g.subs), slices.Clone(g.srvs), slices.Clone(g.cls), g.done
	go func() {
		defer close(done)
		ws, err := g.ctx.rcl.NewWaitSet()
		if err == nil {
			ws.AddSubscriptions(subs...)
			ws.AddServices(srvs...)
			ws.AddClients(cls...)
			err = ws.Run(ctx)
			_ = ws.Close()
		}
		if ctx.Err() == nil {
			g.log(fmt.Errorf("ros: waiting for messages ended: %w", tidy(err)))
		}
	}()
}

// Close ends the callbacks; one that runs is waited for.
func (g *Group) Close() {
	g.change(func() { g.closed = true })
}

// remove deletes x from list.
func remove[T comparable](list []T, x T) []T {
	return slices.DeleteFunc(list, func(y T) bool { return y == x })
}
