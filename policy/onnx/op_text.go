package onnx

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

func init() {
	register(
		operator{"StringNormalizer", 10, 1, 1, asIs, prepareStringNormalizer, false},
		operator{"StringConcat", 20, 2, 2, asIs, prepareStringConcat, false},
		operator{"StringSplit", 20, 1, 1, asIs, prepareStringSplit, false},
		operator{"RegexFullMatch", 20, 1, 1, asIs, prepareRegex, false},
	)
}

// textOps lists the operators on strings, and how many of their first outputs
// are strings.
var textOps = map[string]int{"StringNormalizer": 1, "StringConcat": 1, "StringSplit": 1, "RegexFullMatch": 0}

// prepareStringNormalizer drops stop words and changes the case of [C] or
// [1,C]. Where nothing is left it gives one empty string. Without regard to
// case, words are compared in the case that they get, or in lower case.
func prepareStringNormalizer(c *call) (func() error, error) {
	if err := c.types(0, String); err != nil {
		return nil, err
	}
	x := c.in[0]
	rank := len(x.Shape)
	if rank != 1 && (rank != 2 || x.Shape[0] != 1) {
		return nil, fmt.Errorf("%v is neither [C] nor [1 C]", x)
	}
	fold, change, err := c.caseChange()
	if err != nil {
		return nil, err
	}
	stop := attribute(c, "stopwords", []string(nil))
	if len(stop) == 0 && x.Len() > 0 { // the shape is known without the data
		return func() error {
			v := slices.Clone(x.text)
			for i, s := range v {
				v[i] = change(s)
			}
			return c.makes(c.result[0], v)
		}, c.outStrings(0, x.Shape...)
	}
	list, err := c.strings(0)
	if err != nil {
		return nil, err
	}
	drop := map[string]bool{}
	for _, s := range stop {
		drop[fold(s)] = true
	}
	var kept []string
	for _, s := range list {
		if !drop[fold(s)] {
			kept = append(kept, change(s))
		}
	}
	if len(kept) == 0 {
		kept = []string{""}
	}
	shape := slices.Clone(x.Shape)
	shape[rank-1] = len(kept)
	return func() error { return c.makes(c.result[0], kept) }, c.outStrings(0, shape...)
}

// caseChange gives what StringNormalizer makes of a word before it is compared
// with stop words, and of one that is kept: Unicode's simple mappings, those of
// Turkish and Azeri where the locale names them.
func (c *call) caseChange() (fold, change func(string) string, err error) {
	lower, upper := strings.ToLower, strings.ToUpper
	if l := c.string("locale", ""); strings.HasPrefix(l, "tr") || strings.HasPrefix(l, "az") {
		lower = func(s string) string { return strings.ToLowerSpecial(unicode.TurkishCase, s) }
		upper = func(s string) string { return strings.ToUpperSpecial(unicode.TurkishCase, s) }
	}
	same := func(s string) string { return s }
	switch action := c.string("case_change_action", "NONE"); action {
	case "NONE":
		fold, change = lower, same
	case "LOWER":
		fold, change = lower, lower
	case "UPPER":
		fold, change = upper, upper
	default:
		return nil, nil, fmt.Errorf("the case_change_action %q is none of NONE, LOWER and UPPER", action)
	}
	if c.int("is_case_sensitive", 0) != 0 {
		fold = same
	}
	return fold, change, nil
}

func prepareStringConcat(c *call) (func() error, error) {
	for i := range 2 {
		if err := c.types(i, String); err != nil {
			return nil, err
		}
	}
	a, b := c.in[0], c.in[1]
	shape, err := broadcastShape(a.Shape, b.Shape)
	if err != nil {
		return nil, err
	}
	return func() error { return concatStrings(c, shape) }, c.outStrings(0, shape...)
}

// concatStrings joins pairs once it is known that all together fit.
func concatStrings(c *call, shape []int) error {
	a, b := c.in[0], c.in[1]
	operand := [][]int{stretch(a.Shape, shape), stretch(b.Shape, shape)}
	each := func(visit func(at int, x, y string)) {
		walkRows(shape, operand, func(at int, from []int, n int, step []int) {
			for k := range n {
				visit(at+k, a.text[from[0]+k*step[0]], b.text[from[1]+k*step[1]])
			}
		})
	}
	total, longest := 0, 0
	each(func(_ int, x, y string) { total += len(x) + len(y); longest = max(longest, len(x)+len(y)) })
	if total > c.limit || longest > maxString {
		return fmt.Errorf("the joined strings take %d bytes, the longest %d of at most %d: %w", total, longest, maxString, ErrTooLarge)
	}
	if err := c.costs(total); err != nil {
		return err
	}
	v := make([]string, product(shape))
	each(func(at int, x, y string) { v[at] = x + y })
	return c.gives(c.result[0], v)
}

