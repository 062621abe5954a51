package tokenizer

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// charsmap is SentencePiece's precompiled normalization: a double-array trie
// (Darts) from byte strings to places in a list of NUL-ended replacements.
type charsmap struct {
	trie []uint32
	list string
}

func newCharsmap(text string) (*charsmap, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("precompiled_charsmap is no base64")
	}
	if len(b) < 8 {
		return nil, errors.New("precompiled_charsmap is cut off")
	}
	n := binary.LittleEndian.Uint32(b)
	if b = b[4:]; n%4 != 0 || n == 0 || uint64(n) > uint64(len(b)) {
		return nil, errors.New("precompiled_charsmap is cut off")
	}
	m := &charsmap{make([]uint32, n/4), string(b[n:])}
	for i := range m.trie {
		m.trie[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return m, nil
}

// normalize replaces whole grapheme clusters of up to five bytes where the map
// has them, else the characters in them.
func (m *charsmap) normalize(s string) (string, error) {
	var b strings.Builder
	var cluster string
	for state := -1; s != ""; {
		cluster, s, _, state = uniseg.FirstGraphemeClusterInString(s, state)
		if len(cluster) < 6 {
			if to, ok := m.replacement(cluster); ok {
				b.WriteString(to)
				continue
			}
		}
		for len(cluster) > 0 {
			_, n := utf8.DecodeRuneInString(cluster)
			if to, ok := m.replacement(cluster[:n]); ok {
				b.WriteString(to)
			} else {
				b.WriteString(cluster[:n])
			}
			cluster = cluster[n:]
		}
		if b.Len() > maxGrown {
			return "", errGrown
		}
	}
	return b.String(), nil
}

// replacement returns what the map has for the shortest beginning of key.
func (m *charsmap) replacement(key string) (string, bool) {
	at := offset(m.trie[0])
	for i := 0; i < len(key) && key[i] != 0; i++ {
		at ^= uint32(key[i])
		if uint64(at) >= uint64(len(m.trie)) {
			return "", false
		}
		unit := m.trie[at]
		if unit&(1<<31|0xFF) != uint32(key[i]) {
			return "", false
		}
		at ^= offset(unit)
		if unit>>8&1 == 0 {
			continue
		}
		if uint64(at) >= uint64(len(m.trie)) {
			return "", false
		}
		from := m.trie[at] & (1<<31 - 1)
		if uint64(from) > uint64(len(m.list)) {
			return "", false
		}
		to, _, _ := strings.Cut(m.list[from:], "\x00")
		return strings.ToValidUTF8(to, "\uFFFD"), true
	}
	return "", false
}

func offset(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }
