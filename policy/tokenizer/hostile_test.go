package tokenizer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// edited returns a file of testdata with one value set, or removed where it is
// "". The path is as in "model.vocab.the"; a number is a place in a list.
func edited(t testing.TB, name, path, value string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var root any
	if err := json.Unmarshal(b, &root); err != nil {
		t.Fatal(err)
	}
	keys := strings.Split(path, ".")
	at := root
	for i, key := range keys {
		last := i == len(keys)-1
		switch n := at.(type) {
		case map[string]any:
			if last && value == "" {
				delete(n, key)
			} else if last {
				n[key] = json.RawMessage(value)
			}
			at = n[key]
		case []any:
			var k int
			fmt.Sscan(key, &k)
			if last {
				n[k] = json.RawMessage(value)
			}
			at = n[k]
		}
	}
	out, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFilesThatLie(t *testing.T) {
	deep := strings.Repeat(`{"type":"Sequence","normalizers":[`, 200) + strings.Repeat(`]}`, 200)
	wide := `{"type":"Sequence","pretokenizers":[` + strings.Repeat(`{"type":"WhitespaceSplit"},`, 200) + `{"type":"WhitespaceSplit"}]}`
	for _, c := range []struct{ file, path, value, want string }{
		{"wordpiece.json", "model", ``, "model: missing"},
		{"wordpiece.json", "model", `7`, "model: "},
		{"wordpiece.json", "model.type", `"Neural"`, `type "Neural" is not supported`},
		{"wordpiece.json", "model.vocab", ``, "vocab"},
		{"wordpiece.json", "model.vocab", `{}`, "vocab is empty"},
		{"wordpiece.json", "model.vocab", `[["a",1]]`, "vocab"},
		{"wordpiece.json", "model.vocab.the", `-1`, "id -1"},
		{"wordpiece.json", "model.vocab.the", `1e30`, "vocab"},
		{"wordpiece.json", "model.vocab.the", `1.5`, "vocab"},
		{"wordpiece.json", "model.vocab.the", `4000000000`, "vocab"},
		{"wordpiece.json", "model.vocab.the", `2000000000`, "id 2000000000"},
		{"wordpiece.json", "model.vocab." + strings.Repeat("x", 2000), `9`, "2000 bytes"},
		{"wordpiece.json", "model.unk_token", `"[NO]"`, `lacks the unk_token "[NO]"`},
		{"wordpiece.json", "model.unk_token", ``, "WordPiece lacks unk_token"},
		{"wordpiece.json", "model.max_input_chars_per_word", ``, "lacks max_input_chars_per_word"},
		{"wordpiece.json", "added_tokens.1.id", `99`, `token "[UNK]" has id 99, but its place in the vocabulary is 1`},
		{"wordpiece.json", "added_tokens.1.id", ``, `"[UNK]" needs an id`},
		{"wordpiece.json", "added_tokens.1.content", `""`, "needs an id and 1 to"},
		{"wordpiece.json", "added_tokens.1.content", `"[CLS]"`, "but its place in the vocabulary"},
		{"wordpiece.json", "added_tokens", `{"a":1}`, "added_tokens"},
		{"wordpiece.json", "normalizer", deep, "normalizer: the file has too many parts"},
		{"wordpiece.json", "normalizer.type", `"Magic"`, `normalizer: type "Magic"`},
		{"wordpiece.json", "normalizer", `{}`, "normalizer: an entry lacks its type"},
		{"wordpiece.json", "normalizer.clean_text", ``, "BertNormalizer lacks clean_text"},
		{"wordpiece.json", "pre_tokenizer", wide, "pre_tokenizer: the file has too many parts"},
		{"wordpiece.json", "pre_tokenizer.type", `"UnicodeScripts"`, `pre_tokenizer: type "UnicodeScripts"`},
		{"wordpiece.json", "pre_tokenizer", `{"type":"Split","behavior":"Removed","pattern":{"Regex":"("}}`, "the pattern"},
		{"wordpiece.json", "pre_tokenizer", `{"type":"Split","behavior":"Removed","pattern":{"String":""}}`, "a pattern is empty"},
		{"wordpiece.json", "pre_tokenizer", `{"type":"Split","behavior":"Eaten","pattern":{"String":"a"}}`, `behavior "Eaten"`},
		{"wordpiece.json", "pre_tokenizer", `{"type":"Metaspace","replacement":"ab"}`, "is not one character"},
		{"wordpiece.json", "pre_tokenizer", `{"type":"Metaspace","replacement":"_","prepend_scheme":"often"}`, "prepend_scheme"},
		{"wordpiece.json", "post_processor.type", `"Wrap"`, `post_processor: type "Wrap"`},
		{"wordpiece.json", "post_processor.special_tokens", `{}`, `special_tokens lacks "[CLS]"`},
		{"wordpiece.json", "post_processor.special_tokens.[CLS].ids", `[123456]`, "id 123456 lies outside the vocabulary"},
		{"wordpiece.json", "post_processor.special_tokens.[CLS].ids", `[-5]`, "id -5 lies outside"},
		{"wordpiece.json", "post_processor.single", `[]`, "names it 0 times"},
		{"wordpiece.json", "post_processor.single.1", `{"Sequence":{"id":"B","type_id":0}}`, "something else"},
		{"wordpiece.json", "truncation.max_length", `1`, "leaves no room"},
		{"wordpiece.json", "truncation.max_length", `-7`, "leaves no room"},
		{"wordpiece.json", "truncation.direction", `"Up"`, `direction "Up"`},
		{"wordpiece.json", "padding.pad_id", `70000`, "padding: id 70000"},
		{"bytelevel.json", "post_processor.cls", `["<s>"]`, "a pair"},
		{"bytelevel.json", "post_processor.sep", ``, "RobertaProcessing lacks sep"},
		{"bytelevel.json", "model.merges", ``, "merges: missing"},
		{"bytelevel.json", "model.merges.0", `"a"`, `"a" are not two tokens`},
		{"bytelevel.json", "model.merges.0", `"a b c"`, "are not two tokens"},
		{"bytelevel.json", "model.merges.0", `"zz yy"`, `the vocabulary lacks a part or the whole of "zz" + "yy"`},
		{"bytelevel.json", "model.dropout", `0.1`, "dropout"},
		{"bytelevel.json", "model.continuing_subword_prefix", `"##"`, "merges: the vocabulary lacks"},
		{"llama3.json", "model.merges.0", `["a"]`, "1 tokens instead of two"},
		{"unigram.json", "model.vocab.5", `["x"]`, "no pair of a token and its score"},
		{"unigram.json", "model.vocab.5", `["x", 1e999]`, "vocab"},
		{"unigram.json", "model.vocab.5", `["x", "y"]`, "vocab"},
		{"unigram.json", "model.unk_id", `5000`, "unk_id 5000 lies outside"},
		{"unigram.json", "normalizer.normalizers.0.precompiled_charsmap", `"!"`, "no base64"},
		{"unigram.json", "normalizer.normalizers.0.precompiled_charsmap", `"////////AAA="`, "cut off"},
		{"unigram.json", "normalizer.normalizers.0.precompiled_charsmap", ``, "lacks precompiled_charsmap"},
	} {
		_, err := Open(write(t, edited(t, c.file, c.path, c.value)))
		checkSentence(t, fmt.Sprintf("%s with %.60s = %.60s", c.file, c.path, c.value), err, c.want)
	}
	for name, c := range map[string]struct{ content, want string }{
		"nothing":        {"", "no Hugging Face tokenizer"},
		"cut off":        {`{"model":{"type":"BPE","vocab":{"a":`, "no Hugging Face tokenizer"},
		"a list":         {`[]`, "no Hugging Face tokenizer"},
		"another object": {`{"a":1}`, "model: missing"},
		"binary":         {"\xff\xfe\x00", "no UTF-8"},
		"many elements":  {`{"model":[` + strings.Repeat("1,", maxElements+1) + `1]}`, "elements"},
		"long words":     {`{"model":{"type":"` + strings.Repeat("long", 1000) + `","vocab":{"a":0}}}`, "longlong"},
		"a long number":  {`{"model":{"vocab":{"a":` + strings.Repeat("9", 5000) + `}}}`, "model: "},
		"nested":         {strings.Repeat("[", 100000), "no Hugging Face tokenizer"},
	} {
		_, err := Open(write(t, []byte(c.content)))
		checkSentence(t, name, err, c.want)
	}
}

func write(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkSentence wants one short line that names the file.
func checkSentence(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s is accepted", what)
		return
	}
	if s := err.Error(); !strings.Contains(s, want) || !strings.Contains(s, "tokenizer.json: ") || strings.Contains(s, "\n") || len(s) > 600 {
		t.Errorf("%s: %.700s; want one line with the file's name and %q", what, s, want)
	}
}

func TestALargeFileIsRefused(t *testing.T) {
	path := write(t, nil)
	if err := os.Truncate(path, maxFile+1); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path)
	checkSentence(t, "a file over the limit", err, "larger than 64 MiB")
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a folder is accepted")
	}
}

