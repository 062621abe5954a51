package sim

import (
	"testing"

	"arfm/nodes/demonstration"
)

// BenchmarkStep is a control period of the scene with most in it, an expert at
// work, without cameras.
func BenchmarkStep(b *testing.B) {
	e := newEpisode(b, suite(b, "long"))
	steps, seed := 0, uint64(0)
	b.ResetTimer()
	for steps < b.N {
		demonstrate(b, e, demonstration.Expert, int(seed)%len(e.Tasks), seed, nil)
		steps += e.Steps
		seed++
	}
	b.StopTimer()
	perStep := b.Elapsed().Seconds() / float64(steps)
	b.ReportMetric(1e9*perStep, "ns/op")
	b.ReportMetric(1.0/RateHz/perStep, "x-real-time")
}

// BenchmarkFrame is one picture as a policy gets it: rendered, encoded as JPEG,
// in a message.
func BenchmarkFrame(b *testing.B) {
	needsCameras(b)
	e := newEpisode(b, suite(b, "object"))
	begin(b, e, 0, 1)
	s, err := NewSpeaker(e)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if _, err := s.Observation(TopicWrist, Epoch); err != nil {
			b.Fatal(err)
		}
	}
}
