package badcheckpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"

	"arfm/policy/checkpoint"
)

// Kind is one way in which a checkpoint can be bad.
type Kind struct {
	Name string
	Want error // what the refusal wraps

	// Make puts such a file at path, where nothing may lie yet. good is the
	// content of a valid checkpoint, which is not changed.
	Make func(path string, good []byte) error
	// Matching is true when the file is valid by itself and only does not
	// belong to the policy that good came from.
	Matching bool
	// Skip says why this kind cannot be made here, or is empty.
	Skip string
}

// Kinds returns every kind.
func Kinds() []Kind {
	unreadable := ""
	if os.Geteuid() == 0 {
		unreadable = "root may read every file"
	}
	return []Kind{
		{Name: "empty", Want: checkpoint.ErrEmpty, Make: cut(0, 1)},
		{Name: "three bytes", Want: checkpoint.ErrTruncated, Make: bytesAre(func(b []byte) []byte { return b[:3] })},
		{Name: "cut in the header", Want: checkpoint.ErrTruncated, Make: bytesAre(func(b []byte) []byte { return b[:100] })},
		{Name: "cut in the tensors", Want: checkpoint.ErrTruncated, Make: cut(9, 10)},
		{Name: "one byte short", Want: checkpoint.ErrTruncated, Make: bytesAre(func(b []byte) []byte { return b[:len(b)-1] })},
		{Name: "bytes behind the tensors", Want: checkpoint.ErrTrailing, Make: bytesAre(func(b []byte) []byte { return append(b, 0, 0, 0, 0) })},
		{Name: "header of 2^60 bytes", Want: checkpoint.ErrHeaderTooLarge, Make: bytesAre(hugeHeader)},
		{Name: "header no JSON", Want: checkpoint.ErrHeader, Make: bytesAre(func(b []byte) []byte { b[9] = '{'; return b })},
		{Name: "zeros", Want: checkpoint.ErrHeader, Make: bytesAre(func(b []byte) []byte { clear(b); return b })},
		{Name: "overlapping tensors", Want: checkpoint.ErrOffsets, Make: surgery(shift(-4))},
		{Name: "hole between tensors", Want: checkpoint.ErrOffsets, Make: surgery(shift(4))},
		{Name: "half-precision weights", Want: checkpoint.ErrDType, Make: surgery(halfType)},
		{Name: "integer weights", Want: checkpoint.ErrDType, Make: surgery(byteType)},
		{Name: "transposed weight", Want: checkpoint.ErrShape, Make: surgery(transpose)},
		{Name: "missing tensor", Want: checkpoint.ErrMissingTensor, Make: surgery(dropLast)},
		{Name: "extra tensor", Want: checkpoint.ErrUnknownTensor, Make: surgery(addOne)},
		{Name: "NaN weight", Want: checkpoint.ErrNotFinite, Make: surgery(weight(float32(math.NaN())))},
		{Name: "infinite weight", Want: checkpoint.ErrNotFinite, Make: surgery(weight(float32(math.Inf(-1))))},
		{Name: "flipped bit in a weight", Want: checkpoint.ErrHash, Make: bytesAre(func(b []byte) []byte { b[len(b)-2] ^= 1; return b })},
		{Name: "flipped digit in the statistics", Want: checkpoint.ErrHash, Make: unsealed(otherStats)},
		{Name: "probe off", Want: checkpoint.ErrProbe, Make: surgery(scaleWeights)},
		{Name: "no probe", Want: checkpoint.ErrProbe, Make: surgery(set("probe", "null"))},
		{Name: "newer format version", Want: checkpoint.ErrVersion, Make: surgery(set("version", fmt.Sprint(checkpoint.FormatVersion+1)))},
		{Name: "no arfm file", Want: checkpoint.ErrFormat, Make: surgery(foreign)},
		{Name: "impossible architecture", Want: checkpoint.ErrArchitecture, Make: surgery(architecture("layers", -1))},
		{Name: "architecture of a terabyte", Want: checkpoint.ErrArchitecture, Make: surgery(architecture("d", 1<<20))},
		{Name: "architecture larger than the file", Want: checkpoint.ErrArchitecture, Make: surgery(architecture("layers", 64))},
		{Name: "other architecture", Want: checkpoint.ErrArchitecture, Make: surgery(architecture("steps", 7)), Matching: true},
		{Name: "contract no YAML", Want: checkpoint.ErrContract, Make: surgery(set("contract", "version: [1"))},
		{Name: "other contract", Want: checkpoint.ErrContract, Make: surgery(otherRate), Matching: true},
		{Name: "statistics of another robot", Want: checkpoint.ErrStats, Make: surgery(fewerStats)},
		{Name: "folder", Want: checkpoint.ErrNotRegular, Make: func(path string, _ []byte) error { return os.Mkdir(path, 0o755) }},
		{Name: "named pipe", Want: checkpoint.ErrNotRegular, Make: func(path string, _ []byte) error { return syscall.Mkfifo(path, 0o644) }},
		{Name: "link to a device", Want: checkpoint.ErrNotRegular, Make: linkTo("/dev/zero")},
		{Name: "link to itself", Want: checkpoint.ErrNotRegular, Make: func(path string, _ []byte) error { return os.Symlink(path, path) }},
		{Name: "dangling link", Want: checkpoint.ErrNotFound, Make: func(path string, _ []byte) error { return os.Symlink(path+".gone", path) }},
		{Name: "unreadable", Want: checkpoint.ErrPermission, Skip: unreadable, Make: func(path string, good []byte) error { return os.WriteFile(path, good, 0) }},
	}
}

