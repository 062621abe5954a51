package simulator

import (
	"fmt"
	"math"
	"strings"

	"arfm/nodes/sim"
	"arfm/nodes/sim/ur5e"
)

// Description is the robot description (URDF) of the simulated arm: frames,
// joints with their limits, masses, no shapes.
func Description() string {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\"?>\n<robot name=\"arfm_ur5e\">\n  <link name=\"base_link\"/>\n")
	parent := "base_link"
	for _, l := range ur5e.Links {
		fmt.Fprintf(&b, `  <link name="%s"><inertial><origin xyz="%s" rpy="%s"/><mass value="%g"/><inertia ixx="%g" iyy="%g" izz="%g" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="%s" type="revolute"><parent link="%s"/><child link="%s"/><origin xyz="%s" rpy="%s"/><axis xyz="0 0 1"/>
    <limit lower="%g" upper="%g" velocity="%g" effort="%g"/></joint>
`, l.Name, triple(l.COM), triple(angles(l.InertiaQuat)), l.Mass, l.Inertia[0], l.Inertia[1], l.Inertia[2],
			l.Joint, parent, l.Name, triple(l.Pos), triple(angles(l.Quat)), l.Lower, l.Upper, l.Velocity, l.Effort)
		parent = l.Name
	}
	g := sim.Limits[sim.Joints-1]
	fmt.Fprintf(&b, `  <link name="tool0"/>
  <joint name="flange-tool0" type="fixed"><parent link="%s"/><child link="tool0"/></joint>
  <link name="tcp"/>
  <joint name="tool0-tcp" type="fixed"><parent link="tool0"/><child link="tcp"/><origin xyz="0 0 %g"/></joint>
  <link name="finger"/>
  <joint name="%s" type="prismatic"><parent link="tool0"/><child link="finger"/><axis xyz="0 1 0"/>
    <limit lower="%g" upper="%g" velocity="%g" effort="40"/></joint>
</robot>
`, parent, sim.ToolLength, sim.GripperJoint, g.Lower, g.Upper, g.Velocity)
	return b.String()
}

func triple(v [3]float64) string { return fmt.Sprintf("%g %g %g", v[0], v[1], v[2]) }

// angles are the roll, pitch and yaw of a unit quaternion w x y z.
func angles(q [4]float64) [3]float64 {
	w, x, y, z := q[0], q[1], q[2], q[3]
	return [3]float64{
		math.Atan2(2*(w*x+y*z), 1-2*(x*x+y*y)),
		math.Asin(min(max(2*(w*y-z*x), -1), 1)),
		math.Atan2(2*(w*z+x*y), 1-2*(y*y+z*z)),
	}
}
