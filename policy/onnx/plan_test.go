package onnx

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestFix: a fixed model gives the same bits, from one arena that is smaller
// than the sum of its results, and without new memory from run to run.
func TestFix(t *testing.T) {
	for name, n := range map[string]*network{"vit": vit(13, 32, 8, 24, 2, 3), "resnet": resnet(64, 4), "text encoder": bert(7, 24, 2, 3), "mobilenet": mobilenet(32, 4)} {
		t.Run(name, func(t *testing.T) {
			run := func(m *Model) []float32 {
				out, err := m.Run(n.feed())
				if err != nil {
					t.Fatal(err)
				}
				return Data[float32](out[0])
			}
			m, err := Decode(n.bytes())
			if err != nil {
				t.Fatal(err)
			}
			free := run(m)
			if err := m.Fix(nil); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if fixed := run(m); !slices.Equal(free, fixed) {
					t.Fatal("the fixed model gives something else")
				}
			}
			sum := 0
			for _, s := range m.spans() {
				sum += s.size
			}
			if m.Bytes() == 0 || m.Bytes() > sum*3/5 {
				t.Errorf("the arena has %d bytes for results of %d", m.Bytes(), sum)
			}
			if m.pool.used != 0 {
				t.Errorf("%d bytes were not planned", m.pool.used)
			}
		})
	}
}

// TestArenaHasNoOverlap: no two results that live at the same time share bytes.
func TestArenaHasNoOverlap(t *testing.T) {
	m, err := Decode(vit(17, 32, 8, 24, 2, 3).bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Fix(nil); err != nil {
		t.Fatal(err)
	}
	spans := m.spans()
	for i, a := range spans {
		for _, b := range spans[:i] {
			ao, bo := m.plan.offset[a.value], m.plan.offset[b.value]
			if a.from <= b.to && b.from <= a.to && ao < bo+b.size && bo < ao+a.size {
				t.Errorf("values %d and %d overlap", a.value, b.value)
			}
		}
	}
}

// TestPlacesInTime: placing results as they come to life, as large models do,
// keeps them apart too, close to the best arena.
func TestPlacesInTime(t *testing.T) {
	bytes := func(spans []*span) (n int) {
		for _, s := range spans {
			n = max(n, s.offset+s.size)
		}
		return n
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var spans []*span
		sum := 0
		for i := range 1 + r.IntN(300) {
			spans = append(spans, &span{value: i, from: i, to: i + r.IntN(1+r.IntN(40)), size: 64 * (1 + r.IntN(1+r.IntN(100)))})
			sum += spans[i].size
		}
		placeLargest(spans)
		least := bytes(spans)
		placeInTime(spans)
		if n := bytes(spans); n > 2*least || n > sum {
			t.Errorf("%d bytes for %d results of %d, %d by size", n, len(spans), sum, least)
		}
		for i, a := range spans {
			for _, b := range spans[:i] {
				if a.from <= b.to && b.from <= a.to && a.offset < b.offset+b.size && b.offset < a.offset+a.size {
					t.Fatalf("%+v and %+v overlap", *a, *b)
				}
			}
		}
	}
}

// TestFixFoldsShapes: what an exporter computes from Shape becomes constant.
func TestFixFoldsShapes(t *testing.T) {
	x := floats([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	f := &file{opset: 13, nodes: []string{"Shape a -> s", "Gather s i -> d", "Unsqueeze d z -> u", "Concat u m -> t", "Reshape a t -> r", "Relu r -> y"},
		attrs: map[string]map[string]any{"Concat": {"axis": 0}}, inputs: []*Tensor{x}, open: true,
		initializers: map[string]*Tensor{"i": must(New(Int64, []int64{1})), "z": ints(0), "m": ints(-1)}, outputs: []string{"y"}}
	f.initializers["i"].Shape = nil
	m, err := Decode(f.bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Fix(map[string]int{"n0": 2}); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), `"n1"`) {
		t.Fatalf("an open dimension: %v", err)
	}
	if err := m.Fix(map[string]int{"n0": 2, "n1": 3}); err != nil {
		t.Fatal(err)
	}
	if len(m.engine.nodes) != 2 {
		t.Errorf("%d nodes are left, expected 2", len(m.engine.nodes))
	}
	out, err := m.Run(map[string]*Tensor{"a": x})
	if err != nil {
		t.Fatal(err)
	}
	if err := near(out[0], floats([]float32{1, 2, 3, 4, 5, 6}, 3, 2)); err != nil {
		t.Error(err)
	}
}

// TestFixAgain: a model is fixed for other sizes, and stays as it is where sizes
// do not fit it.
func TestFixAgain(t *testing.T) {
	n := newNetwork(13)
	n.open = true
	n.inputs = []*Tensor{floats(make([]float32, 6), 2, 3)}
	length := n.add("Gather", nil, n.add("Shape", nil, "a"), n.keep(ints(0)))
	wide := n.add("Cast", map[string]any{"to": int(Float32)}, length)
	n.outputs = []string{n.add("Add", nil, n.linear("a", 3, 4), wide)}
	single, err := load(n.bytes(), nil, "model", false)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(n.bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{2, 5, 1, 2} {
		x := floats(make([]float32, 3*rows), rows, 3)
		if err := m.Fix(map[string]int{"n0": 7, "n1": 9}); err == nil {
			t.Fatal("a product of 9 numbers with 3 rows of weights is not refused")
		}
		if err := m.Fix(map[string]int{"n0": rows, "n1": 3}); err != nil {
			t.Fatal(err)
		}
		got, err := m.Run(map[string]*Tensor{"a": x})
		if err != nil {
			t.Fatal(err)
		}
		want, err := single.Run(map[string]*Tensor{"a": x})
		if err := errors.Join(err, alike(got, want)); err != nil {
			t.Errorf("%d rows: %v", rows, err)
		}
		if m.Steps() != 2 {
			t.Errorf("%d rows: %d nodes are left, expected 2", rows, m.Steps())
		}
	}
}
