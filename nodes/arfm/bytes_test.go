package main

import "testing"

func TestByteCount(t *testing.T) {
	for text, want := range map[string]struct {
		n    int64
		says string
	}{
		"200M": {200e6, "200M"}, "1G": {1e9, "1G"}, "1500M": {15e8, "1500M"}, "7k": {7000, "7k"},
		"2000k": {2e6, "2M"}, "12": {12, "12"}, "0": {0, "0"}, "0G": {0, "0"},
	} {
		var b byteCount
		if err := b.Set(text); err != nil || int64(b) != want.n || b.String() != want.says {
			t.Errorf("%s: %d, %s, %v", text, int64(b), &b, err)
		}
	}
	for _, text := range []string{"", "G", "-1", "1.5G", "1GB", "99999999999G", "0x10"} {
		if b := byteCount(5); b.Set(text) == nil || b != 5 {
			t.Errorf("%q was taken as %d", text, int64(b))
		}
	}
}
