package export

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"arfm/policy/checkpoint"
	"arfm/policy/onnx"
	"arfm/policy/vla"
)

// ortCase is what testdata/ort.cjs runs: paths of graphs, and their inputs less
// the words, which it hashes itself.
type ortCase struct {
	Policy   string             `json:"policy,omitempty"`
	Encoder  string             `json:"encoder,omitempty"`
	Step     string             `json:"step,omitempty"`
	Steps    int                `json:"steps"`
	Vocab    int                `json:"vocab,omitempty"`
	MaxWords int                `json:"max_words"`
	Texts    []string           `json:"texts"`
	Feed     map[string]ortData `json:"feed"`

	name string
	q    *question
}

type ortData struct {
	Type  string `json:"type"`
	Shape []int  `json:"shape"`
	Data  []byte `json:"data"`
}

// runtimeFolder is the folder whose node_modules have onnxruntime-node.
func runtimeFolder(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ARFM_ORT")
	if dir == "" {
		dir = filepath.Join("..", "..", "build", "ort")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "onnxruntime-node")); err != nil {
		t.Skip("no ONNX Runtime: make test installs it into build/ort where npm is, or name its folder in ARFM_ORT")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("no node to run ONNX Runtime with")
	}
	return dir
}

func newORTCase(t *testing.T, name, kind string, ck *checkpoint.Checkpoint, q *question) ortCase {
	t.Helper()
	c := ortCase{Steps: ck.Model.Config.Steps, Texts: q.texts, Feed: map[string]ortData{}, name: name + ", " + kind, q: q}
	if ck.Model.Config.Language && ck.Model.Config.Text == nil {
		c.Vocab, c.MaxWords = ck.Model.Config.Vocab, ck.Model.Config.MaxWords
	}
	for name, x := range q.feed {
		if x.Type == onnx.Int64 {
			continue
		}
		c.Feed[name] = ortData{x.Type.String(), x.Shape, littleEndian(x)}
	}
	dir := t.TempDir()
	for name, data := range graphs(t, ck, kind) {
		path := filepath.Join(dir, name+".onnx")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		*map[string]*string{"policy": &c.Policy, "encoder": &c.Encoder, "step": &c.Step}[name] = path
	}
	return c
}

// TestONNXRuntime: in ONNX Runtime the graphs answer what the policy answers.
func TestONNXRuntime(t *testing.T) {
	dir := runtimeFolder(t)
	var cases []ortCase
	for name, b := range robots() {
		ck := b.checkpoint(t)
		q := ask(t, ck, b.batch)
		cases = append(cases, newORTCase(t, name, Sampler, ck, q), newORTCase(t, name, Parts, ck, q))
	}
	if !testing.Short() {
		for _, preset := range vla.Presets {
			c, err := vla.Preset(preset)
			if err != nil {
				t.Fatal(err)
			}
			b := robot{fields: []int{6, 1}, cameras: [][2]int{{96, 96}}, language: true, relative: true, config: c}
			ck := b.checkpoint(t)
			q := ask(t, ck, 1)
			cases = append(cases, newORTCase(t, preset, Sampler, ck, q))
		}
	}
	text, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "cases.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd := exec.Command("node", filepath.Join("testdata", "ort.cjs"), dir, list)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v: %s", err, said.String())
	}
	var chunks [][]float32
	if err := json.Unmarshal(out, &chunks); err != nil || len(chunks) != len(cases) {
		t.Fatalf("%d answers for %d graphs: %v", len(chunks), len(cases), err)
	}
	for i, c := range cases {
		c.q.near(t, c.name, chunks[i])
	}
}
