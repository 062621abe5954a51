package finetune

import (
	"context"
	"errors"
	"testing"

	"arfm/policy/contract"
	"arfm/policy/vla"
)

// benchTrainer is the preset base with one camera of 96x96 pixels and two
// joints, in batches of 16.
func benchTrainer(b *testing.B) *trainer {
	b.Helper()
	c := newContract(b, true, true)
	im := c.Observation.Images["top"]
	im.Size = [2]int{96, 96}
	c.Observation.Images = map[string]contract.ImageField{"top": im}
	c.Action.Horizon = 16
	o := testOptions(b, 1<<20)
	base, err := vla.Preset("base")
	if err != nil {
		b.Fatal(err)
	}
	o.Model, o.Batch, o.HeldOut = base, 16, 0
	tr := newTrainer(b, o, c)
	if err := errors.Join(tr.begin(nil), tr.setUp(context.Background(), episodes(c, 9, 40))); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { tr.step.Close() })
	return tr
}

// BenchmarkStep is a whole step and reports the share of its time that is not
// forward, backward or optimiser.
func BenchmarkStep(b *testing.B) {
	tr := benchTrainer(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tr.advance(); err != nil {
			b.Fatal(err)
		}
	}
	s, n := tr.spent, float64(b.N)
	b.ReportMetric(100*(s.Graph+s.Data)/(s.Graph+s.Data+s.Network+s.Optimiser), "%other")
	b.ReportMetric(1e3*s.Network/n, "ms-network")
	b.ReportMetric(1e3*s.Optimiser/n, "ms-optimiser")
	b.ReportMetric(1e3*s.Graph/n, "ms-graph")
	b.ReportMetric(1e3*s.Data/n, "ms-data")
}

// BenchmarkDirect is the same network called without the graph.
func BenchmarkDirect(b *testing.B) {
	tr := benchTrainer(b)
	if _, err := tr.advance(); err != nil {
		b.Fatal(err)
	}
	out := make([]float32, len(tr.step.Target))
	b.ReportAllocs()
	for b.Loop() {
		tr.model.Velocity(tr.field.ws, tr.batch.in, out)
		tr.model.Backward(tr.field.ws, tr.batch.in, out, tr.step.Grad)
	}
}
