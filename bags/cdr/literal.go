package cdr

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
)

// parseNumber reads a number or bool as rosidl does: decimal first, then with
// a 0x, 0o or 0b prefix. It returns the native Go value of kind k.
func parseNumber(k kind, s string) (any, error) {
	switch k {
	case kindBool:
		switch strings.ToLower(s) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
		return nil, fmt.Errorf("%q is neither true nor false", clip(s))
	case kindFloat32, kindFloat64:
		v, err := strconv.ParseFloat(s, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return nil, fmt.Errorf("%q is no number", clip(s))
		}
		if k == kindFloat32 {
			return float32(v), nil
		}
		return v, nil
	}
	bits := 8 * k.size()
	if k == kindInt8 || k == kindInt16 || k == kindInt32 || k == kindInt64 {
		v, err := strconv.ParseInt(s, 10, bits)
		if errors.Is(err, strconv.ErrSyntax) {
			v, err = strconv.ParseInt(s, 0, bits)
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no integer of %d bits", clip(s), bits)
		}
		return native(k, uint64(v)), nil
	}
	unsigned := strings.TrimPrefix(s, "+")
	v, err := strconv.ParseUint(unsigned, 10, bits)
	if errors.Is(err, strconv.ErrSyntax) {
		v, err = strconv.ParseUint(unsigned, 0, bits)
	}
	if err != nil {
		return nil, fmt.Errorf("%q is no unsigned integer of %d bits", clip(s), bits)
	}
	return native(k, v), nil
}

// native returns the Go value whose bits are u.
func native(k kind, u uint64) any {
	switch k {
	case kindBool:
		return u != 0
	case kindInt8:
		return int8(u)
	case kindUint8:
		return uint8(u)
	case kindInt16:
		return int16(u)
	case kindUint16:
		return uint16(u)
	case kindInt32:
		return int32(u)
	case kindUint32:
		return uint32(u)
	case kindInt64:
		return int64(u)
	case kindUint64:
		return u
	case kindFloat32:
		return math.Float32frombits(uint32(u))
	}
	return math.Float64frombits(u)
}

// parseText takes the quotes off a .msg string; text without quotes stands for
// itself. Only the quote itself is escaped.
func parseText(s string, max uint32, wide bool) (string, error) {
	for _, q := range []string{`"`, `'`} {
		if len(s) < 2 || !strings.HasPrefix(s, q) || !strings.HasSuffix(s, q) {
			continue
		}
		s = s[1 : len(s)-1]
		for i := range len(s) {
			if s[i] == q[0] && (i == 0 || s[i-1] != '\\') {
				return "", fmt.Errorf("quote inside %q is not escaped", clip(s))
			}
		}
		s = strings.ReplaceAll(s, `\`+q, q)
		break
	}
	if max > 0 && textLen(s, wide) > int(max) {
		return "", fmt.Errorf("%q is longer than %d", clip(s), max)
	}
	return s, nil
}

// textLen is the length that a bound counts: bytes, or UTF-16 units.
func textLen(s string, wide bool) int {
	if !wide {
		return len(s)
	}
	n := 0
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

// parseValue reads the default value of a field or the value of a constant.
func parseValue(t typeRef, s string) (any, error) {
	s = strings.TrimSpace(s)
	if t.kind == kindStruct {
		return nil, fmt.Errorf("messages have no default value")
	}
	if t.shape == scalar {
		if t.kind.text() {
			return parseText(s, t.strMax, t.kind == kindWString)
		}
		return parseNumber(t.kind, s)
	}
	if !strings.HasPrefix(s, "[") || !strings.HasSuffix(s, "]") || len(s) < 2 {
		return nil, fmt.Errorf("%q does not stand in [brackets]", clip(s))
	}
	items, err := splitList(s[1 : len(s)-1])
	if err != nil {
		return nil, err
	}
	return parseItems(t, items, func(s string) (string, error) {
		return parseText(s, t.strMax, t.kind == kindWString)
	})
}

// parseItems turns the elements of a default array into a native slice.
func parseItems(t typeRef, items []string, text func(string) (string, error)) (any, error) {
	if t.shape == array && len(items) != int(t.n) || t.n > 0 && len(items) > int(t.n) {
		return nil, fmt.Errorf("%d values do not fit %s", len(items), t)
	}
	out := makeSlice(t.kind, len(items))
	for i, item := range items {
		var v any
		var err error
		if t.kind.text() {
			v, err = text(item)
		} else {
			v, err = parseNumber(t.kind, item)
		}
		if err != nil {
			return nil, err
		}
		setElem(out, i, v)
	}
	return out, nil
}

// splitList cuts at the commas that stand outside quotes.
func splitList(s string) ([]string, error) {
	var items []string
	var quote byte
	start, blank := 0, true // nothing but blanks since start
	for i := range len(s) {
		c := s[i]
		switch {
		case quote != 0:
			if c == quote && s[i-1] != '\\' {
				quote = 0
			}
		case blank && (c == '"' || c == '\''):
			quote, blank = c, false
		case c == ',':
			items = append(items, strings.TrimSpace(s[start:i]))
			start, blank = i+1, true
		case c != ' ' && c != '\t':
			blank = false
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("quote is not closed in %q", clip(s))
	}
	if last := strings.TrimSpace(s[start:]); last != "" {
		items = append(items, last)
	}
	return items, nil
}

// formatValue writes a value as .msg does, and false if .msg cannot say it.
func formatValue(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", false
	case string:
		if strings.ContainsAny(v, "\n\r") {
			return "", false
		}
		return `"` + strings.ReplaceAll(v, `"`, `\"`) + `"`, true
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	n := sliceLen(v)
	if n < 0 {
		return fmt.Sprint(v), true
	}
	items := make([]string, n)
	for i := range items {
		s, ok := formatValue(elem(v, i))
		if !ok {
			return "", false
		}
		items[i] = s
	}
	return "[" + strings.Join(items, ", ") + "]", true
}
