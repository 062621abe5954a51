// Package bagtest finds the real recordings that some tests use.
package bagtest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Shared returns the path of rel inside the folder of shared test data, and
// skips the test where that is absent. The folder is $ARFM_TEST_DATA, or
// ../shared/data beside the checkout.
func Shared(t testing.TB, rel string) string {
	t.Helper()
	root := os.Getenv("ARFM_TEST_DATA")
	if root == "" {
		_, here, _, _ := runtime.Caller(0)
		root = filepath.Join(filepath.Dir(here), "..", "..", "..", "shared", "data")
	}
	path := filepath.Join(root, rel)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("shared test data absent: %s (set ARFM_TEST_DATA)", rel)
	}
	return path
}
