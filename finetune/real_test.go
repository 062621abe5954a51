package finetune

import (
	"context"
	"testing"

	"arfm/bags"
	"arfm/bags/bagtest"
	"arfm/policy/contract"
)

// TestRealRecording trains on the first 80 % of a recording of a real arm and
// predicts its chunks in the rest.
func TestRealRecording(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("trains a network for about 5 s; run without -short and without -race")
	}
	path := bagtest.Shared(t, "bags/arm/ros2bag_2025-03-19_14-25-15.db3")
	c, err := contract.Load("../launch/contracts/tactile_servo_3dof.yaml")
	if err != nil {
		t.Fatal(err)
	}
	episodes, _, err := bags.ReadEpisodes(t.Context(), path, c, bags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(t, 400)
	o.Objective, o.HeldOut, o.Batch, o.EvalChunks = "bc", 0.2, 32, 128
	o.SaveEvery, o.EvalEvery, o.Optim.EMA = 0, 0, 0.98
	o.Model.D, o.Model.Layers, o.Model.Steps = 32, 2, 10
	r, err := Train(context.Background(), episodes, c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", r)
	e := r.Evaluation
	if e.ZeroNoise.Normalised > e.MeanAction.Normalised || e.ZeroNoise.Normalised > e.HoldLast.Normalised {
		t.Errorf("chunk error %.3f is no better than mean action %.3f and hold last %.3f", e.ZeroNoise.Normalised, e.MeanAction.Normalised, e.HoldLast.Normalised)
	}
}
