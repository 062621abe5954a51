package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"arfm/policy"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/flow"
	"arfm/policy/onnx"
	"arfm/policy/vla"
)

// robot is what a contract and an architecture are made of.
type robot struct {
	fields   []int // lengths of the state's fields
	cameras  [][2]int
	language bool
	relative bool
	zscore   bool
	whole    bool // no tokens for the state's fields
	vision   bool // frozen encoders
	text     bool
	config   vla.Config
	batch    int
}

// small is an architecture of the smallest sizes.
func small() vla.Config {
	return vla.Config{Preset: "test", D: 16, Layers: 2, Heads: 2, Patch: 8, VisionD: 12, VisionLayers: 2, VisionHeads: 3, Vocab: 11, MaxWords: 3, Steps: 4}
}

// robots has every part of an architecture, and some at random.
func robots() map[string]robot {
	all := map[string]robot{
		"everything":        {fields: []int{2, 3}, cameras: [][2]int{{16, 24}, {9, 20}}, language: true, relative: true, config: small(), batch: 3},
		"state":             {fields: []int{4}, zscore: true, config: small(), batch: 2},
		"whole state alone": {fields: []int{1, 2}, whole: true, relative: true, config: small(), batch: 1},
		"camera":            {cameras: [][2]int{{8, 8}}, config: small(), batch: 1},
		"frozen encoders":   {fields: []int{3}, cameras: [][2]int{{16, 24}, {9, 20}}, language: true, vision: true, text: true, relative: true, config: small(), batch: 3},
		"frozen vision":     {cameras: [][2]int{{9, 20}}, language: true, vision: true, config: small(), batch: 2},
		"frozen text":       {fields: []int{2}, cameras: [][2]int{{9, 20}}, language: true, text: true, config: small(), batch: 2},
		"camera and words":  {cameras: [][2]int{{10, 17}}, language: true, zscore: true, config: small(), batch: 2},
	}
	r := rand.New(rand.NewPCG(5, 0))
	for i := range 8 {
		c := small()
		c.Heads = 1 + r.IntN(4)
		c.D = 2 * c.Heads * (1 + r.IntN(6))
		c.Layers, c.Steps = 1+r.IntN(3), 1+r.IntN(6)
		c.Patch, c.VisionHeads, c.VisionLayers = 3+r.IntN(8), 1+r.IntN(3), 1+r.IntN(3)
		c.VisionD = c.VisionHeads * (1 + r.IntN(5))
		c.Vocab, c.MaxWords = 1+r.IntN(20), 1+r.IntN(6)
		b := robot{config: c, batch: 1 + r.IntN(3), language: r.IntN(2) == 0, relative: r.IntN(2) == 0, zscore: r.IntN(2) == 0, whole: r.IntN(2) == 0}
		for range 1 + r.IntN(3) {
			b.fields = append(b.fields, 1+r.IntN(4))
		}
		for range r.IntN(3) {
			b.cameras = append(b.cameras, [2]int{8 + r.IntN(12), 8 + r.IntN(12)})
		}
		all[fmt.Sprint("random ", i)] = b
	}
	told := all["everything"]
	told.config.Condition = &vla.Condition{Size: 1, Predicted: true}
	all["told what a head predicts"] = told
	told.config.Condition = &vla.Condition{Size: 2, Ask: []float32{1, 0}, None: []float32{0, 0}}
	all["told what is asked for"] = told
	return all
}

