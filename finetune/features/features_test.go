package features

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"arfm/policy"
)

func picture(seed byte) *policy.Image {
	im := &policy.Image{Width: 2, Height: 3, Pix: make([]uint8, 18)}
	for i := range im.Pix {
		im.Pix[i] = seed + byte(i)
	}
	return im
}

// counting encodes a picture as its first pixels and counts its calls.
type counting struct{ calls int }

func (c *counting) encode(dst []float32, im *policy.Image) error {
	if im.Pix[0] != 0 { // that of picture(0), with which caches are opened, does not count
		c.calls++
	}
	for i := range dst {
		dst[i] = float32(im.Pix[i]) / 4
	}
	return nil
}

// TestCache: what was computed once is read, by another process too; a damaged
// file is computed again; another model or size sees none of it.
func TestCache(t *testing.T) {
	root, enc := t.TempDir(), &counting{}
	open := func(model string, size int) *Cache {
		c, err := Open(root, model, size, picture(0), enc.encode)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	get := func(c *Cache, im *policy.Image, want bool) []float32 {
		t.Helper()
		dst := make([]float32, c.size)
		if has := c.Has(KeyOf(im)); has == want {
			t.Errorf("Has says %v", has)
		}
		computed, err := c.Picture(dst, KeyOf(im), im)
		if err != nil || computed != want {
			t.Fatalf("computed %v, %v; want %v", computed, err, want)
		}
		return dst
	}
	a := open("a", 5)
	first := get(a, picture(1), true)
	if again := get(open("a", 5), picture(1), false); !slices.Equal(first, again) {
		t.Errorf("read %v, computed %v", again, first)
	}
	get(a, picture(2), true)
	get(open("b", 5), picture(1), true)
	turned := picture(1)
	turned.Width, turned.Height = 3, 2
	get(a, turned, true)
	if enc.calls != 4 {
		t.Errorf("%d pictures were encoded, want 4", enc.calls)
	}

	files, err := filepath.Glob(filepath.Join(a.dir, "*", "*"))
	if err != nil || len(files) != 3 {
		t.Fatalf("files %v, %v", files, err)
	}
	for _, damage := range []func(b []byte) []byte{
		func(b []byte) []byte { return b[:len(b)-1] },
		func(b []byte) []byte { return append(b, 0) },
		func(b []byte) []byte { b[3] ^= 1; return b },
		func([]byte) []byte { return nil },
	} {
		for _, path := range files {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(b), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		dst := make([]float32, 5)
		for range 2 {
			if _, err := a.Picture(dst, KeyOf(picture(1)), picture(1)); err != nil || !slices.Equal(dst, first) {
				t.Fatalf("after damage %v, %v; want %v", dst, err, first)
			}
		}
		for _, im := range []*policy.Image{picture(2), turned} {
			if _, err := a.Picture(dst, KeyOf(im), im); err != nil {
				t.Fatal(err)
			}
		}
	}
	if enc.calls != 4+4*3 {
		t.Errorf("%d pictures were encoded, want 16", enc.calls)
	}
	if left, _ := filepath.Glob(filepath.Join(a.dir, "*", ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFolderThatIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, "m", 1, picture(0), new(counting).encode); !errors.Is(err, ErrCache) {
		t.Errorf("got %v", err)
	}
}
