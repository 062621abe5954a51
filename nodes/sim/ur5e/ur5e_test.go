package ur5e

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// dh is the arm from the maker's Denavit-Hartenberg table, written apart from
// Links: another description of the same machine. It gives tool0 in base_link.
func dh(q [Joints]float64) Pose {
	table := [Joints][3]float64{ // a, d, alpha
		{0, 0.1625, math.Pi / 2}, {-0.425, 0, 0}, {-0.3922, 0, 0},
		{0, 0.1333, math.Pi / 2}, {0, 0.0997, -math.Pi / 2}, {0, 0.0996, 0},
	}
	at := [4][4]float64{{-1, 0, 0, 0}, {0, -1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}} // the maker's base in base_link
	for j, r := range table {
		a, d, sa, ca := r[0], r[1], math.Sin(r[2]), math.Cos(r[2])
		s, c := math.Sin(q[j]), math.Cos(q[j])
		at = mul4(at, [4][4]float64{{c, -s * ca, s * sa, a * c}, {s, c * ca, -c * sa, a * s}, {0, sa, ca, d}, {0, 0, 0, 1}})
	}
	return pose4(at)
}

func mul4(a, b [4][4]float64) (c [4][4]float64) {
	for i := range c {
		for j := range c {
			for k := range c {
				c[i][j] += a[i][k] * b[k][j]
			}
		}
	}
	return c
}

func pose4(m [4][4]float64) (p Pose) {
	for i := range 3 {
		p.Pos[i] = m[i][3]
		copy(p.Rot[3*i:], m[i][:3])
	}
	return p
}

// apart is the greatest difference between two poses' numbers.
func apart(a, b Pose) (d float64) {
	for i := range a.Pos {
		d = max(d, math.Abs(a.Pos[i]-b.Pos[i]))
	}
	for i := range a.Rot {
		d = max(d, math.Abs(a.Rot[i]-b.Rot[i]))
	}
	return d
}

func random(r *rand.Rand) (q [Joints]float64) {
	for j := range q {
		q[j] = Links[j].Lower + r.Float64()*(Links[j].Upper-Links[j].Lower)
	}
	return q
}

func TestForwardPinned(t *testing.T) {
	h := math.Pi / 2
	for _, c := range []struct {
		name string
		q    [Joints]float64
		want Pose
	}{
		// Along x: 425 + 392.2; sideways 133.3 + 99.6; wrist 2 hangs 99.7 below the shoulder.
		{"stretched forward", [Joints]float64{}, Pose{[3]float64{0.8172, 0.2329, 0.0628}, [9]float64{-1, 0, 0, 0, 0, 1, 0, 1, 0}}},
		// Straight up: 162.5 + 425 + 392.2 + 99.7.
		{"upright", [Joints]float64{0, -h, 0, -h, 0, 0}, Pose{[3]float64{0, 0.2329, 1.0794}, [9]float64{1, 0, 0, 0, 0, 1, 0, -1, 0}}},
		// Upper arm up, forearm level, tool down.
		{"ready", [Joints]float64{0, -h, h, -h, -h, 0}, Pose{[3]float64{0.4919, 0.1333, 0.4879}, [9]float64{0, -1, 0, -1, 0, 0, 0, 0, -1}}},
		// The same, a quarter turn to the left.
		{"ready, left", [Joints]float64{h, -h, h, -h, -h, 0}, Pose{[3]float64{-0.1333, 0.4919, 0.4879}, [9]float64{1, 0, 0, 0, -1, 0, 0, 0, -1}}},
	} {
		if got := Forward(c.q); apart(got, c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestForwardAgreesWithDenavitHartenberg(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		q := random(r)
		if d := apart(Forward(q), dh(q)); d > 1e-12 {
			t.Fatalf("at %v the two descriptions are %g apart", q, d)
		}
	}
}

func TestJacobianByDifferences(t *testing.T) {
	const h = 1e-6
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		q := random(r)
		jac, here := Jacobian(q), Forward(q)
		for j := range q {
			a, b := q, q
			a[j] -= h
			b[j] += h
			pa, pb := Forward(a), Forward(b)
			back := transpose(&here.Rot)
			var dr [9]float64
			for i := range dr {
				dr[i] = (pb.Rot[i] - pa.Rot[i]) / (2 * h)
			}
			skew := mul(&dr, &back) // d R/dq R^T = [w]x
			w := [3]float64{skew[7], skew[2], skew[3]}
			for i := range 3 {
				if d := math.Abs(jac[i][j] - (pb.Pos[i]-pa.Pos[i])/(2*h)); d > 1e-8 {
					t.Fatalf("linear %d of joint %d is %g off at %v", i, j, d, q)
				}
				if d := math.Abs(jac[3+i][j] - w[i]); d > 1e-8 {
					t.Fatalf("angular %d of joint %d is %g off at %v", i, j, d, q)
				}
			}
		}
	}
}

func ExampleSolve() {
	ready := [Joints]float64{0, -math.Pi / 2, math.Pi / 2, -math.Pi / 2, -math.Pi / 2, 0}
	target := Forward(ready)
	target.Pos[2] -= 0.10 // ten centimetres lower
	q, ok := Solve(ready, target, 0)
	fmt.Printf("%v %.3f\n", ok, q[1:5])
	// Output: true [-1.540 1.798 -1.828 -1.571]
}
