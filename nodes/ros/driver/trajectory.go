//go:build ros

package driver

import (
	"errors"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
)

// trajectory fills JointTrajectory messages, with records that are used again.
type trajectory struct {
	rec    *cdr.Record
	point  *ros.Type
	points []*cdr.Record
	dim    int
}

func newTrajectory(c *ros.Context, names []string) (*trajectory, error) {
	typ, err := c.Type("trajectory_msgs/msg/JointTrajectory")
	if err != nil {
		return nil, err
	}
	t := &trajectory{rec: typ.New(), dim: len(names)}
	if t.point, err = c.Type("trajectory_msgs/msg/JointTrajectoryPoint"); err != nil {
		return nil, err
	}
	return t, t.rec.Set("joint_names", names)
}

// fill makes the message for points whose times count from stamp, ns. It is
// valid until the next call.
func (t *trajectory) fill(stamp int64, pts *points) (*cdr.Record, error) {
	n := len(pts.times)
	for len(t.points) < n {
		t.points = append(t.points, t.point.New())
	}
	err := ros.SetTime(t.rec, "header.stamp", stamp)
	for k, rec := range t.points[:n] {
		err = errors.Join(err, ros.SetTime(rec, "time_from_start", pts.times[k]-stamp),
			rec.Set("positions", pts.pos[k*t.dim:(k+1)*t.dim]), rec.Set("velocities", pts.vel[k*t.dim:(k+1)*t.dim]))
	}
	return t.rec, errors.Join(err, t.rec.Set("points", t.points[:n]))
}
