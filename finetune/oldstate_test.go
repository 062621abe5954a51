package finetune

import (
	"encoding/json"
	"testing"

	"arfm/finetune/objective"
	"arfm/policy/checkpoint"
)

// TestResumeOldState: a run of a build in which the options of objectives had
// fields of their own goes on to the weights of an unbroken one.
func TestResumeOldState(t *testing.T) {
	o := testOptions(t, 12)
	o.Tuning = objective.Options{"lambda": "20", "alpha-max": "3", "spread": "gaussian"}
	whole := train(t, o)
	o.Out = t.TempDir()
	stopAt(t, o, 7)
	tensors, meta, err := checkpoint.ReadTensors(o.statePath(), maxStateBytes)
	if err != nil {
		t.Fatal(err)
	}
	var options map[string]any
	if err := json.Unmarshal([]byte(meta["options"]), &options); err != nil {
		t.Fatal(err)
	}
	delete(options, "tuning")
	options["beta"], options["scale"] = 1, "relative"
	options["alpha"] = map[string]any{"lambda": 20, "min": 0.01, "max": 3, "iterations": 20, "tolerance": 1e-5}
	old, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	meta["options"], meta["version"] = string(old), oldVersion
	delete(meta, "sha256")
	delete(meta, "metadata_sha256")
	if err := checkpoint.WriteTensors(o.statePath(), tensors, meta); err != nil {
		t.Fatal(err)
	}
	o.Resume = true
	if r := train(t, o); r.Hash != whole.Hash {
		t.Error("the resumed run ends with other weights")
	}
}
