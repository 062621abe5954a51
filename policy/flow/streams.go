package flow

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sort"
)

// ErrStreams is wrapped when saved streams cannot be restored.
var ErrStreams = errors.New("flow: bad saved random streams")

// maxStreams bounds what UnmarshalJSON accepts.
const maxStreams = 256

// Stream is one named source of random numbers. It wraps the standard
// library's generator, whose state is all there is to save.
type Stream struct {
	*rand.Rand
	src *rand.PCG
}

// NewStream returns the stream of a name and seed: streams of one seed and
// different names are independent.
func NewStream(seed uint64, name string) *Stream {
	h := fnv.New64a()
	h.Write([]byte(name))
	src := rand.NewPCG(seed, h.Sum64())
	return &Stream{rand.New(src), src}
}

// Normal fills x with standard normal numbers.
func (s *Stream) Normal(x []float32) {
	for i := range x {
		x[i] = float32(s.NormFloat64())
	}
}

// MarshalBinary returns the state of the stream.
func (s *Stream) MarshalBinary() ([]byte, error) { return s.src.MarshalBinary() }

// UnmarshalBinary restores a state; the error wraps ErrStreams.
func (s *Stream) UnmarshalBinary(data []byte) error {
	src := &rand.PCG{}
	if err := src.UnmarshalBinary(data); err != nil {
		return fmt.Errorf("%w: %w", ErrStreams, err)
	}
	s.Rand, s.src = rand.New(src), src
	return nil
}

// Streams is a set of named streams of one seed, saved with the training state
// so that a resumed run draws what the unbroken run would have drawn. The zero
// value is a set of seed 0.
type Streams struct {
	seed uint64
	m    map[string]*Stream
}

// NewStreams returns an empty set.
func NewStreams(seed uint64) *Streams { return &Streams{seed: seed} }

// Get returns the stream of a name, starting it on first use.
func (s *Streams) Get(name string) *Stream {
	if st, ok := s.m[name]; ok {
		return st
	}
	if s.m == nil {
		s.m = make(map[string]*Stream)
	}
	st := NewStream(s.seed, name)
	s.m[name] = st
	return st
}

// Names returns the streams in use, sorted.
func (s *Streams) Names() []string {
	names := make([]string, 0, len(s.m))
	for n := range s.m {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

type savedStreams struct {
	Seed    []byte            `json:"seed"` // 8 bytes, big endian: JSON numbers lose the low bits
	Streams map[string][]byte `json:"streams"`
}

// MarshalJSON saves the seed and every stream's state.
func (s *Streams) MarshalJSON() ([]byte, error) {
	out := savedStreams{Seed: binary.BigEndian.AppendUint64(nil, s.seed), Streams: map[string][]byte{}}
	for name, st := range s.m {
		state, err := st.MarshalBinary()
		if err != nil {
			return nil, err
		}
		out.Streams[name] = state
	}
	return json.Marshal(out)
}

// UnmarshalJSON replaces the set by a saved one; the error wraps ErrStreams
// and leaves the set as it was.
func (s *Streams) UnmarshalJSON(data []byte) error {
	var in savedStreams
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("%w: %w", ErrStreams, err)
	}
	if len(in.Seed) != 8 || len(in.Streams) > maxStreams {
		return fmt.Errorf("%w: seed of %d bytes, %d streams", ErrStreams, len(in.Seed), len(in.Streams))
	}
	set := Streams{seed: binary.BigEndian.Uint64(in.Seed), m: make(map[string]*Stream, len(in.Streams))}
	for name, state := range in.Streams {
		st := &Stream{}
		if err := st.UnmarshalBinary(state); err != nil {
			return fmt.Errorf("stream %q: %w", name, err)
		}
		set.m[name] = st
	}
	*s = set
	return nil
}
