package contract

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
)

// maxTrajectoryPoints bounds a JointTrajectory.
const maxTrajectoryPoints = 10000

// trajectory is a JointTrajectory reduced to the contract's joints.
type trajectory struct {
	start  int64   // time 0 of the points, ns
	times  []int64 // (P) time_from_start, ns, increasing
	pos    []float64
	vel    []float64 // (P, A), or empty
	acc    []float64 // (P, A), or empty; only with vel
	joints int
	// The point in force when this trajectory took over; a controller starts
	// its first segment there.
	fromTime int64
	fromPos  []float64 // nil: there was no command before
	fromVel  []float64
}

// newTrajectory reads a JointTrajectory. The message carries at least
// positions; velocities and accelerations count when every point has them.
func newTrajectory(m Message, names []string, start int64) (*trajectory, error) {
	v, _ := m.Lookup("joint_names")
	have, _ := v.([]string)
	order := make([]int, len(names))
	if err := matchNames(names, have, order); err != nil {
		return nil, err
	}
	tr := &trajectory{start: start, joints: len(names)}
	hasVel, hasAcc := true, true
	for i := 0; ; i++ {
		at := "points." + strconv.Itoa(i) + "."
		pos, ok := m.Lookup(at + "positions")
		if !ok {
			break
		}
		if i == maxTrajectoryPoints {
			return nil, fmt.Errorf("%w: over %d trajectory points", ErrField, maxTrajectoryPoints)
		}
		sec, _ := Number(m, at+"time_from_start.sec")
		nsec, _ := Number(m, at+"time_from_start.nanosec")
		t := int64(sec)*1e9 + int64(nsec)
		if t < 0 || (i > 0 && t <= tr.times[i-1]) {
			return nil, fmt.Errorf("%w: time_from_start of point %d does not increase", ErrField, i)
		}
		tr.times = append(tr.times, t)
		var err error
		if tr.pos, ok, err = appendJoints(tr.pos, pos, order, len(have)); err != nil || !ok {
			return nil, errors.Join(err, fmt.Errorf("%w: point %d has not one position per joint", ErrField, i))
		}
		vel, _ := m.Lookup(at + "velocities")
		acc, _ := m.Lookup(at + "accelerations")
		if tr.vel, ok, err = appendJoints(tr.vel, vel, order, len(have)); err != nil {
			return nil, err
		}
		hasVel = hasVel && ok
		if tr.acc, ok, err = appendJoints(tr.acc, acc, order, len(have)); err != nil {
			return nil, err
		}
		hasAcc = hasAcc && ok
	}
	if len(tr.times) == 0 {
		return nil, fmt.Errorf("%w: the trajectory has no points", ErrField)
	}
	if !hasVel {
		tr.vel = nil
	}
	if !hasAcc || !hasVel {
		tr.acc = nil
	}
	return tr, nil
}

// appendJoints appends v's elements in order; ok says that v has n of them.
func appendJoints(dst []float64, v any, order []int, n int) (_ []float64, ok bool, err error) {
	x, _ := v.([]float64)
	if len(x) != n {
		return dst, false, nil
	}
	for _, k := range order {
		if math.IsNaN(x[k]) || math.Abs(x[k]) > math.MaxFloat32 {
			return dst, false, fmt.Errorf("%w: a trajectory point", ErrNotFinite)
		}
		dst = append(dst, x[k])
	}
	return dst, true, nil
}

// follow makes tr start from what prev commands at time now.
func (tr *trajectory) follow(prev *trajectory, now int64) {
	tr.fromTime = now
	tr.fromPos = make([]float64, tr.joints)
	tr.fromVel = make([]float64, tr.joints)
	for j := range tr.fromPos {
		tr.fromPos[j], tr.fromVel[j] = prev.at(now, j)
	}
}

// at returns position and velocity of joint j at time t as ROS 2's
// joint_trajectory_controller interpolates: a line between points with
// positions, a cubic with velocities, a quintic with accelerations too; the
// last point is held, and before the first there is a segment from the point
// that was in force when the trajectory took over.
func (tr *trajectory) at(t int64, j int) (pos, vel float64) {
	s := t - tr.start
	n := len(tr.times)
	i := sort.Search(n, func(i int) bool { return tr.times[i] > s }) // first point after s
	switch {
	case i == n:
		return tr.pos[(n-1)*tr.joints+j], 0
	case i > 0:
		a, b := i-1, i
		return segment(tr.point(a, j), tr.point(b, j), secs(s-tr.times[a]), secs(tr.times[b]-tr.times[a]))
	case tr.fromPos == nil || t <= tr.fromTime:
		if tr.fromPos != nil {
			return tr.fromPos[j], tr.fromVel[j]
		}
		return tr.pos[j], 0
	}
	from := knot{pos: tr.fromPos[j], vel: tr.fromVel[j], order: 1}
	return segment(from, tr.point(0, j), secs(t-tr.fromTime), secs(tr.start+tr.times[0]-tr.fromTime))
}

// knot is one joint at one point; order is its highest known derivative.
type knot struct {
	pos, vel, acc float64
	order         int
}

func (tr *trajectory) point(i, j int) knot {
	k := knot{pos: tr.pos[i*tr.joints+j]}
	if tr.vel != nil {
		k.vel, k.order = tr.vel[i*tr.joints+j], 1
	}
	if tr.acc != nil {
		k.acc, k.order = tr.acc[i*tr.joints+j], 2
	}
	return k
}

// segment evaluates the polynomial from a to b, T seconds long, at time t.
func segment(a, b knot, t, T float64) (pos, vel float64) {
	d := b.pos - a.pos
	switch min(a.order, b.order) {
	case 0:
		return a.pos + d*t/T, d / T
	case 1:
		c2 := (3*d/T - 2*a.vel - b.vel) / T
		c3 := (a.vel + b.vel - 2*d/T) / (T * T)
		return a.pos + t*(a.vel+t*(c2+t*c3)), a.vel + t*(2*c2+t*3*c3)
	}
	c2 := a.acc / 2
	c3 := (20*d - (8*b.vel+12*a.vel)*T - (3*a.acc-b.acc)*T*T) / (2 * T * T * T)
	c4 := (-30*d + (14*b.vel+16*a.vel)*T + (3*a.acc-2*b.acc)*T*T) / (2 * T * T * T * T)
	c5 := (12*d - 6*(b.vel+a.vel)*T + (b.acc-a.acc)*T*T) / (2 * T * T * T * T * T)
	pos = a.pos + t*(a.vel+t*(c2+t*(c3+t*(c4+t*c5))))
	vel = a.vel + t*(2*c2+t*(3*c3+t*(4*c4+t*5*c5)))
	return pos, vel
}

func secs(ns int64) float64 { return float64(ns) * 1e-9 }
