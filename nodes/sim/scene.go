package sim

import (
	"fmt"
	"math"
	"strings"

	"arfm/nodes/sim/ur5e"
)

// Shape is the form of an object.
type Shape string

// Shapes, by MuJoCo's names.
const (
	Box      Shape = "box"      // Size holds half the edges
	Cylinder Shape = "cylinder" // Size holds radius and half the height
	Sphere   Shape = "sphere"   // Size holds the radius
)

// Object is a thing that the arm can take.
type Object struct {
	Name  string // in words, as instructions call it
	Shape Shape
	Size  [3]float64 // m
	Mass  float64    // kg
	Color [3]float64 // RGB, 0..1
}

// Rest is how high the centre lies above what the object stands on, m.
func (o Object) Rest() float64 {
	switch o.Shape {
	case Cylinder:
		return o.Size[1]
	case Sphere:
		return o.Size[0]
	}
	return o.Size[2]
}

// Fixture is a thing that stands on the table for good.
type Fixture string

// Fixtures.
const (
	Basket Fixture = "basket" // an open box to put things in
	Plate  Fixture = "plate"  // a disc to put things on
	Drawer Fixture = "drawer" // a cabinet whose drawer opens towards the arm
	Button Fixture = "button" // a push button
)

// Fixtures lists all of them, in the order of FixtureStates and observations.
var Fixtures = []Fixture{Basket, Plate, Drawer, Button}

// Sizes of the fixtures, m.
const (
	basketInner = 0.062 // half the inner edge
	basketWall  = 0.035 // height of the wall
	plateRadius = 0.06
	plateHeight = 0.008
	drawerDepth = 0.16  // of the drawer, outer
	drawerHalf  = 0.065 // half its width
	drawerWall  = 0.05  // height of its walls
	drawerMax   = 0.14  // how far it opens
	handleOut   = 0.02  // how far the handle stands before the front
	handleTop   = 0.085 // its upper end, above the table
	buttonTop   = 0.045 // of the cap, above the table
	buttonMax   = 0.012 // how far it can be pressed
)

// The gripper, in the frame of tool0, m.
const (
	// ToolLength is how far the tool centre point lies before the flange.
	ToolLength = 0.135
	// GripperMax is the travel of one finger: the gap is twice that.
	GripperMax = 0.045

	palmLength   = 0.08
	fingerLength = 0.066
	fingerHalf   = 0.006
)

const tableTop = 0.0 // height of the table, and of the arm's base, m

// sceneXML is the MJCF of the arm on its table with the objects and fixtures.
func sceneXML(objects []Object, fixtures []Fixture) []byte {
	var b strings.Builder
	b.WriteString(`<mujoco model="arfm">
<compiler angle="radian" autolimits="true"/>
<option timestep="0.002" cone="elliptic" impratio="10" iterations="30"/>
<visual>
  <global offwidth="640" offheight="480"/>
  <quality offsamples="4" shadowsize="1024"/>
  <headlight ambient="0.35 0.35 0.35" diffuse="0.35 0.35 0.35" specular="0 0 0"/>
</visual>
<default>
  <geom friction="1 0.01 0.001" condim="4" solref="0.006 1"/>
  <default class="arm"><geom contype="2" conaffinity="0" rgba="0.82 0.84 0.86 1"/><joint armature="0.1" damping="0.5"/></default>
  <default class="pad"><geom contype="2" conaffinity="0" friction="1.5 0.05 0.001" rgba="0.15 0.15 0.17 1"/></default>
  <default class="thing"><geom contype="1" conaffinity="3"/></default>
</default>
<worldbody>
  <light directional="true" diffuse="0.55 0.55 0.55" specular="0.1 0.1 0.1" pos="0.3 -0.5 2" dir="0.1 0.25 -1"/>
  <geom name="floor" type="plane" size="4 4 0.1" pos="0 0 -0.75" rgba="0.33 0.36 0.40 1" class="thing"/>
  <geom name="table" type="box" size="0.55 0.6 0.025" pos="0.4 0 -0.025" rgba="0.72 0.62 0.50 1" class="thing"/>
  <geom name="plinth" type="cylinder" size="0.09 0.35" pos="-0.02 0 -0.4" rgba="0.25 0.27 0.30 1" class="thing"/>
  <camera name="scene" pos="1.30 0.02 0.78" xyaxes="0 1 0 -0.62 0 0.785" fovy="40"/>
`)
	for i, o := range objects {
		fmt.Fprintf(&b, `  <body name="object_%d" pos="0 0 %g"><freejoint name="object_%d"/><geom class="thing" type="%s" size="%s" mass="%g" rgba="%s 1"/></body>`+"\n",
			i, o.Rest(), i, o.Shape, numbers(o.Size[:]), o.Mass, numbers(o.Color[:]))
	}
	for _, f := range fixtures {
		b.WriteString(fixtureXML[f])
	}
	armXML(&b)
	b.WriteString(`</worldbody>
<tendon><fixed name="gripper"><joint joint="` + GripperJoint + `" coef="0.5"/><joint joint="gripper_mirror" coef="0.5"/></fixed></tendon>
<equality><joint joint1="` + GripperJoint + `" joint2="gripper_mirror" solref="0.005 1"/></equality>
<actuator><general name="gripper" tendon="gripper" biastype="affine" gainprm="1500" biasprm="0 -1500 -60" ctrlrange="0 0.045" forcerange="-40 40"/></actuator>
</mujoco>
`)
	return []byte(b.String())
}

