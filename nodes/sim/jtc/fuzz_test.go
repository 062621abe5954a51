package jtc

import (
	"encoding/binary"
	"math"
	"testing"
)

// tape deals out a fuzzer's bytes.
type tape []byte

func (t *tape) byte() byte {
	if len(*t) == 0 {
		return 0
	}
	b := (*t)[0]
	*t = (*t)[1:]
	return b
}

// number mixes plain numbers with wild ones.
func (t *tape) number() float64 {
	switch b := t.byte(); b % 8 {
	case 0:
		var raw [8]byte
		for i := range raw {
			raw[i] = t.byte()
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(raw[:]))
	case 1:
		return limit
	case 2:
		return -limit
	default:
		return float64(int8(t.byte())) / 16
	}
}

func (t *tape) time() int64 {
	switch b := t.byte(); b % 8 {
	case 0:
		var raw [8]byte
		for i := range raw {
			raw[i] = t.byte()
		}
		return int64(binary.LittleEndian.Uint64(raw[:]))
	case 1:
		return lastTime
	case 2:
		return int64(t.byte())
	default:
		return int64(t.byte()) * 1e8
	}
}

func (t *tape) numbers() []float64 {
	v := make([]float64, []int{2, 2, 2, 2, 0, 0, 1, 3}[t.byte()%8])
	for i := range v {
		v[i] = t.number()
	}
	return v
}

func (t *tape) trajectory() *Trajectory {
	tr := &Trajectory{Joints: [][]string{two, two, {"b", "a"}, {"a"}, {"b"}, {"a", "a"}, {"c"}, nil}[t.byte()%8]}
	if t.byte()%2 == 0 {
		tr.Stamp = t.time()
	}
	at := int64(0)
	for range t.byte() % 5 {
		at += t.time()
		p := Point{TimeFromStart: at, Positions: t.numbers(), Velocities: t.numbers(), Accelerations: t.numbers()}
		for _, v := range [...]*[]float64{&p.Positions, &p.Velocities, &p.Accelerations} {
			if len(tr.Joints) == 1 && len(*v) > 1 {
				*v = (*v)[:1]
			}
		}
		tr.Points = append(tr.Points, p)
	}
	return tr
}

func FuzzController(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte("\x07\x03\x00\x10\x00\x20\x01\x00\x01\x02\x03\x05\x00\x03\x40\x03\x41\x00\x03\x10\x03\x10\x00\x03\x01\x03\x02"))
	f.Add([]byte("\xff\x01\x00\x01\x04\x02\x01\x00\x01\x02\x00\x02\x01\x00\x01\x01\x02\x01\x00\x02\x02\x00\x01\x01\x00\x02\x02\x03\x07\x03\x09"))
	f.Fuzz(func(t *testing.T, data []byte) {
		in := tape(data)
		flags := in.byte()
		c := newController(t, two, Options{
			AllowPartialJointsGoal: flags&1 != 0, OpenLoopControl: flags&2 != 0,
			AllowIntegrationInGoalTrajectories: flags&4 != 0, VelocityCommand: flags&8 != 0, AccelerationCommand: flags&16 != 0,
			PathTolerance: []float64{float64(flags >> 6), 0}, GoalTolerance: []float64{0, float64(flags >> 6)}, GoalTime: int64(flags >> 7),
		})
		var goal *Goal
		var s State
		now := int64(0)
		for len(in) > 0 {
			switch in.byte() % 8 {
			case 0, 1:
				_ = c.Accept(now, in.trajectory())
			case 2:
				if g, err := c.AcceptGoal(now, &GoalRequest{
					Trajectory: in.trajectory(), GoalTime: in.time(),
					PathTolerance: []JointTolerance{{Name: "a", Position: in.number()}},
				}); err == nil {
					goal = g
				}
			case 3:
				if c.Cancel(goal); in.byte() == 0 {
					c.Reset()
				}
			default:
				if in.byte()%4 == 0 {
					now = in.time()
				} else {
					now += in.time()
				}
				if !c.Update(now, State{in.numbers(), in.numbers(), in.numbers()}, &s) {
					continue
				}
				for _, v := range [...][]float64{s.Position, s.Velocity, s.Acceleration} {
					for _, x := range v {
						if math.IsNaN(x) || math.IsInf(x, 0) || len(v) != 2 {
							t.Fatalf("set-point %v at %d", s, now)
						}
					}
				}
			}
		}
	})
}
