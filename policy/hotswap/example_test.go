package hotswap_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"arfm/policy/checkpoint"
	"arfm/policy/checkpoint/badcheckpoint"
	"arfm/policy/hotswap"
)

// A watcher puts the first checkpoint of a folder into an empty slot; the
// control loop takes the policy from the slot at each chunk.
func Example() {
	dir, err := os.MkdirTemp("", "checkpoints")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ck, err := badcheckpoint.Good(1, 500)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := checkpoint.Save(filepath.Join(dir, "step-500.safetensors"), ck); err != nil {
		fmt.Println(err)
		return
	}
	slot := hotswap.NewSlot(nil)
	ctx, cancel := context.WithCancel(context.Background())
	err = hotswap.Watch(ctx, dir, slot, hotswap.Options{}, func(e hotswap.Event) {
		fmt.Println(e.Kind, filepath.Base(e.Path), "at generation", e.Generation)
		cancel() // a robot would go on
	})
	fmt.Println(slot.Current().Info().Step, err)
	// Output:
	// swapped step-500.safetensors at generation 1
	// 500 <nil>
}
