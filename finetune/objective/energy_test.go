package objective

import (
	"math"
	"math/rand/v2"
	"testing"

	"arfm/finetune/optim"
)

// mixture is a Gaussian mixture in the plane and a linear reward R(x) = g.x,
// for which p(x) exp(beta R(x)) is again a mixture in closed form.
type mixture struct {
	mass   []float64
	centre [][2]float64
	sigma  float64
	g      [2]float64
}

func (m mixture) reward(x, y float64) float64 { return m.g[0]*x + m.g[1]*y }

// tilted returns the masses and the mean reward of p exp(beta R) / Z: mode k
// gets mass m_k exp(beta R(mu_k)) / Z' and its mean moves by beta sigma^2 g.
func (m mixture) tilted(beta float64) (mass []float64, mean float64) {
	total, shift := 0.0, beta*m.sigma*m.sigma*(m.g[0]*m.g[0]+m.g[1]*m.g[1])
	mass = make([]float64, len(m.mass))
	for k, c := range m.centre {
		mass[k] = m.mass[k] * math.Exp(beta*m.reward(c[0], c[1]))
		total += mass[k]
	}
	for k, c := range m.centre {
		mass[k] /= total
		mean += mass[k] * (m.reward(c[0], c[1]) + shift)
	}
	return mass, mean
}

func (m mixture) draw(rng *rand.Rand) (x, y float64) {
	u, k := rng.Float64(), 0
	for k < len(m.mass)-1 && u > m.mass[k] {
		u -= m.mass[k]
		k++
	}
	return m.centre[k][0] + m.sigma*rng.NormFloat64(), m.centre[k][1] + m.sigma*rng.NormFloat64()
}

func (m mixture) nearest(x, y float64) int {
	best, at := math.Inf(1), 0
	for k, c := range m.centre {
		if d := math.Hypot(x-c[0], y-c[1]); d < best {
			best, at = d, k
		}
	}
	return at
}

// trainEnergyField trains an MLP by energy-weighted flow matching: the weights
// softmax(beta R) of a batch are exp(beta R) up to the batch's own estimate of
// the normaliser.
func trainEnergyField(t *testing.T, mix mixture, beta float64, batch, steps int) *mlp {
	field := newMLP(2, 64, batch, 11)
	step, err := Compile(field, RWR{Beta: beta}, batch, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer step.Close()
	c := optim.Defaults(6e-3, int64(steps))
	c.Schedule.Floor, c.EMA = 1e-5, 0.995
	adam, err := optim.New(c, field.Params())
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(2, 3))
	for i := range step.Mask {
		step.Mask[i] = 1
	}
	for range steps {
		for i := range batch {
			x, y := mix.draw(rng)
			tau := rng.Float64()
			step.Advantage[i], field.tau[i] = float32(mix.reward(x, y)), float32(tau)
			for d, a := range [2]float64{x, y} {
				eps := rng.NormFloat64()
				field.x[2*i+d] = float32(tau*a + (1-tau)*eps)
				step.Target[2*i+d] = float32(a - eps)
			}
		}
		if _, err := step.Run(); err != nil {
			t.Fatal(err)
		}
		if _, err := adam.Update(field.Params(), step.Grad); err != nil {
			t.Fatal(err)
		}
	}
	copy(field.Params(), adam.Weights(field.Params()))
	return field
}

// raceDetector is true in a build with -race, where one goroutine of plain
// arithmetic takes ten times as long and proves nothing more.
var raceDetector bool

// TestEnergyWeightedFlow trains on p with weights exp(beta R) and expects
// samples of p exp(beta R) / Z.
func TestEnergyWeightedFlow(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("trains a network for about 10 s; run without -short and without -race")
	}
	const beta, batch, steps, rounds, euler = 0.8, 512, 3000, 100, 25
	mix := mixture{
		mass:   []float64{0.4, 0.3, 0.2, 0.1},
		centre: [][2]float64{{-1.5, -1}, {1.5, -1.2}, {-1.2, 1.5}, {1.4, 1.4}}, sigma: 0.3, g: [2]float64{0.6, 0.8},
	}
	field := trainEnergyField(t, mix, beta, batch, steps)
	rng := rand.New(rand.NewPCG(4, 5))
	mass, mean, v := make([]float64, 4), 0.0, make([]float32, 2*batch)
	for range rounds {
		for i := range field.x {
			field.x[i] = float32(rng.NormFloat64())
		}
		for k := range euler {
			for i := range field.tau {
				field.tau[i] = float32(k) / euler
			}
			field.Velocity(v)
			for i := range field.x {
				field.x[i] += v[i] / euler
			}
		}
		for i := range batch {
			x, y := float64(field.x[2*i]), float64(field.x[2*i+1])
			mass[mix.nearest(x, y)] += 1.0 / (rounds * batch)
			mean += mix.reward(x, y) / (rounds * batch)
		}
	}
	wantMass, wantMean := mix.tilted(beta)
	_, before := mix.tilted(0)
	t.Logf("mean reward: data %.4f, samples %.4f, closed form %.4f (%+.1f %%)", before, mean, wantMean, 100*(mean/wantMean-1))
	if math.Abs(mean-wantMean) > 0.05*math.Abs(wantMean) {
		t.Errorf("mean reward %v, want %v within 5 %%", mean, wantMean)
	}
	for k, want := range wantMass {
		t.Logf("mode %d: data %.3f, samples %.4f, closed form %.4f (%+.1f %%)", k, mix.mass[k], mass[k], want, 100*(mass[k]/want-1))
		if math.Abs(mass[k]-want) > 0.05*want {
			t.Errorf("mode %d has mass %v, want %v within 5 %%", k, mass[k], want)
		}
	}
}
