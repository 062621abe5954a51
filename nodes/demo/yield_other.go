//go:build !linux

package demo

// yield does nothing here.
func yield() {}