// What regexp2 reads otherwise than Oniguruma, or not at all.
func TestForeignPatternsAreRefused(t *testing.T) {
	for _, p := range []string{
		`\bx`, `\h+`, `\R`, `\X`, `\Ga`, `a\K`, `(?m)a.b`, `(?s:a)`, `(?<n>a)\k<n>`, `(a)\1`, `[[:alpha:]]+`, `[a-z&&[^e]]`,
		`[a-z-[e]]`, `a{,3}`, `[\W\d]`, `[]a]`, `a{1,2}+`, `\p{Klingon}`, `\p{^L}`, `(`, `[a`, `(?#c)a`, strings.Repeat("a", maxPattern+1),
	} {
		if _, err := (&pattern{Regex: &p}).compile(); err == nil {
			t.Errorf("%.40q is accepted", p)
		}
	}
}

func TestTextsOutOfBounds(t *testing.T) {
	tok := open(t, "wordpiece.json")
	if _, err := tok.Encode(strings.Repeat("a", MaxText), 0); err != nil {
		t.Errorf("the longest text: %v", err)
	}
	if _, err := tok.Encode(strings.Repeat("a", MaxText+1), 0); err == nil || !strings.Contains(err.Error(), "16385 bytes") {
		t.Errorf("a longer text: %v", err)
	}
	for _, limit := range []int{-1, 1} {
		if _, err := tok.Encode("a", limit); err == nil {
			t.Errorf("limit %d is accepted", limit)
		}
	}
	if ids, err := tok.Encode("the red block", 2); err != nil || len(ids) != 2 {
		t.Errorf("room for the special tokens only: %v, %v", ids, err)
	}
	for _, length := range []int{-1, 0, 1} {
		if _, err := tok.Padded("a", length); err == nil {
			t.Errorf("length %d is accepted", length)
		}
	}
}

