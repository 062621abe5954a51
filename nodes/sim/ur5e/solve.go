package ur5e

import (
	"math"
	"math/rand/v2"
)

const (
	positionTolerance    = 1e-4 // m
	orientationTolerance = 1e-3 // rad
	iterations           = 200  // a descent
	restarts             = 16
	nearby               = 0.7   // how far from the start a restart may lie, rad
	exact                = 1e-22 // squared error at which going on gains nothing
)

// Solve finds joint positions that bring the tool centre point to target, a
// pose in base_link, by damped least squares (Levenberg-Marquardt) from start.
// The tool centre point lies tool metres along tool0's z and has tool0's
// rotation. The answer lies inside the joint limits and, where the arm can
// reach the target several ways, is mostly the way nearest to start. ok says
// whether it is within 1e-4 m and 1e-3 rad of the target; if not, q is the
// best that was found. A start or a target that is not finite, and a rotation
// that is none, are not ok.
func Solve(start [Joints]float64, target Pose, tool float64) (q [Joints]float64, ok bool) {
	for j, v := range start {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return [Joints]float64{}, false
		}
		q[j] = min(max(v, Links[j].Lower), Links[j].Upper)
	}
	if !rigid(&target) || math.IsNaN(tool) || math.IsInf(tool, 0) {
		return q, false
	}
	from := q
	q, cost, ok := improve(from, &target, tool)
	// A descent can end in a local minimum, at a limit or where the wrist is
	// singular: then from other places nearby, the same ones every time.
	r := rand.New(rand.NewPCG(0, 0))
	for i := 0; i < restarts && !ok; i++ {
		other := from
		for j := range other {
			v := other[j] + nearby*(2*r.Float64()-1)
			other[j] = min(max(v, Links[j].Lower), Links[j].Upper)
		}
		p, c, reached := improve(other, &target, tool)
		if reached || c < cost {
			q, cost, ok = p, c, reached
		}
	}
	return q, ok
}

// improve descends from q, which lies inside the limits, and returns where it
// came to, the squared error there, and whether that is near enough.
func improve(q [Joints]float64, target *Pose, tool float64) ([Joints]float64, float64, bool) {
	f := frames(q)
	e := miss(&f, target, tool)
	cost, damping := sum(e), 1e-3
	for i := 0; i < iterations && cost > exact && damping < 1e12; i++ {
		next, moved := descend(q, &f, e, tool, damping)
		if !moved {
			break // every joint that would help stands at its limit
		}
		nf := frames(next)
		ne := miss(&nf, target, tool)
		if c := sum(ne); c < cost {
			q, f, e, cost = next, nf, ne, c
			damping = max(damping/8, 1e-12)
		} else {
			damping *= 4
		}
	}
	return q, cost, math.Hypot(math.Hypot(e[0], e[1]), e[2]) <= positionTolerance &&
		math.Hypot(math.Hypot(e[3], e[4]), e[5]) <= orientationTolerance
}

// miss is what is left to the target: a translation and a rotation vector,
// both in base_link.
func miss(f *[Joints]Pose, target *Pose, tool float64) (e [6]float64) {
	at := tip(f, tool)
	back := transpose(&f[Joints-1].Rot)
	left := mul(&target.Rot, &back)
	spin := rotationVector(&left)
	for i := range 3 {
		e[i], e[3+i] = target.Pos[i]-at[i], spin[i]
	}
	return e
}

func tip(f *[Joints]Pose, tool float64) [3]float64 {
	last := &f[Joints-1]
	return add(last.Pos, rotate(&last.Rot, [3]float64{0, 0, tool}))
}

func sum(e [6]float64) (s float64) {
	for _, v := range e {
		s += v * v
	}
	return s
}

// descend makes one damped step from q, inside the limits. A joint that stands
// at a limit and would leave is left out, so that the others make up for it.
func descend(q [Joints]float64, f *[Joints]Pose, e [6]float64, tool, damping float64) (next [Joints]float64, moved bool) {
	jac := jacobian(f, tip(f, tool))
	var down [Joints]float64 // J^T e, the way down
	for j := range down {
		for i := range e {
			down[j] += jac[i][j] * e[i]
		}
		if q[j] <= Links[j].Lower && down[j] < 0 || q[j] >= Links[j].Upper && down[j] > 0 {
			down[j] = 0
			for i := range jac {
				jac[i][j] = 0
			}
		}
	}
	var a [Joints][Joints]float64
	for r := range a {
		for c := range a {
			for i := range jac {
				a[r][c] += jac[i][r] * jac[i][c]
			}
		}
		a[r][r] += damping
	}
	step := cholesky(a, down)
	for j := range next {
		next[j] = min(max(q[j]+step[j], Links[j].Lower), Links[j].Upper)
		moved = moved || next[j] != q[j]
	}
	return next, moved
}

// cholesky solves a x = b for a symmetric positive definite a.
func cholesky(a [Joints][Joints]float64, b [Joints]float64) [Joints]float64 {
	for i := range a {
		for j := range i + 1 {
			s := a[i][j]
			for k := range j {
				s -= a[i][k] * a[j][k]
			}
			if i == j {
				a[i][i] = math.Sqrt(max(s, 1e-300)) // damped: not below zero but by rounding
			} else {
				a[i][j] = s / a[j][j]
			}
		}
	}
	for i := range b {
		for k := range i {
			b[i] -= a[i][k] * b[k]
		}
		b[i] /= a[i][i]
	}
	for i := Joints - 1; i >= 0; i-- {
		for k := i + 1; k < Joints; k++ {
			b[i] -= a[k][i] * b[k]
		}
		b[i] /= a[i][i]
	}
	return b
}

// rigid says whether the pose is finite, of bounded size and its matrix a
// rotation.
func rigid(p *Pose) bool {
	for _, v := range p.Pos {
		if !(math.Abs(v) < 1e6) {
			return false
		}
	}
	r := &p.Rot
	back := transpose(r)
	square := mul(r, &back)
	for i, v := range square {
		want := 0.0
		if i%4 == 0 {
			want = 1
		}
		if !(math.Abs(v-want) < 1e-4) {
			return false
		}
	}
	x := cross([3]float64{r[0], r[1], r[2]}, [3]float64{r[3], r[4], r[5]})
	return x[0]*r[6]+x[1]*r[7]+x[2]*r[8] > 0
}

// rotationVector is axis times angle of a rotation, the angle in [0, pi].
func rotationVector(r *[9]float64) [3]float64 {
	// By way of the quaternion, from its largest element: exact near both no
	// turn and a half turn.
	t := [4]float64{r[0] + r[4] + r[8], r[0] - r[4] - r[8], r[4] - r[0] - r[8], r[8] - r[0] - r[4]}
	k := 0
	for i := range t {
		if t[i] > t[k] {
			k = i
		}
	}
	a, b, c := r[7]-r[5], r[2]-r[6], r[3]-r[1]
	d, e, f := r[1]+r[3], r[2]+r[6], r[5]+r[7]
	q := [4][4]float64{{1 + t[0], a, b, c}, {a, 1 + t[1], d, e}, {b, d, 1 + t[2], f}, {c, e, f, 1 + t[3]}}[k]
	if q[0] < 0 {
		q = [4]float64{-q[0], -q[1], -q[2], -q[3]}
	}
	n := math.Hypot(math.Hypot(q[1], q[2]), q[3])
	if n == 0 {
		return [3]float64{}
	}
	s := 2 * math.Atan2(n, q[0]) / n
	return [3]float64{q[1] * s, q[2] * s, q[3] * s}
}
