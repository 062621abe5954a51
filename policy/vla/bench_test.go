package vla

import (
	"fmt"
	"testing"

	"arfm/policy/nn"
)

// peerConfig is a preset with the context of the PyTorch twin: 64 tokens that
// cost next to nothing to make.
func peerConfig(b *testing.B, preset string) Config {
	c, err := Preset(preset)
	if err != nil {
		b.Fatal(err)
	}
	c.ActionDim, c.StateDim, c.MaxWords = 7, 7, 63
	return c
}

// robotConfig is a preset on a 6-joint arm with one 96x96 camera.
func robotConfig(b *testing.B, preset string) Config {
	c, err := Preset(preset)
	if err != nil {
		b.Fatal(err)
	}
	c.ActionDim, c.StateDim, c.Cameras = 7, 7, []Camera{{"wrist", 96, 96}}
	return c
}

// benchSample computes a chunk with each number of workers up to a policy's.
func benchSample(b *testing.B, c Config) {
	m, x := testModel(b, c, 1), testBatch(c, 1, 1)
	for workers := 1; workers <= defaultWorkers(); workers++ {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			ws := m.NewWorkspaceN(1, false, workers)
			m.Sample(ws, x, c.Steps)
			b.ReportAllocs()
			for b.Loop() {
				copy(x.Noisy, noise)
				m.Sample(ws, x, c.Steps)
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N), "ms/chunk_"+nn.Backend())
		})
	}
}

func benchTrain(b *testing.B, c Config, n int) {
	m := testModel(b, c, 1)
	ws, x := m.NewWorkspace(n, true), testBatch(c, n, 1)
	out, d, grad := make([]float32, len(x.Noisy)), randoms(len(x.Noisy), 1), make([]float32, len(m.Params.Data))
	b.ReportAllocs()
	for b.Loop() {
		m.Velocity(ws, x, out)
		m.Backward(ws, x, d, grad)
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N), "ms/step_"+nn.Backend())
}

var noise = randoms(4096, 9)

func BenchmarkSampleNano(b *testing.B)          { benchSample(b, peerConfig(b, "nano")) }
func BenchmarkSampleBase(b *testing.B)          { benchSample(b, peerConfig(b, "base")) }
func BenchmarkSampleBaseCamera(b *testing.B)    { benchSample(b, robotConfig(b, "base")) }
func BenchmarkTrainStepNano(b *testing.B)       { benchTrain(b, peerConfig(b, "nano"), 16) }
func BenchmarkTrainStepNanoState(b *testing.B)  { benchTrain(b, nanoState(b), 32) }
func BenchmarkTrainStepBase(b *testing.B)       { benchTrain(b, peerConfig(b, "base"), 16) }
func BenchmarkTrainStepBaseCamera(b *testing.B) { benchTrain(b, robotConfig(b, "base"), 16) }

// nanoState is the demo's architecture: state and a short instruction.
func nanoState(b *testing.B) Config {
	c := peerConfig(b, "nano")
	c.MaxWords = 12
	return c
}
