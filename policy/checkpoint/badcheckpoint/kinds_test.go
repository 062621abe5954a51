package badcheckpoint_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"arfm/policy/checkpoint"
	"arfm/policy/checkpoint/badcheckpoint"
)

func goodFile(t testing.TB) []byte {
	t.Helper()
	ck, err := badcheckpoint.Good(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "good.safetensors")
	if _, err := checkpoint.Save(path, ck); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKinds: names differ, the good file is left alone, and bytes that are no
// checkpoint are refused and not cut up.
func TestKinds(t *testing.T) {
	good := goodFile(t)
	before := bytes.Clone(good)
	names := map[string]bool{}
	for i, k := range badcheckpoint.Kinds() {
		if names[k.Name] || k.Name == "" || k.Want == nil {
			t.Errorf("kind %d: name %q, want %v", i, k.Name, k.Want)
		}
		names[k.Name] = true
		if err := k.Make(filepath.Join(t.TempDir(), "x"), good); err != nil {
			t.Errorf("%s: %v", k.Name, err)
		}
		for _, short := range [][]byte{nil, make([]byte, 20), bytes.Repeat([]byte{255}, 300)} {
			k.Make(filepath.Join(t.TempDir(), "x"), short) // must not panic
		}
	}
	if !bytes.Equal(good, before) {
		t.Error("the good file was changed")
	}
}

// TestGood: the same seed gives the same file, another seed other weights.
func TestGood(t *testing.T) {
	if !bytes.Equal(goodFile(t), goodFile(t)) {
		t.Error("two good files of one seed differ")
	}
	a, _ := badcheckpoint.Good(1, 1)
	b, _ := badcheckpoint.Good(2, 1)
	if a.Model.Params.Data[0] == b.Model.Params.Data[0] {
		t.Error("two seeds give the same weights")
	}
}

// Every kind is refused for its own reason.
func Example() {
	dir, err := os.MkdirTemp("", "bad")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ck, err := badcheckpoint.Good(1, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	path := filepath.Join(dir, "good.safetensors")
	if _, err := checkpoint.Save(path, ck); err != nil {
		fmt.Println(err)
		return
	}
	good, err := os.ReadFile(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, k := range badcheckpoint.Kinds()[:3] {
		bad := filepath.Join(dir, fmt.Sprint(i))
		if err := k.Make(bad, good); err != nil {
			fmt.Println(err)
			return
		}
		_, err := checkpoint.Load(bad)
		fmt.Println(k.Name, errors.Is(err, k.Want))
	}
	// Output:
	// empty true
	// three bytes true
	// cut in the header true
}
