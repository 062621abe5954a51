package hotswap

import (
	"path/filepath"
	"strings"
	"testing"

	"arfm/policy/checkpoint"
	"arfm/policy/checkpoint/badcheckpoint"
	"arfm/policy/vla"
)

// TestSwapConditions: policies that are told something beside the observation
// take the place of one that is not, and the other way round; guidance refuses
// those that it means nothing to.
func TestSwapConditions(t *testing.T) {
	save := func(path string, step int64, tell *vla.Condition) *checkpoint.Checkpoint {
		t.Helper()
		ck, err := badcheckpoint.Good(uint64(step), step)
		if err == nil {
			ck.Model, err = ck.Model.WithCondition(tell, 1)
		}
		if err == nil {
			if last := ck.Model.Params.View("condition.l2.bias"); last != nil {
				last[0] = 1
			}
			_, err = checkpoint.Save(path, ck)
		}
		if err != nil {
			t.Fatal(err)
		}
		return ck
	}
	asked := &vla.Condition{Size: 2, Ask: []float32{1, 0}, None: []float32{0, 0}}
	dir, s := t.TempDir(), NewSlot(nil)
	path := filepath.Join(dir, "ckpt.safetensors")
	_, events := started(t, dir, s, quick)
	for i, tell := range []*vla.Condition{nil, asked, {Size: 1, Predicted: true}, nil} {
		ck := save(path, int64(10+i), tell)
		wantSwap(t, next(t, events), s, ck)
		act(t, s)
	}

	dir, s = t.TempDir(), NewSlot(nil)
	path = filepath.Join(dir, "ckpt.safetensors")
	guided := quick
	guided.Guidance = 2
	_, events = started(t, dir, s, guided)
	save(path, 20, nil)
	if e := next(t, events); e.Kind != Refused || !strings.Contains(e.Err.Error(), "guide") {
		t.Errorf("guided without a condition: %v, %v", e.Kind, e.Err)
	}
	ck := save(path, 21, asked)
	wantSwap(t, next(t, events), s, ck)
	act(t, s)
}
