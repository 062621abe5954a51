package shell

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestJoin: a shell reads the words again as they were, and what needs no
// quotes has none.
func TestJoin(t *testing.T) {
	words := []string{"my dir", "", "it's", `a"b\c`, "$HOME `id` $(id)", "*", "~", "a;b|c&d", "#", "new\nline", "ü", "--out=x", "plain/a_b-1.5:2,3", "a=b"}
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no sh")
	}
	out, err := exec.Command(sh, "-c", `printf '%s\0' `+Join(words...)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"); !slices.Equal(got, words) {
		t.Errorf("a shell reads %q, want %q", got, words)
	}
	if got := Join("arfm", "train", "--out", "my dir", "/a/b-1.mcap"); got != "arfm train --out 'my dir' /a/b-1.mcap" {
		t.Error(got)
	}
}
