package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"arfm/bags"
	"arfm/policy/contract"
)

// TestMemoryOfBags: the bags of a training share one bound, and an interrupt
// ends their reading.
func TestMemoryOfBags(t *testing.T) {
	f, g := record(t), record(t)
	c, err := contract.Load(f.contract)
	if err != nil {
		t.Fatal(err)
	}
	_, report, err := bags.ReadEpisodes(t.Context(), f.bag, c, bags.Options{})
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{f.bag, g.bag} // twice the same
	if eps, err := readEpisodes(t.Context(), io.Discard, paths, c, 2*report.Bytes); err != nil || len(eps) != 8 {
		t.Errorf("%d episodes, error %v", len(eps), err)
	}
	for _, maxBytes := range []int64{report.Bytes, 2*report.Bytes - 1} {
		_, err := readEpisodes(t.Context(), io.Discard, paths, c, maxBytes)
		if !errors.Is(err, bags.ErrTooLarge) || !strings.Contains(err.Error(), "train on fewer bags") {
			t.Errorf("%d bytes: error %v", maxBytes, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readEpisodes(ctx, io.Discard, paths, c, bags.DefaultMaxBytes); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