// contract has the actions in another order than the state.
func (b *robot) contract(t *testing.T) *contract.Contract {
	t.Helper()
	var y strings.Builder
	normalize := contract.NormalizeQuantile
	if b.zscore {
		normalize = contract.NormalizeZScore
	}
	fmt.Fprintf(&y, "version: 1\nrate_hz: 20\nnormalize: %s\n", normalize)
	if b.vision {
		fmt.Fprintln(&y, "vision: {onnx: vision.onnx, freeze: true, mean: [0, 0, 0], std: [1, 1, 1]}")
	}
	if b.text {
		fmt.Fprintln(&y, "language: {onnx: text.onnx, tokenizer: tokenizer.json}")
	}
	fmt.Fprintln(&y, "observation:")
	names, joints := []string{"x"}, []string{}
	for i, n := range b.fields {
		names = names[:0]
		for k := range n {
			names = append(names, fmt.Sprintf("joint_%d_%d", i, k))
		}
		if i == 0 {
			fmt.Fprintln(&y, "  state:")
		}
		fmt.Fprintf(&y, "    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [%s]}\n", strings.Join(names, ", "))
		joints = append(joints, names...)
	}
	for i, size := range b.cameras {
		if i == 0 {
			fmt.Fprintln(&y, "  images:")
		}
		fmt.Fprintf(&y, "    eye_%d: {topic: /eye_%d, type: sensor_msgs/msg/Image, size: [%d, %d]}\n", i, i, size[0], size[1])
	}
	if b.language {
		fmt.Fprintln(&y, "  instruction: {default: put the cube into the bowl}")
	}
	if len(joints) > 0 {
		names = slices.Clone(joints[len(joints)/2:])
		slices.Reverse(names)
	}
	fmt.Fprintf(&y, "action: {topic: /command, type: trajectory_msgs/msg/JointTrajectory, names: [%s], unit: position, relative: %v, horizon: 5}\n", strings.Join(names, ", "), b.relative)
	c, err := contract.Parse([]byte(y.String()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, y.String())
	}
	return c
}

// statistics, of which one state element never moved and one seldom does.
func statistics(ct *contract.Contract, r *rand.Rand) *contract.Stats {
	moments := func(n int) []contract.Moments {
		out := make([]contract.Moments, n)
		for i := range out {
			centre, half := r.NormFloat64(), 0.2+r.Float64()
			m := contract.Moments{Mean: centre + half/5, Std: half / 2, Q01: centre - half, Q99: centre + half, Min: centre - 2*half, Max: centre + 2*half}
			if i == 1 {
				m = contract.Moments{Mean: centre, Q01: centre, Q99: centre, Min: centre, Max: centre}
			}
			if i == 2 {
				m.Min, m.Max = centre-20*half, centre+20*half
			}
			out[i] = m
		}
		return out
	}
	return &contract.Stats{Frames: 1, State: moments(ct.StateDim()), Action: moments(ct.ActionDim())}
}

// encoders stand for frozen encoders: to a policy they are numbers that depend
// on the image and the instruction.
type encoders struct{ vision, text *vla.Backbone }

func (b *robot) encoders() *encoders {
	e := &encoders{}
	sum := strings.Repeat("ab", 32)
	if b.vision {
		e.vision = &vla.Backbone{SHA256: sum, Tokens: 5, Width: 7}
	}
	if b.text {
		e.text = &vla.Backbone{SHA256: sum, Tokenizer: sum, Tokens: 4, Width: 6}
	}
	return e
}

func (e *encoders) Backbones() (vision, text *vla.Backbone) { return e.vision, e.text }
func (e *encoders) Close() error                            { return nil }

func (e *encoders) Picture(dst []float32, im *policy.Image) error {
	for i := range dst {
		dst[i] = float32(im.Pix[i*11%len(im.Pix)])/128 - 1
	}
	return nil
}

func (e *encoders) Instruction(dst []float32, text string) error {
	clear(dst)
	for i := range min(len(dst), len(text)) {
		dst[i] = float32(text[i])/64 - 1
	}
	return nil
}

// checkpoint has random weights everywhere: as a policy is drawn, its velocity
// is 0.
func (b *robot) checkpoint(t *testing.T) *checkpoint.Checkpoint {
	t.Helper()
	ct := b.contract(t)
	c := b.config.For(ct).With(b.encoders())
	if b.whole {
		c.StateFields = nil
	}
	m, err := vla.New(c, 1)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range m.Params.Names() {
		std := 0.3
		if strings.HasSuffix(name, "ada.weight") || name == "condition.l2.weight" || name == "expert.out.weight" {
			std = 0.5 / math.Sqrt(float64(c.D))
		} else if !strings.HasSuffix(name, ".bias") && len(m.Params.Shape(name)) > 1 {
			continue
		}
		v := m.Params.View(name)
		for i := range v {
			v[i] += float32(std * r.NormFloat64())
		}
	}
	return &checkpoint.Checkpoint{Model: m, Contract: ct, Stats: statistics(ct, r), Objective: "bc", Step: 7, Hash: "abc"}
}

var texts = []string{"Put the CUBE into the bowl!", "", "größer, 42"}

