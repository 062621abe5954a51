//go:build ros

package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
)

// moveGroup starts the real move_group for the mock arm.
func moveGroup(t *testing.T) *program {
	t.Helper()
	var srdf strings.Builder
	srdf.WriteString(`<robot name="mock"><group name="manipulator"><chain base_link="base_link" tip_link="link_6"/></group>`)
	links := []string{"base_link"}
	for j := range mockJoints {
		links = append(links, fmt.Sprintf("link_%d", j+1))
		fmt.Fprintf(&srdf, `<disable_collisions link1="%s" link2="%s" reason="Adjacent"/>`, links[j], links[j+1])
	}
	srdf.WriteString(`</robot>`)
	parameters, err := json.Marshal(map[string]any{"/**": map[string]any{"ros__parameters": map[string]any{
		"robot_description":          mockURDF(),
		"robot_description_semantic": srdf.String(),
		// move_group does not start without a planner, nor without this manager.
		"planning_pipelines": []string{"chomp"}, "default_planning_pipeline": "chomp",
		"chomp":                      map[string]any{"planning_plugin": "chomp_interface/CHOMPPlanner"},
		"allow_trajectory_execution": false,
		"moveit_controller_manager":  "moveit_simple_controller_manager/MoveItSimpleControllerManager",
		"moveit_simple_controller_manager": map[string]any{"controller_names": []string{"joint_trajectory_controller"},
			"joint_trajectory_controller": map[string]any{"type": "FollowJointTrajectory", "action_ns": "follow_joint_trajectory", "default": true, "joints": mockJoints}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, "moveit_ros_move_group", "move_group", "--ros-args", "--params-file", write(t, "move_group.yaml", string(parameters)))
	eventually(t, 60*time.Second, "move_group is ready", func() bool { return strings.Contains(p.out.String(), "You can start planning now!") })
	return p
}

// scene puts a box into move_group's planning scene, or takes it out again.
func (o *observer) scene(apply func(func(*cdr.Record) error) *cdr.Record, add bool, size, place [3]float64) {
	o.t.Helper()
	answer := apply(func(req *cdr.Record) error {
		object, shape, pose := o.make("moveit_msgs/msg/CollisionObject"), o.make("shape_msgs/msg/SolidPrimitive"), o.make("geometry_msgs/msg/Pose")
		operation := 0 // ADD
		if !add {
			operation = 1 // REMOVE
		}
		err := errors.Join(
			shape.Set("type", 1), shape.Set("dimensions", size[:]), // BOX
			pose.Set("position.x", place[0]), pose.Set("position.y", place[1]), pose.Set("position.z", place[2]), pose.Set("orientation.w", 1),
			object.Set("id", "box"), object.Set("header.frame_id", "base_link"), object.Set("operation", operation),
			object.Set("primitives", []*cdr.Record{shape}), object.Set("primitive_poses", []*cdr.Record{pose}))
		return errors.Join(err, req.Set("scene.is_diff", true), req.Set("scene.robot_state.is_diff", true), req.Set("scene.world.collision_objects", []*cdr.Record{object}))
	})
	if ok, _ := answer.Lookup("success"); ok != true {
		o.t.Fatal("move_group does not take the box")
	}
}

// TestMoveItHoldsChunks: with the real move_group, no chunk through a box that
// was added to the planning scene reaches the controller; without move_group the
// policy for 'no answer' applies.
func TestMoveItHoldsChunks(t *testing.T) {
	o := observe(t, 23)
	if _, err := o.ctx.Type("moveit_msgs/srv/GetStateValidity_Request"); errors.Is(err, ros.ErrNotInstalled) {
		t.Skip("MoveIt is not installed")
	}
	checkpoints := mockPolicy(t)
	mockArm(o, mockController())
	group := moveGroup(t)
	apply := o.caller("/apply_planning_scene", "moveit_msgs/srv/ApplyPlanningScene")
	valid := o.caller("/check_state_validity", "moveit_msgs/srv/GetStateValidity")
	r := follow(o)
	gate := []string{"-p", "validity.enabled:=true", "-p", "validity.group:=manipulator", "-p", "validity.budget_ms:=200.0"}
	p := policyNode(t, checkpoints, append(gate, "-p", "validity.on_no_answer:=hold")...)
	tracking := func() bool { return r.state("state") == "tracking" }
	holding := func() bool { return r.state("state") == "holding" }
	eventually(t, 30*time.Second, "the policy leads", tracking)
	time.Sleep(time.Second)

	// The arm swings to where the box is, and must not get there.
	r.reset()
	size, place := [3]float64{0.2, 1, 0.6}, [3]float64{0.32, 0, 1.1}
	o.scene(apply, true, size, place)
	eventually(t, 20*time.Second, "the box holds the arm", holding)
	time.Sleep(2 * time.Second)
	if reason, _ := r.state("reason").(string); !strings.Contains(reason, "box") {
		t.Errorf("the reason is %q, it does not name the box", reason)
	}
	r.mu.Lock()
	states := r.q
	r.mu.Unlock()
	for k := 0; k < len(states); k += 5 {
		answer := valid(func(req *cdr.Record) error {
			return errors.Join(req.Set("group_name", "manipulator"), req.Set("robot_state.is_diff", true),
				req.Set("robot_state.joint_state.name", mockJoints), req.Set("robot_state.joint_state.position", states[k]))
		})
		if ok, _ := answer.Lookup("valid"); ok != true {
			t.Fatalf("set-point %d of %d lies in the box: %v", k, len(states), states[k])
		}
	}
	t.Logf("%d set-points of the controller, none in the box", len(states))
	o.scene(apply, false, size, place)
	eventually(t, 20*time.Second, "the arm goes on without the box", tracking)

	group.kill()
	begin := time.Now()
	eventually(t, 10*time.Second, "without move_group the arm is held", holding)
	t.Logf("held %v after move_group was killed", time.Since(begin).Round(time.Millisecond))
	eventually(t, 3*time.Second, "the missing answer is named", func() bool {
		reason, _ := r.state("reason").(string)
		return strings.Contains(reason, "/check_state_validity")
	})
	p.stop(t, 10*time.Second)
	policyNode(t, checkpoints, append(gate, "-p", "validity.on_no_answer:=pass")...)
	time.Sleep(2 * time.Second)
	eventually(t, 20*time.Second, "without move_group chunks pass", tracking)
}
