package bench_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"arfm/nodes/bench"
	"arfm/nodes/bench/peers"
	"arfm/nodes/onnxtool"
)

// TestONNX: networks from PyTorch against ONNX Runtime, where that is there.
func TestONNX(t *testing.T) {
	if os.Getenv(peers.ORTFolder) == "" {
		t.Setenv(peers.ORTFolder, filepath.Join("..", "..", "build", "ort"))
	}
	for _, net := range []string{"vit", "text"} {
		path := filepath.Join("..", "..", "policy", "onnx", "testdata", "torch", net, "model.onnx")
		dims := map[string]int{"batch": 2}
		if net == "text" {
			dims["sequence"] = 7
		}
		m, inputs, err := onnxtool.Ready(t.Context(), path, onnxtool.Options{Dims: dims})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		r, err := bench.ONNX(t.Context(), path, m, inputs, 1)
		if err != nil {
			t.Fatal(err)
		}
		if r.Ours <= 0 || r.Steps < 5 || !strings.Contains(r.String(), path) {
			t.Errorf("%+v", r)
		}
		if len(r.Peers) == 0 {
			t.Skip("no peer: " + strings.Join(r.Missing, ". "))
		}
		if p := r.Peers[0]; p.Median <= 0 || r.Ratio <= 0 || !strings.Contains(r.String(), p.Peer) {
			t.Errorf("%+v", r)
		}
	}
}
