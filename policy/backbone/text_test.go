package backbone

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"arfm/policy/onnx"
	"arfm/policy/tokenizer"
	"arfm/policy/vla"
)

// vocabulary writes a tokenizer of whole words, whose ids the test's text
// encoder takes, with the special tokens [CLS] and [SEP] around each text.
func vocabulary(t *testing.T, dir string) string {
	t.Helper()
	vocab := map[string]int{"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
	for _, w := range strings.Fields("put the red green block cup in bowl on plate") {
		vocab[w] = len(vocab)
	}
	special := func(name string) map[string]any {
		return map[string]any{"id": vocab[name], "content": name, "special": true}
	}
	around := func(name string) map[string]any {
		return map[string]any{"id": name, "ids": []int{vocab[name]}, "tokens": []string{name}}
	}
	text, err := json.Marshal(map[string]any{
		"version":       "1.0",
		"added_tokens":  []any{special("[PAD]"), special("[UNK]"), special("[CLS]"), special("[SEP]")},
		"normalizer":    map[string]any{"type": "Lowercase"},
		"pre_tokenizer": map[string]any{"type": "Whitespace"},
		"model":         map[string]any{"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
		"post_processor": map[string]any{
			"type": "TemplateProcessing",
			"single": []any{
				map[string]any{"SpecialToken": map[string]any{"id": "[CLS]", "type_id": 0}},
				map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}},
				map[string]any{"SpecialToken": map[string]any{"id": "[SEP]", "type_id": 0}},
			},
			"pair":           []any{map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}, map[string]any{"Sequence": map[string]any{"id": "B", "type_id": 0}}},
			"special_tokens": map[string]any{"[CLS]": around("[CLS]"), "[SEP]": around("[SEP]")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "tokenizer.json")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func speaking(model, tokenizer, more string) string {
	return "language: {onnx: " + model + ", tokenizer: " + tokenizer + more + "}"
}

// TestInstruction: an instruction gives what the model gives for its token ids
// alone, without padding; a pooled output one feature.
func TestInstruction(t *testing.T) {
	words := vocabulary(t, t.TempDir())
	tk, err := tokenizer.Open(words)
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(network(t, "text"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	alone := func(text string, output int) []float32 {
		ids, err := tk.Encode(text, 0)
		if err != nil {
			t.Fatal(err)
		}
		in := map[string]*onnx.Tensor{}
		for name, f := range map[string]func(i int) int64{
			"input_ids": func(i int) int64 { return int64(ids[i]) }, "attention_mask": func(int) int64 { return 1 }, "token_type_ids": func(int) int64 { return 0 },
		} {
			v := make([]int64, len(ids))
			for i := range v {
				v[i] = f(i)
			}
			if in[name], err = onnx.New(onnx.Int64, v, 1, len(v)); err != nil {
				t.Fatal(err)
			}
		}
		out, err := m.Run(in)
		if err != nil {
			t.Fatal(err)
		}
		return onnx.Data[float32](out[output])
	}
	for _, c := range []struct {
		output string
		index  int
		tokens int
	}{{"", 0, 9}, {"pooled_output", 1, 1}} {
		s, err := Open(parse(t, 16, 16, speaking(network(t, "text"), words, ", max_tokens: 9, output: '"+c.output+"'")))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, f := s.Backbones()
		if f.Tokens != c.tokens || f.Width != 32 || len(f.SHA256) != 64 || len(f.Tokenizer) != 64 {
			t.Fatalf("%q gives %+v", c.output, f)
		}
		dst := slices.Repeat([]float32{9}, f.Tokens*f.Width)
		for _, text := range []string{"Put the red block in the bowl", "cup", "", "put an unknown thing on the plate"} {
			if err := s.Instruction(dst, text); err != nil {
				t.Fatal(err)
			}
			raw := alone(text, c.index)
			want := make([]float32, len(raw))
			if err := s.text.finish(want, raw, len(raw)/32, 32); err != nil {
				t.Fatal(err)
			}
			for i, x := range dst {
				w := float32(0) // beyond the last token
				if i < len(want) {
					w = want[i]
				}
				if math.Abs(float64(x-w)) > 2e-3*max(1, math.Abs(float64(w))) {
					t.Fatalf("%q: number %d is %v, want %v", text, i, x, w)
				}
			}
		}
		long := strings.Repeat("put the red block ", 50) // cut, special tokens kept
		if err := s.Instruction(dst, long); err != nil {
			t.Error(err)
		}
	}
}

// TestTextRefused: faults of the text encoder and its tokenizer.
func TestTextRefused(t *testing.T) {
	dir := t.TempDir()
	words, model := vocabulary(t, dir), network(t, "text")
	other := filepath.Join(dir, "other.json")
	if err := os.WriteFile(other, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ contract, want string }{
		{speaking(model, words+".gone", ""), "there is no file"},
		{speaking(model, other, ""), other},
		{speaking(network(t, "vit"), words, ""), "a text encoder takes"},
		{speaking(model, words, ", max_tokens: 400"), "lower language.max_tokens"}, // the model's positions end before
	} {
		s, err := Open(parse(t, 16, 16, c.contract))
		if !errors.Is(err, ErrBackbone) || !strings.Contains(err.Error(), c.want) || strings.ContainsRune(err.Error(), '\n') {
			t.Errorf("%s: got %v and %v", c.contract, s, err)
		}
	}

	c := parse(t, 16, 16, speaking(model, words, ""))
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	a := vla.Config{}.With(s)
	s.Close()
	b, err := os.ReadFile(words)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(words, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFor(c, a, dir); !errors.Is(err, ErrBackbone) || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("another tokenizer: %v", err)
	}
}
