package similarity

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	_ "image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"arfm/policy"
)

// reference is what testdata/reference.py found with scikit-image and OpenCV.
type reference struct {
	Parameters map[string]struct {
		Features int     `json:"nfeatures"`
		Scale    float32 `json:"scaleFactor"`
		Levels   int     `json:"nlevels"`
		Edge     int     `json:"edgeThreshold"`
		FAST     int     `json:"fastThreshold"`
	}
	Grey  map[string][2]int
	Pairs []struct {
		A, B      string
		MSE, SSIM float64
		ORB       map[string]float64
	}
	ORB []struct {
		Parameters, Picture string
		Keypoints           [][5]float64 // x, y, octave, angle, response
		Descriptors         []string
	}
}

func readReference(t testing.TB) *reference {
	t.Helper()
	data, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var r reference
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Pairs) < 10 || len(r.ORB) < 30 {
		t.Fatalf("the reference has %d pairs and %d sets of keypoints", len(r.Pairs), len(r.ORB))
	}
	return &r
}

func (r *reference) parameters(name string) Parameters {
	p := r.Parameters[name]
	return Parameters{p.Features, p.Scale, p.Levels, p.Edge, p.FAST}
}

func picture(t testing.TB, name string) *policy.Image {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".png"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	src, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	b := src.Bounds()
	im := &policy.Image{Width: b.Dx(), Height: b.Dy()}
	for y := range im.Height {
		for x := range im.Width {
			r, g, b, _ := src.At(x, y).RGBA()
			im.Pix = append(im.Pix, uint8(r>>8), uint8(g>>8), uint8(b>>8))
		}
	}
	return im
}

func grey(t testing.TB, name string) *Gray {
	t.Helper()
	var g Gray
	g.Set(picture(t, name))
	return &g
}

func TestGrey(t *testing.T) {
	for name, want := range readReference(t).Grey {
		got := [2]int{}
		for i, v := range grey(t, name).Pix {
			got[0] += int(v)
			got[1] += int(v) * ((i + 1) % 8191)
		}
		if got != want {
			t.Errorf("%s: sums of grey levels are %v, OpenCV's %v", name, got, want)
		}
	}
}

func TestMSEAndSSIM(t *testing.T) {
	for _, p := range readReference(t).Pairs {
		a, b := picture(t, p.A), picture(t, p.B)
		if got := MSE(a.Pix, b.Pix); math.Abs(got-p.MSE) > 1e-9*p.MSE {
			t.Errorf("%s, %s: MSE %v, want %v", p.A, p.B, got, p.MSE)
		}
		ga, gb := grey(t, p.A), grey(t, p.B)
		s, err := NewSSIM(ga.Width, ga.Height)
		if err != nil {
			t.Fatal(err)
		}
		s.Against(ga)
		if got := s.Of(gb); math.Abs(got-p.SSIM) > 1e-9*math.Abs(p.SSIM) {
			t.Errorf("%s, %s: SSIM %.12f, scikit-image has %.12f", p.A, p.B, got, p.SSIM)
		}
	}
	if _, err := NewSSIM(MinSide-1, 96); err == nil {
		t.Error("a picture smaller than the window was accepted")
	}
}

func parse(t *testing.T, text string) (d Descriptor) {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 32 {
		t.Fatalf("descriptor %q: %v", text, err)
	}
	for i, b := range raw {
		d[i/8] |= uint64(b) << (i % 8 * 8)
	}
	return d
}

// TestORB: keypoints, angles, responses and the bits of descriptors are
// OpenCV's, with its parameters and with ours.
func TestORB(t *testing.T) {
	r := readReference(t)
	if r.parameters("defaults") != Defaults() {
		t.Errorf("the reference has other defaults: %+v", r.Parameters["defaults"])
	}
	points := 0
	for _, c := range r.ORB {
		o, err := NewORB(r.parameters(c.Parameters))
		if err != nil {
			t.Fatal(err)
		}
		got, descriptors, err := o.Describe(grey(t, c.Picture))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(c.Keypoints) {
			t.Errorf("%s of %s: %d keypoints, OpenCV has %d", c.Parameters, c.Picture, len(got), len(c.Keypoints))
		}
		type place struct{ x, y, octave float64 }
		at := map[place]int{}
		for i, k := range got {
			at[place{math.Round(float64(k.X) * 100), math.Round(float64(k.Y) * 100), float64(k.Octave)}] = i
		}
		for i, k := range c.Keypoints {
			points++
			j, ok := at[place{math.Round(k[0] * 100), math.Round(k[1] * 100), k[2]}]
			if !ok {
				t.Errorf("%s of %s: keypoint %v is missing", c.Parameters, c.Picture, k)
				continue
			}
			if d := math.Abs(float64(got[j].Angle) - k[3]); d > 1e-3 && d < 360-1e-3 {
				t.Errorf("%s of %s: keypoint %v has angle %v", c.Parameters, c.Picture, k, got[j].Angle)
			}
			if d := math.Abs(float64(got[j].Response) - k[4]); d > 1e-5*math.Abs(k[4])+1e-12 {
				t.Errorf("%s of %s: keypoint %v has response %v", c.Parameters, c.Picture, k, got[j].Response)
			}
			want := parse(t, c.Descriptors[i])
			if d := want.Distance(&descriptors[j]); d != 0 {
				t.Errorf("%s of %s: keypoint %v differs in %d bits", c.Parameters, c.Picture, k, d)
			}
		}
	}
	if points < 1000 {
		t.Errorf("only %d keypoints were compared", points)
	}
}

