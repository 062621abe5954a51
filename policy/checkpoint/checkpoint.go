package checkpoint

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"arfm/policy"
	"arfm/policy/backbone"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// Checkpoint is a policy as it is kept in a file.
type Checkpoint struct {
	Model     *vla.Model
	Contract  *contract.Contract
	Stats     *contract.Stats
	Objective string // that it was trained with: bc, rwr, arfm, ...
	Step      int64  // optimiser steps taken
	Parent    string // Hash of the checkpoint that it was fine-tuned from; empty for none
	Probe     *Probe // questions with fixed noise and the model's answers
	Hash      string // SHA-256 of the tensors' bytes, hex

	path string // where it was loaded from or saved to, for messages
}

// Info describes a checkpoint file without its weights.
type Info struct {
	Hash       string     `json:"hash"`
	Step       int64      `json:"step"`
	Objective  string     `json:"objective"`
	Parent     string     `json:"parent,omitempty"`
	Config     vla.Config `json:"architecture"`
	Parameters int64      `json:"parameters"`

	Contract *contract.Contract `json:"-"`
}

// Save writes ck to path and returns its hash. It computes the probe and the
// hash and puts both into ck. The file at path is replaced as a whole or not at
// all, see WriteTensors; weights that are not finite, statistics or a contract
// that do not fit are refused with the error that Load would give.
func Save(path string, ck *Checkpoint) (hash string, err error) {
	if ck.Model == nil || ck.Contract == nil || ck.Stats == nil {
		return "", fail(path, ErrFormat, "model, contract or statistics are nil")
	}
	norm, err := fits(ck.Model.Config, ck.Contract, ck.Stats)
	if err != nil {
		return "", named(path, err)
	}
	params := ck.Model.Params
	for _, name := range params.Names() {
		if i := firstBad(params.View(name)); i >= 0 {
			return "", fail(path, ErrNotFinite, "element %d of tensor %q", i, name)
		}
	}
	probe := newProbe(ck, norm)
	meta, err := (&metadata{ck.Model.Config, ck.Contract, ck.Stats, ck.Objective, ck.Step, ck.Parent, probe}).encode()
	if err != nil {
		return "", named(path, err)
	}
	hash, err = writeTensors(path, Tensors(ck.Model), meta)
	if err != nil {
		return "", err
	}
	ck.Probe, ck.Hash, ck.path = probe, hash, path
	return hash, nil
}

// Tensors lists a model's tensors, views, in the order of its vector.
func Tensors(m *vla.Model) []Tensor {
	names := m.Params.Names()
	tensors := make([]Tensor, len(names))
	for i, name := range names {
		tensors[i] = NewTensor(name, m.Params.View(name), m.Params.Shape(name)...)
	}
	return tensors
}

func firstBad(v []float32) int {
	return slices.IndexFunc(v, func(x float32) bool {
		return math.Float32bits(x)&0x7f800000 == 0x7f800000
	})
}

// Load reads the checkpoint at path. Weights go straight into the model's
// vector; beside it no more than the header and one mebibyte are needed. It
// checks structure, sums, finite weights, and that architecture, contract,
// statistics and tensors fit together; Verify then asks the probe. A pipe or a
// device is refused without waiting. Errors name the file and wrap ErrNotFound,
// ErrNotRegular, ErrPermission, ErrRead, ErrEmpty, ErrTruncated, ErrTrailing,
// ErrHeaderTooLarge, ErrHeader, ErrOffsets, ErrDType, ErrFormat, ErrVersion,
// ErrArchitecture, ErrContract, ErrStats, ErrMissingTensor, ErrUnknownTensor,
// ErrShape, ErrHash or ErrNotFinite.
func Load(path string) (*Checkpoint, error) {
	x, err := open(path)
	if err != nil {
		return nil, err
	}
	defer x.f.Close()
	meta, err := x.metadata()
	if err != nil {
		return nil, err
	}
	if _, err := fits(meta.config, meta.contract, meta.stats); err != nil {
		return nil, named(path, err)
	}
	if least := leastBytes(meta.config); least > x.head.dataBytes() {
		return nil, fail(path, ErrArchitecture, "it takes at least %d bytes of weights, the file has %d", least, x.head.dataBytes())
	}
	model, err := vla.NewZero(meta.config)
	if err != nil {
		return nil, fail(path, ErrArchitecture, "%v", err)
	}
	if err := x.checkTable(model); err != nil {
		return nil, named(path, err)
	}
	hash, err := x.readWeights(model)
	if err != nil {
		return nil, err
	}
	return &Checkpoint{
		Model: model, Contract: meta.contract, Stats: meta.stats, Objective: meta.objective,
		Step: meta.step, Parent: meta.parent, Probe: meta.probe, Hash: hash, path: path,
	}, nil
}

