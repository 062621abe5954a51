package cdr

// makeSlice returns a native slice of n values of kind k: []bool, []float64,
// ..., []string.
func makeSlice(k kind, n int) any {
	switch k {
	case kindBool:
		return make([]bool, n)
	case kindInt8:
		return make([]int8, n)
	case kindUint8:
		return make([]uint8, n)
	case kindInt16:
		return make([]int16, n)
	case kindUint16:
		return make([]uint16, n)
	case kindInt32:
		return make([]int32, n)
	case kindUint32:
		return make([]uint32, n)
	case kindInt64:
		return make([]int64, n)
	case kindUint64:
		return make([]uint64, n)
	case kindFloat32:
		return make([]float32, n)
	case kindFloat64:
		return make([]float64, n)
	case kindStruct:
		return make([]*Record, n)
	}
	return make([]string, n)
}

// sliceLen is the length of a native slice, -1 of anything else.
func sliceLen(v any) int {
	switch s := v.(type) {
	case []bool:
		return len(s)
	case []int8:
		return len(s)
	case []uint8:
		return len(s)
	case []int16:
		return len(s)
	case []uint16:
		return len(s)
	case []int32:
		return len(s)
	case []uint32:
		return len(s)
	case []int64:
		return len(s)
	case []uint64:
		return len(s)
	case []float32:
		return len(s)
	case []float64:
		return len(s)
	case []string:
		return len(s)
	case []*Record:
		return len(s)
	}
	return -1
}

// elem is v[i] of a native slice.
func elem(v any, i int) any {
	switch s := v.(type) {
	case []bool:
		return s[i]
	case []int8:
		return s[i]
	case []uint8:
		return s[i]
	case []int16:
		return s[i]
	case []uint16:
		return s[i]
	case []int32:
		return s[i]
	case []uint32:
		return s[i]
	case []int64:
		return s[i]
	case []uint64:
		return s[i]
	case []float32:
		return s[i]
	case []float64:
		return s[i]
	case []string:
		return s[i]
	case []*Record:
		return s[i]
	}
	return nil
}

// setElem does v[i] = x, where x has the element type of v.
func setElem(v any, i int, x any) {
	switch s := v.(type) {
	case []bool:
		s[i] = x.(bool)
	case []int8:
		s[i] = x.(int8)
	case []uint8:
		s[i] = x.(uint8)
	case []int16:
		s[i] = x.(int16)
	case []uint16:
		s[i] = x.(uint16)
	case []int32:
		s[i] = x.(int32)
	case []uint32:
		s[i] = x.(uint32)
	case []int64:
		s[i] = x.(int64)
	case []uint64:
		s[i] = x.(uint64)
	case []float32:
		s[i] = x.(float32)
	case []float64:
		s[i] = x.(float64)
	case []string:
		s[i] = x.(string)
	case []*Record:
		s[i] = x.(*Record)
	}
}

// isSliceOf tells whether v is the native slice type of kind k.
func isSliceOf(k kind, v any) bool {
	ok := false
	switch k {
	case kindBool:
		_, ok = v.([]bool)
	case kindInt8:
		_, ok = v.([]int8)
	case kindUint8:
		_, ok = v.([]uint8)
	case kindInt16:
		_, ok = v.([]int16)
	case kindUint16:
		_, ok = v.([]uint16)
	case kindInt32:
		_, ok = v.([]int32)
	case kindUint32:
		_, ok = v.([]uint32)
	case kindInt64:
		_, ok = v.([]int64)
	case kindUint64:
		_, ok = v.([]uint64)
	case kindFloat32:
		_, ok = v.([]float32)
	case kindFloat64:
		_, ok = v.([]float64)
	case kindString, kindWString:
		_, ok = v.([]string)
	case kindStruct:
		_, ok = v.([]*Record)
	}
	return ok
}

// clone copies a native slice of numbers or strings.
func clone(k kind, v any) any {
	n := sliceLen(v)
	out := makeSlice(k, n)
	for i := range n {
		setElem(out, i, elem(v, i))
	}
	return out
}