// Rules that blow a text up, and a pattern that does not end.
func TestRulesThatBlowUp(t *testing.T) {
	grow := `{"type":"Sequence","normalizers":[` + strings.Repeat(`{"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaaaa"},`, 30) + `{"type":"NFC"}]}`
	levels := `{"type":"Sequence","pretokenizers":[` + strings.Repeat(`{"type":"ByteLevel","add_prefix_space":false},`, 40) + `{"type":"WhitespaceSplit"}]}`
	for _, c := range []struct{ path, value, text string }{
		{"normalizer", grow, "bbbb a"},
		{"pre_tokenizer", levels, "ж"},
		{"pre_tokenizer", `{"type":"Split","behavior":"Isolated","pattern":{"Regex":"(?:b|bb|c)+$"}}`, strings.Repeat("b", 200) + "d"},
	} {
		tok, err := parse(edited(t, "wordpiece.json", c.path, c.value))
		if err != nil {
			t.Fatal(err)
		}
		if ids, err := tok.Encode(c.text, 0); err == nil || len(err.Error()) > 200 {
			t.Errorf("%.60s gives %d ids, %v", c.value, len(ids), err)
		}
	}
}

// small are files of every kind that a fuzzer can change in a few steps.
var small = []string{
	`{"model":{"type":"WordPiece","unk_token":"u","continuing_subword_prefix":"#","max_input_chars_per_word":9,"vocab":{"u":0,"a":1,"#b":2,"é":3}},
	"added_tokens":[{"id":4,"content":"[S]","lstrip":true,"rstrip":true,"single_word":true,"normalized":true}],
	"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},
	"post_processor":{"type":"BertProcessing","cls":["a",1],"sep":["[S]",4]},"truncation":{"max_length":5,"direction":"Left"},"padding":{"pad_id":3,"direction":"Left"}}`,
	`{"model":{"type":"BPE","unk_token":"u","end_of_word_suffix":"/","byte_fallback":true,"fuse_unk":true,"vocab":{"u":0,"a":1,"b/":2,"ab/":3,"<0x63>":5},"merges":["a b/"]},
	"normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Replace","pattern":{"Regex":"\\s+"},"content":" "},{"type":"Strip","strip_left":true,"strip_right":true},{"type":"Prepend","prepend":"a"}]},
	"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"'s|\\p{L}+|\\s+(?!\\S)"},"behavior":"MergedWithPrevious","invert":true},{"type":"ByteLevel"},{"type":"Digits"}]}}`,
	`{"model":{"type":"Unigram","unk_id":0,"byte_fallback":true,"vocab":[["u",0],["a",-1],["_",-2],["_a",-1.5],["b",-3]]},"normalizer":{"type":"Precompiled","precompiled_charsmap":"CAAAAAEEAAAABAAAYQBiAA=="},
	"pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"first","split":true},
	"post_processor":{"type":"Sequence","processors":[{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"b","type_id":1}}],"special_tokens":{"b":{"ids":[4,1]}}}]}}`,
	`{"model":{"type":"WordLevel","unk_token":"u","vocab":{"u":0,"a":1}},"normalizer":{"type":"Nmt"},"pre_tokenizer":{"type":"Punctuation","behavior":"Contiguous"}}`,
}

