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

const (
	maxPattern = 4096
	matchTime  = 2 * time.Second // an instruction takes microseconds
	maxStack   = 1 << 24
)

func (p *pattern) compile() (finder, error) {
	switch {
	case (p.String == nil) == (p.Regex == nil):
		return nil, errors.New("a pattern needs one of String and Regex")
	case p.String != nil && *p.String == "":
		return nil, errors.New("a pattern is empty")
	case p.String != nil:
		return literal(*p.String), nil
	case len(*p.Regex) > maxPattern:
		return nil, fmt.Errorf("a pattern is longer than %d bytes", maxPattern)
	}
	text, err := translate(*p.Regex)
	if err != nil {
		return nil, err
	}
	return expression(text)
}

func literal(want string) finder {
	return func(s string) ([]part, error) {
		var out []part
		done := 0
		for {
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

// word is what \w means in Oniguruma; regexp2's has fewer marks and numbers.
// Outside a class, Oniguruma counts Latin-1's other numbers too.
const (
	word      = `\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\p{Other_Alphabetic}`
	aloneWord = word + `²³¹¼½¾`
)

var (
	escapes = regexp.MustCompile(`^\\([pP]\{[\w ]+\}|[sSdDwWrntfAzZ]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[^\pL\pN])`)
	repeats = regexp.MustCompile(`^\{(,|\d+(,\d*)?\}\+)`) // {,n} and {n,m}+
	groups  = regexp.MustCompile(`^\(\?(:|=|!|>|<=|<!|i:|i\))`)
)

// translate writes an expression of Oniguruma (Ruby's syntax), which Hugging
// Face's library runs, for regexp2 (that of .NET). What the two read in
// different ways is refused.
func translate(text string) (string, error) {
	var b strings.Builder
	class := false // inside [ ]
	for rest := text; rest != ""; {
		take := 1
		out := ""
		switch {
		case rest[0] == '\\':
			take = len(escapes.FindString(rest))
			switch {
			case take == 0, class && strings.HasPrefix(rest, `\W`):
				return "", foreign(text, rest)
			case class && rest[1] == 'w':
				out = word
			case rest[1] == 'w':
				out = "[" + aloneWord + "]"
			case rest[1] == 'W':
				out = "[^" + aloneWord + "]"
			}
		case class && (rest[0] == '[' || strings.HasPrefix(rest, "&&")), !class && repeats.MatchString(rest):
			return "", foreign(text, rest)
		case rest[0] == '[' && !class:
			class = true
			if strings.HasPrefix(rest, "[^") {
				take = 2
			}
			if strings.HasPrefix(rest[take:], "]") {
				return "", foreign(text, rest)
			}
		case rest[0] == ']':
			class = false
		case !class && strings.HasPrefix(rest, "(?"):
			if take = len(groups.FindString(rest)); take == 0 {
				return "", foreign(text, rest)
			}
		}
		if out == "" {
			out = rest[:take]
		}
		b.WriteString(out)
		rest = rest[take:]
	}
	return b.String(), nil
}

func foreign(text, at string) error {
	return fmt.Errorf("the pattern %q is not supported from %.10q on", text, at)
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
		done, matched, start := 0, false, time.Now()
		err = re.FindRunesMatches(list, -1, func(m regexp2.MatchView) bool {
			at, n, _ := m.GroupRange(0)
			if n == 0 && matched && places[at] == done {
				return true // as Rust's iterators, which see no empty match behind another
			}
			matched = true
			out = appendMatch(out, done, places[at], places[at+n])
			done = places[at+n]
			return time.Since(start) < matchTime
		})
		if err != nil || time.Since(start) >= matchTime {
			return nil, fmt.Errorf("the file's pattern %q takes too long on it", text)
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
