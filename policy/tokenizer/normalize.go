package tokenizer

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites a text before it is split.
type normalizer func(string) (string, error)

type normalizerSpec struct {
	Type        string           `json:"type"`
	Normalizers []normalizerSpec `json:"normalizers"`
	// BertNormalizer
	CleanText   *bool `json:"clean_text"`
	Chinese     *bool `json:"handle_chinese_chars"`
	StripAccent *bool `json:"strip_accents"`
	Lowercase   *bool `json:"lowercase"`
	// Strip, Replace, Prepend, Precompiled
	Left     *bool    `json:"strip_left"`
	Right    *bool    `json:"strip_right"`
	Pattern  *pattern `json:"pattern"`
	Content  *string  `json:"content"`
	Prepend  *string  `json:"prepend"`
	Charsmap *string  `json:"precompiled_charsmap"`
}

func pure(f func(string) string) normalizer {
	return func(s string) (string, error) { return f(s), nil }
}

func (n *normalizerSpec) build(left *budget) (normalizer, error) {
	if err := left.take(); err != nil {
		return nil, err
	}
	switch n.Type {
	case "Sequence":
		return n.sequence(left)
	case "BertNormalizer":
		return n.bert()
	case "Replace":
		return n.replace()
	case "NFC":
		return pure(norm.NFC.String), nil
	case "NFD":
		return pure(norm.NFD.String), nil
	case "NFKC":
		return pure(norm.NFKC.String), nil
	case "NFKD":
		return pure(norm.NFKD.String), nil
	case "Lowercase":
		return pure(lowercase), nil
	case "StripAccents":
		return pure(func(s string) string { return drop(s, unicode.M) }), nil
	case "Nmt":
		return pure(func(s string) string { return strings.Map(nmt, s) }), nil
	case "ByteLevel":
		return pure(byteLevel), nil
	case "Strip":
		return n.strip()
	case "Prepend":
		if err := need(n.Type, "prepend", n.Prepend != nil); err != nil {
			return nil, err
		}
		return pure(func(s string) string {
			if s == "" {
				return ""
			}
			return *n.Prepend + s
		}), nil
	case "Precompiled":
		if err := need(n.Type, "precompiled_charsmap", n.Charsmap != nil); err != nil {
			return nil, err
		}
		m, err := newCharsmap(*n.Charsmap)
		return m.normalize, err
	}
	return nil, unsupported(n.Type, "BertNormalizer, NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, "+
		"Replace, Prepend, Precompiled, Nmt, ByteLevel or Sequence")
}

func (n *normalizerSpec) sequence(left *budget) (normalizer, error) {
	var list []normalizer
	for i := range n.Normalizers {
		f, err := n.Normalizers[i].build(left)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return func(s string) (string, error) {
		var err error
		for _, f := range list {
			if s, err = f(s); err != nil {
				return "", err
			}
			if len(s) > maxGrown {
				return "", errGrown
			}
		}
		return s, nil
	}, nil
}

// maps says whether a Precompiled map is part of n, which may be nil.
func (n *normalizerSpec) maps() bool {
	return n != nil && (n.Type == "Precompiled" || slices.ContainsFunc(n.Normalizers, func(c normalizerSpec) bool { return c.maps() }))
}

var errGrown = fmt.Errorf("the file's rules make more than %d KiB of it", maxGrown>>10)

func (n *normalizerSpec) strip() (normalizer, error) {
	if err := need(n.Type, "strip_left", n.Left != nil, "strip_right", n.Right != nil); err != nil {
		return nil, err
	}
	return pure(func(s string) string {
		if *n.Left {
			s = trimLeft(s)
		}
		if *n.Right {
			s = trimRight(s)
		}
		return s
	}), nil
}

func trimLeft(s string) string  { return strings.TrimLeftFunc(s, unicode.IsSpace) }
func trimRight(s string) string { return strings.TrimRightFunc(s, unicode.IsSpace) }

func (n *normalizerSpec) replace() (normalizer, error) {
	if err := need(n.Type, "pattern", n.Pattern != nil, "content", n.Content != nil); err != nil {
		return nil, err
	}
	find, err := n.Pattern.compile()
	if err != nil {
		return nil, err
	}
	return func(s string) (string, error) {
		parts, err := find(s)
		if err != nil {
			return "", err
		}
		var b strings.Builder
		for _, p := range parts {
			if p.match {
				b.WriteString(*n.Content)
			} else {
				b.WriteString(s[p.from:p.to])
			}
			if b.Len() > maxGrown {
				return "", errGrown
			}
		}
		return b.String(), nil
	}, nil
}

// bert is BERT's basic tokenizer: clean, set ideographs apart, strip accents
// (by default where it lower-cases), lower-case.
func (n *normalizerSpec) bert() (normalizer, error) {
	if err := need(n.Type, "clean_text", n.CleanText != nil, "handle_chinese_chars", n.Chinese != nil, "lowercase", n.Lowercase != nil); err != nil {
		return nil, err
	}
	accents := *n.Lowercase
	if n.StripAccent != nil {
		accents = *n.StripAccent
	}
	return pure(func(s string) string {
		if *n.CleanText {
			s = strings.Map(clean, s)
		}
		if *n.Chinese {
			s = spaceIdeographs(s)
		}
		if accents {
			s = drop(norm.NFD.String(s), unicode.Mn)
		}
		if *n.Lowercase {
			s = lowercase(s)
		}
		return s
	}), nil
}

// clean drops control characters and makes every white space a space.
func clean(r rune) rune {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return ' '
	case r == 0 || r == 0xFFFD || isOther(r):
		return -1
	case unicode.IsSpace(r):
		return ' '
	}
	return r
}

