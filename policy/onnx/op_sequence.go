package onnx

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// construct is SequenceConstruct, and SequenceEmpty, which has no inputs.
func (r *resolver) construct(n *nodeProto) error {
	if slices.Contains(n.inputs, "") {
		return fmt.Errorf("an element is left out")
	}
	return r.gives(n, slices.Clone(n.inputs))
}

func (r *resolver) identity(n *nodeProto) error {
	values, err := r.take(n)
	if err != nil {
		return err
	}
	return r.gives(n, values)
}

// insert puts an element before a position, or at the end.
func (r *resolver) insert(n *nodeProto) error {
	values, err := r.take(n)
	if err != nil {
		return err
	}
	at, err := r.position(n, 2, len(values), len(values)+1)
	if err != nil {
		return err
	}
	if err := r.move(len(values) - at); err != nil {
		return err
	}
	return r.gives(n, slices.Insert(values, at, n.inputs[1]))
}

// erase takes an element out, the last if no position is given.
func (r *resolver) erase(n *nodeProto) error {
	values, err := r.take(n)
	if err != nil {
		return err
	}
	at, err := r.position(n, 1, len(values), len(values))
	if err != nil {
		return err
	}
	if err := r.move(len(values) - at); err != nil {
		return err
	}
	return r.gives(n, slices.Delete(values, at, at+1))
}

func (r *resolver) at(n *nodeProto) error {
	values := r.sequences[n.inputs[0]].values
	at, err := r.position(n, 1, len(values), len(values))
	if err != nil {
		return err
	}
	return r.put(n, "Identity", 11, []string{values[at]}, n.outputs, "", nil)
}

func (r *resolver) length(n *nodeProto) error {
	count, err := New(Int64, []int64{int64(len(r.sequences[n.inputs[0]].values))})
	if err != nil {
		return err
	}
	return r.put(n, "Constant", 11, nil, n.outputs, "value", count)
}

// concat joins the elements along an axis, or along one that each gets first.
func (r *resolver) concat(n *nodeProto) error {
	values := r.sequences[n.inputs[0]].values
	if err := r.move(len(values)); err != nil {
		return err
	}
	values = slices.Clone(values)
	a, ok, err := n.integer("axis", 0)
	if err == nil && !ok {
		err = fmt.Errorf("it lacks the attribute axis")
	}
	if err == nil && len(values) == 0 {
		err = fmt.Errorf("the sequence %q is empty", n.inputs[0])
	}
	if err != nil {
		return err
	}
	stack, _, err := n.integer("new_axis", 0)
	if err != nil {
		return err
	}
	if stack != 0 {
		if values, err = r.each(n, "Unsqueeze", values, a); err != nil {
			return err
		}
	}
	return r.put(n, "Concat", 11, values, n.outputs, "axis", a)
}

