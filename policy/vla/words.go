package vla

import (
	"unicode"
	"unicode/utf8"
)

// Words turns an instruction into the indices of its word tokens: words are
// runs of letters and digits, lower-cased, hashed with 32-bit FNV-1a modulo
// vocab. The result has length limit; missing words are -1, later ones are cut
// off. An empty instruction is valid: all -1.
func Words(text string, vocab, limit int) []int32 {
	ids := make([]int32, limit)
	words(ids, text, vocab)
	return ids
}

// words is Words into a given slice.
func words(ids []int32, text string, vocab int) {
	const offset, prime = 2166136261, 16777619
	n, h, in := 0, uint32(offset), false
	end := func() {
		if in && n < len(ids) {
			ids[n] = int32(h % uint32(vocab))
			n++
		}
		h, in = offset, false
	}
	var buf [utf8.UTFMax]byte
	for _, r := range text {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			end()
			continue
		}
		in = true
		for _, b := range buf[:utf8.EncodeRune(buf[:], unicode.ToLower(r))] {
			h = (h ^ uint32(b)) * prime
		}
	}
	end()
	for ; n < len(ids); n++ {
		ids[n] = -1
	}
}