func FuzzOpen(f *testing.F) {
	for _, s := range small {
		if _, err := parse([]byte(s)); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(s), "a ab [S]b é 1 cc")
	}
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		tok, err := parse(b)
		if err != nil {
			return
		}
		checkEncoding(t, tok, text)
	})
}

func FuzzEncode(f *testing.F) {
	var toks []*Tokenizer
	for name, list := range references(f) {
		toks = append(toks, open(f, name))
		for _, r := range list {
			f.Add(r.Text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range toks {
			checkEncoding(t, tok, text)
		}
	})
}

// checkEncoding wants ids of the vocabulary and no more than asked for.
func checkEncoding(t *testing.T, tok *Tokenizer, text string) {
	limit := tok.post.special() + 5
	ids, err := tok.Encode(text, limit)
	if err != nil {
		return
	}
	if len(ids) > limit {
		t.Fatalf("%d ids, at most %d wanted", len(ids), limit)
	}
	for _, id := range ids {
		if id < 0 || int(id) >= tok.VocabSize() {
			t.Fatalf("id %d, vocabulary of %d", id, tok.VocabSize())
		}
	}
	e, err := tok.Padded(text, limit)
	if err != nil || len(e.IDs) != limit || len(e.TypeIDs) != limit || len(e.Mask) != limit {
		t.Fatalf("padded to %d: %v, %v", limit, e, err)
	}
}