// each applies Squeeze or Unsqueeze to values.
func (r *resolver) each(n *nodeProto, op string, values []string, axis int) ([]string, error) {
	out, err := r.fresh(len(values))
	if err != nil {
		return nil, err
	}
	for i, v := range values {
		if err := r.put(n, op, 11, []string{v}, out[i:i+1], "axes", []int{axis}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// split cuts a tensor: into parts of given sizes, of one size, where the last
// may be smaller, or of size 1, which need not keep the axis.
func (r *resolver) split(n *nodeProto) error {
	a, _, err := n.integer("axis", 0)
	if err != nil {
		return err
	}
	keep, _, err := n.integer("keepdims", 1)
	if err != nil {
		return err
	}
	count, size, sizes := 0, 1, ""
	if len(n.inputs) > 1 {
		keep = 1
		if count, size, err = r.parts(n); err != nil {
			return err
		}
		sizes = n.inputs[1]
	}
	length := 0
	if size > 0 {
		if length, err = r.along(n, a); err != nil {
			return err
		}
		count = (length + size - 1) / size
	}
	values, err := r.fresh(count)
	if err != nil {
		return err
	}
	if count == 0 {
		return r.gives(n, nil)
	}
	if size > 0 {
		if sizes, err = r.evenly(length, size, count); err != nil {
			return err
		}
	}
	if err := r.put(n, "Split", 13, []string{n.inputs[0], sizes}, values, "axis", a); err != nil {
		return err
	}
	if keep == 0 {
		if values, err = r.each(n, "Squeeze", values, a); err != nil {
			return err
		}
	}
	return r.gives(n, values)
}

// parts reads SplitToSequence's second input: how many parts it lists, or the
// one size of all.
func (r *resolver) parts(n *nodeProto) (count, size int, err error) {
	v, shape, err := r.integers(n.inputs[1])
	if err != nil {
		return 0, 0, err
	}
	if shape == nil { // sizes may come with a run, their number may not
		dims, err := r.declared(n.inputs[1])
		if err != nil {
			return 0, 0, err
		}
		if len(dims) != 1 || dims[0].Symbol != "" {
			return 0, 0, r.cannot(n, "the file does not state how many parts %q lists", n.inputs[1])
		}
		return dims[0].Size, 0, nil
	}
	switch {
	case len(shape) == 1:
		return len(v), 0, nil
	case len(shape) > 1 || v[0] < 1:
		return 0, 0, fmt.Errorf("%q is no size or list of sizes", n.inputs[1])
	}
	return 0, clampInt(v[0]), nil
}

// along gives the length of a node's first input along an axis.
func (r *resolver) along(n *nodeProto, along int) (int, error) {
	dims, err := r.declared(n.inputs[0])
	if err != nil {
		return 0, err
	}
	if dims == nil {
		return 0, r.cannot(n, "the file does not state the shape of %q, so the number of parts is not known", n.inputs[0])
	}
	k, err := axis(int64(along), len(dims))
	if err != nil {
		return 0, err
	}
	if dims[k].Symbol != "" {
		return 0, r.cannot(n, "dimension %d of %q is open, so the number of parts is not known", k, n.inputs[0])
	}
	return dims[k].Size, nil
}

// evenly states sizes of parts that together have a length.
func (r *resolver) evenly(length, size, count int) (name string, err error) {
	names, err := r.fresh(1)
	if err != nil {
		return "", err
	}
	var raw []byte
	for i := range count {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(min(size, length-i*size)))
	}
	r.p.initializers = append(r.p.initializers, tensorProto{name: names[0], kind: Int64, dims: []int64{int64(count)}, raw: raw})
	return names[0], nil
}

// position reads a node's input k, a place among so many in a sequence of that
// size; negative ones count from its end. Left out, it is the last place.
func (r *resolver) position(n *nodeProto, k, size, places int) (int, error) {
	at := int64(places - 1)
	if k < len(n.inputs) {
		v, shape, err := r.integers(n.inputs[k])
		if err != nil {
			return 0, err
		}
		if shape == nil {
			return 0, r.cannot(n, "the position %q is known in a run only, it should be a constant", n.inputs[k])
		}
		if len(v) != 1 {
			return 0, fmt.Errorf("the position %q is %d numbers", n.inputs[k], len(v))
		}
		if at = v[0]; at < 0 {
			at += int64(size)
		}
	}
	if at < 0 || at >= int64(places) {
		return 0, fmt.Errorf("a sequence of %d has no position %d", size, at)
	}
	return int(at), nil
}

// integers gives the numbers of a constant, and its shape, which is nil for
// values that are none.
func (r *resolver) integers(name string) (v []int64, shape []int, err error) {
	k, ok := r.known[name]
	if !ok {
		if t, err := r.constant(name); err != nil {
			k.err = fmt.Errorf("%q: %w", name, err)
		} else if t != nil {
			k.shape = append([]int{}, t.Shape...)
			if k.v, err = t.ints(); err != nil {
				k.err = fmt.Errorf("%q: %w", name, err)
			}
		}
		r.known[name] = k
	}
	return k.v, k.shape, k.err
}

// constant reads an initializer or a Constant node; nil for other values.
func (r *resolver) constant(name string) (*Tensor, error) {
	var t *tensorProto
	if i, ok := r.initial[name]; ok {
		t = &r.p.initializers[i]
	} else if a := r.tensors[name]; a == nil {
		return nil, nil
	} else if a.kind != attrTensor {
		v, err := a.integers()
		if err != nil {
			return nil, err
		}
		if a.kind == attrInt {
			return New(Int64, v)
		}
		return New(Int64, v, len(v))
	} else {
		t = a.tensor
	}
	shape, err := t.shape()
	if err != nil {
		return nil, err
	}
	if n := product(shape); n > maxMade {
		return nil, fmt.Errorf("it has %d elements, at most %d are looked at here", n, maxMade)
	}
	return t.tensor(nil)
}

// declared gives the dimensions that the file states of a value, nil for none.
func (r *resolver) declared(name string) ([]Dim, error) {
	if r.shapes == nil {
		r.shapes = map[string][]Dim{}
		for _, b := range r.p.infos {
			v, err := readValue(b)
			if err != nil {
				return nil, err
			}
			r.shapes[v.Name] = v.Dims
		}
		for _, v := range r.p.inputs {
			r.shapes[v.Name] = v.Dims
		}
	}
	if i, ok := r.initial[name]; ok {
		shape, err := r.p.initializers[i].shape()
		dims := make([]Dim, len(shape))
		for k, d := range shape {
			dims[k].Size = d
		}
		return dims, err
	}
	return r.shapes[name], nil
}

// integer reads an attribute and says whether it is there.
func (n *nodeProto) integer(name string, missing int) (v int, ok bool, err error) {
	for i := range n.attrs {
		if a := &n.attrs[i]; a.name == name && a.kind == attrInt {
			v, err := a.integers()
			if err != nil {
				return 0, false, err
			}
			return clampInt(v[0]), true, nil
		}
	}
	return missing, false, nil
}

// integers reads an attribute that is one integer or a list.
func (a *attrProto) integers() ([]int64, error) {
	one, list := int64(0), []int64(nil)
	err := walk(a.raw, func(f field) (err error) {
		switch f.num {
		case 3:
			one = int64(f.bits)
		case 8:
			list, err = f.varints(list)
		}
		return err
	})
	switch a.kind {
	case attrInt:
		return []int64{one}, err
	case attrInts:
		return list, err
	}
	return nil, fmt.Errorf("expected integers, the attribute %q holds none", a.name)
}
