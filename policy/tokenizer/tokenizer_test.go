package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// reference is what Hugging Face's library gives for a text: all ids, at most
// 6, and as the file itself truncates and pads. testdata/fixtures.js writes it.
type reference struct {
	Text     string
	IDs, Cut []int32
	Padded   *Encoding
}

func references(t testing.TB) map[string][]reference {
	t.Helper()
	b, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string][]reference
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 8 {
		t.Fatalf("testdata/expected.json has only %d files", len(all))
	}
	return all
}

func open(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tok, err := Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestIDsAreHuggingFaces(t *testing.T) {
	for name, list := range references(t) {
		t.Run(name, func(t *testing.T) {
			tok := open(t, name)
			own := tok.file.maxLength
			for _, want := range list {
				tok.file.maxLength = 0
				ids, err := tok.Encode(want.Text, 0)
				if err != nil || !slices.Equal(ids, want.IDs) {
					t.Errorf("%q gives %v, %v; want %v", want.Text, ids, err, want.IDs)
				}
				cut, err := tok.Encode(want.Text, 6)
				if err != nil || !slices.Equal(cut, want.Cut) {
					t.Errorf("%q cut to 6 gives %v, %v; want %v", want.Text, cut, err, want.Cut)
				}
				if want.Padded == nil {
					continue
				}
				tok.file.maxLength = own
				e, err := tok.Padded(want.Text, own)
				if err != nil || !slices.Equal(e.IDs, want.Padded.IDs) || !slices.Equal(e.TypeIDs, want.Padded.TypeIDs) || !slices.Equal(e.Mask, want.Padded.Mask) {
					t.Errorf("%q padded gives %v, %v; want %v", want.Text, e, err, *want.Padded)
				}
			}
		})
	}
}

// The file's own max_length holds where the caller gives none.
func TestTheFilesOwnLength(t *testing.T) {
	for _, want := range references(t)["wordpiece.json"] {
		ids, err := open(t, "wordpiece.json").Encode(want.Text, 0)
		if n := min(12, len(want.IDs)); err != nil || len(ids) != n || ids[n-1] != want.IDs[len(want.IDs)-1] {
			t.Errorf("%q gives %v, %v; want the first tokens of %v and the closing one", want.Text, ids, err, want.IDs)
		}
	}
}

func TestPadAndVocabSize(t *testing.T) {
	for name, want := range map[string][2]int{
		"wordpiece.json": {0, 0}, "bytelevel.json": {1, 0}, "clip.json": {0, 0}, "llama3.json": {-1, -1},
		"unigram.json": {0, 0}, "unigrambytes.json": {3, 0}, "wordlevel.json": {1, 0},
	} {
		tok := open(t, name)
		if want[0] < 0 { // its last token
			want[0] = tok.VocabSize() - 1
		}
		if got := int(tok.Pad()); got != want[0] {
			t.Errorf("%s pads with %d, want %d", name, got, want[0])
		}
		largest := int32(0)
		for _, r := range references(t)[name] {
			largest = max(largest, slices.Max(append(r.IDs, 0)))
		}
		if int(largest) >= tok.VocabSize() {
			t.Errorf("%s gives id %d, outside its vocabulary of %d", name, largest, tok.VocabSize())
		}
	}
}

func TestBytesThatAreNoUTF8(t *testing.T) {
	for _, name := range []string{"wordpiece.json", "bytelevel.json", "llama2.json", "unigram.json"} {
		tok := open(t, name)
		got, err := tok.Encode("the \xff\xfe red\xc3", 0)
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := tok.Encode("the \uFFFD red\uFFFD", 0); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v as for U+FFFD", name, got, want)
		}
	}
}

func TestManyGoroutinesEncode(t *testing.T) {
	for name, list := range references(t) {
		tok := open(t, name)
		tok.file.maxLength = 0
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for _, want := range list {
					if ids, err := tok.Encode(want.Text, 0); err != nil || !slices.Equal(ids, want.IDs) {
						t.Errorf("%s: %q gives %v, %v; want %v", name, want.Text, ids, err, want.IDs)
					}
				}
			})
		}
		wg.Wait()
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, name := range []string{"wordpiece.json", "clip.json", "llama3.json", "unigram.json"} {
		b.Run(name, func(b *testing.B) {
			tok := open(b, name)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tok.Encode("pick up the red block and put it in the blue bowl", 64); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
