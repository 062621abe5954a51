package onnxtool

import (
	"context"
	"time"
)

// grace is how long work may take to end once its context has: longer than all
// operators but the largest.
const grace = time.Second

// interruptible does work that looks at ctx only now and then, as a model does
// between its operators. If it takes too long to see that ctx has ended it is
// left behind, to end with the process.
func interruptible[T any](ctx context.Context, work func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := work()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r.value, r.err
	case <-time.After(grace):
		var none T
		return none, ctx.Err()
	}
}
