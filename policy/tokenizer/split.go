package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitter cuts pieces into words. Pieces that are tokens stay.
type splitter func([]piece) ([]piece, error)

type splitterSpec struct {
	Type          string         `json:"type"`
	PreTokenizers []splitterSpec `json:"pretokenizers"`
	PrefixSpace   *bool          `json:"add_prefix_space"` // ByteLevel, Metaspace
	UseRegex      *bool          `json:"use_regex"`        // ByteLevel
	// Metaspace
	Replacement   string `json:"replacement"`
	PrependScheme string `json:"prepend_scheme"`
	Split         *bool  `json:"split"`
	// Split, Punctuation, Digits, CharDelimiterSplit
	Pattern    *pattern `json:"pattern"`
	Behavior   string   `json:"behavior"`
	Invert     bool     `json:"invert"`
	Individual bool     `json:"individual_digits"`
	Delimiter  string   `json:"delimiter"`
}

// gptWords is GPT-2's expression for words, which ByteLevel uses.
const gptWords = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

func (s *splitterSpec) build(left *budget) (splitter, error) {
	if err := left.take(); err != nil {
		return nil, err
	}
	switch s.Type {
	case "Sequence":
		return s.sequence(left)
	case "BertPreTokenizer":
		return chain(cut(runes(unicode.IsSpace), removed), cut(runes(isPunctuation), isolated)), nil
	case "Whitespace":
		return chain(cut(runes(unicode.IsSpace), removed), cut(runes(isWord), contiguous)), nil
	case "WhitespaceSplit":
		return cut(runes(unicode.IsSpace), removed), nil
	case "CharDelimiterSplit":
		if utf8.RuneCountInString(s.Delimiter) != 1 {
			return nil, fmt.Errorf("delimiter %q is not one character", s.Delimiter)
		}
		return cut(literal(s.Delimiter), removed), nil
	case "Punctuation":
		how, err := behaviorOf(s.Behavior, isolated)
		return cut(runes(isPunctuation), how), err
	case "Digits":
		how := contiguous
		if s.Individual {
			how = isolated
		}
		return cut(runes(unicode.IsNumber), how), nil
	case "ByteLevel":
		return s.byteLevel()
	case "Metaspace":
		return s.metaspace()
	case "Split":
		return s.pattern()
	}
	return nil, unsupported(s.Type, "BertPreTokenizer, ByteLevel, Metaspace, Split, Whitespace, WhitespaceSplit, "+
		"Punctuation, Digits, CharDelimiterSplit or Sequence")
}

// marksFirst says whether a Metaspace marks the first piece only, and whether
// one does so behind another pre-tokenizer.
func (s *splitterSpec) marksFirst() (marks, behind bool) {
	marks = s.Type == "Metaspace" && s.PrependScheme == "first"
	for i := range s.PreTokenizers {
		m, b := s.PreTokenizers[i].marksFirst()
		marks, behind = marks || m, behind || b || m && i > 0
	}
	return marks, behind
}

