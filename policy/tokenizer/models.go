package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// modelSpec is a model. Files of before 2021 lack its type.
type modelSpec struct {
	Type     string          `json:"type"`
	Vocab    json.RawMessage `json:"vocab"`
	UnkToken *string         `json:"unk_token"`
	Prefix   *string         `json:"continuing_subword_prefix"`
	// WordPiece
	MaxChars *int `json:"max_input_chars_per_word"`
	// BPE
	Merges       json.RawMessage `json:"merges"`
	Suffix       *string         `json:"end_of_word_suffix"`
	Dropout      *float64        `json:"dropout"`
	FuseUnk      bool            `json:"fuse_unk"`
	ByteFallback bool            `json:"byte_fallback"` // Unigram too
	IgnoreMerges bool            `json:"ignore_merges"`
	// Unigram
	UnkID *int32 `json:"unk_id"`
}

func buildModel(raw json.RawMessage) (model, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, errors.New("missing; name a tokenizer.json")
	}
	var s modelSpec
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	if s.Type == "" {
		switch {
		case s.Merges != nil:
			s.Type = "BPE"
		case s.MaxChars != nil:
			s.Type = "WordPiece"
		case len(s.Vocab) > 0 && s.Vocab[0] == '[':
			s.Type = "Unigram"
		default:
			s.Type = "WordLevel"
		}
	}
	if s.Type == "Unigram" {
		return s.unigram()
	}
	v, err := s.vocab()
	if err != nil {
		return nil, err
	}
	switch s.Type {
	case "WordPiece":
		return s.wordPiece(v)
	case "BPE":
		return s.bpe(v)
	case "WordLevel":
		unk, err := s.unknown(v)
		return &wordLevel{v, unk}, err
	}
	return nil, unsupported(s.Type, "WordPiece, BPE, Unigram or WordLevel")
}

// vocab maps tokens to ids.
type vocab struct {
	ids map[string]int32
	end int
}

func (v *vocab) id(token string) (int32, bool) {
	id, ok := v.ids[token]
	return id, ok
}

func (v *vocab) vocabulary() (tokens, end int) { return len(v.ids), v.end }

func (s *modelSpec) vocab() (*vocab, error) {
	v := &vocab{}
	if err := json.Unmarshal(s.Vocab, &v.ids); err != nil {
		return nil, fmt.Errorf("vocab: %w", err)
	}
	if len(v.ids) == 0 {
		return nil, errors.New("vocab is empty")
	}
	for token, id := range v.ids {
		if id < 0 || id >= maxID || len(token) > maxTokenBytes {
			return nil, fmt.Errorf("vocab: token %.40q of %d bytes with id %d; ids go up to %d and tokens to %d bytes", token, len(token), id, maxID-1, maxTokenBytes)
		}
		v.end = max(v.end, int(id)+1)
	}
	return v, nil
}

func (s *modelSpec) unknown(v *vocab) (int32, error) {
	if err := need(s.Type, "unk_token", s.UnkToken != nil); err != nil {
		return 0, err
	}
	id, ok := v.id(*s.UnkToken)
	if !ok {
		return 0, fmt.Errorf("the vocabulary lacks the unk_token %q", *s.UnkToken)
	}
	return id, nil
}

// wordLevel knows whole words only.
type wordLevel struct {
	*vocab
	unk int32
}

func (m *wordLevel) tokenize(ids []int32, word string) ([]int32, error) {
	if id, ok := m.id(word); ok {
		return append(ids, id), nil
	}
	return append(ids, m.unk), nil
}

// wordPiece takes the longest token again and again (BERT).
type wordPiece struct {
	*vocab
	unk         int32
	maxChars    int
	first, next prefixes // at a word's beginning and inside
	list        []int32  // ids by the prefixes' index
}

func (s *modelSpec) wordPiece(v *vocab) (model, error) {
	if err := need(s.Type, "continuing_subword_prefix", s.Prefix != nil, "max_input_chars_per_word", s.MaxChars != nil); err != nil {
		return nil, err
	}
	unk, err := s.unknown(v)
	if err != nil {
		return nil, err
	}
	m := &wordPiece{vocab: v, unk: unk, maxChars: *s.MaxChars}
	tokens := make([]string, 0, len(v.ids))
	for token, id := range v.ids {
		tokens = append(tokens, token)
		m.list = append(m.list, id)
	}
	m.first = newPrefixes(tokens)
	m.next = m.first.within(*s.Prefix)
	return m, nil
}

func (m *wordPiece) tokenize(ids []int32, word string) ([]int32, error) {
	if utf8.RuneCountInString(word) > m.maxChars {
		return append(ids, m.unk), nil
	}
	start := len(ids)
	for find := &m.first; word != ""; find = &m.next {
		token, n := find.longest(word)
		if n == 0 {
			return append(ids[:start], m.unk), nil
		}
		ids = append(ids, m.list[token])
		word = word[n:]
	}
	return ids, nil
}
