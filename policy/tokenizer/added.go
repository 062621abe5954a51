package tokenizer

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// addedSpec is an added token.
type addedSpec struct {
	ID         *int32 `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	Lstrip     bool   `json:"lstrip"`
	Rstrip     bool   `json:"rstrip"`
	Normalized *bool  `json:"normalized"`
	Special    bool   `json:"special"`
}

// piece is a part of a text: an added token, or words still to be split.
type piece struct {
	text  string
	token int32 // -1: none
	first bool  // begins where the text begins
}

// addedTokens finds added tokens in a text.
type addedTokens struct {
	find prefixes
	spec []addedSpec // by find's index
}

// add sets the added tokens, the size of the vocabulary and the padding.
func (t *Tokenizer) add(specs []addedSpec) error {
	tokens, end := t.model.vocabulary()
	t.size = end
	known := map[string]int32{}
	next := int32(tokens) // Hugging Face counts on from the vocabulary's number of tokens
	var raw, normalized []addedSpec
	for _, s := range specs {
		if s.ID == nil || s.Content == "" || len(s.Content) > maxTokenBytes {
			return fmt.Errorf("token %.40q needs an id and 1 to %d bytes", s.Content, maxTokenBytes)
		}
		if _, again := known[s.Content]; again {
			return fmt.Errorf("token %q is there twice", s.Content)
		}
		id, ok := t.model.id(s.Content)
		if !ok {
			id = next
		}
		if id != *s.ID || id >= maxID {
			return fmt.Errorf("token %q has id %d, but its place in the vocabulary is %d", s.Content, *s.ID, id)
		}
		next = max(next, id+1)
		known[s.Content] = id
		t.size = max(t.size, int(id)+1)
		if s.Normalized != nil && *s.Normalized || s.Normalized == nil && !s.Special {
			normalized = append(normalized, s)
		} else {
			raw = append(raw, s)
		}
	}
	for _, name := range []string{"<pad>", "[PAD]"} {
		if id, ok := known[name]; ok {
			t.file.padID = id
		}
	}
	t.raw = newAddedTokens(raw)
	for i := range normalized {
		if t.normalize == nil {
			break
		}
		s, err := t.normalize(normalized[i].Content)
		if err != nil {
			return err
		}
		normalized[i].Content = s
	}
	t.normalized = newAddedTokens(normalized)
	return nil
}

func newAddedTokens(specs []addedSpec) addedTokens {
	contents := make([]string, len(specs))
	for i, s := range specs {
		contents[i] = s.Content
	}
	return addedTokens{newPrefixes(contents), specs}
}

// cut appends the text's pieces. At each place the longest token wins.
func (a *addedTokens) cut(out []piece, s string, first bool) []piece {
	if len(a.spec) == 0 {
		if s != "" {
			out = append(out, piece{s, -1, first})
		}
		return out
	}
	done := 0
	for at := 0; at < len(s); {
		token, n := a.find.longest(s[at:])
		if n == 0 {
			_, size := utf8.DecodeRuneInString(s[at:])
			at += size
			continue
		}
		start, stop, spec := at, at+n, &a.spec[token]
		at = stop
		if spec.SingleWord && (endsInWord(s[:start]) || startsWithWord(s[stop:])) {
			continue
		}
		if spec.Lstrip {
			start = len(trimRight(s[:start]))
		}
		if spec.Rstrip {
			stop = len(s) - len(trimLeft(s[stop:]))
		}
		if start = max(start, done); start > done {
			out = append(out, piece{s[done:start], -1, first && done == 0})
		}
		out = append(out, piece{"", *spec.ID, false})
		done = max(stop, start)
	}
	if done < len(s) {
		out = append(out, piece{s[done:], -1, first && done == 0})
	}
	return out
}

func endsInWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWord(r)
}

func startsWithWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWord(r)
}

// isWord says whether \w holds in Rust's regex: UTS 18, annex C.
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic) ||
		r == '\u200C' || r == '\u200D'
}
