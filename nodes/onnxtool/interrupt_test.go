package onnxtool

import (
	"context"
	"errors"
	"testing"
)

// TestInterruptible: work that never looks at its context is left behind; the
// result of work that ends counts, whatever became of the context meanwhile.
func TestInterruptible(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	started, hold := make(chan bool), make(chan bool)
	defer close(hold)
	go func() { <-started; stop() }()
	_, err := interruptible(ctx, func() (int, error) { close(started); <-hold; return 1, nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("left behind: %v", err)
	}
	if n, err := interruptible(ctx, func() (int, error) { return 2, nil }); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
