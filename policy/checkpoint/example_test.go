package checkpoint_test

import (
	"fmt"
	"os"
	"path/filepath"

	"arfm/policy/checkpoint"
	"arfm/policy/checkpoint/badcheckpoint"
)

// Save a policy, load it and ask its probe.
func Example() {
	dir, err := os.MkdirTemp("", "checkpoint")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ck, err := badcheckpoint.Good(1, 500) // a small network with its contract and statistics
	if err != nil {
		fmt.Println(err)
		return
	}
	path := filepath.Join(dir, "step-500.safetensors")
	if _, err := checkpoint.Save(path, ck); err != nil {
		fmt.Println(err)
		return
	}
	loaded, err := checkpoint.Load(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(loaded.Objective, loaded.Step, loaded.Hash == ck.Hash, loaded.Verify())
	// Output: arfm 500 true <nil>
}
