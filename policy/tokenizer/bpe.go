package tokenizer

import (
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// bpe joins neighbours by a ranked list of merges (Sennrich 2016, arXiv
// 1508.07909).
type bpe struct {
	*vocab
	merges         map[[2]int32]merge
	prefix, suffix string // of the parts that continue and that end a word
	unk            int32  // -1: none
	fuseUnk        bool
	byteFallback   bool
	ignoreMerges   bool
}

type merge struct{ rank, id int32 }

func (s *modelSpec) bpe(v *vocab) (model, error) {
	if s.Dropout != nil && *s.Dropout != 0 {
		return nil, errors.New("dropout makes the ids random; set it to null")
	}
	m := &bpe{vocab: v, unk: -1, fuseUnk: s.FuseUnk, byteFallback: s.ByteFallback, ignoreMerges: s.IgnoreMerges}
	if s.Prefix != nil {
		m.prefix = *s.Prefix
	}
	if s.Suffix != nil {
		m.suffix = *s.Suffix
	}
	if s.UnkToken != nil {
		var err error
		if m.unk, err = s.unknown(v); err != nil {
			return nil, err
		}
	}
	pairs, err := s.mergePairs()
	if err != nil {
		return nil, fmt.Errorf("merges: %w", err)
	}
	m.merges = make(map[[2]int32]merge, len(pairs))
	for rank, p := range pairs {
		a, okA := v.id(p[0])
		b, okB := v.id(p[1])
		tail, okTail := strings.CutPrefix(p[1], m.prefix)
		id, ok := v.id(p[0] + tail)
		if !okA || !okB || !okTail || !ok {
			return nil, fmt.Errorf("merges: the vocabulary lacks a part or the whole of %.40q + %.40q", p[0], p[1])
		}
		m.merges[[2]int32{a, b}] = merge{int32(rank), id}
	}
	return m, nil
}

// mergePairs reads "a b" as well as ["a", "b"].
func (s *modelSpec) mergePairs() ([][2]string, error) {
	if s.Merges == nil {
		return nil, errors.New("missing")
	}
	var lines []string
	if err := json.Unmarshal(s.Merges, &lines); err == nil {
		var pairs [][2]string
		for _, line := range lines {
			if strings.HasPrefix(line, "#version") {
				continue
			}
			a, b, ok := strings.Cut(line, " ")
			if !ok || strings.Contains(b, " ") {
				return nil, fmt.Errorf("%.40q are not two tokens", line)
			}
			pairs = append(pairs, [2]string{a, b})
		}
		return pairs, nil
	}
	var lists [][]string
	if err := json.Unmarshal(s.Merges, &lists); err != nil {
		return nil, err
	}
	pairs := make([][2]string, len(lists))
	for i, l := range lists {
		if len(l) != 2 {
			return nil, fmt.Errorf("number %d has %d tokens instead of two", i, len(l))
		}
		pairs[i] = [2]string(l)
	}
	return pairs, nil
}

func (m *bpe) tokenize(ids []int32, word string) ([]int32, error) {
	if m.ignoreMerges {
		if id, ok := m.id(word); ok {
			return append(ids, id), nil
		}
	}
	return m.mergeAll(ids, m.symbols(word)), nil
}

// symbols returns the ids of the characters.
func (m *bpe) symbols(word string) []int32 {
	out := make([]int32, 0, len(word))
	unknown := false // one waits to be written
	for at, r := range word {
		end := at + utf8.RuneLen(r)
		s := word[at:end]
		if at > 0 {
			s = m.prefix + s
		}
		if end == len(word) {
			s += m.suffix
		}
		if id, ok := m.id(s); ok {
			if unknown {
				out = append(out, m.unk)
				unknown = false
			}
			out = append(out, id)
			continue
		}
		if m.byteFallback {
			if bytes, ok := m.bytes(s); ok {
				out = append(out, bytes...)
				continue
			}
		}
		if m.unk < 0 {
			continue
		}
		if unknown && !m.fuseUnk {
			out = append(out, m.unk)
		}
		unknown = true
	}
	if unknown {
		out = append(out, m.unk)
	}
	return out
}

// candidate is a pair that may be joined: the symbol at and its successor.
type candidate struct {
	merge
	at int32
}

// candidates is a heap: lowest rank first, leftmost first among equals.
type candidates []candidate

func (c candidates) Len() int { return len(c) }
func (c candidates) Less(i, j int) bool {
	if c[i].rank != c[j].rank {
		return c[i].rank < c[j].rank
	}
	return c[i].at < c[j].at
}
func (c candidates) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *candidates) Push(x any)   { *c = append(*c, x.(candidate)) }
func (c *candidates) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// mergeAll joins what the merges allow and appends the symbols that are left.
func (m *bpe) mergeAll(ids, symbols []int32) []int32 {
	n := int32(len(symbols))
	next, prev := make([]int32, n), make([]int32, n) // neighbours; n and -1 at the ends
	var queue candidates
	offer := func(at int32, push func(candidate)) {
		if at < 0 || next[at] >= n {
			return
		}
		if found, ok := m.merges[[2]int32{symbols[at], symbols[next[at]]}]; ok {
			push(candidate{found, at})
		}
	}
	for i := range n {
		next[i], prev[i] = i+1, i-1
	}
	for i := range n {
		offer(i, func(c candidate) { queue = append(queue, c) })
	}
	heap.Init(&queue)
	push := func(c candidate) { heap.Push(&queue, c) }
	for len(queue) > 0 {
		c := heap.Pop(&queue).(candidate)
		if symbols[c.at] < 0 || next[c.at] >= n {
			continue
		}
		right := next[c.at]
		if now, ok := m.merges[[2]int32{symbols[c.at], symbols[right]}]; !ok || now.id != c.id {
			continue // one of the two was joined with another
		}
		symbols[c.at], symbols[right] = c.id, -1
		if next[c.at] = next[right]; next[right] < n {
			prev[next[right]] = c.at
		}
		offer(prev[c.at], push)
		offer(c.at, push)
	}
	for _, s := range symbols {
		if s >= 0 {
			ids = append(ids, s)
		}
	}
	return ids
}