// ReadInfo reads only the header of the checkpoint at path: the hash is the
// stored one. The errors are those of Load that a header can show.
func ReadInfo(path string) (Info, error) {
	x, err := open(path)
	if err != nil {
		return Info{}, err
	}
	defer x.f.Close()
	meta, err := x.metadata()
	if err != nil {
		return Info{}, err
	}
	return Info{
		Hash: x.head.meta[keySum], Step: meta.step, Objective: meta.objective, Parent: meta.parent,
		Config: meta.config, Contract: meta.contract, Parameters: x.head.dataBytes() / F32.size(),
	}, nil
}

// metadata checks the sum of the metadata and reads them.
func (x *file) metadata() (*metadata, error) {
	meta := x.head.meta
	if _, sealed := meta[keyMetaSum]; sealed {
		if err := x.checkMetaSum(); err != nil {
			return nil, err
		}
	}
	m, err := decodeMetadata(meta)
	if err != nil {
		return nil, named(x.path, err)
	}
	return m, nil
}

// checkTable compares the file's tensors with those of the architecture.
func (x *file) checkTable(m *vla.Model) error {
	have := make(map[string]*entry, len(x.head.entries))
	for i := range x.head.entries {
		have[x.head.entries[i].name] = &x.head.entries[i]
	}
	for _, name := range m.Params.Names() {
		e, ok := have[name]
		switch {
		case !ok:
			return fmt.Errorf("%w (tensor %q)", ErrMissingTensor, name)
		case e.dtype != F32:
			return fmt.Errorf("%w (tensor %q is %s)", ErrDType, name, e.dtype)
		case !slices.Equal(ints(e.shape), m.Params.Shape(name)):
			return fmt.Errorf("%w (tensor %q has %v, the architecture %v)", ErrShape, name, e.shape, m.Params.Shape(name))
		}
		delete(have, name)
	}
	for name := range have {
		return fmt.Errorf("%w (tensor %.80q)", ErrUnknownTensor, name)
	}
	return nil
}

// readWeights fills the model and returns the hash.
func (x *file) readWeights(m *vla.Model) (string, error) {
	var bad error
	hash, err := x.read(func(e *entry, at int, b []byte) error {
		view := m.Params.View(e.name)
		if i := decodeFloats(view[at:at+len(b)/4], b); i >= 0 && bad == nil {
			bad = fail(x.path, ErrNotFinite, "element %d of tensor %q", at+i, e.name)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if err := x.checkSum(hash, true); err != nil { // damage is named before what it did
		return "", err
	}
	return hash, bad
}

// leastBytes is what the matrices of an architecture take, a bound from below:
// memory for a model is asked for only when the file has about as many bytes.
// The exact comparison, tensor by tensor, comes after it.
func leastBytes(c vla.Config) int64 {
	d, n := int64(c.D), int64(0)
	n += 25 * d * d * int64(c.Layers)      // ada 9, qkv 3, o1, q, kv 2, o2, f1 4, f2 4
	n += d * d * int64(len(c.StateFields)) // l2
	if c.Condition != nil {
		n += d * d // l2
	}
	if c.Text != nil {
		n += d * int64(c.Text.Width)
	} else if c.Language {
		n += d * int64(c.Vocab)
	}
	if c.Vision != nil {
		n += d * int64(c.Vision.Width)
	} else if len(c.Cameras) > 0 {
		v := int64(c.VisionD)
		n += 12*v*v*int64(c.VisionLayers) + v*int64(c.Patch)*int64(c.Patch)*3 // qkv 3, o, f1 4, f2 4; patches
	}
	return n * F32.size()
}

// fits refuses an architecture, contract and statistics that are not of one
// robot.
func fits(c vla.Config, ct *contract.Contract, s *contract.Stats) (*contract.Normalizer, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrArchitecture, err)
	}
	if err := c.Fits(ct); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrArchitecture, err)
	}
	norm, err := contract.NewNormalizer(ct, s)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrStats, err)
	}
	return norm, nil
}

// Policy returns the checkpoint's policy behind its encoders; seed starts its
// noise. The errors are those of vla.NewPolicy.
func (ck *Checkpoint) Policy(e vla.Encoders, seed uint64) (*vla.Policy, error) {
	p, err := vla.NewPolicy(ck.Model, ck.Contract, ck.Stats, e, ck.Info(), seed)
	if err != nil {
		return nil, named(ck.path, err)
	}
	return p, nil
}

// Encoders opens the frozen backbones that the weights were trained with, nil
// without any: files beside the checkpoint, or where its contract says. Others
// than those are refused, with an error that wraps backbone.ErrBackbone.
func (ck *Checkpoint) Encoders() (vla.Encoders, error) {
	s, err := backbone.OpenFor(ck.Contract, ck.Model.Config, filepath.Dir(ck.path))
	switch {
	case err != nil:
		return nil, named(ck.path, err)
	case s == nil: // not an interface that holds nil
		return nil, nil
	}
	return s, nil
}

// Info names the weights.
func (ck *Checkpoint) Info() policy.Info {
	return policy.Info{Hash: ck.Hash, Step: ck.Step, Objective: ck.Objective}
}
