package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// unigram takes the segmentation with the largest sum of scores (Kudo 2018,
// arXiv 1804.10959), by Viterbi's algorithm.
type unigram struct {
	*vocab
	find         prefixes
	scores       []float64 // by id
	unk          int32     // -1: none
	unkScore     float64
	byteFallback bool
}

// unkPenalty is how far below the worst token an unknown character scores.
const unkPenalty = 10

func (s *modelSpec) unigram() (model, error) {
	var list []scored
	if err := json.Unmarshal(s.Vocab, &list); err != nil {
		return nil, fmt.Errorf("vocab: %w", err)
	}
	if len(list) == 0 || len(list) > maxID {
		return nil, fmt.Errorf("vocab has %d tokens; 1 to %d are possible", len(list), maxID)
	}
	m := &unigram{vocab: &vocab{make(map[string]int32, len(list)), len(list)}, unk: -1, byteFallback: s.ByteFallback}
	m.unkScore = math.Inf(1)
	tokens := make([]string, len(list))
	for i, t := range list {
		if len(t.token) > maxTokenBytes {
			return nil, fmt.Errorf("vocab: token %.40q is longer than %d bytes", t.token, maxTokenBytes)
		}
		if before, again := m.ids[t.token]; again { // the last one counts
			tokens[before] = ""
		}
		m.ids[t.token] = int32(i)
		m.scores = append(m.scores, t.score)
		m.unkScore = min(m.unkScore, t.score)
		tokens[i] = t.token
	}
	m.unkScore -= unkPenalty
	m.find = newPrefixes(tokens)
	if s.UnkID != nil {
		if m.unk = *s.UnkID; m.unk < 0 || int(m.unk) >= len(list) {
			return nil, fmt.Errorf("unk_id %d lies outside the vocabulary of %d", m.unk, len(list))
		}
	}
	return m, nil
}

// scored is written as ["token", score].
type scored struct {
	token string
	score float64
}

func (s *scored) UnmarshalJSON(b []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil || len(pair) != 2 || string(pair[0]) == "null" || string(pair[1]) == "null" {
		return errors.New("an entry is no pair of a token and its score")
	}
	if err := json.Unmarshal(pair[0], &s.token); err != nil {
		return err
	}
	return json.Unmarshal(pair[1], &s.score)
}

// node is the best way to a place in the word.
type node struct {
	score float64
	from  int32 // where its last token begins; -1: no way yet
	id    int32
}

var errNoUnk = errors.New("a character is not in the vocabulary, and the file has no unknown token")

func (m *unigram) tokenize(ids []int32, word string) ([]int32, error) {
	best := make([]node, len(word)+1)
	for i := range best {
		best[i].from = -1
	}
	for at, r := range word {
		here, single, width := best[at].score, false, utf8.RuneLen(r)
		reach := func(id int32, n int, score float64) {
			if to := &best[at+n]; to.from < 0 || score > to.score {
				*to = node{score, int32(at), id}
			}
		}
		m.find.each(word[at:], func(id int32, n int) {
			reach(id, n, m.scores[id]+here)
			single = single || n == width
		})
		if !single {
			if m.unk < 0 {
				return nil, errNoUnk
			}
			reach(m.unk, width, m.unkScore+here)
		}
	}
	return m.collect(ids, word, best)
}

// collect walks back from the word's end. Unknown characters in a row are one.
func (m *unigram) collect(ids []int32, word string, best []node) ([]int32, error) {
	var parts []part // from the end on; match: unknown
	for end := len(word); end > 0; {
		n := best[end]
		from, unknown := int(n.from), n.id == m.unk
		if k := len(parts); unknown && k > 0 && parts[k-1].match {
			parts[k-1].from = from
		} else {
			parts = append(parts, part{from, end, unknown})
		}
		end = from
	}
	for i := len(parts) - 1; i >= 0; i-- {
		token := word[parts[i].from:parts[i].to]
		if id, ok := m.id(token); ok {
			ids = append(ids, id)
		} else if bytes, ok := m.bytes(token); ok && m.byteFallback {
			ids = append(ids, bytes...)
		} else {
			ids = append(ids, m.unk)
		}
	}
	return ids, nil
}

// bytes returns the ids of "<0x0A>" and the like; ok where all are there.
func (v *vocab) bytes(s string) (ids []int32, ok bool) {
	for i := range len(s) {
		id, ok := v.id(fmt.Sprintf("<0x%02X>", s[i]))
		if !ok {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}
