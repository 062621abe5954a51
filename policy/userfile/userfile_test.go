package userfile_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	"arfm/policy/userfile"
)

func TestReadRegularOnly(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "pipe")
	if err := errors.Join(os.WriteFile(file, []byte("12345"), 0o600), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int64]string{3: "123", 5: "12345", 9: "12345"} {
		if got, err := userfile.Read(file, limit); err != nil || string(got) != want {
			t.Errorf("of %d bytes %q, %v", limit, got, err)
		}
	}
	for path, kind := range map[string]string{dir: "a folder", pipe: "a named pipe", "/dev/zero": "a device"} {
		var not *userfile.NotRegular
		if _, err := userfile.Read(path, 9); !errors.As(err, &not) || not.Kind() != kind || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := userfile.Read(filepath.Join(dir, "none"), 9); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestReplace: a file has its old or its new contents, and nothing else stays.
func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	put := func(path, text string, broken error) error {
		return userfile.Replace(path, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return errors.Join(err, broken)
		})
	}
	broken := errors.New("broken")
	if err := put(path, "old", nil); err != nil {
		t.Fatal(err)
	}
	if err := put(path, "half", broken); !errors.Is(err, broken) {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("after a failed write %q, %v", got, err)
	}
	if err := put(path, "new", nil); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "new" {
		t.Errorf("%q, %v", got, err)
	}
	beyond := filepath.Join(path, "x")
	if err := put(beyond, "", nil); err == nil || !strings.HasPrefix(err.Error(), "write "+beyond+": ") {
		t.Errorf("below a file: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestYAMLError(t *testing.T) {
	type inner struct{ Rate float64 }
	type outer struct {
		Inner inner
		Names []string
		On    bool
		Size  [2]int
		Text  string
	}
	for text, want := range map[string]string{
		"[1, 2]":                    "line 1: a list is not a mapping",
		"inner: {rate: fast}":       "line 1: text `fast` is not a number that fits",
		"inner: {speed: 1}":         "line 1: field speed not found",
		"names: {a: b}":             "line 1: a mapping is not a list that fits",
		"on: 7\ntext: [a]":          "line 1: the number `7` is not true or false; line 2: a list is not text",
		"inner: {rate: \"a\\nb\"}":  "line 1: text `a b` is not a number that fits",
		"inner: {rate: into Texas}": "line 1: text `into Texas` is not a number that fits",
	} {
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		err := d.Decode(new(outer))
		if err == nil {
			t.Fatalf("%s is taken", text)
		}
		if got := userfile.YAMLError(err); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	if got := userfile.YAMLError(errors.New("two\n lines")); got != "two lines" {
		t.Error(got)
	}
}
