package tokenizer

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
)

// pattern is {"String": text} or {"Regex": expression}.
type pattern struct {
	String, Regex *string
}

// part is a stretch of a text, in bytes.
type part struct {
	from, to int
	match    bool
}

// finder cuts a text into matches and what is between them.
type finder func(s string) ([]part, error)

// foreign finds what Hugging Face's engine (Oniguruma, Ruby syntax) and ours
// (.NET syntax) read in two ways without a complaint.
var foreign = regexp.MustCompile(`\[:|&&|-\[|\(\?[a-z-]*[msxn]|\\[hHRXKgGyYOkC]`)

const (
	maxPattern = 4096
	matchTime  = 2 * time.Second // per text; an instruction takes microseconds
	maxStack   = 1 << 24
)

func (p *pattern) compile() (finder, error) {
	switch {
	case (p.String == nil) == (p.Regex == nil):
		return nil, errors.New("a pattern needs one of String and Regex")
	case p.String != nil:
		return literal(*p.String), nil
	case len(*p.Regex) > maxPattern:
		return nil, fmt.Errorf("a pattern is longer than %d bytes", maxPattern)
	}
	if at := foreign.FindString(*p.Regex); at != "" {
		return nil, fmt.Errorf("the pattern %q uses %q, which is not supported", *p.Regex, at)
	}
	return expression(*p.Regex)
}

func literal(want string) finder {
	return func(s string) ([]part, error) {
		var out []part
		done := 0
		for want != "" {
			i := strings.Index(s[done:], want)
			if i < 0 {
				break
			}
			out = appendMatch(out, done, done+i, done+i+len(want))
			done += i + len(want)
		}
		return appendRest(out, done, len(s)), nil
	}
}

// runes makes a finder of single characters.
func runes(is func(rune) bool) finder {
	return func(s string) ([]part, error) {
		var out []part
		done := 0
		for i, r := range s {
			if is(r) {
				n := i + utf8.RuneLen(r)
				out = appendMatch(out, done, i, n)
				done = n
			}
		}
		return appendRest(out, done, len(s)), nil
	}
}

func appendMatch(out []part, done, from, to int) []part {
	return append(appendRest(out, done, from), part{from, to, true})
}

func appendRest(out []part, from, to int) []part {
	if from < to {
		out = append(out, part{from, to, false})
	}
	return out
}

// expression compiles with regexp2: the expressions in use need look-ahead,
// which the standard library lacks. A panic in it is an error here, and a
// backtracking that does not end is cut off.
func expression(text string) (find finder, err error) {
	defer recovered(&err)
	re, err := regexp2.Compile(text, regexp2.Multiline, regexp2.OptionMaxBacktrackingStackSize(maxStack))
	if err != nil {
		return nil, fmt.Errorf("the pattern %q: %w", text, err)
	}
	re.MatchTimeout = matchTime
	return func(s string) (out []part, err error) {
		defer recovered(&err)
		places := make([]int, 0, len(s)+1) // of runes in s
		list := make([]rune, 0, len(s))
		for i, r := range s {
			places = append(places, i)
			list = append(list, r)
		}
		places = append(places, len(s))
		done := 0
		err = re.FindRunesMatches(list, -1, func(m regexp2.MatchView) bool {
			at, n, _ := m.GroupRange(0)
			out = appendMatch(out, done, places[at], places[at+n])
			done = places[at+n]
			return true
		})
		if err != nil {
			return nil, fmt.Errorf("the file's pattern %q: %w", text, err)
		}
		return appendRest(out, done, len(s)), nil
	}, nil
}

func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("a pattern: %v", r)
	}
}

// isPunctuation is BERT's: all ASCII symbols and Unicode's punctuation.
func isPunctuation(r rune) bool {
	return r < 0x80 && (unicode.IsPunct(r) || unicode.IsSymbol(r)) || unicode.IsPunct(r)
}