func (s *splitterSpec) sequence(left *budget) (splitter, error) {
	var list []splitter
	for i := range s.PreTokenizers {
		f, err := s.PreTokenizers[i].build(left)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return chain(list...), nil
}

func chain(list ...splitter) splitter {
	return func(pieces []piece) ([]piece, error) {
		var err error
		for _, f := range list {
			if pieces, err = f(pieces); err != nil {
				return nil, err
			}
			size := 0
			for _, p := range pieces {
				size += len(p.text)
			}
			if size > maxGrown {
				return nil, errGrown
			}
		}
		return pieces, nil
	}
}

func (s *splitterSpec) pattern() (splitter, error) {
	if err := need(s.Type, "pattern", s.Pattern != nil, "behavior", s.Behavior != ""); err != nil {
		return nil, err
	}
	find, err := s.Pattern.compile()
	if err != nil {
		return nil, err
	}
	how, err := behaviorOf(s.Behavior, isolated)
	if err != nil || !s.Invert {
		return cut(find, how), err
	}
	return cut(func(s string) ([]part, error) {
		parts, err := find(s)
		for i := range parts {
			parts[i].match = !parts[i].match
		}
		return parts, err
	}, how), nil
}

// byteLevel writes words as byteChars.
func (s *splitterSpec) byteLevel() (splitter, error) {
	words := func(pieces []piece) ([]piece, error) { return pieces, nil }
	if s.UseRegex == nil || *s.UseRegex {
		find, err := expression(gptWords)
		if err != nil {
			return nil, err
		}
		words = cut(find, isolated)
	}
	space := s.PrefixSpace == nil || *s.PrefixSpace
	return chain(
		rewrite(func(p *piece) {
			if space && !strings.HasPrefix(p.text, " ") {
				p.text = " " + p.text
			}
		}),
		words,
		rewrite(func(p *piece) { p.text = byteLevel(p.text) }),
	), nil
}

// metaspace writes spaces as a visible character, by default U+2581.
func (s *splitterSpec) metaspace() (splitter, error) {
	if utf8.RuneCountInString(s.Replacement) != 1 {
		return nil, fmt.Errorf("replacement %q is not one character", s.Replacement)
	}
	scheme := s.PrependScheme
	if scheme == "" {
		scheme = "always"
	}
	if s.PrefixSpace != nil && !*s.PrefixSpace {
		if s.PrependScheme != "" && s.PrependScheme != "never" {
			return nil, fmt.Errorf("prepend_scheme %q contradicts add_prefix_space", s.PrependScheme)
		}
		scheme = "never"
	}
	if scheme != "always" && scheme != "first" && scheme != "never" {
		return nil, fmt.Errorf("prepend_scheme %q is none of always, first, never", scheme)
	}
	mark := rewrite(func(p *piece) {
		p.text = strings.ReplaceAll(p.text, " ", s.Replacement)
		if (scheme == "always" || scheme == "first" && p.first) && !strings.HasPrefix(p.text, s.Replacement) {
			p.text = s.Replacement + p.text
		}
	})
	if s.Split != nil && !*s.Split {
		return mark, nil
	}
	return chain(mark, cut(literal(s.Replacement), mergedWithNext)), nil
}

func rewrite(f func(*piece)) splitter {
	return func(pieces []piece) ([]piece, error) {
		for i := range pieces {
			if pieces[i].token < 0 {
				f(&pieces[i])
			}
		}
		return pieces, nil
	}
}

// cut splits pieces at the matches of find and drops empty ones.
func cut(find finder, how behavior) splitter {
	return func(pieces []piece) ([]piece, error) {
		out := make([]piece, 0, len(pieces))
		for _, p := range pieces {
			if p.token >= 0 {
				out = append(out, p)
				continue
			}
			parts, err := find(p.text)
			if err != nil {
				return nil, err
			}
			for _, q := range how(parts) {
				if q.from < q.to {
					out = append(out, piece{p.text[q.from:q.to], -1, p.first && q.from == 0})
				}
			}
		}
		return out, nil
	}
}

// behavior says what becomes of the matches.
type behavior func([]part) []part

var behaviors = map[string]behavior{
	"Removed": removed, "Isolated": isolated, "Contiguous": contiguous,
	"MergedWithPrevious": mergedWithPrevious, "MergedWithNext": mergedWithNext,
}

func behaviorOf(name string, absent behavior) (behavior, error) {
	if name == "" {
		return absent, nil
	}
	how, ok := behaviors[name]
	if !ok {
		return nil, fmt.Errorf("behavior %q is none of Removed, Isolated, Contiguous, MergedWithPrevious, MergedWithNext", name)
	}
	return how, nil
}

func removed(parts []part) []part {
	out := parts[:0]
	for _, p := range parts {
		if !p.match {
			out = append(out, p)
		}
	}
	return out
}

func isolated(parts []part) []part { return parts }

// contiguous joins matches that touch.
func contiguous(parts []part) []part {
	out := parts[:0]
	for _, p := range parts {
		if n := len(out); n > 0 && out[n-1].match == p.match {
			out[n-1].to = p.to
		} else {
			out = append(out, p)
		}
	}
	return out
}

func mergedWithPrevious(parts []part) []part {
	out := parts[:0]
	before := false // whether the part before was a match
	for _, p := range parts {
		if n := len(out); n > 0 && p.match && !before {
			out[n-1].to = p.to
		} else {
			out = append(out, p)
		}
		before = p.match
	}
	return out
}

func mergedWithNext(parts []part) []part {
	out := parts[:0]
	open := false // whether the last part of out waits for a text
	for _, p := range parts {
		if open && !p.match {
			out[len(out)-1].to = p.to
		} else {
			out = append(out, p)
		}
		open = p.match
	}
	return out
}