// TestMatched: of OpenCV's descriptors, in their order, the share of matched ones
// is that of its BFMatcher with crossCheck. Ours come in another order, so of
// equally near ones another may be the first: that may cost a match or two.
func TestMatched(t *testing.T) {
	r := readReference(t)
	theirs := map[[2]string][]Descriptor{}
	for _, c := range r.ORB {
		key := [2]string{c.Parameters, c.Picture}
		for _, d := range c.Descriptors {
			theirs[key] = append(theirs[key], parse(t, d))
		}
	}
	for name := range r.Parameters {
		a, _ := NewORB(r.parameters(name))
		b, _ := NewORB(r.parameters(name))
		for _, p := range r.Pairs {
			da, db, want := theirs[[2]string{name, p.A}], theirs[[2]string{name, p.B}], p.ORB[name]
			if got := Matched(da, db); math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: %s and %s share %v of OpenCV's corners, it says %v", name, p.A, p.B, got, want)
			}
			_, da, _ = a.Describe(grey(t, p.A))
			_, db, _ = b.Describe(grey(t, p.B))
			if got := Matched(da, db); math.Abs(got-want) > 0.02 {
				t.Errorf("%s: %s and %s share %v of our corners, OpenCV says %v", name, p.A, p.B, got, want)
			}
		}
	}
}

// TestOddPictures: pictures of any size are described without a panic, flat and
// small ones by nothing, and a detector is as good after them as before.
func TestOddPictures(t *testing.T) {
	o, err := NewORB(Parameters{Features: 50, Scale: 1.2, Levels: 8, FASTThreshold: 1})
	if err != nil {
		t.Fatal(err)
	}
	bench := grey(t, "bench")
	describe := func() []Descriptor {
		_, d, err := o.Describe(bench)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Clone(d)
	}
	before := describe()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range [][2]int{{1, 1}, {1, 300}, {7, 7}, {8, 8}, {9, 31}, {300, 8}, {33, 64}} {
		g := &Gray{Width: size[0], Height: size[1], Pix: make([]uint8, size[0]*size[1])}
		if k, _, err := o.Describe(g); err != nil || len(k) != 0 {
			t.Errorf("a black picture of %v has %d corners (%v)", size, len(k), err)
		}
		for i := range g.Pix {
			g.Pix[i] = uint8(rng.Uint32())
		}
		k, d, err := o.Describe(g)
		if err != nil || len(k) != len(d) || min(size[0], size[1]) < 8 && len(k) != 0 || min(size[0], size[1]) > 30 && len(k) == 0 {
			t.Errorf("noise of %v has %d corners and %d descriptors (%v)", size, len(k), len(d), err)
		}
	}
	if after := describe(); len(before) == 0 || !slices.Equal(before, after) {
		t.Errorf("%d descriptors before and %d after differ", len(before), len(after))
	}
	if _, _, err := o.Describe(&Gray{Width: 8, Height: 8}); err == nil {
		t.Error("a picture without pixels was described")
	}
	for _, p := range []Parameters{{}, {0, 1.2, 4, 16, 10}, {9, 1, 4, 16, 10}, {9, float32(math.NaN()), 4, 16, 10}, {9, 1.2, 0, 16, 10}, {9, 1.2, 4, -1, 10}, {9, 1.2, 4, 16, 0}} {
		if _, err := NewORB(p); err == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
}

// TestTiesAreBounded: of a regular pattern, whose corners are all alike, there are
// few keypoints, whatever its size; those that are better than the rest stay.
func TestTiesAreBounded(t *testing.T) {
	o, err := NewORB(Defaults())
	if err != nil {
		t.Fatal(err)
	}
	for _, side := range []int{224, 512} {
		g := &Gray{Width: side, Height: side, Pix: make([]uint8, side*side)}
		for y := 2; y < side; y += 4 {
			for x := 2; x < side; x += 4 {
				g.Pix[y*side+x] = 200
			}
		}
		k, d, err := o.Describe(g)
		if err != nil || len(k) != len(d) || len(k) > 600 || len(k) < 150 {
			t.Errorf("%d dots have %d keypoints and %d descriptors, want 150 to 600 (%v)", side*side/16, len(k), len(d), err)
		}
	}
	value := func(x float32) float32 { return x }
	for most, want := range map[int][]float32{9: {2, 2, 2, 2, 3, 2}, 4: {2, 2, 2, 3}, 3: {2, 2, 3}} {
		if got := best([]float32{1, 2, 2, 2, 2, 3, 2, 0}, 3, most, value); !slices.Equal(got, want) {
			t.Errorf("the best three, at most %d, are %v, want %v", most, got, want)
		}
	}
}

func ExampleMatched() {
	a := []Descriptor{{0b1111}, {0b0000}}
	b := []Descriptor{{0b0111}, {0b1111 << 60}, {0b0001}}
	fmt.Println(Matched(a, b))
	// Output: 1
}

func BenchmarkSSIM(b *testing.B) {
	x, y := grey(b, "bench"), grey(b, "bench_moved")
	s, err := NewSSIM(x.Width, x.Height)
	if err != nil {
		b.Fatal(err)
	}
	s.Against(x)
	for b.Loop() {
		s.Of(y)
	}
}

func BenchmarkORB(b *testing.B) {
	o, err := NewORB(Defaults())
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"bench_noisy", "large"} {
		g := grey(b, name)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := o.Describe(g); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
