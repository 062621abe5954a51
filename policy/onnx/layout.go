package onnx

import (
	"cmp"
	"fmt"
	"slices"
)

// span is the time that a piece of memory is in use, from the node that makes
// it to the last that reads it, and its place.
type span struct {
	value, from, to, size, offset int
}

// mostSpans is the number of results up to which layOut looks for the best
// places, in time that grows with its square.
const mostSpans = 1 << 12

// layOut gives every result a place.
func (m *Model) layOut() error {
	spans := m.spans()
	if len(spans) <= mostSpans {
		placeLargest(spans)
	} else {
		placeInTime(spans)
	}
	for _, s := range spans {
		m.plan.offset[s.value] = s.offset
		m.plan.bytes = max(m.plan.bytes, s.offset+s.size)
	}
	if m.plan.bytes > m.limit {
		return fmt.Errorf("%s: the results need %d bytes, the limit is %d: %w", m.label, m.plan.bytes, m.limit, ErrTooLarge)
	}
	return nil
}

// placeLargest places the largest first, each as low as it does not meet
// another that lives at the same time.
func placeLargest(spans []*span) {
	order := slices.Clone(spans)
	slices.SortFunc(order, func(a, b *span) int {
		return cmp.Or(cmp.Compare(b.size, a.size), cmp.Compare(a.from, b.from))
	})
	var placed []*span // by offset
	for _, s := range order {
		s.offset = 0
		at := 0
		for i, p := range placed {
			if p.to < s.from || s.to < p.from {
				continue
			}
			if p.offset >= s.offset+s.size {
				break
			}
			s.offset, at = max(s.offset, p.offset+p.size), i+1
		}
		for at < len(placed) && placed[at].offset < s.offset {
			at++
		}
		placed = slices.Insert(placed, at, s)
	}
}

// placeInTime places each as it comes to life, in the lowest hole that takes it
// or above all. Of many holes it tries the lowest and the last only.
func placeInTime(spans []*span) {
	const tries = 256
	order := slices.Clone(spans)
	slices.SortStableFunc(order, func(a, b *span) int { return cmp.Compare(a.to, b.to) })
	var free holes
	top, ended := 0, 0
	for _, s := range spans {
		for ; order[ended].to < s.from; ended++ {
			free.add(hole{order[ended].offset, order[ended].size})
		}
		last := len(free) - 1
		at := slices.IndexFunc(free[:min(len(free), tries)], func(h hole) bool { return h.size >= s.size })
		if at < 0 && last >= tries && free[last].size >= s.size {
			at = last
		}
		switch {
		case at >= 0:
			s.offset = free.cut(at, s.size)
			continue
		case last >= 0 && free[last].offset+free[last].size == top:
			s.offset, free = free[last].offset, free[:last]
		default:
			s.offset = top
		}
		top = s.offset + s.size
	}
}

// hole is memory that no living result has.
type hole struct{ offset, size int }

// holes lie by offset, none beside another.
type holes []hole

func (list *holes) add(h hole) {
	l := *list
	at, _ := slices.BinarySearchFunc(l, h, func(a, b hole) int { return cmp.Compare(a.offset, b.offset) })
	if at < len(l) && h.offset+h.size == l[at].offset {
		h.size += l[at].size
		l = slices.Delete(l, at, at+1)
	}
	if at > 0 && l[at-1].offset+l[at-1].size == h.offset {
		l[at-1].size += h.size
	} else {
		l = slices.Insert(l, at, h)
	}
	*list = l
}

// cut takes bytes from the start of a hole.
func (list *holes) cut(at, size int) (offset int) {
	l := *list
	offset = l[at].offset
	l[at].offset += size
	if l[at].size -= size; l[at].size == 0 {
		*list = slices.Delete(l, at, at+1)
	}
	return offset
}

// spans lists the results that need memory. A view keeps its source alive.
func (m *Model) spans() []*span {
	by := map[int]*span{}
	var list []*span
	for i, n := range m.engine.nodes {
		for k, id := range n.outputs {
			t := m.plan.shape[id]
			switch {
			case k == 0 && n.operator.view:
				if s := by[n.inputs[0]]; s != nil {
					by[id] = s
				}
			case t != nil:
				size := (t.Len()*t.Type.Size() + 63) &^ 63
				if size > 0 {
					by[id] = &span{value: id, from: i, to: i, size: size}
					list = append(list, by[id])
				}
			}
		}
		for _, id := range n.inputs {
			if s := by[id]; s != nil {
				s.to = i
			}
		}
	}
	for _, id := range m.outputIDs {
		if s := by[id]; s != nil {
			s.to = len(m.engine.nodes)
		}
	}
	return list
}
