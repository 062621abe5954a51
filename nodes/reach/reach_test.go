package reach

import (
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"arfm/nodes/demonstration"
)

func TestInverseOfForward(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		q := [2]float64{-2 + 4*rng.Float64(), 0.1 + 2.5*rng.Float64()}
		_, tip := Forward(q)
		got, ok := Inverse(tip)
		if !ok || math.Abs(got[0]-q[0]) > 1e-9 || math.Abs(got[1]-q[1]) > 1e-9 {
			t.Fatalf("Inverse(Forward(%v)) = %v, %v", q, got, ok)
		}
	}
	if _, ok := Inverse(Point{0.71, 0}); ok {
		t.Error("a point out of reach")
	}
	for range 1000 {
		if _, ok := Inverse(randomTarget(rng)); !ok {
			t.Fatal("a target that cannot be reached")
		}
	}
}

// play runs a demonstrator to the end.
func play(q demonstration.Quality, seed uint64) (w *World, steps int) {
	rng := rand.New(rand.NewPCG(seed, 0))
	w = NewWorld(rng)
	d := newDemonstrator(q, w, rng)
	for !w.Done() {
		set, ok := d.next()
		if !ok {
			break
		}
		w.Step(set)
	}
	return w, w.Steps
}

// TestQualities: experts succeed, failing demonstrators never do, and returns
// put them in order.
func TestQualities(t *testing.T) {
	const n = 300
	var success, steps, ret [3]float64
	for i, q := range []demonstration.Quality{demonstration.Expert, demonstration.Sloppy, demonstration.Failing} {
		for seed := range uint64(n) {
			w, s := play(q, seed)
			if w.Success() {
				success[i]++
			}
			steps[i] += float64(s) / n
			ret[i] += w.Return() / n
		}
		t.Logf("%s: success %.3f, %.1f steps, return %.3f", q, success[i]/n, steps[i], ret[i])
	}
	if success[0] != n || success[1] < 0.85*n || success[2] != 0 {
		t.Errorf("successes %v of %d", success, n)
	}
	if !(ret[0] > ret[1]+0.05 && ret[1] > ret[2]+0.05) {
		t.Errorf("returns %v are not in order", ret)
	}
}

func TestRender(t *testing.T) {
	w := &World{Q: [2]float64{0, math.Pi / 2}, Target: Point{-0.4, -0.4}}
	img := Render(w, nil)
	at := func(p Point) [3]uint8 {
		c := img.RGBAAt(int((p.X+viewWidth/2)/viewWidth*ImageSide), int((viewWidth/2-p.Y)/viewWidth*ImageSide))
		return [3]uint8{c.R, c.G, c.B}
	}
	for name, c := range map[string]struct {
		p    Point
		want [3]uint8
	}{
		"target":     {w.Target, [3]uint8{220, 40, 30}},
		"first link": {Point{0.2, 0}, [3]uint8{40, 60, 150}},
		"table":      {Point{-0.5, 0.5}, [3]uint8{225, 225, 220}},
	} {
		got := at(c.p)
		for i := range got {
			if math.Abs(float64(got[i])-float64(c.want[i])) > 12 {
				t.Errorf("%s is %v, want about %v", name, got, c.want)
			}
		}
	}
	if path := os.Getenv("ARFM_RENDER"); path != "" { // to look at it
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := png.Encode(f, img); err != nil {
			t.Fatal(err)
		}
	}
}
