package onnx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"arfm/policy/userfile"
)

// OpenTensor reads a tensor from a file: a TensorProto, as the ONNX project's
// test data has it, or NumPy's npy.
func OpenTensor(path string) (*Tensor, error) {
	f, size, err := userfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > DefaultLimit {
		return nil, fmt.Errorf("%s has %d bytes, a tensor may have %d: %w", path, size, int64(DefaultLimit), ErrTooLarge)
	}
	data := alignedBytes(int(size))
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	t, err := DecodeTensor(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// DecodeTensor reads the contents of such a file. The tensor may be a view of
// data.
func DecodeTensor(data []byte) (*Tensor, error) {
	if bytes.HasPrefix(data, []byte(npyMagic)) {
		return decodeNPY(data)
	}
	p, err := readTensorProto(data)
	if err != nil {
		return nil, fmt.Errorf("neither an npy file nor a TensorProto: %w", err)
	}
	return p.tensor(nil)
}

// npyMagic begins an npy file: the version and the header's length follow, then
// the header, a Python dictionary as text, and the elements.
const npyMagic = "\x93NUMPY"

// npyTypes names element types as NumPy does, without the byte order.
var npyTypes = map[string]Type{"f4": Float32, "f8": Float64, "f2": Float16, "i1": Int8, "i2": Int16, "i4": Int32, "i8": Int64,
	"u1": Uint8, "u2": Uint16, "u4": Uint32, "u8": Uint64, "b1": Bool}

var (
	npyDescr   = regexp.MustCompile(`['"]descr['"]\s*:\s*['"]([<>|])(\w{1,8})['"]`)
	npyFortran = regexp.MustCompile(`['"]fortran_order['"]\s*:\s*(True|False)`)
	npyShape   = regexp.MustCompile(`['"]shape['"]\s*:\s*\(([\d,\s]*)\)`)
)

func decodeNPY(data []byte) (*Tensor, error) {
	bad := func(format string, args ...any) (*Tensor, error) {
		return nil, fmt.Errorf("not a readable npy file: "+format, args...)
	}
	rest := data[len(npyMagic):]
	var header []byte
	switch {
	case len(rest) >= 4 && rest[0] == 1:
		header, rest = rest[4:], rest[2:4:4]
	case len(rest) >= 6 && (rest[0] == 2 || rest[0] == 3):
		header, rest = rest[6:], rest[2:6:6]
	default:
		return bad("its version is not known")
	}
	length := binary.LittleEndian.Uint32(append(rest, 0, 0)[:4])
	if uint64(length) > uint64(len(header)) || length > 1<<16 {
		return bad("its header is cut off")
	}
	header, rest = header[:length], header[length:]
	descr, fortran, dims := npyDescr.FindSubmatch(header), npyFortran.FindSubmatch(header), npyShape.FindSubmatch(header)
	if fortran == nil || dims == nil {
		return bad("its header gives no shape")
	}
	if descr == nil || npyTypes[string(descr[2])] == 0 {
		return bad("its elements are not numbers of a supported type; save them as float32 or int64, for example")
	}
	t := &Tensor{Type: npyTypes[string(descr[2])], Shape: []int{}}
	for s := range strings.SplitSeq(string(dims[1]), ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		d, err := strconv.Atoi(s)
		if err != nil {
			return bad("its shape is not one")
		}
		t.Shape = append(t.Shape, d)
	}
	if string(fortran[1]) == "True" && len(t.Shape) > 1 {
		return bad("its elements lie column by column; save numpy.ascontiguousarray of them")
	}
	if size := t.Type.Size(); string(descr[1]) == ">" && size > 1 {
		if len(rest)%size != 0 {
			return bad("its last element is cut off")
		}
		rest = bytes.Clone(rest)
		swapBytes(rest, size)
	}
	n, err := volume(t.Shape)
	if err == nil {
		t.data, err = viewRaw(rest, n, t.Type)
	}
	if err != nil {
		return bad("%w", err)
	}
	return t, nil
}

// AppendNPY writes t, of numbers, as an npy file behind b; bfloat16, which NumPy
// lacks, becomes float32. Strings are what AppendProto is for.
func (t *Tensor) AppendNPY(b []byte) []byte {
	if t.Type == BFloat16 {
		t, _ = t.Cast(Float32) // always known
	}
	name := ""
	for n, kind := range npyTypes {
		if kind == t.Type {
			name = n
		}
	}
	order := "<"
	if t.Type.Size() == 1 {
		order = "|"
	}
	dims := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		dims[i] = strconv.Itoa(d) + ","
	}
	header := fmt.Sprintf("{'descr': '%s%s', 'fortran_order': False, 'shape': (%s), }", order, name, strings.Join(dims, " "))
	const before = len(npyMagic) + 4
	for (before+len(header)+1)%64 != 0 { // so that the elements lie aligned
		header += " "
	}
	header += "\n"
	b = append(b, npyMagic+"\x01\x00"...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(header)))
	b = append(b, header...)
	at := len(b)
	b = append(b, t.data...)
	if !littleEndian {
		swapBytes(b[at:], t.Type.Size())
	}
	return b
}
