// Package simulator is the inside of sim_node: the simulated arm as a robot with
// a trajectory controller and two cameras, at the pace of a clock. Episodes
// follow one another; between them the arm goes to its next start by itself and
// its controller is not active, as when a person has taken it over.
//
// Simulator has no ROS in it: it says serialized messages, takes commands as
// records, and runs without. Node, under the build tag ros, puts it on ROS.
package simulator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"arfm/nodes/sim"
)

// ErrOptions is wrapped by what Options cannot be.
var ErrOptions = errors.New("the simulation cannot be set up like this")

// Level is how much a line of the log matters.
type Level int

// Levels of the log.
const (
	Info Level = iota
	Warn
)

// Options says what is simulated, and where what it says goes.
type Options struct {
	Suite    *sim.Suite
	Seed     uint64
	Episodes int     // after which the arm rests; 0: no end
	Tasks    []int   // numbers of the suite's that take turns; none: all
	Random   bool    // they are drawn instead
	Rate     float64 // simulated seconds a second; 0: as many as there can be
	StateHz  float64
	CameraHz float64
	Width    int // of pictures, pixels, at most 640
	Height   int // at most 480
	Clock    bool
	Record   RecordOptions

	// Publish sends a message, Listened says whether somebody listens to a
	// topic. They are called from goroutines of the simulation.
	Publish  func(Message)
	Listened func(topic string) bool
	Log      func(Level, string)
}

// Validate completes the options and returns what cannot be used.
func (o *Options) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("simulator: %w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	switch {
	case o.Suite == nil:
		return bad("it needs a suite")
	case o.Episodes < 0:
		return bad("%d episodes, give 0 for no end or more", o.Episodes)
	case !(o.Rate >= 0 && o.Rate <= 1000):
		return bad("a rate of %g, give 0 for as fast as it goes or up to 1000", o.Rate)
	case !(o.StateHz >= 1 && o.StateHz <= 500):
		return bad("states at %g Hz, give 1 to 500", o.StateHz)
	case !(o.CameraHz >= 0.1 && o.CameraHz <= 120):
		return bad("pictures at %g Hz, give 0.1 to 120", o.CameraHz)
	case o.Width < 8 || o.Width > 640 || o.Height < 8 || o.Height > 480:
		return bad("pictures of %dx%d pixels, give 8x8 to 640x480", o.Width, o.Height)
	case o.Record.Episodes < 0 || o.Record.Keep < 0:
		return bad("%d episodes in a bag and %d bags kept must not be negative", o.Record.Episodes, o.Record.Keep)
	}
	for _, t := range o.Tasks {
		if t < 0 || t >= len(o.Suite.Tasks) {
			return bad("suite %s has %d tasks, there is none with number %d", o.Suite.Name, len(o.Suite.Tasks), t)
		}
	}
	if len(o.Tasks) == 0 {
		for i := range o.Suite.Tasks {
			o.Tasks = append(o.Tasks, i)
		}
	}
	o.Record.Episodes = max(1, o.Record.Episodes)
	if o.Publish == nil {
		o.Publish = func(Message) {}
	}
	if o.Listened == nil {
		o.Listened = func(string) bool { return false }
	}
	if o.Log == nil {
		o.Log = func(Level, string) {}
	}
	return nil
}

// SetOrder sets Tasks and Random from text: turns, random, or numbers of tasks
// with commas between, which take turns.
func (o *Options) SetOrder(text string) error {
	o.Tasks, o.Random = nil, text == "random"
	if o.Random || text == "turns" || text == "" {
		return nil
	}
	for _, part := range strings.Split(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return fmt.Errorf("simulator: %w: the order of tasks %q, give turns, random, or numbers such as 0,2", ErrOptions, text)
		}
		o.Tasks = append(o.Tasks, n)
	}
	return nil
}

// find returns the number of the task that is named by its instruction or
// number.
func (o *Options) find(task string) (int, error) {
	var all []string
	for i, t := range o.Suite.Tasks {
		if task == t.Instruction || task == strconv.Itoa(i) {
			return i, nil
		}
		all = append(all, strconv.Quote(t.Instruction))
	}
	return 0, fmt.Errorf("simulator: suite %s has no task %.64q; choose one of %s", o.Suite.Name, task, strings.Join(all, ", "))
}

// turn is the task of an episode.
func (o *Options) turn(seed, number uint64) int {
	n := uint64(len(o.Tasks))
	if !o.Random {
		return o.Tasks[number%n]
	}
	const stream = 0x7461736b
	return o.Tasks[rand.New(rand.NewPCG(seed^stream, number)).IntN(int(n))]
}
