package main

import (
	"fmt"
	"strconv"
	"strings"
)

// byteCount is a flag for a number of bytes: digits, and k, M or G for
// thousands, millions or thousands of millions.
type byteCount int64

var byteUnits = []struct {
	name string
	size int64
}{{"G", 1e9}, {"M", 1e6}, {"k", 1e3}, {"", 1}}

// Set reads 200M; it implements pflag.Value.
func (b *byteCount) Set(text string) error {
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.size {
			break
		}
		*b = byteCount(n * u.size)
		return nil
	}
	return fmt.Errorf("%q is no number of bytes, such as 200M or 1G", text)
}

// String is what Set reads, in the largest unit that leaves a whole number.
func (b *byteCount) String() string {
	for _, u := range byteUnits {
		if n := int64(*b); n != 0 && n%u.size == 0 {
			return fmt.Sprint(n/u.size, u.name)
		}
	}
	return "0"
}

// Type names the flag's argument in the help.
func (b *byteCount) Type() string { return "bytes" }