// isOther says whether a character is in Unicode's category C, but assigned.
func isOther(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs) }

// spaceIdeographs puts spaces around CJK ideographs. The ranges are Hugging
// Face's, where extension E begins at 2B920.
func spaceIdeographs(s string) string {
	var b strings.Builder
	for _, r := range s {
		if !unicode.Is(ideographs, r) {
			b.WriteRune(r)
			continue
		}
		b.WriteByte(' ')
		b.WriteRune(r)
		b.WriteByte(' ')
	}
	return b.String()
}

var ideographs = &unicode.RangeTable{
	R16: []unicode.Range16{{0x3400, 0x4DBF, 1}, {0x4E00, 0x9FFF, 1}, {0xF900, 0xFAFF, 1}},
	R32: []unicode.Range32{{0x20000, 0x2A6DF, 1}, {0x2A700, 0x2B73F, 1}, {0x2B740, 0x2B81F, 1}, {0x2B920, 0x2CEAF, 1}, {0x2F800, 0x2FA1F, 1}},
}

func drop(s string, table *unicode.RangeTable) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(table, r) {
			return -1
		}
		return r
	}, s)
}

// lowercase lowers each character by itself. The one that becomes two is I
// with a dot above.
func lowercase(s string) string {
	return strings.ReplaceAll(strings.Map(func(r rune) rune {
		if r == 'İ' {
			return r
		}
		return unicode.ToLower(r)
	}, s), "İ", "i\u0307")
}

// nmt is SentencePiece's cleaning for machine translation.
func nmt(r rune) rune {
	switch {
	case r >= 1 && r <= 8, r == 0xB, r >= 0xE && r <= 0x1F, r == 0x7F, r == 0x8F, r == 0x9F:
		return -1
	case r == '\t', r == '\n', r == '\f', r == '\r', r == 0x1680, r >= 0x200B && r <= 0x200F,
		r == 0x2028, r == 0x2029, r == 0x2581, r == 0xFEFF, r == 0xFFFD:
		return ' '
	}
	return r
}

// byteChars are the printable characters that stand for the 256 bytes in a
// byte-level vocabulary: printable Latin-1 for itself, the others from 256 on.
var byteChars = func() (chars [256]rune) {
	next := rune(256)
	for b := range chars {
		switch {
		case b >= '!' && b <= '~', b >= 0xA1 && b != 0xAD:
			chars[b] = rune(b)
		default:
			chars[b] = next
			next++
		}
	}
	return chars
}()

func byteLevel(s string) string {
	var b strings.Builder
	b.Grow(2 * len(s))
	for i := range len(s) {
		b.WriteRune(byteChars[s[i]])
	}
	return b.String()
}