// question is a batch for the graphs and what the policy answers.
type question struct {
	batch int
	feed  map[string]*onnx.Tensor
	texts []string  // that became the words
	chunk []float32 // (batch, H, A)
}

// ask lets vla.Policy answer n observations, one after another.
func ask(t *testing.T, ck *checkpoint.Checkpoint, n int) *question {
	t.Helper()
	frozen := &encoders{ck.Model.Config.Vision, ck.Model.Config.Text}
	p, err := ck.Policy(frozen, 9)
	if err != nil {
		t.Fatal(err)
	}
	c := &ck.Model.Config
	r := rand.New(rand.NewPCG(3, 4))
	q := &question{batch: n}
	var state []float32
	var words []int64
	images, features := make([][]uint8, len(c.Cameras)), make([][]float32, len(c.Cameras))
	var text []float32
	for i := range n {
		obs := &policy.Observation{Instruction: texts[i%len(texts)]}
		for _, m := range ck.Stats.State {
			obs.State = append(obs.State, float32(m.Mean+4*m.Std*r.NormFloat64())) // some beyond the limit
		}
		for k, cam := range c.Cameras {
			pix := make([]uint8, cam.Height*cam.Width*channels)
			for j := range pix {
				pix[j] = uint8(r.IntN(256))
			}
			obs.Images = append(obs.Images, policy.Image{Width: cam.Width, Height: cam.Height, Pix: pix})
			images[k] = append(images[k], pix...)
			if v := c.Vision; v != nil {
				x := make([]float32, v.Tokens*v.Width)
				if err := frozen.Picture(x, &obs.Images[k]); err != nil {
					t.Fatal(err)
				}
				features[k] = append(features[k], x...)
			}
		}
		var chunk policy.ActionChunk
		if err := p.Act(obs, &chunk); err != nil {
			t.Fatal(err)
		}
		q.chunk = append(q.chunk, chunk.Values...)
		q.texts = append(q.texts, obs.Instruction)
		state = append(state, obs.State...)
		if c.Text != nil {
			x := make([]float32, c.Text.Tokens*c.Text.Width)
			if err := frozen.Instruction(x, obs.Instruction); err != nil {
				t.Fatal(err)
			}
			text = append(text, x...)
			continue
		}
		for _, id := range vla.Words(obs.Instruction, c.Vocab, c.MaxWords) {
			words = append(words, int64(id))
		}
	}
	noise := make([]float32, n*c.Horizon*c.ActionDim)
	flow.NewStream(9, "noise").Normal(noise)
	q.feed = map[string]*onnx.Tensor{"noise": tensor(t, onnx.Float32, noise, n, c.Horizon, c.ActionDim)}
	if c.StateDim > 0 {
		q.feed["state"] = tensor(t, onnx.Float32, state, n, c.StateDim)
	}
	if c.Text != nil {
		q.feed["text_features"] = tensor(t, onnx.Float32, text, n, c.Text.Tokens, c.Text.Width)
	} else if c.Language {
		q.feed["words"] = tensor(t, onnx.Int64, words, n, c.MaxWords)
	}
	for k, cam := range c.Cameras {
		if v := c.Vision; v != nil {
			q.feed["features_"+cam.Name] = tensor(t, onnx.Float32, features[k], n, v.Tokens, v.Width)
			continue
		}
		q.feed["image_"+cam.Name] = tensor(t, onnx.Uint8, images[k], n, cam.Height, cam.Width, channels)
	}
	return q
}

