//go:build ros

package driver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"arfm/nodes/ros"
	"arfm/nodes/ros/validity"
	"arfm/nodes/runner"
	"arfm/policy/contract"
	"arfm/policy/hotswap"
	"arfm/policy/vla"
)

// Logger is where the driver says what happens.
type Logger interface {
	Infof(format string, args ...any) error
	Warnf(format string, args ...any) error
	Errorf(format string, args ...any) error
}

// Options are the parameters of policy_node.
type Options struct {
	CheckpointDir string // folder of checkpoints, watched
	Contract      string // file; "": the first checkpoint's own

	JointLimits        []string      // files
	Description        string        // URDF; "": from the topic
	WaitForDescription time.Duration // for the topic

	Output     string // OutputTopic, OutputAction or OutputServo
	ActionName string // of FollowJointTrajectory
	NonzeroEnd bool   // the controller allows a last point in motion

	ReplanRows     int     // rows of a chunk to execute before the next is asked for; 0: half
	StartTolerance float64 // rad or m; 0: the runner's
	Seed           uint64
	Deterministic  bool
	Guidance       float64
	Guard          bool
	Poll           time.Duration
	Validity       *validity.Options // nil: chunks are not checked
}

// Driver is what policy_node does between configure and cleanup. Configure,
// Activate, Deactivate and Cleanup are the callbacks of its lifecycle and are
// called one at a time.
type Driver struct {
	ctx context.Context // its end cuts Configure's waiting short
	n   *ros.Node
	log Logger
	now func() int64
	o   Options

	instruction atomic.Pointer[string] // the parameter
	prompt      atomic.Pointer[string] // of the goal that runs
	active      atomic.Bool
	still       atomic.Value // why the clock does not move, a string

	*configured                            // for the callbacks and what they start
	live        atomic.Pointer[configured] // the same for others; nil: unconfigured
}

// configured is what lives from configure to cleanup.
type configured struct {
	states, pictures *ros.Group // of all but the pictures; of those
	board            *board
	journal          *journal
	holds            *holds
	slot             *hotswap.Slot
	watcher          *hotswap.Watcher
	limits           runner.Limits
	status           *ros.Publisher
	chunks           *chunks
	services         services
	cancel           context.CancelFunc
	running          sync.WaitGroup // watcher and status

	link   atomic.Pointer[link] // once the contract is known
	linked chan struct{}        // closed then
	once   sync.Once

	control chan runner.Event
	loop    *session // nil: inactive
}

// link is what a contract connects to: topics in, the arm out.
type link struct {
	contract *contract.Contract
	src      *source
	out      output
	gate     *validity.Gate
}

// New returns the driver of a node; now is ROS time, ns. When ctx is done,
// Configure does not wait any more.
func New(ctx context.Context, n *ros.Node, log Logger, now func() int64, o Options) *Driver {
	return &Driver{ctx: ctx, n: n, log: log, now: now, o: o}
}

// SetInstruction takes precedence over the instruction's topic; "" does not.
func (d *Driver) SetInstruction(text string) {
	d.instruction.Store(&text)
	if c := d.live.Load(); c != nil {
		c.board.poke()
	}
}

// text is the instruction that takes precedence over the topic's.
func (d *Driver) text() string {
	for _, p := range []*atomic.Pointer[string]{&d.prompt, &d.instruction} {
		if text := p.Load(); text != nil && *text != "" {
			return *text
		}
	}
	return ""
}

// Configure loads contract and limits, makes topics and services, and looks for
// a checkpoint. Without one it waits for the first.
func (d *Driver) Configure() (err error) {
	if d.o.CheckpointDir == "" {
		return errors.New("checkpoint_dir is not set, name the folder of the checkpoints")
	}
	var ct *contract.Contract
	if d.o.Contract != "" {
		if ct, err = contract.Load(d.o.Contract); err != nil {
			return err
		}
	}
	c := &configured{board: newBoard(), slot: hotswap.NewSlot(nil), linked: make(chan struct{}), control: make(chan runner.Event, 4*maxAsked)}
	c.journal = newJournal(d.log)
	c.holds = &holds{tell: c.tell}
	c.states, c.pictures = d.n.Context().NewGroup(c.failed(d.log)), d.n.Context().NewGroup(c.failed(d.log))
	d.configured = c
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Cleanup())
		}
	}()
	if c.limits, err = d.readLimits(ct); err != nil {
		return err
	}
	if c.status, err = d.n.Publisher("~/status", "arfm/msg/PolicyStatus", ros.Latched); err != nil {
		return err
	}
	if c.chunks, err = newChunks(d.n, c.board, d.log); err != nil {
		return err
	}
	c.watcher = hotswap.NewWatcher(d.o.CheckpointDir, c.slot, hotswap.Options{Poll: d.o.Poll, Contract: ct, Seed: d.o.Seed, Deterministic: d.o.Deterministic, Guidance: d.o.Guidance}, d.watched)
	if ct != nil {
		if err = d.connect(ct); err != nil {
			return err
		}
	}
	if e, err := c.watcher.Reload(); err == nil { // else it is tried again, and told, below
		d.watched(e)
	}
	if d.services, err = d.serve(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.running.Go(func() { _ = c.watcher.Run(ctx) })
	c.running.Go(func() { d.announce(ctx) })
	d.live.Store(c)
	c.board.poke()
	return nil
}

