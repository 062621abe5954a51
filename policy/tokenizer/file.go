package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
)

// fileSpec is a tokenizer.json. The decoder part is not needed to encode.
type fileSpec struct {
	Truncation *struct {
		Direction string `json:"direction"`
		MaxLength int    `json:"max_length"`
	} `json:"truncation"`
	Padding *struct {
		Direction string `json:"direction"`
		PadID     int32  `json:"pad_id"`
		PadTypeID int32  `json:"pad_type_id"`
	} `json:"padding"`
	AddedTokens   []addedSpec     `json:"added_tokens"`
	Normalizer    *normalizerSpec `json:"normalizer"`
	PreTokenizer  *splitterSpec   `json:"pre_tokenizer"`
	PostProcessor *postSpec       `json:"post_processor"`
	Model         json.RawMessage `json:"model"`
}

func (s *fileSpec) build() (*Tokenizer, error) {
	t := &Tokenizer{}
	left := budget(64)
	var err error
	if t.model, err = buildModel(s.Model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if s.Normalizer != nil {
		if t.normalize, err = s.Normalizer.build(&left); err != nil {
			return nil, fmt.Errorf("normalizer: %w", err)
		}
	}
	if s.PreTokenizer != nil {
		if t.split, err = s.PreTokenizer.build(&left); err != nil {
			return nil, fmt.Errorf("pre_tokenizer: %w", err)
		}
		var behind bool
		t.marksFirst, behind = s.PreTokenizer.marksFirst()
		t.marksFirst = t.marksFirst && !s.Normalizer.maps() // a map leaves its place to what it removes
		// Which word is the first is a matter of places in the text before the normalizer.
		if behind && s.Normalizer != nil {
			return nil, errors.New("pre_tokenizer: prepend_scheme first, after another pre-tokenizer and with a normalizer, is not supported")
		}
	}
	if err := t.add(s.AddedTokens); err != nil {
		return nil, fmt.Errorf("added_tokens: %w", err)
	}
	if s.PostProcessor != nil {
		if t.post, err = s.PostProcessor.build(&left); err != nil {
			return nil, fmt.Errorf("post_processor: %w", err)
		}
		for _, id := range append(t.post.before, t.post.after...) {
			if id.id < 0 || int(id.id) >= t.size {
				return nil, fmt.Errorf("post_processor: id %d lies outside the vocabulary of %d", id.id, t.size)
			}
		}
	}
	return t, s.setDefaults(t)
}

func (s *fileSpec) setDefaults(t *Tokenizer) error {
	left := func(direction string) (bool, error) {
		if direction != "Left" && direction != "Right" && direction != "" {
			return false, fmt.Errorf("direction %q is neither Left nor Right", direction)
		}
		return direction == "Left", nil
	}
	var err error
	if c := s.Truncation; c != nil {
		if c.MaxLength < t.post.special() || c.MaxLength == 0 {
			return fmt.Errorf("truncation: max_length %d leaves no room for text", c.MaxLength)
		}
		t.file.maxLength = c.MaxLength
		if t.file.truncateLeft, err = left(c.Direction); err != nil {
			return fmt.Errorf("truncation: %w", err)
		}
	}
	c := s.Padding
	if c == nil {
		return nil
	}
	if c.PadID < 0 || int(c.PadID) >= t.size || c.PadTypeID < 0 {
		return fmt.Errorf("padding: id %d and type id %d; the vocabulary has %d", c.PadID, c.PadTypeID, t.size)
	}
	t.file.padID, t.file.padType = c.PadID, c.PadTypeID
	if t.file.padLeft, err = left(c.Direction); err != nil {
		return fmt.Errorf("padding: %w", err)
	}
	return nil
}

// budget is how many normalizers, pre-tokenizers and post-processors a file
// may have yet, in one another or not. Those in use have ten or so.
type budget int

func (b *budget) take() error {
	if *b--; *b < 0 {
		return errors.New("the file has too many parts")
	}
	return nil
}

// need says which of the named fields an entry lacks.
func need(kind string, has ...any) error {
	for i := 0; i < len(has); i += 2 {
		if !has[i+1].(bool) {
			return fmt.Errorf("%s lacks %s", kind, has[i])
		}
	}
	return nil
}

func unsupported(kind, have string) error {
	if kind == "" {
		return errors.New("an entry lacks its type")
	}
	return fmt.Errorf("type %q is not supported; use a file with %s", kind, have)
}

// postSpec is a post-processor.
type postSpec struct {
	Type       string     `json:"type"`
	Processors []postSpec `json:"processors"`
	Cls, Sep   *tokenID
	Single     []struct {
		SpecialToken, Sequence *struct {
			ID     string `json:"id"`
			TypeID int32  `json:"type_id"`
		}
	} `json:"single"`
	SpecialTokens map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`
}

// tokenID is written as ["[SEP]", 102].
type tokenID int32

func (t *tokenID) UnmarshalJSON(b []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil || len(pair) != 2 {
		return errors.New("a special token is a pair of its text and its id")
	}
	return json.Unmarshal(pair[1], (*int32)(t))
}

// template puts special tokens around a text.
type template struct {
	before, after []specialToken
	textType      int32
}

type specialToken struct{ id, typeID int32 }

func (t *template) special() int { return len(t.before) + len(t.after) }

func (t *template) apply(content []int32) []int32 {
	ids := make([]int32, 0, len(content)+t.special())
	for _, s := range t.before {
		ids = append(ids, s.id)
	}
	ids = append(ids, content...)
	for _, s := range t.after {
		ids = append(ids, s.id)
	}
	return ids
}

func (t *template) types(content int) []int32 {
	types := make([]int32, 0, content+t.special())
	for _, s := range t.before {
		types = append(types, s.typeID)
	}
	for range content {
		types = append(types, t.textType)
	}
	for _, s := range t.after {
		types = append(types, s.typeID)
	}
	return types
}

// around returns the template that applies in first, then t.
func (t template) around(in template) template {
	for _, list := range []*[]specialToken{&in.before, &in.after} {
		for i := range *list {
			(*list)[i].typeID = t.textType
		}
	}
	t.before = append(t.before, in.before...)
	t.after = append(in.after, t.after...)
	return t
}

func (s *postSpec) build(left *budget) (template, error) {
	if err := left.take(); err != nil {
		return template{}, err
	}
	switch s.Type {
	case "ByteLevel": // moves offsets only
		return template{}, nil
	case "BertProcessing", "RobertaProcessing":
		if err := need(s.Type, "cls", s.Cls != nil, "sep", s.Sep != nil); err != nil {
			return template{}, err
		}
		return template{[]specialToken{{int32(*s.Cls), 0}}, []specialToken{{int32(*s.Sep), 0}}, 0}, nil
	case "TemplateProcessing":
		return s.buildTemplate()
	case "Sequence":
		var t template
		for i := range s.Processors {
			next, err := s.Processors[i].build(left)
			if err != nil {
				return t, err
			}
			if s.Processors[i].Type != "ByteLevel" {
				t = next.around(t)
			}
		}
		return t, nil
	}
	return template{}, unsupported(s.Type, "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel or Sequence")
}

func (s *postSpec) buildTemplate() (template, error) {
	var t template
	texts := 0
	for _, p := range s.Single {
		switch {
		case p.Sequence != nil && p.Sequence.ID == "A":
			texts++
			t.textType = p.Sequence.TypeID
		case p.SpecialToken != nil:
			token, ok := s.SpecialTokens[p.SpecialToken.ID]
			if !ok {
				return t, fmt.Errorf("special_tokens lacks %q", p.SpecialToken.ID)
			}
			list := &t.before
			if texts > 0 {
				list = &t.after
			}
			for _, id := range token.IDs {
				*list = append(*list, specialToken{id, p.SpecialToken.TypeID})
			}
		default:
			return t, errors.New("the template for one text holds something else than a special token and the text A")
		}
	}
	if texts != 1 {
		return t, fmt.Errorf("the template for one text names it %d times", texts)
	}
	return t, nil
}
