package objective

import (
	"errors"
	"math"
	"testing"

	"arfm/finetune/critic"
)

func TestAWRWeights(t *testing.T) {
	o := &AWRIQL{Temperature: 0.5, Clip: 4, Critic: critic.DefaultOptions()}
	adv, w := []float32{0, 0.5, -0.5, 3}, make([]float32, 4)
	if err := o.weigh(adv, w); err != nil {
		t.Fatal(err)
	}
	sum := 1 + math.E + 1/math.E + 4
	for i, want := range []float64{1, math.E, 1 / math.E, 4} {
		if math.Abs(float64(w[i])-want/sum) > 1e-6 {
			t.Errorf("weight %d is %v, want %v", i, w[i], want/sum)
		}
	}
	if o.clipped != 0.25 || o.mean != 0.75 {
		t.Errorf("clipped %v, mean %v", o.clipped, o.mean)
	}
	// However bad all are, the least bad counts.
	if err := o.weigh([]float32{-1e6, -2e6, -1e6, -3e6}, w); err != nil || w[0] != 0.5 || w[1] != 0 {
		t.Errorf("weights of bad chunks are %v, %v", w, err)
	}
	if err := o.weigh([]float32{0, float32(math.NaN()), 0, 0}, w); !errors.Is(err, ErrNotFinite) {
		t.Errorf("an advantage of NaN gives %v", err)
	}
}

// TestAWRIsBCWithoutAdvantages to the bit.
func TestAWRIsBCWithoutAdvantages(t *testing.T) {
	bc, _ := newStep(t, BC{})
	s, _ := newStep(t, &AWRIQL{Temperature: 0.3, Clip: 100, Critic: critic.DefaultOptions()})
	clear(s.Advantage)
	if want, got := run(t, bc), run(t, s); got.Loss != want.Loss || got.Figures["advantage_std"] != 0 {
		t.Errorf("loss %v, bc %v", got.Loss, want.Loss)
	}
}

func TestAWRRefused(t *testing.T) {
	for _, o := range []Options{{"temperature": "0"}, {"temperature": "NaN"}, {"weight-clip": "0.5"}, {"discount": "1"}, {"critic-width": "0"}} {
		if _, err := New("awr-iql", o); err == nil {
			t.Errorf("%v was accepted", o)
		}
	}
}