// fixtureXML is each fixture's body, its origin where it stands on the table.
// They hang on mocap bodies, so that an episode can put them somewhere. The
// button's cap meets the arm only: it would catch on its own base.
var fixtureXML = map[Fixture]string{
	Basket: fmt.Sprintf(`  <body name="basket" mocap="true"><site name="basket" group="4" pos="0 0 0"/>
    <geom class="thing" type="box" size="%[1]g %[1]g 0.002" pos="0 0 0.002" rgba="0.55 0.38 0.22 1"/>
    <geom class="thing" type="box" size="%[1]g 0.003 %[2]g" pos="0 %[3]g %[2]g" rgba="0.62 0.44 0.26 1"/>
    <geom class="thing" type="box" size="%[1]g 0.003 %[2]g" pos="0 -%[3]g %[2]g" rgba="0.62 0.44 0.26 1"/>
    <geom class="thing" type="box" size="0.003 %[1]g %[2]g" pos="%[3]g 0 %[2]g" rgba="0.62 0.44 0.26 1"/>
    <geom class="thing" type="box" size="0.003 %[1]g %[2]g" pos="-%[3]g 0 %[2]g" rgba="0.62 0.44 0.26 1"/>
  </body>
`, basketInner+0.006, basketWall/2, basketInner+0.003),
	Plate: fmt.Sprintf(`  <body name="plate" mocap="true"><site name="plate" group="4" pos="0 0 %[2]g"/>
    <geom class="thing" type="cylinder" size="%[1]g %[3]g" pos="0 0 %[3]g" rgba="0.93 0.93 0.95 1"/>
  </body>
`, plateRadius, plateHeight, plateHeight/2),
	// The origin lies below the front of the closed drawer, which slides along -x.
	Drawer: fmt.Sprintf(`  <body name="cabinet" mocap="true">
    <geom class="thing" type="box" size="%[5]g %[6]g 0.004" pos="%[5]g 0 0.076" rgba="0.36 0.42 0.52 1"/>
    <geom class="thing" type="box" size="%[5]g 0.004 0.038" pos="%[5]g %[7]g 0.038" rgba="0.36 0.42 0.52 1"/>
    <geom class="thing" type="box" size="%[5]g 0.004 0.038" pos="%[5]g -%[7]g 0.038" rgba="0.36 0.42 0.52 1"/>
    <geom class="thing" type="box" size="0.004 %[6]g 0.038" pos="%[8]g 0 0.038" rgba="0.36 0.42 0.52 1"/>
    <body name="drawer" pos="0 0 0.004">
      <joint name="drawer_joint" type="slide" axis="-1 0 0" range="0 %[1]g" damping="4" frictionloss="1.5"/>
      <site name="drawer" group="4" pos="%[9]g 0 0.006"/><site name="handle" group="4" pos="-%[10]g 0 %[11]g"/>
      <geom class="thing" type="box" size="%[2]g %[3]g 0.003" pos="%[2]g 0 0.003" mass="0.3" rgba="0.50 0.56 0.66 1"/>
      <geom class="thing" type="box" size="0.004 %[3]g %[4]g" pos="0.004 0 %[4]g" mass="0.05" rgba="0.50 0.56 0.66 1"/>
      <geom class="thing" type="box" size="0.004 %[3]g %[4]g" pos="%[12]g 0 %[4]g" mass="0.05" rgba="0.50 0.56 0.66 1"/>
      <geom class="thing" type="box" size="%[2]g 0.003 %[4]g" pos="%[2]g %[13]g %[4]g" mass="0.05" rgba="0.50 0.56 0.66 1"/>
      <geom class="thing" type="box" size="%[2]g 0.003 %[4]g" pos="%[2]g -%[13]g %[4]g" mass="0.05" rgba="0.50 0.56 0.66 1"/>
      <geom class="thing" type="box" size="%[14]g 0.008 0.006" pos="-%[14]g 0 0.03" mass="0.02" rgba="0.85 0.75 0.30 1"/>
      <geom class="thing" type="box" size="0.008 0.010 %[15]g" pos="-%[10]g 0 %[16]g" mass="0.03" rgba="0.85 0.75 0.30 1"/>
    </body>
  </body>
`, drawerMax, drawerDepth/2, drawerHalf, drawerWall/2, drawerDepth/2+0.004, drawerHalf+0.012, drawerHalf+0.008, drawerDepth+0.006,
		drawerDepth/2, handleOut, handleTop-0.03, drawerDepth-0.004, drawerHalf-0.003, handleOut/2, (handleTop-0.028)/2, (handleTop+0.02)/2),
	Button: fmt.Sprintf(`  <body name="button_base" mocap="true">
    <geom class="thing" type="box" size="0.035 0.035 0.013" pos="0 0 0.013" rgba="0.20 0.21 0.24 1"/>
    <body name="button" pos="0 0 0.026"><joint name="button_joint" type="slide" axis="0 0 -1" range="0 %g" stiffness="120" damping="2" armature="0.01"/>
      <site name="button" group="4" pos="0 0 %g"/>
      <geom name="button_cap" contype="0" conaffinity="2" type="cylinder" size="0.022 %g" pos="0 0 %g" mass="0.02" rgba="0.85 0.16 0.12 1"/>
    </body>
  </body>
`, buttonMax, buttonTop-0.026, (buttonTop-0.026)/2, (buttonTop-0.026)/2),
}