func (c *configured) failed(log Logger) func(error) {
	return func(err error) { log.Errorf("%v", err) }
}

// maxAsked is how many events may wait for the runner before requests are
// refused. There is room for more, so that none is lost of those that are being
// served or that nobody asked for.
const maxAsked = 64

// tell gives the runner an event; without a loop there is nothing to tell.
func (c *configured) tell(ev runner.Event) {
	select {
	case c.control <- ev:
	default:
		c.journal.warn("an event is lost, the control loop does not take any")
	}
}

// busy refuses a request where too many wait: the loop's clock stands still, or
// somebody asks all the time.
func (c *configured) busy() error {
	if len(c.control) < maxAsked {
		return nil
	}
	return fmt.Errorf("%d requests wait for the control loop already, look who makes them and whether /clock stands still", len(c.control))
}

// drain forgets what waits for the runner.
func (c *configured) drain() {
	for {
		select {
		case <-c.control:
		default:
			return
		}
	}
}

// watched takes what the watcher says of checkpoints.
func (d *Driver) watched(e hotswap.Event) {
	d.board.watched(e)
	switch e.Kind {
	case hotswap.Swapped:
		d.journal.info(fmt.Sprintf("checkpoint %s is in use: step %d, sha256 %.12s, checked in %v", e.Path, e.Step, e.Hash, e.Took.Round(time.Millisecond)))
		if p, ok := d.slot.Current().(*vla.Policy); ok {
			if err := d.connect(p.Contract()); err != nil {
				d.board.set(func() { d.board.refusal = err.Error() })
				d.journal.fail(err.Error())
			}
		}
	case hotswap.Refused:
		d.journal.warn(fmt.Sprintf("checkpoint refused: %v", e.Err))
	case hotswap.Polling:
		d.journal.info(e.Err.Error())
	}
}

// connect makes what the contract reads and writes, once.
func (d *Driver) connect(ct *contract.Contract) (err error) {
	d.once.Do(func() {
		l := &link{contract: ct, src: &source{now: d.now, step: d.n.Clock.Moved, log: d.log, text: d.text}}
		defer func() {
			if err != nil {
				err = errors.Join(fmt.Errorf("contract: %w", err), l.close())
			}
		}()
		if err = d.chunks.begin(ct); err != nil {
			return
		}
		if l.out, err = d.openOutput(ct); err != nil {
			return
		}
		if v := d.o.Validity; v != nil && !isRate(ct) {
			if l.gate, err = validity.New(d.n, d.states, ct.ActionNames(), *v); err != nil {
				return
			}
		}
		if err = l.src.open(d.n, d.pictures, d.states, ct); err != nil {
			return
		}
		d.link.Store(l)
		close(d.linked)
	})
	return err
}

func (l *link) close() (err error) {
	err = l.src.close()
	if l.gate != nil {
		err = errors.Join(err, l.gate.Close())
	}
	if l.out != nil {
		err = errors.Join(err, l.out.close())
	}
	return err
}

// Cleanup lets go of all that Configure made.
func (d *Driver) Cleanup() (err error) {
	c := d.configured
	if c == nil {
		return nil
	}
	d.live.Store(nil)
	err = d.Deactivate()
	if c.cancel != nil {
		c.cancel()
	}
	err = errors.Join(err, c.services.close())
	c.running.Wait()
	c.holds.close()
	if l := c.link.Load(); l != nil {
		err = errors.Join(err, l.close())
	}
	if c.chunks != nil {
		err = errors.Join(err, c.chunks.close())
	}
	if c.status != nil {
		err = errors.Join(err, c.status.Close())
	}
	c.states.Close()
	c.pictures.Close()
	c.journal.close()
	d.configured = nil
	return err
}
