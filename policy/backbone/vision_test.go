package backbone

import (
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/onnx"
	"arfm/policy/vla"
)

const testContract = `
version: 1
rate_hz: 20
observation:
  images:
    front: {topic: /front, type: sensor_msgs/msg/Image, size: [%d, %d]}
    wrist: {topic: /wrist, type: sensor_msgs/msg/Image, size: [%d, %d]}
  instruction: {topic: /arfm/instruction, default: "put the red block in the bowl"}
action: {topic: /command, type: trajectory_msgs/msg/JointTrajectory, names: [a], unit: position, relative: false, horizon: 4}
%s`

// network is a model that PyTorch exported.
func network(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "onnx", "testdata", "torch", name, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// parse makes a contract with cameras of (h, w) and the same turned.
func parse(t testing.TB, h, w int, backbones string) *contract.Contract {
	t.Helper()
	c, err := contract.Parse(fmt.Appendf(nil, testContract, h, w, w, h, backbones))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func seeing(path, more string) string {
	return "vision: {onnx: " + path + ", freeze: true, mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.25]" + more + "}"
}

func noisy(h, w int, seed uint64) *policy.Image {
	rng := rand.New(rand.NewPCG(seed, 1))
	im := &policy.Image{Width: w, Height: h, Pix: make([]uint8, 3*h*w)}
	for i := range im.Pix {
		im.Pix[i] = uint8(rng.IntN(256))
	}
	return im
}

// features runs a model on a picture of its size, by the formulas.
func features(t *testing.T, path string, im *policy.Image) (rows [][]float64) {
	t.Helper()
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	x := make([]float32, len(im.Pix))
	for c := range 3 {
		for i := range im.Width * im.Height {
			v := float64(im.Pix[3*i+c]) / 255
			x[c*im.Width*im.Height+i] = float32((v - []float64{0.5, 0.4, 0.3}[c]) / []float64{0.2, 0.3, 0.25}[c])
		}
	}
	in, err := onnx.New(onnx.Float32, x, 1, 3, im.Height, im.Width)
	if err != nil {
		t.Fatal(err)
	}
	out, err := m.Run(map[string]*onnx.Tensor{m.Inputs[0].Name: in})
	if err != nil {
		t.Fatal(err)
	}
	width := out[0].Shape[len(out[0].Shape)-1]
	for row := range slices.Chunk(onnx.Data[float32](out[0]), width) {
		mean, variance := 0.0, 0.0
		for _, v := range row {
			mean += float64(v) / float64(width)
		}
		for _, v := range row {
			variance += (float64(v) - mean) * (float64(v) - mean) / float64(width)
		}
		var r []float64
		for _, v := range row {
			r = append(r, (float64(v)-mean)/math.Sqrt(variance+1e-5))
		}
		rows = append(rows, r)
	}
	return rows
}

// TestPicture: pictures of the model's size give the model's output, each
// vector normalised, within half precision; of a ViT tokens, of a ResNet one.
func TestPicture(t *testing.T) {
	for _, c := range []struct {
		net                 string
		side, tokens, width int
	}{{"vit", 32, 17, 24}, {"resnet", 40, 1, 10}} {
		s, err := Open(parse(t, c.side, c.side, seeing(network(t, c.net), "")))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		v, text := s.Backbones()
		if text != nil || len(v.SHA256) != 64 || v.Width != c.width && c.net == "resnet" {
			t.Fatalf("%s: %+v and %+v", c.net, v, text)
		}
		im := noisy(c.side, c.side, 1)
		want, got := features(t, network(t, c.net), im), make([]float32, v.Tokens*v.Width)
		if err := s.Picture(got, im); err != nil {
			t.Fatal(err)
		}
		if len(want) != v.Tokens || len(want[0]) != v.Width {
			t.Fatalf("%s: %d features of %d numbers, want %d of %d", c.net, v.Tokens, v.Width, len(want), len(want[0]))
		}
		for i, x := range got {
			if w := want[i/v.Width][i%v.Width]; math.Abs(float64(x)-w) > 1e-3*max(1, math.Abs(w)) {
				t.Fatalf("%s: feature %d is %v, want %v", c.net, i, x, w)
			}
			if onnx.FromFloat16(onnx.ToFloat16(x)) != x {
				t.Fatalf("%s: %v is not exact in half precision", c.net, x)
			}
		}
	}
}

// identity is a model whose output is its input: (1, 3, H, W), or with
// channels last.
func identity(t *testing.T, dims ...int) string {
	t.Helper()
	text := func(b []byte, n protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
	}
	message := func(b []byte, n protowire.Number, m []byte) []byte { return text(b, n, string(m)) }
	number := func(b []byte, n protowire.Number, v int) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
	}
	value := func(name string) []byte {
		var shape []byte
		for _, d := range dims {
			dim := number(nil, 1, d)
			if d == 0 {
				dim = text(nil, 2, "open")
			}
			shape = message(shape, 1, dim)
		}
		return message(text(nil, 1, name), 2, message(nil, 1, message(number(nil, 1, 1), 2, shape)))
	}
	node := text(text(text(nil, 1, "x"), 2, "y"), 4, "Identity")
	graph := message(message(message(nil, 1, node), 11, value("x")), 12, value("y"))
	model := message(message(number(nil, 1, 8), 7, graph), 8, number(nil, 2, 17))
	path := filepath.Join(t.TempDir(), "identity.onnx")
	if err := os.WriteFile(path, model, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPreprocessing looks at what a model is given: a feature map with three
// features a place, which is normalised by the vector.
func TestPreprocessing(t *testing.T) {
	plain := ", mean: [0, 0, 0], std: [1, 1, 1]"
	see := func(path, more string, h, w int, im *policy.Image) []float32 {
		t.Helper()
		s, err := Open(parse(t, h, w, "vision: {onnx: "+path+", freeze: true"+plain+more+"}"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		v, _ := s.Backbones()
		dst := make([]float32, v.Tokens*v.Width)
		if err := s.Picture(dst, im); err != nil {
			t.Fatal(err)
		}
		return dst
	}
	// The middle of a picture whose halves differ: red left, green right.
	halves := &policy.Image{Width: 20, Height: 12, Pix: make([]uint8, 3*20*12)}
	for i := range 20 * 12 {
		halves.Pix[3*i+i%20/10] = 200
	}
	red, green := []float32{1.414, -0.707, -0.707}, []float32{-0.707, 1.414, -0.707}
	for _, c := range []struct {
		name, path, more string
		h, w             int
	}{
		{"as it is", identity(t, 1, 3, 0, 0), ", crop: [12, 12], resize: [12, 20]", 12, 20},
		{"channels last", identity(t, 1, 0, 0, 3), ", crop: [12, 12], resize: [12, 20]", 12, 20},
		{"shorter side", identity(t, 0, 3, 6, 6), ", shortest: 6, crop: [6, 6]", 12, 20},
		{"to the model's size", identity(t, 1, 3, 6, 8), "", 12, 20},
		{"bicubic", identity(t, 1, 3, 6, 8), ", mode: bicubic", 12, 20},
		{"nearest", identity(t, 1, 3, 0, 0), ", mode: nearest, resize: [24, 40]", 12, 20},
	} {
		x := see(c.path, c.more, c.h, c.w, halves)
		for k, want := range [][]float32{red, green} {
			at := []int{0, len(x) - 3}[k] // first place, last place
			for i, w := range want {
				if math.Abs(float64(x[at+i]-w)) > 2e-3 {
					t.Errorf("%s: corner %d is %v, want %v", c.name, k, x[at:at+3], want)
					break
				}
			}
		}
	}
}

func TestSizes(t *testing.T) {
	cam := contract.Camera{Name: "c", Height: 480, Width: 640}
	for _, c := range []struct {
		v             contract.Vision
		height, width int
		to            image.Point
		crop          image.Rectangle
		err           string
	}{
		{contract.Vision{}, 0, 0, image.Pt(640, 480), image.Rect(0, 0, 640, 480), ""},
		{contract.Vision{}, 224, 224, image.Pt(224, 224), image.Rect(0, 0, 224, 224), ""},
		{contract.Vision{Shortest: 256, Crop: []int{224, 224}}, 224, 224, image.Pt(341, 256), image.Rect(58, 16, 282, 240), ""},
		{contract.Vision{Resize: []int{224, 200}}, 0, 0, image.Pt(200, 224), image.Rect(0, 0, 200, 224), ""},
		{contract.Vision{Resize: []int{224, 200}}, 224, 224, image.Point{}, image.Rectangle{}, "takes pictures of [224 224]"},
		{contract.Vision{Shortest: 100, Crop: []int{224, 224}}, 0, 0, image.Point{}, image.Rectangle{}, "larger than the picture"},
	} {
		to, crop, err := sizes(&c.v, cam, c.height, c.width)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v: %v", c.v, err)
			}
			continue
		}
		if err != nil || to != c.to || crop != c.crop {
			t.Errorf("%+v: %v %v %v, want %v %v", c.v, to, crop, err, c.to, c.crop)
		}
	}
}

// TestRefused: each fault is one sentence that names the file.
func TestRefused(t *testing.T) {
	vit := network(t, "vit")
	broken := filepath.Join(t.TempDir(), "broken.onnx")
	if err := os.WriteFile(broken, []byte("no model"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ contract, want string }{
		{seeing(vit+".gone", ""), "there is no file"},
		{seeing(broken, ""), broken},
		{seeing(vit, ", output: pooled"), `no output "pooled"`},
		{seeing(vit, ", resize: [30, 32]"), "takes pictures of [32 32]"},
		{seeing(network(t, "text"), ""), "takes one float32 picture"},
		{seeing(identity(t, 2, 3, 8, 8), ""), "takes one float32 picture"},
		{seeing(identity(t, 1, 4, 8, 8), ""), "takes one float32 picture"},
		{seeing(identity(t, 1, 3, 0, 0), ""), "come in as"}, // the cameras differ
	} {
		s, err := Open(parse(t, 16, 24, c.contract))
		if !errors.Is(err, ErrBackbone) || !strings.Contains(err.Error(), c.want) || strings.ContainsRune(err.Error(), '\n') {
			t.Errorf("%s: got %v and %v", c.contract, s, err)
		}
	}
	s, err := Open(parse(t, 16, 24, seeing(vit, "")))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Picture(make([]float32, 17*24), noisy(16, 23, 1)); !errors.Is(err, ErrBackbone) {
		t.Errorf("a picture that no camera has: %v", err)
	}
}

// TestOpenFor: the file beside the checkpoint comes first, one with another sum
// is refused, and a contract without backbones needs none.
func TestOpenFor(t *testing.T) {
	data, err := os.ReadFile(network(t, "vit"))
	if err != nil {
		t.Fatal(err)
	}
	beside, trained := t.TempDir(), filepath.Join(t.TempDir(), "vit.onnx")
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(trained, data)
	c := parse(t, 32, 32, seeing(trained, ""))
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	a := vla.Config{}.With(s)
	s.Close()

	try := func(want string) {
		t.Helper()
		s, err := OpenFor(c, a, beside)
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("got %v, want %q", err, want)
		case err == nil:
			if got := (vla.Config{}).With(s); *got.Vision != *a.Vision {
				t.Errorf("opened %+v, want %+v", got.Vision, a.Vision)
			}
			s.Close()
		}
	}
	try("")
	other := slices.Clone(data)
	other[slices.Index(other, 't')]++ // in the producer's name
	write(trained, other)
	try("SHA-256")
	write(filepath.Join(beside, "vit.onnx"), data)
	try("")
	write(filepath.Join(beside, "vit.onnx"), []byte("damaged")) // hides no other
	write(filepath.Join(beside, "renamed.onnx"), data)
	try("")
	if err := os.Remove(filepath.Join(beside, "renamed.onnx")); err != nil {
		t.Fatal(err)
	}
	try("not a readable ONNX model")
	write(filepath.Join(beside, "vit.onnx"), data)
	if err := os.Remove(trained); err != nil {
		t.Fatal(err)
	}
	try("")
	write(filepath.Join(beside, "vit.onnx"), other)
	try("SHA-256")
	if err := os.Remove(filepath.Join(beside, "vit.onnx")); err != nil {
		t.Fatal(err)
	}
	try("there is no file")

	none, err := Open(parse(t, 32, 32, ""))
	if v, text := none.Backbones(); err != nil || none != nil || v != nil || text != nil || none.Close() != nil {
		t.Errorf("without backbones: %v, %v", none, err)
	}
}

// TestConcurrent: policies that share a set get what each gets alone.
func TestConcurrent(t *testing.T) {
	s, err := Open(parse(t, 16, 24, seeing(network(t, "vit"), "")))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v, _ := s.Backbones()
	alone := make([][]float32, 4)
	encode := func(i int) []float32 {
		dst := make([]float32, v.Tokens*v.Width)
		im := noisy(16, 24, uint64(i))
		if i%2 == 1 {
			im = noisy(24, 16, uint64(i))
		}
		if err := s.Picture(dst, im); err != nil {
			t.Error(err)
		}
		return dst
	}
	for i := range alone {
		alone[i] = encode(i)
	}
	var wg sync.WaitGroup
	for i := range alone {
		wg.Go(func() {
			for range 5 {
				if got := encode(i); !slices.Equal(got, alone[i]) {
					t.Errorf("picture %d: other features beside others", i)
				}
			}
		})
	}
	wg.Wait()
}
