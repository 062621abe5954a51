//go:build ros

package driver

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"arfm/nodes/ros"
	"arfm/nodes/runner"
	"arfm/policy/contract"
)

// descriptionTopic has the robot's URDF, latched by robot_state_publisher.
const descriptionTopic = "/robot_description"

// readLimits joins the limits of the robot's description and of the files. ct
// may be nil: it is not known yet.
func (d *Driver) readLimits(ct *contract.Contract) (runner.Limits, error) {
	files, err := runner.ReadLimits(d.o.JointLimits)
	if err != nil {
		return files, err
	}
	text, from := d.o.Description, "parameter robot_description"
	if text == "" && d.o.WaitForDescription > 0 && (ct == nil || !isRate(ct)) {
		from = "topic " + descriptionTopic
		if text, err = d.waitForDescription(); err != nil {
			return files, err
		}
	}
	if text == "" {
		return files, nil
	}
	described, err := runner.ParseURDF([]byte(text))
	if err != nil {
		return files, fmt.Errorf("%s: %w", from, err)
	}
	d.log.Infof("limits of %d joints from the %s", len(described.Names), from)
	return described.Tighten(files), nil
}

// waitForDescription returns what the topic says, "" where nothing comes in
// time.
func (d *Driver) waitForDescription() (string, error) {
	got := make(chan string, 1)
	var typ *ros.Type
	typ, err := d.n.Context().Type("std_msgs/msg/String")
	if err != nil {
		return "", err
	}
	sub, err := d.n.Subscribe(d.pictures, descriptionTopic, typ.Name(), ros.Latched, func(m ros.Message) {
		if rec, err := typ.Decode(m.Data); err == nil {
			text, _ := rec.Lookup("data")
			select {
			case got <- text.(string):
			default:
			}
		}
	})
	if err != nil {
		return "", err
	}
	wait := time.NewTimer(d.o.WaitForDescription)
	defer wait.Stop()
	text := ""
	select {
	case text = <-got:
	case <-d.ctx.Done():
		return "", errors.Join(d.ctx.Err(), sub.Close())
	case <-wait.C:
		d.log.Warnf("no robot description on %s within %v, its limits are not known", descriptionTopic, d.o.WaitForDescription)
	}
	return text, sub.Close()
}

// logLimits says which limits apply.
func (d *Driver) logLimits(l *link, cfg runner.Config) {
	limits := cfg.Limits.Select(cfg.Names)
	var unknown []string
	for _, name := range cfg.Names {
		if !slices.Contains(d.limits.Names, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		d.journal.warn(fmt.Sprintf("no limits are known of %s: the defaults apply, and no position limits; give them in robot_description or joint_limits", strings.Join(unknown, ", ")))
	}
	limits.FillMissing()
	var b strings.Builder
	for i, name := range limits.Names {
		fmt.Fprintf(&b, "\n  %s: ", name)
		if !math.IsInf(limits.Lower[i], 0) || !math.IsInf(limits.Upper[i], 0) {
			fmt.Fprintf(&b, "position %.4g to %.4g, ", limits.Lower[i], limits.Upper[i])
		}
		fmt.Fprintf(&b, "velocity %.4g, acceleration %.4g", limits.Velocity[i], limits.Acceleration[i])
	}
	d.journal.info("limits in force:" + b.String())
}
