package checkpoint_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"arfm/policy/checkpoint"
	"arfm/policy/vla"
)

// TestProbeAsks: the probe notices a change in whatever a policy makes of its
// condition.
func TestProbeAsks(t *testing.T) {
	for name, tell := range map[string]*vla.Condition{
		"asked": {Size: 2, Ask: []float32{1, 0}, None: []float32{0, 0}}, "predicted": {Size: 1, Predicted: true},
	} {
		ck := good(t, 1, 40)
		with, err := ck.Model.WithCondition(tell, 1)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 1))
		for i := range with.Params.Data {
			with.Params.Data[i] += float32(0.2 * r.NormFloat64())
		}
		ck.Model = with
		path := filepath.Join(t.TempDir(), "told.safetensors")
		if _, err := checkpoint.Save(path, ck); err != nil {
			t.Fatal(err)
		}
		got, err := checkpoint.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Verify(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		tensors := []string{"condition.l1.weight", "condition.l1.bias", "condition.l2.weight", "condition.l2.bias"}
		if tell.Predicted {
			tensors = append(tensors, "condition.head.query", "condition.head.l1.weight", "condition.head.l1.bias", "condition.head.l2.weight", "condition.head.l2.bias")
		}
		for _, tensor := range tensors {
			v := got.Model.Params.View(tensor)
			if v == nil {
				t.Fatalf("%s: no tensor %s", name, tensor)
			}
			keep := append([]float32(nil), v...)
			for i := range v {
				v[i] = 3*v[i] + 1
			}
			if err := got.Verify(); !errors.Is(err, checkpoint.ErrProbe) {
				t.Errorf("%s: another %s gives %v", name, tensor, err)
			}
			copy(v, keep)
		}
	}
}
