//go:build ros

package ros

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tiiuae/rclgo/pkg/rclgo"

	"arfm/nodes/ros/param"
)

// Context is a connection to ROS: the arguments that a process was started
// with, and the nodes in it.
type Context struct {
	rcl  *rclgo.Context
	args []string // the ROS arguments, without --ros-args
	cat  *catalog

	overrides *param.Overrides
	remaps    []remap
}

// NewContext connects with the arguments after --ros-args (remaps, parameters,
// log levels) and returns the others. Close disconnects.
func NewContext(args []string) (c *Context, rest []string, err error) {
	steadyMemory()
	overrides, forRcl, err := param.ParseArgs(args)
	if err != nil {
		return nil, nil, fmt.Errorf("ros: %w", err)
	}
	parsed, rest, err := rclgo.ParseArgs(forRcl)
	if err != nil {
		return nil, rest, fmt.Errorf("ros: arguments: %w", tidy(err))
	}
	c = &Context{cat: newCatalog(), args: rosArgs(args), overrides: overrides}
	c.remaps = remapsIn(c.args)
	if c.rcl, err = rclgo.NewContextWithOpts(parsed, nil); err != nil {
		return nil, rest, fmt.Errorf("ros: cannot start, look at RMW_IMPLEMENTATION, ROS_DOMAIN_ID and CYCLONEDDS_URI: %w", tidy(err))
	}
	return c, rest, nil
}

// rosArgs returns the arguments between --ros-args and -- or the end.
func rosArgs(args []string) (out []string) {
	in := false
	for _, a := range args {
		switch {
		case a == "--ros-args":
			in = true
		case in && a == "--":
			in = false
		case in:
			out = append(out, a)
		}
	}
	return out
}

// Args returns the ROS arguments, without --ros-args.
func (c *Context) Args() []string { return c.args }

// Type returns an installed message type, pkg/msg/Name.
func (c *Context) Type(name string) (*Type, error) { return c.cat.message(name) }

// Close disconnects; nodes and groups must be closed before.
func (c *Context) Close() error { return tidy(c.rcl.Close()) }

// tidy makes one sentence of rclgo's errors, which carry Go types and a stack.
func tidy(err error) error {
	if err == nil {
		return nil
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	if _, after, ok := strings.Cut(text, "] "); ok && strings.HasPrefix(text, "[*rclgo.") {
		text = after
	}
	if i := strings.Index(text, ", at "); i > 0 {
		text = text[:i]
	}
	return errors.New(strings.TrimSpace(text))
}
