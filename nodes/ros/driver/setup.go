//go:build ros

package driver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"arfm/nodes/ros"
	"arfm/nodes/ros/param"
	"arfm/nodes/ros/validity"
)

const longestText = 1024 // of an instruction, bytes, as contract's

// Setup makes a ROS node policy_node.
func Setup(ctx context.Context, n *ros.Node) error {
	if err := n.Declare(declarations()...); err != nil {
		return err
	}
	n.Params.OnSet(func(params []param.Parameter) error {
		for _, p := range params {
			if text, ok := param.As[string](p.Value); ok && p.Name == "instruction" && len(text) > longestText {
				return fmt.Errorf("the instruction has %d bytes, %d are allowed", len(text), longestText)
			}
		}
		return nil
	})
	d := New(ctx, n, n.Log, n.Clock.Now, options(n.Params))
	d.SetInstruction(param.Get[string](n.Params, "instruction"))
	n.Params.OnChange(func(c param.Change) {
		for _, p := range c.Changed {
			if text, ok := param.As[string](p.Value); ok && p.Name == "instruction" {
				d.SetInstruction(text)
			}
		}
	})
	diagnostics, err := n.Diagnose("arfm policy")
	if err != nil {
		return err
	}
	d.diagnose(diagnostics)
	return n.Lifecycle(ros.Callbacks{
		Configure: d.Configure, Activate: d.Activate, Deactivate: d.Deactivate, Cleanup: d.Cleanup,
		Shutdown: func(ros.State) error { return errors.Join(d.Cleanup(), diagnostics.Close()) },
		Error:    func(error) error { return d.Cleanup() },
	})
}

func declarations() []param.Declaration {
	fixed := func(d param.Declaration) param.Declaration { d.ReadOnly = true; return d }
	text := func(name, value, description string, oneOf ...string) param.Declaration {
		return fixed(param.Declaration{Name: name, Default: param.Of(value), Description: description, OneOf: oneOf})
	}
	flag := func(name string, value bool, description string) param.Declaration {
		return fixed(param.Declaration{Name: name, Default: param.Of(value), Description: description})
	}
	double := func(name string, value, from, to float64, description string) param.Declaration {
		return fixed(param.Declaration{Name: name, Default: param.Of(value), Description: description, DoubleRange: &param.DoubleRange{From: from, To: to}})
	}
	integer := func(name string, to int64, description string) param.Declaration {
		return fixed(param.Declaration{Name: name, Default: param.Of(int64(0)), Description: description, IntegerRange: &param.IntegerRange{To: to}})
	}
	return []param.Declaration{
		text("checkpoint_dir", "", "folder of *.safetensors; the newest is used, new ones are swapped in; needed"),
		text("contract", "", "contract YAML; empty: that of the checkpoint"),
		{Name: "instruction", Default: param.Of(""), Description: "what to do, in words; empty: the contract's default, or its topic", Constraints: fmt.Sprintf("at most %d bytes", longestText)},
		integer("seed", math.MaxInt64, "of the policy's noise"),
		flag("deterministic", false, "start chunks from zero instead of noise: one answer to an observation"),
		double("guidance", 1, 1e-3, 100, "of a policy trained with recap, how far chunks are moved from those of one that is not told to do well; 1 is not at all"),
		integer("replan_rows", 256, "rows of a chunk to execute before the next is asked for; 0: half"),
		flag("guard", true, "roll back weights that make the safety envelope intervene more often"),
		double("poll_s", 1, 0.01, 3600, "s, how often the folder is looked at where the file system gives no events"),
		fixed(param.Declaration{Name: "joint_limits", Default: param.Of([]string{}), Description: "joint_limits.yaml or URDF files; the tighter limit holds"}),
		text("robot_description", "", "URDF as text; empty: from the topic /robot_description"),
		double("wait_for_description_s", 5, 0, 3600, "s to wait for that topic"),
		double("start_tolerance", 0.5, 1e-6, 1e6, "rad or m, how far a chunk may be from the measured state where it starts"),
		text("output", OutputTopic, "topic: JointTrajectory; action: FollowJointTrajectory; servo: JointJog", OutputTopic, OutputAction, OutputServo),
		text("action_name", "/joint_trajectory_controller/follow_joint_trajectory", "of the controller, with output action"),
		flag("allow_nonzero_velocity_at_trajectory_end", false, "as the controller's parameter of that name: leave out the braking behind a chunk"),
		flag("validity.enabled", false, "put each chunk's way-points to MoveIt before it leaves"),
		text("validity.service", "/check_state_validity", "moveit_msgs/srv/GetStateValidity"),
		text("validity.group", "", "joint model group; empty: the whole robot"),
		fixed(param.Declaration{Name: "validity.joints", Default: param.Of([]string{}), Description: "joints of the action that MoveIt's robot has, a gripper's may be missing there; empty: all"}),
		double("validity.budget_ms", 20, 0.1, 10000, "ms for all way-points of a chunk"),
		text("validity.on_no_answer", validity.Hold, "hold or pass where no answer comes in time", validity.Hold, validity.Pass),
	}
}

// options reads the parameters that do not change.
func options(p *param.Set) Options {
	seconds := func(name string) time.Duration { return time.Duration(param.Get[float64](p, name) * 1e9) }
	o := Options{
		CheckpointDir: param.Get[string](p, "checkpoint_dir"), Contract: param.Get[string](p, "contract"),
		JointLimits: slices.DeleteFunc(param.Get[[]string](p, "joint_limits"), func(s string) bool { return s == "" }),
		Description: param.Get[string](p, "robot_description"), WaitForDescription: seconds("wait_for_description_s"),
		Output: param.Get[string](p, "output"), ActionName: param.Get[string](p, "action_name"),
		NonzeroEnd: param.Get[bool](p, "allow_nonzero_velocity_at_trajectory_end"),
		ReplanRows: int(param.Get[int64](p, "replan_rows")), StartTolerance: param.Get[float64](p, "start_tolerance"),
		Seed: uint64(param.Get[int64](p, "seed")), Deterministic: param.Get[bool](p, "deterministic"), Guidance: param.Get[float64](p, "guidance"),
		Guard: param.Get[bool](p, "guard"), Poll: seconds("poll_s"),
	}
	if param.Get[bool](p, "validity.enabled") {
		o.Validity = &validity.Options{
			Service: param.Get[string](p, "validity.service"), Group: param.Get[string](p, "validity.group"),
			Joints: slices.DeleteFunc(param.Get[[]string](p, "validity.joints"), func(s string) bool { return s == "" }),
			Budget: time.Duration(param.Get[float64](p, "validity.budget_ms") * 1e6), OnNoAnswer: param.Get[string](p, "validity.on_no_answer"),
		}
	}
	return o
}