// linkShapes are the capsules that stand for the arm's links, in their frames:
// from, to, radius.
var linkShapes = [6][][7]float64{
	{{0, 0, -0.06, 0, 0, 0.03, 0.06}},
	{{0, 0, 0.12, -0.425, 0, 0.12, 0.05}, {0, 0, 0.04, 0, 0, 0.14, 0.055}},
	{{0, 0, 0.02, -0.392, 0, 0.02, 0.04}, {0, 0, 0.01, 0, 0, 0.11, 0.05}},
	{{0, 0, -0.05, 0, 0, 0.02, 0.04}},
	{{0, 0, -0.05, 0, 0, 0.02, 0.04}},
	{{0, 0, -0.04, 0, 0, -0.02, 0.036}},
}

// armXML writes the arm from its published description, with the gripper on
// its flange.
func armXML(b *strings.Builder) {
	b.WriteString(`  <body name="base" childclass="arm"><geom type="cylinder" size="0.075 0.045" pos="0 0 0.045" rgba="0.30 0.32 0.35 1"/>` + "\n")
	for i, l := range ur5e.Links {
		fmt.Fprintf(b, `  <body name="%s" pos="%s" quat="%s"><inertial pos="%s" quat="%s" mass="%g" diaginertia="%s"/><joint name="%s" axis="0 0 1" range="%g %g"/>`+"\n",
			l.Name, numbers(l.Pos[:]), numbers(l.Quat[:]), numbers(l.COM[:]), numbers(l.InertiaQuat[:]), l.Mass, numbers(l.Inertia[:]), l.Joint, l.Lower, l.Upper)
		for k, s := range linkShapes[i] {
			color := ""
			if k > 0 || i == 0 || i > 2 {
				color = ` rgba="0.36 0.56 0.72 1"`
			}
			fmt.Fprintf(b, `    <geom type="capsule" fromto="%s" size="%g"%s/>`+"\n", numbers(s[:6]), s[6], color)
		}
	}
	fmt.Fprintf(b, `    <body name="tool0"><inertial pos="0 0 0.04" mass="0.6" diaginertia="0.0008 0.0006 0.0006"/>
      <site name="tcp" group="4" pos="0 0 %g"/>
      <camera name="wrist" pos="0.075 0 0.03" xyaxes="0 1 0 0.97 0 0.22" fovy="72"/>
      <geom type="box" size="0.028 0.055 %[2]g" pos="0 0 %[2]g" rgba="0.22 0.23 0.26 1"/>
      <body name="finger_left" pos="0 %[3]g %[4]g"><inertial pos="0 0 0.03" mass="0.05" diaginertia="2e-5 2e-5 2e-6"/>
        <joint name="%[5]s" type="slide" axis="0 1 0" range="0 %[6]g" armature="0.05" damping="5"/>
        <geom class="pad" type="box" size="0.011 %[3]g %[7]g" pos="0 0 %[7]g"/></body>
      <body name="finger_right" pos="0 -%[3]g %[4]g"><inertial pos="0 0 0.03" mass="0.05" diaginertia="2e-5 2e-5 2e-6"/>
        <joint name="gripper_mirror" type="slide" axis="0 -1 0" range="0 %[6]g" armature="0.05" damping="5"/>
        <geom class="pad" type="box" size="0.011 %[3]g %[7]g" pos="0 0 %[7]g"/></body>
    </body>
`, ToolLength, palmLength/2, fingerHalf, palmLength, GripperJoint, GripperMax, fingerLength/2)
	b.WriteString(strings.Repeat("  </body>\n", len(ur5e.Links)+1))
}

func numbers(v []float64) string {
	s := make([]string, len(v))
	for i, x := range v {
		s[i] = fmt.Sprintf("%.10g", math.Round(x*1e12)/1e12)
	}
	return strings.Join(s, " ")
}
