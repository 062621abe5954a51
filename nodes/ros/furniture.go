//go:build ros

package ros

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"arfm/nodes/ros/param"
)

// furnish gives a new node its parameters and its clock.
func (n *Node) furnish() error {
	n.group, n.clock = n.NewGroup(), n.NewGroup() // nothing delays the time
	n.Params = param.NewSet(n.ctx.overrides.For(n.FullName()))
	n.Clock = &Clock{newTimeline()}
	n.stopped, n.warned = make(chan error, 1), map[string]bool{}
	if err := n.Declare(param.Declaration{Name: "use_sim_time", Default: param.Of(false), Description: "take the time from /clock, as a simulation or a played bag gives it"}); err != nil {
		return err
	}
	if err := n.followClock(); err != nil {
		return err
	}
	return n.serveParameters()
}

// followClock subscribes to /clock while use_sim_time is set.
func (n *Node) followClock() error {
	var sub *Subscription
	follow := func(sim bool) error {
		switch {
		case sim && sub == nil:
			typ, err := n.ctx.Type("rosgraph_msgs/msg/Clock")
			if err != nil {
				return err
			}
			n.Clock.t.follow(true)
			sub, err = n.subscribe(n.clock, "/clock", "rosgraph_msgs/msg/Clock", QoS{Depth: 1}, func(m Message) {
				rec, err := typ.Decode(m.Data)
				if err != nil {
					n.Log.WarnEvery(time.Second, "/clock: %v", err)
					return
				}
				now := GetTime(rec, "clock")
				if now < 0 {
					n.Log.WarnEvery(time.Second, "/clock says %.3f s, a time before all others; it is not taken", float64(now)/1e9)
					return
				}
				if from := n.Clock.t.set(now); from > now {
					n.Log.WarnEvery(time.Second, "/clock went back by %.3f s, to %.3f s", float64(from-now)/1e9, float64(now)/1e9)
				}
			})
			return err
		case !sim && sub != nil:
			err := sub.Close()
			sub = nil
			n.Clock.t.follow(false)
			return err
		}
		return nil
	}
	n.Params.OnChange(func(c param.Change) { // one at a time
		for _, p := range c.Changed {
			if p.Name == "use_sim_time" {
				if err := follow(param.Get[bool](n.Params, "use_sim_time")); err != nil {
					n.Log.Errorf("use_sim_time: %v", err)
				}
			}
		}
	})
	return follow(param.Get[bool](n.Params, "use_sim_time"))
}

// Declare declares parameters; see param.Set.
func (n *Node) Declare(declarations ...param.Declaration) error {
	return n.Params.Declare(declarations...)
}

// Run configures and activates a lifecycle node whose autostart is set, waits
// for the end of ctx or for Stop, and shuts the node down. Parameters that are
// set but not declared and QoS that does not fit are logged. A Configure that
// takes long should heed ctx itself.
func (n *Node) Run(ctx context.Context) error {
	if n.machine != nil && param.Get[bool](n.Params, "autostart") {
		for _, label := range []string{"configure", "activate"} {
			if err := n.Trigger(label); err != nil {
				break // it is logged
			}
		}
	}
	n.warnUnused(n.machine != nil && n.State() == Unconfigured)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan struct{})
	go func() { defer close(watched); n.watchQoS(ctx) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-n.stopped:
		stop()
	}
	<-watched
	if n.machine != nil {
		err = errors.Join(err, n.logged(n.machine.shutdown()))
	}
	return err
}

// Stop ends Run, which returns err. Calls after the first have no effect.
func (n *Node) Stop(err error) {
	select {
	case n.stopped <- err:
	default:
	}
}

// warnUnused logs, once, what is set but not declared. QoS of topics is left
// out where they are still to come.
func (n *Node) warnUnused(topicsToCome bool) {
	n.warning.Lock()
	defer n.warning.Unlock()
	for _, u := range n.Params.Unused() {
		if n.warned[u.Name] || topicsToCome && strings.HasPrefix(u.Name, "qos_overrides.") {
			continue
		}
		n.warned[u.Name] = true
		hint := "see `ros2 param list`"
		if u.Near != "" {
			hint = u.Near + " is near it"
		}
		n.Log.Warnf("%s sets %s, which is no parameter of this node; %s", u.Source, u.Name, hint)
	}
}

// sameSignal is for how long after a signal others are taken for the same one:
// on Ctrl-C the terminal sends one and ros2 launch may send another.
const sameSignal = time.Second

// Main is the whole of a node's main function: it starts the node, has setup
// declare and make what it is, and runs it until SIGINT or SIGTERM. A second
// signal, a second later, kills it. The exit status is 0, 1 for a failure and 2
// for wrong arguments.
func Main(name string, setup func(ctx context.Context, n *Node) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { <-ctx.Done(); time.Sleep(sameSignal); stop() }()
	status, err := run(ctx, name, os.Args[1:], setup)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	os.Exit(status)
}

func run(ctx context.Context, name string, args []string, setup func(context.Context, *Node) error) (status int, err error) {
	c, rest, err := NewContext(args)
	if err != nil {
		return 2, err
	}
	defer func() {
		if e := c.Close(); e != nil && err == nil {
			status, err = 1, e
		}
	}()
	if len(rest) > 0 {
		return 2, fmt.Errorf("%q is no argument of this node; parameters follow --ros-args, as in --ros-args -p name:=value", rest[0])
	}
	n, err := c.NewNode(name)
	if err != nil {
		return exitStatus(err), err
	}
	defer func() {
		if e := n.Close(); e != nil && err == nil {
			status, err = 1, e
		}
	}()
	if err := setup(ctx, n); err != nil {
		return exitStatus(err), err
	}
	if err := n.Run(ctx); err != nil {
		return 1, err
	}
	return 0, nil
}

func exitStatus(err error) int {
	if errors.Is(err, param.ErrOverride) {
		return 2
	}
	return 1
}
