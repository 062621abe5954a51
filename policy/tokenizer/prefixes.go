package tokenizer

import (
	"slices"
	"sort"
	"strings"
)

// prefixes finds the tokens that a text starts with: a sorted list, narrowed
// byte by byte.
type prefixes struct {
	tokens []string
	index  []int32 // of a token in the list that newPrefixes was given
}

// newPrefixes leaves out empty tokens. Of equal tokens the first one counts.
func newPrefixes(list []string) prefixes {
	p := prefixes{index: make([]int32, 0, len(list))}
	for i, s := range list {
		if s != "" {
			p.index = append(p.index, int32(i))
		}
	}
	slices.SortStableFunc(p.index, func(a, b int32) int { return strings.Compare(list[a], list[b]) })
	p.index = slices.CompactFunc(p.index, func(a, b int32) bool { return list[a] == list[b] })
	p.tokens = make([]string, len(p.index))
	for i, at := range p.index {
		p.tokens[i] = list[at]
	}
	return p
}

// within returns the part of p whose tokens start with s, cut off there.
func (p prefixes) within(s string) prefixes {
	lo := sort.SearchStrings(p.tokens, s)
	hi := lo + sort.Search(len(p.tokens)-lo, func(i int) bool { return !strings.HasPrefix(p.tokens[lo+i], s) })
	out := prefixes{index: p.index[lo:hi]}
	for _, t := range p.tokens[lo:hi] {
		out.tokens = append(out.tokens, t[len(s):])
	}
	if len(out.tokens) > 0 && out.tokens[0] == "" {
		out.tokens, out.index = out.tokens[1:], out.index[1:]
	}
	return out
}

// each calls yield for every token that s starts with, shortest first.
func (p *prefixes) each(s string, yield func(token int32, n int)) {
	lo, hi := 0, len(p.tokens)
	for n := 0; lo < hi; n++ {
		if n > 0 && len(p.tokens[lo]) == n {
			yield(p.index[lo], n)
			lo++
		}
		if n == len(s) || lo == hi {
			return
		}
		if hi-lo == 1 { // no more to narrow
			if strings.HasPrefix(s[n:], p.tokens[lo][n:]) {
				yield(p.index[lo], len(p.tokens[lo]))
			}
			return
		}
		lo, hi = narrow(p.tokens, lo, hi, n, s[n])
	}
}

// narrow returns the range of tokens[lo:hi] with byte c at n. All are longer
// than n and equal before it.
func narrow(tokens []string, lo, hi, n int, c byte) (int, int) {
	from, to := lo, hi
	for from < to {
		if m := (from + to) / 2; tokens[m][n] < c {
			from = m + 1
		} else {
			to = m
		}
	}
	lo, to = from, hi
	for from < to {
		if m := (from + to) / 2; tokens[m][n] <= c {
			from = m + 1
		} else {
			to = m
		}
	}
	return lo, from
}

// longest returns the longest token that s starts with; n is 0 where none is.
func (p *prefixes) longest(s string) (token int32, n int) {
	p.each(s, func(t int32, length int) { token, n = t, length })
	return token, n
}
