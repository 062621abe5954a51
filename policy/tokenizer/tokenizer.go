// Package tokenizer turns an instruction into the token ids that a text
// encoder was trained on, as a Hugging Face tokenizer.json says: normalizer,
// pre-tokenizer, model (WordPiece, BPE, Unigram, WordLevel), post-processor.
//
// The ids are those of Hugging Face's own tokenizers library. What a file asks
// for and the package lacks is refused by Open, never guessed. Known to differ:
// characters whose category Unicode has set since version 8, more than 30 accents
// on one letter (NFC and its kin put a joiner between), and prepend_scheme first
// where a Replace rewrites the text's first character.
package tokenizer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"arfm/policy/userfile"
)

// Bounds on a file and a text. The largest vocabularies in use have some
// 260,000 tokens, 600,000 merges and 40 MB.
const (
	maxFile       = 64 << 20
	maxElements   = 1 << 22 // of all the file's lists and maps
	maxID         = 1 << 24
	maxTokenBytes = 1024
	maxGrown      = 16 * MaxText // what the file's rules may make of a text, in bytes

	// MaxText is the longest text that Encode takes, in bytes.
	MaxText = 16 << 10
)

// Tokenizer is an opened tokenizer.json. It does not change after Open: any
// number of goroutines may encode at a time.
type Tokenizer struct {
	raw, normalized addedTokens // matched before and after the normalizer
	normalize       normalizer  // nil: none
	split           splitter    // nil: none
	model           model
	marksFirst      bool // split asks for the first piece
	post            template
	file            defaults
	size            int
}

// defaults are what the file says of truncation and padding.
type defaults struct {
	maxLength      int // 0: no limit
	truncateLeft   bool
	padID, padType int32
	padLeft        bool
}

// Encoding is a padded text: three lists of one length.
type Encoding struct {
	IDs     []int32
	TypeIDs []int32 // segment ids
	Mask    []int32 // 1 for a token, 0 for padding
}

// model turns one word, which is not empty, into ids.
type model interface {
	tokenize(ids []int32, word string) ([]int32, error)
	id(token string) (int32, bool)
	vocabulary() (tokens, end int) // number of tokens, largest id + 1
}

// Open reads a tokenizer.json of at most 64 MiB.
func Open(path string) (*Tokenizer, error) {
	b, err := userfile.Read(path, maxFile+1)
	if err != nil {
		return nil, err
	}
	t, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %.400s", path, err) // the file's own words may be long
	}
	return t, nil
}

// SHA256 is the sum of the file at path, hex.
func SHA256(path string) (string, error) {
	b, err := userfile.Read(path, maxFile+1)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

func parse(b []byte) (*Tokenizer, error) {
	switch {
	case len(b) > maxFile:
		return nil, fmt.Errorf("larger than %d MiB; name a tokenizer.json", maxFile>>20)
	case !utf8.Valid(b):
		return nil, errors.New("no UTF-8 text; name a tokenizer.json")
	case bytes.Count(b, []byte{','}) > maxElements:
		return nil, fmt.Errorf("more than %d elements; name a tokenizer.json", maxElements)
	}
	var spec fileSpec
	if err := json.Unmarshal(b, &spec); err != nil {
		return nil, fmt.Errorf("no Hugging Face tokenizer: %w", err)
	}
	return spec.build()
}

// Encode returns the text's token ids with the special tokens of the file's
// post-processor. At most limit ids are returned; the text is cut, the special
// tokens are kept. Limit 0 stands for the file's own max_length, if it has one.
//
// Bytes that are no UTF-8 read as U+FFFD. As in Hugging Face's library, an
// added token of the file that stands in the text, such as "[SEP]", becomes
// that token.
func (t *Tokenizer) Encode(text string, limit int) ([]int32, error) {
	ids, err := t.content(text, limit)
	if err != nil {
		return nil, err
	}
	return t.post.apply(ids), nil
}

// Padded encodes the text into exactly length ids, cut or padded on the side
// that the file names (the right one where it names none).
func (t *Tokenizer) Padded(text string, length int) (Encoding, error) {
	if length <= 0 {
		return Encoding{}, fmt.Errorf("length %d: a padded text needs at least one token", length)
	}
	content, err := t.content(text, length)
	if err != nil {
		return Encoding{}, err
	}
	ids, types := t.post.apply(content), t.post.types(len(content))
	e := Encoding{make([]int32, length), make([]int32, length), make([]int32, length)}
	from := 0
	if t.file.padLeft {
		from = length - len(ids)
	}
	for i := range length {
		if i < from || i >= from+len(ids) {
			e.IDs[i], e.TypeIDs[i] = t.file.padID, t.file.padType
			continue
		}
		e.IDs[i], e.TypeIDs[i], e.Mask[i] = ids[i-from], types[i-from], 1
	}
	return e, nil
}

// content returns the ids without special tokens, cut so that they fit.
func (t *Tokenizer) content(text string, limit int) ([]int32, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("text of %d bytes: the tokenizer takes at most %d", len(text), MaxText)
	}
	if limit == 0 {
		limit = t.file.maxLength
	}
	special := t.post.special()
	if limit < 0 || limit > 0 && limit < special {
		return nil, fmt.Errorf("limit of %d tokens: the special tokens alone are %d", limit, special)
	}
	ids, err := t.encode(strings.ToValidUTF8(text, "\uFFFD"))
	if err != nil {
		return nil, fmt.Errorf("tokenizing the text: %w", err)
	}
	if over := len(ids) + special - limit; limit > 0 && over > 0 {
		if t.file.truncateLeft {
			return ids[over:], nil
		}
		return ids[:len(ids)-over], nil
	}
	return ids, nil
}

func (t *Tokenizer) encode(text string) ([]int32, error) {
	pieces, err := t.pieces(text)
	if err != nil {
		return nil, err
	}
	if t.split != nil {
		if pieces, err = t.split(pieces); err != nil {
			return nil, err
		}
	}
	ids := make([]int32, 0, len(pieces)+8)
	for _, p := range pieces {
		if p.token >= 0 {
			ids = append(ids, p.token)
		} else if ids, err = t.model.tokenize(ids, p.text); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// pieces cuts the text at added tokens and normalizes what is between them.
func (t *Tokenizer) pieces(text string) ([]piece, error) {
	var out []piece
	for _, p := range t.raw.cut(nil, text, true) {
		if p.token >= 0 {
			out = append(out, p)
			continue
		}
		s, first, err := t.normalizePiece(p)
		if err != nil {
			return nil, err
		}
		out = t.normalized.cut(out, s, first)
	}
	return out, nil
}

// normalizePiece also says whether the piece still begins where the text does:
// not so where the normalizer removes its first character.
func (t *Tokenizer) normalizePiece(p piece) (s string, first bool, err error) {
	if t.normalize == nil {
		return p.text, p.first, nil
	}
	if s, err = t.normalize(p.text); err != nil || !t.marksFirst || !p.first {
		return s, p.first, err
	}
	_, n := utf8.DecodeRuneInString(p.text)
	without, err := t.normalize(p.text[n:])
	return s, without != s, err
}

// Pad returns the id of the padding: the file's padding.pad_id, else its added
// token "[PAD]" or "<pad>", else 0.
func (t *Tokenizer) Pad() int32 { return t.file.padID }

// VocabSize returns the largest id plus one, added tokens included: the rows
// that an embedding needs.
func (t *Tokenizer) VocabSize() int { return t.size }