// prepareStringSplit cuts each string into parts, filled up with empty ones to
// the most that any has, and counts them.
func prepareStringSplit(c *call) (func() error, error) {
	list, err := c.strings(0)
	if err != nil {
		return nil, err
	}
	most := c.int("maxsplit", maxString)
	if most < 0 {
		most = maxString
	}
	delimiter := c.string("delimiter", "")
	if err := c.costs(textBytes(list)); err != nil {
		return nil, err
	}
	width, parts, room := 0, make([][]string, len(list)), maxStrings
	for i, s := range list {
		parts[i] = splitString(s, delimiter, most)
		if room -= len(parts[i]); room < 0 {
			return nil, fmt.Errorf("the strings have more than %d parts: %w", maxStrings, ErrTooLarge)
		}
		width = max(width, len(parts[i]))
	}
	shape := c.in[0].Shape
	if err := c.outStrings(0, append(slices.Clone(shape), width)...); err != nil {
		return nil, err
	}
	return func() error {
		v := make([]string, len(list)*width)
		for i, p := range parts {
			copy(v[i*width:], p)
			if c.wants(1) {
				Data[int64](c.result[1])[i] = int64(len(p))
			}
		}
		return c.makes(c.result[0], v)
	}, c.out(1, Int64, shape...)
}

// splitString cuts s at most that many times: at each delimiter or, without
// one, at runs of white space, of which none is left at either end.
func splitString(s, delimiter string, most int) []string {
	if delimiter != "" {
		return strings.SplitN(s, delimiter, most+1)
	}
	var parts []string
	for s = strings.TrimSpace(s); s != ""; {
		end := strings.IndexFunc(s, unicode.IsSpace)
		if end < 0 || len(parts) == most {
			end = len(s)
		}
		parts = append(parts, s[:end])
		s = strings.TrimLeftFunc(s[end:], unicode.IsSpace)
	}
	return parts
}

// maxProgram bounds what a regular expression compiles to, in instructions;
// matching takes that many steps a byte at most.
const maxProgram = 1 << 12

func prepareRegex(c *call) (func() error, error) {
	if err := c.types(0, String); err != nil {
		return nil, err
	}
	match, steps, err := fullMatch(c.string("pattern", ""))
	if err != nil {
		return nil, err
	}
	x := c.in[0]
	return func() error {
		if err := c.costs(steps, textBytes(x.text)); err != nil {
			return err
		}
		for i, s := range x.text {
			Data[uint8](c.result[0])[i] = bit(match(s))
		}
		return nil
	}, c.out(0, Bool, x.Shape...)
}

// fullMatch compiles a pattern of RE2. It says whether the pattern matches the
// whole of a string: the leftmost longest match is then that.
func fullMatch(pattern string) (match func(string) bool, steps int, err error) {
	if len(pattern) > maxText {
		return nil, 0, fmt.Errorf("a pattern of %d bytes is longer than %d", len(pattern), maxText)
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if bad, ok := errors.AsType[*syntax.Error](err); ok && bad.Code == syntax.ErrInvalidEscape && bad.Expr == `\C` {
		return nil, 0, fmt.Errorf("the pattern %q has a \\C, a single byte, which is not available here", pattern)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("the pattern %q is no regular expression of RE2: %w", pattern, err)
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, 0, fmt.Errorf("the pattern %q: %w", pattern, err)
	}
	if len(program.Inst) > maxProgram {
		return nil, 0, fmt.Errorf("the pattern %q takes %d instructions, more than %d", pattern, len(program.Inst), maxProgram)
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, 0, fmt.Errorf("the pattern %q: %w", pattern, err)
	}
	compiled.Longest()
	return func(s string) bool {
		at := compiled.FindStringIndex(s)
		return at != nil && at[0] == 0 && at[1] == len(s)
	}, len(program.Inst), nil
}