func tensor[T float32 | int64 | uint8](t *testing.T, kind onnx.Type, v []T, shape ...int) *onnx.Tensor {
	t.Helper()
	x, err := onnx.New(kind, v, shape...)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// littleEndian is a tensor's elements as bytes.
func littleEndian(x *onnx.Tensor) []byte {
	var b []byte
	switch x.Type {
	case onnx.Uint8:
		return onnx.Data[uint8](x)
	case onnx.Float32:
		for _, v := range onnx.Data[float32](x) {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return b
}

// near fails unless got is the policy's answer within 1e-4.
func (q *question) near(t *testing.T, what string, got []float32) {
	t.Helper()
	if len(got) != len(q.chunk) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(q.chunk))
	}
	top, worst := 1.0, 0.0
	for i, want := range q.chunk {
		top = max(top, math.Abs(float64(want)))
		if d := math.Abs(float64(got[i]) - float64(want)); !(d <= worst) {
			worst = d
		}
	}
	if !(worst <= 1e-4*top) {
		t.Errorf("%s: off by %.3g, largest element %.3g", what, worst, top)
	}
	t.Logf("%s: off by %.2g, largest element %.3g", what, worst, top)
}

// graphs exports a checkpoint as a graph of that kind and encodes it.
func graphs(t *testing.T, ck *checkpoint.Checkpoint, kind string) map[string][]byte {
	t.Helper()
	models, err := ONNX(ck, Options{Graph: kind, Producer: "test"})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, m := range models {
		if out[m.Name], err = m.File.Bytes(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func decode(t *testing.T, data []byte) *onnx.Model {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// run gives the outputs by name. feed may hold more than the model reads.
func run(t *testing.T, m *onnx.Model, feed map[string]*onnx.Tensor) map[string]*onnx.Tensor {
	t.Helper()
	out, err := m.Run(feed)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]*onnx.Tensor{}
	for i, v := range m.Outputs {
		if len(v.Dims) != len(out[i].Shape) {
			t.Errorf("output %v has shape %v", v, out[i].Shape)
			continue
		}
		for k, d := range v.Dims {
			if d.Symbol == "" && d.Size != out[i].Shape[k] {
				t.Errorf("output %v has shape %v", v, out[i].Shape)
			}
		}
		named[v.Name] = out[i]
	}
	return named
}

// TestGraphs: the graphs answer what the policy answers.
func TestGraphs(t *testing.T) {
	for name, b := range robots() {
		t.Run(name, func(t *testing.T) {
			ck := b.checkpoint(t)
			q := ask(t, ck, b.batch)
			policy := decode(t, graphs(t, ck, Sampler)["policy"])
			q.near(t, "sampler", onnx.Data[float32](run(t, policy, q.feed)["chunk"]))

			parts := graphs(t, ck, Parts)
			encoder, step := decode(t, parts["encoder"]), decode(t, parts["step"])
			feed := run(t, encoder, q.feed)
			feed["noisy"] = q.feed["noise"]
			n := ck.Model.Config.Steps
			for i := range n {
				feed["tau"] = tensor(t, onnx.Float32, []float32{float32(i) / float32(n)}, 1)
				feed["dt"] = tensor(t, onnx.Float32, []float32{1 / float32(n)}, 1)
				out := run(t, step, feed)
				feed["noisy"], feed["chunk"] = out["next"], out["chunk"]
			}
			q.near(t, "parts", onnx.Data[float32](feed["chunk"]))
			if rms := spread(q.chunk); rms < 0.01 {
				t.Errorf("the chunk hardly differs from row to row (%g): this shows nothing", rms)
			}
		})
	}
}

// spread is the root mean square deviation.
func spread(v []float32) float64 {
	mean, sq := 0.0, 0.0
	for _, x := range v {
		mean += float64(x) / float64(len(v))
	}
	for _, x := range v {
		sq += (float64(x) - mean) * (float64(x) - mean) / float64(len(v))
	}
	return math.Sqrt(sq)
}

// TestSteps: the number of steps may be another than the architecture's, and is
// bounded.
func TestSteps(t *testing.T) {
	b := robots()["everything"]
	ck := b.checkpoint(t)
	models, err := ONNX(ck, Options{Graph: Sampler, Steps: 7})
	if err != nil {
		t.Fatal(err)
	}
	data, err := models[0].File.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	ck.Model.Config.Steps = 7
	q := ask(t, ck, 2)
	q.near(t, "seven steps", onnx.Data[float32](run(t, decode(t, data), q.feed)["chunk"]))

	for _, o := range []Options{{Graph: Sampler, Steps: -1}, {Graph: Sampler, Steps: maxBlocks/2 + 1}, {Graph: "loop"}} {
		if _, err := ONNX(ck, o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestRepeats: the same checkpoint gives the same bytes.
func TestRepeats(t *testing.T) {
	b := robots()["everything"]
	ck := b.checkpoint(t)
	for _, kind := range []string{Sampler, Parts} {
		again := graphs(t, ck, kind)
		for name, data := range graphs(t, ck, kind) {
			if string(data) != string(again[name]) {
				t.Errorf("%s: the second time other bytes", name)
			}
		}
	}
}
