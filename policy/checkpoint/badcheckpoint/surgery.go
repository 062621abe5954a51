package badcheckpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// parts is a safetensors file taken apart. It follows the format's description
// and not the checkpoint package's code, which is what is tested with it.
type parts struct {
	tensors map[string]*place
	meta    map[string]string
	data    []byte
}

type place struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

const metadataKey = "__metadata__"

func split(good []byte) (*parts, error) {
	if len(good) < 8 {
		return nil, errors.New("badcheckpoint: the good file has no header")
	}
	n := binary.LittleEndian.Uint64(good)
	if n > uint64(len(good)-8) {
		return nil, errors.New("badcheckpoint: the good file is cut short")
	}
	p := &parts{tensors: map[string]*place{}, data: bytes.Clone(good[8+n:])}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(good[8:8+n], &raw); err != nil {
		return nil, fmt.Errorf("badcheckpoint: the good file: %w", err)
	}
	for name, text := range raw {
		var err error
		if name == metadataKey {
			err = json.Unmarshal(text, &p.meta)
		} else {
			p.tensors[name] = &place{}
			err = json.Unmarshal(text, p.tensors[name])
		}
		if err != nil {
			return nil, fmt.Errorf("badcheckpoint: the good file: %w", err)
		}
	}
	if len(p.tensors) < 2 || p.meta == nil {
		return nil, errors.New("badcheckpoint: the good file has no tensors or no metadata")
	}
	return p, nil
}

// names lists the tensors in the order of the file.
func (p *parts) names() []string {
	var out []string
	for name := range p.tensors {
		out = append(out, name)
	}
	slices.SortFunc(out, func(a, b string) int {
		if d := p.tensors[a].Offsets[0] - p.tensors[b].Offsets[0]; d != 0 {
			return int(d)
		}
		return strings.Compare(a, b)
	})
	return out
}

// matrix returns the first tensor with two different dimensions.
func (p *parts) matrix() (*place, error) {
	for _, name := range p.names() {
		if t := p.tensors[name]; len(t.Shape) == 2 && t.Shape[0] != t.Shape[1] {
			return t, nil
		}
	}
	return nil, errors.New("badcheckpoint: the good file has no matrix that is not square")
}

// edit changes one JSON object in the metadata.
func (p *parts) edit(key string, change func(map[string]any)) error {
	var v map[string]any
	d := json.NewDecoder(strings.NewReader(p.meta[key]))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("badcheckpoint: %s of the good file: %w", key, err)
	}
	change(v)
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("badcheckpoint: %s: %w", key, err)
	}
	p.meta[key] = string(text)
	return nil
}

// seal makes both sums right again, so that the damage itself is found.
func (p *parts) seal() {
	sum := sha256.Sum256(p.data)
	p.meta["sha256"] = hex.EncodeToString(sum[:])
	delete(p.meta, "metadata_sha256")
	var keys []string
	for k := range p.meta {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	h := sha256.New()
	for _, k := range keys {
		h.Write([]byte(k + "\x00" + p.meta[k] + "\x00"))
	}
	p.meta["metadata_sha256"] = hex.EncodeToString(h.Sum(nil))
}

// join puts the file together.
func (p *parts) join() ([]byte, error) {
	header := map[string]any{metadataKey: p.meta}
	for name, t := range p.tensors {
		header[name] = t
	}
	text, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("badcheckpoint: %w", err)
	}
	for (8+len(text))%8 != 0 {
		text = append(text, ' ')
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(out, text...), p.data...), nil
}