func linkTo(target string) func(string, []byte) error {
	return func(path string, _ []byte) error { return os.Symlink(target, path) }
}

// bytesAre writes changed bytes; change may use its argument up.
func bytesAre(change func([]byte) []byte) func(string, []byte) error {
	return func(path string, good []byte) error {
		if len(good) < 200 {
			return errors.New("badcheckpoint: the good file is too short")
		}
		b := append(make([]byte, 0, len(good)+16), good...)
		return os.WriteFile(path, change(b), 0o644)
	}
}

// cut keeps the first a/b of the file.
func cut(a, b int) func(string, []byte) error {
	return bytesAre(func(x []byte) []byte { return x[:len(x)*a/b] })
}

func hugeHeader(b []byte) []byte {
	binary.LittleEndian.PutUint64(b, 1<<60)
	return b
}

// unsealed takes the file apart, changes it and leaves the sums as they were.
func unsealed(change func(*parts) error) func(string, []byte) error {
	return func(path string, good []byte) error {
		p, err := split(good)
		if err != nil {
			return err
		}
		if err := change(p); err != nil {
			return err
		}
		b, err := p.join()
		if err != nil {
			return err
		}
		return os.WriteFile(path, b, 0o644)
	}
}

// surgery is unsealed with sums that are right again.
func surgery(change func(*parts) error) func(string, []byte) error {
	return unsealed(func(p *parts) error {
		if err := change(p); err != nil {
			return err
		}
		p.seal()
		return nil
	})
}

// shift moves the second tensor's window.
func shift(by int64) func(*parts) error {
	return func(p *parts) error {
		t := p.tensors[p.names()[1]]
		t.Offsets[0] += by
		t.Offsets[1] += by
		return nil
	}
}

func halfType(p *parts) error {
	t := p.tensors[p.names()[0]]
	t.DType, t.Shape = "F16", append(t.Shape, 2)
	return nil
}

func byteType(p *parts) error {
	t := p.tensors[p.names()[0]]
	t.DType, t.Shape = "U8", append(t.Shape, 4)
	return nil
}

func transpose(p *parts) error {
	t, err := p.matrix()
	if err == nil {
		t.Shape[0], t.Shape[1] = t.Shape[1], t.Shape[0]
	}
	return err
}

func dropLast(p *parts) error {
	names := p.names()
	last := names[len(names)-1]
	p.data = p.data[:p.tensors[last].Offsets[0]]
	delete(p.tensors, last)
	return nil
}

func addOne(p *parts) error {
	n := int64(len(p.data))
	p.tensors["stowaway"] = &place{"F32", []int{1}, [2]int64{n, n + 4}}
	p.data = append(p.data, 0, 0, 0, 0)
	return nil
}

// weight sets one in the middle of the file.
func weight(v float32) func(*parts) error {
	return func(p *parts) error {
		binary.LittleEndian.PutUint32(p.data[len(p.data)/8*4:], math.Float32bits(v))
		return nil
	}
}

// scaleWeights changes every weight by a thousandth, as a converter with a
// rounding error would.
func scaleWeights(p *parts) error {
	for i := 0; i+4 <= len(p.data); i += 4 {
		v := math.Float32frombits(binary.LittleEndian.Uint32(p.data[i:]))
		binary.LittleEndian.PutUint32(p.data[i:], math.Float32bits(v*1.001+1e-3))
	}
	return nil
}

func set(key, value string) func(*parts) error {
	return func(p *parts) error { p.meta[key] = value; return nil }
}

func foreign(p *parts) error {
	p.meta = map[string]string{"format": "pt"}
	return nil
}

func architecture(field string, value int) func(*parts) error {
	return func(p *parts) error {
		return p.edit("architecture", func(v map[string]any) { v[field] = value })
	}
}

func otherRate(p *parts) error {
	var lines []string
	found := false
	for line := range strings.Lines(p.meta["contract"]) {
		if strings.HasPrefix(line, "rate_hz:") {
			line, found = "rate_hz: 7\n", true
		}
		lines = append(lines, line)
	}
	if !found {
		return errors.New("badcheckpoint: the good file's contract has no rate_hz")
	}
	p.meta["contract"] = strings.Join(lines, "")
	return nil
}

func otherStats(p *parts) error {
	return p.edit("statistics", func(v map[string]any) { v["frames"] = 12345 })
}

func fewerStats(p *parts) error {
	return p.edit("statistics", func(v map[string]any) { v["action"] = []any{} })
}
