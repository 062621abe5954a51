package cdr

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

type tokenKind uint8

const (
	tokEOF tokenKind = iota
	tokName
	tokNumber
	tokString
	tokPunct
)

type token struct {
	kind tokenKind
	text string // of a string its value
	line int
}

// lexer cuts IDL into tokens; comments and preprocessor lines are skipped.
type lexer struct {
	src  string
	pos  int
	line int
}

func (l *lexer) skip() error {
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		switch {
		case rest[0] == '\n':
			l.line++
			l.pos++
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r':
			l.pos++
		case rest[0] == '#' || strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			l.pos += end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return fmt.Errorf("line %d: comment is not closed", l.line)
			}
			l.line += strings.Count(rest[:end+2], "\n")
			l.pos += end + 4
		default:
			return nil
		}
	}
	return nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func (l *lexer) next() (token, error) {
	if err := l.skip(); err != nil {
		return token{}, err
	}
	t := token{line: l.line}
	if l.pos == len(l.src) {
		return t, nil
	}
	rest := l.src[l.pos:]
	if rest[0] == 'L' && len(rest) > 1 && rest[1] == '"' { // wide string
		l.pos++
		rest = rest[1:]
	}
	n := 1
	switch c := rest[0]; {
	case c == '"' || c == '\'':
		return l.quoted(c)
	case isLetter(c):
		for n < len(rest) && (isLetter(rest[n]) || isDigit(rest[n])) {
			n++
		}
		t.kind = tokName
	case isDigit(c) || c == '.' && len(rest) > 1 && isDigit(rest[1]):
		for n < len(rest) && numberByte(rest, n) {
			n++
		}
		t.kind = tokNumber
	case strings.HasPrefix(rest, "::"):
		n = 2
		t.kind = tokPunct
	case strings.IndexByte("{}()<>[],;:=@-+", c) >= 0:
		t.kind = tokPunct
	default:
		return t, fmt.Errorf("line %d: unexpected character %q", l.line, c)
	}
	t.text = rest[:n]
	l.pos += n
	return t, nil
}

// numberByte tells whether s[i] goes on a number that starts at 0.
func numberByte(s string, i int) bool {
	if (s[i] == '+' || s[i] == '-') && (s[i-1] == 'e' || s[i-1] == 'E') {
		return !strings.HasPrefix(s, "0x") && !strings.HasPrefix(s, "0X")
	}
	return s[i] == '.' || isDigit(s[i]) || isLetter(s[i])
}

// quoted reads a string or character literal and undoes its escapes.
func (l *lexer) quoted(q byte) (token, error) {
	t := token{kind: tokString, line: l.line}
	for i := l.pos + 1; i < len(l.src); i++ {
		switch l.src[i] {
		case '\\':
			i++
		case '\n':
			return t, fmt.Errorf("line %d: string is not closed", l.line)
		case q:
			s, err := unescape(l.src[l.pos+1 : i])
			if err != nil {
				return t, fmt.Errorf("line %d: %w", l.line, err)
			}
			t.text = s
			l.pos = i + 1
			return t, nil
		}
	}
	return t, fmt.Errorf("line %d: string is not closed", l.line)
}

// unescape undoes the escapes of IDL 4.2 (7.2.6.2.2), which Python's repr
// shares as far as rosidl uses it.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	single := map[byte]byte{'n': '\n', 't': '\t', 'v': '\v', 'b': '\b', 'r': '\r', 'f': '\f',
		'a': '\a', '\\': '\\', '?': '?', '\'': '\'', '"': '"'}
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", fmt.Errorf("string %q ends in a backslash", clip(s))
		}
		c := s[i]
		if r, ok := single[c]; ok {
			b.WriteByte(r)
			continue
		}
		base, start, width := 16, i+1, digits[c]
		if width == 0 {
			base, start, width = 8, i, 3
		}
		end := start
		set := "0123456789abcdefABCDEF"
		if base == 8 {
			set = set[:8]
		}
		for end < len(s) && end < start+width && strings.IndexByte(set, s[end]) >= 0 {
			end++
		}
		v, err := strconv.ParseUint(s[start:end], base, 32)
		if err != nil || v > utf8.MaxRune {
			return "", fmt.Errorf("bad escape in string %q", clip(s))
		}
		b.WriteRune(rune(v))
		i = end - 1
	}
	return b.String(), nil
}
