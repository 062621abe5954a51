package reward

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"arfm/bags"
	"arfm/finetune/reward/similarity"
	"arfm/policy"
	"arfm/policy/contract"
)

const (
	scene = "    front: {topic: /front, type: sensor_msgs/msg/Image, size: [%h, %w]}\n"
	wrist = "    wrist: {topic: /wrist, type: sensor_msgs/msg/Image, size: [%h, %w]}\n"
)

// images are cameras of a size for newContract.
func images(height, width string, cameras ...string) string {
	if len(cameras) == 0 {
		return ""
	}
	return "  images:\n" + strings.NewReplacer("%h", height, "%w", width).Replace(strings.Join(cameras, ""))
}

// film gives the frames of an episode pictures of each camera: boxes on a
// slope, of which one follows joint a.
func film(c *contract.Contract, frames []bags.Frame) *bags.Episode {
	for i := range frames {
		f := &frames[i]
		for k, cam := range c.Cameras() {
			im := policy.Image{Width: cam.Width, Height: cam.Height, Pix: make([]uint8, 0, 3*cam.Width*cam.Height)}
			at := 20 + 12*int(math.Round(2*float64(f.State[0]))) + 5*k
			for y := range cam.Height {
				for x := range cam.Width {
					v := 60 + x/2 + y/4
					if x > 50 && (x/9+y/11)%2 == 0 {
						v = 20 + 2*y
					}
					if x > at && x < at+12 && y > 30 && y < 48 {
						v = 220 - 3*(x-at)
					}
					im.Pix = append(im.Pix, uint8(v), uint8(v/2+k), uint8(255-v))
				}
			}
			f.Images = append(f.Images, im)
		}
	}
	return &bags.Episode{Bag: "made up", Frames: frames}
}

// byName returns the terms of rewards by their names.
func byName(r *Rewards) map[string][]float64 {
	out := map[string][]float64{}
	for _, t := range r.Terms {
		out[t.Name] = t.Values
	}
	return out
}

// again computes dense terms once more, one frame at a time.
type again struct {
	frames []bags.Frame
	goals  []int
	ssim   *similarity.SSIM
	orb    [2]*similarity.ORB
}

// terms of frame i, whose next sub-goal is number k.
func (a *again) terms(i, k int) map[string]float64 {
	f, goal := a.frames[i], a.frames[a.goals[k]]
	out := map[string]float64{contract.TermProgress: float64(k) / 4, contract.TermCompletion: 1}
	if a.goals[k] == i {
		out[contract.TermProgress] += 0.25
	}
	for cam, names := range imageTerms {
		x, y := f.Images[cam], goal.Images[cam]
		var gx, gy similarity.Gray
		gx.Set(&x)
		gy.Set(&y)
		a.ssim.Against(&gy)
		_, dx, _ := a.orb[0].Describe(&gx)
		_, dy, _ := a.orb[1].Describe(&gy)
		out[names[0]] = math.Exp(-0.01 * similarity.MSE(x.Pix, y.Pix))
		out[names[1]] = math.Exp(a.ssim.Of(&gx) - 1)
		out[names[2]] = math.Exp(similarity.Matched(dx, dy) - 1)
	}
	state := func(k int) []float32 { return a.frames[k].State }
	action := func(k int) []float32 { return a.frames[k].Action }
	out[contract.TermJointMSE] = math.Exp(differences(f.State, goal.State) / 3)
	if i > 0 {
		out[contract.TermJointVelocity] = differences(state(i), state(i-1))
		out[contract.TermActionRate] = differences(action(i), action(i-1))
	}
	if i > 1 {
		out[contract.TermJointAcceleration] = differences(state(i), state(i-1), state(i-2))
		out[contract.TermActionSmoothness] = differences(action(i), action(i-1), action(i-2))
	}
	return out
}

// differences returns -|x - y|², or with z -|x - 2y + z|².
func differences(x, y []float32, z ...[]float32) (sum float64) {
	for j := range x {
		d := float64(x[j]) - float64(y[j])
		if len(z) > 0 {
			d += float64(z[0][j]) - float64(y[j])
		}
		sum -= d * d
	}
	return sum
}

// TestDenseTerms computes all 13 terms of a part of the frames once more.
func TestDenseTerms(t *testing.T) {
	c := newContract(t, images("96", "120", scene, wrist), "{source: terms}")
	ep := film(c, play(pick, 0, 1))
	ep.Outcome = bags.Success
	r, err := NewRater(c, EveryFrame)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Of(t.Context(), all(ep))
	if err != nil {
		t.Fatal(err)
	}
	terms := byName(&got)
	if len(terms) != 13 || len(got.LeftOut) != 0 {
		t.Fatalf("%d terms, left out: %v", len(terms), got.LeftOut)
	}
	a := again{frames: ep.Frames, goals: SubGoals(ep.Frames, c.RewardInputs())}
	a.ssim, _ = similarity.NewSSIM(120, 96)
	for i := range a.orb {
		a.orb[i], _ = similarity.NewORB(similarity.Defaults())
	}
	for i, k := 0, 0; i < len(ep.Frames); i++ {
		if i > a.goals[k] {
			k++
		}
		if i%5 > 1 && i != a.goals[k] {
			continue
		}
		want, sum := a.terms(i, k), 0.0
		for _, w := range contract.DefaultTerms() {
			if d := math.Abs(terms[w.Name][i] - want[w.Name]); !(d <= 1e-9*max(1, math.Abs(want[w.Name]))) {
				t.Errorf("frame %d: %s is %v, want %v", i, w.Name, terms[w.Name][i], want[w.Name])
			}
			sum += w.Weight * want[w.Name]
		}
		if math.Abs(sum-got.Values[i]) > 1e-9 {
			t.Errorf("frame %d: reward %v, want %v", i, got.Values[i], sum)
		}
	}
	orb := terms[contract.TermSceneORB]
	if first, goal := orb[0], orb[a.goals[0]]; goal != 1 || !(first < 0.9 && first > math.Exp(-1)) {
		t.Errorf("ORB gives %v at the beginning and %v at the first sub-goal", first, goal)
	}
}

// TestTermsTellProgress: on the way to a sub-goal each term of it rises.
func TestTermsTellProgress(t *testing.T) {
	c := newContract(t, images("96", "96", scene, wrist), "{}")
	ep := film(c, play([]leg{{3, 1, 1}}, 0, 1))
	r, err := NewRater(c, EveryFrame)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Of(t.Context(), all(ep))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range byName(&got) {
		if strings.Contains(name, "e_") || name == contract.TermJointMSE || strings.HasPrefix(name, "gripper") {
			if first, last := v[0], v[len(v)-1]; !(first < last && last > 1-1e-9) {
				t.Errorf("%s begins at %v and ends at %v", name, first, last)
			}
		}
	}
}

// TestGapsAreNoJumps: where frames were dropped actions are not compared, and
// velocities are those of the longer time.
func TestGapsAreNoJumps(t *testing.T) {
	r := rater(t, "{source: terms, terms: {action_rate: 1, action_smoothness: 1, joint_velocity: 1, joint_acceleration: 1}}", EveryFrame)
	whole := episode("", bags.Unknown, make([]float64, 9)...)
	cut := &bags.Episode{Frames: append(append([]bags.Frame(nil), whole.Frames[:4]...), whole.Frames[6:]...)}
	for i := range whole.Frames {
		whole.Frames[i].Action[0] = float32(i * i)
	}
	a, err := r.Of(t.Context(), all(whole))
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.Of(t.Context(), all(cut))
	if err != nil {
		t.Fatal(err)
	}
	terms := byName(&b)
	if rate, smooth := terms[contract.TermActionRate], terms[contract.TermActionSmoothness]; rate[4] != 0 || smooth[4] != 0 || smooth[5] != 0 || rate[5] == 0 || smooth[6] != -4 {
		t.Errorf("action rate %v, smoothness %v", rate, smooth)
	}
	for i, v := range terms[contract.TermJointVelocity] {
		if want := byName(&a)[contract.TermJointVelocity][i]; math.Abs(v-want) > 1e-6 || terms[contract.TermJointAcceleration][i] < -1e-6 {
			t.Errorf("frame %d: velocity %v, acceleration %v after a gap, want %v and 0", i, v, terms[contract.TermJointAcceleration][i], want)
		}
	}
}

// TestAccelerationAcrossGaps: one that is constant is the same wherever frames
// were dropped.
func TestAccelerationAcrossGaps(t *testing.T) {
	r := rater(t, "{source: terms, terms: {joint_acceleration: 1}}", EveryFrame)
	ep := episode("", bags.Unknown, make([]float64, 14)...)
	for i := range ep.Frames {
		ep.Frames[i].State[0] = float32(i * i)
	}
	for _, drop := range [][]int{{}, {4, 5}, {4, 5, 7, 8, 9}, {1}} {
		var frames []bags.Frame
		for i, f := range ep.Frames {
			if !slices.Contains(drop, i) {
				frames = append(frames, f)
			}
		}
		got, err := r.Of(t.Context(), all(&bags.Episode{Frames: frames}))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got.Terms[0].Values {
			if want := -4.0; i > 1 && math.Abs(v-want) > 1e-9 {
				t.Errorf("without frames %v: acceleration term %v at frame %d of those left, want %v", drop, v, i, want)
			}
		}
	}
}

// TestLeftOut: a term without its input is named with the reason, and the others
// are as they were.
func TestLeftOut(t *testing.T) {
	none := map[string]string{}
	for _, k := range imageTerms {
		for _, name := range k {
			none[name] = "the contract has no " + strings.Split(name, "_")[0] + " camera"
		}
	}
	with := func(more map[string]string, without ...string) map[string]string {
		out := map[string]string{}
		for name, why := range none {
			out[name] = why
		}
		for name, why := range more {
			out[name] = why
		}
		for _, name := range without {
			delete(out, name)
		}
		return out
	}
	const unknown = "the episode's outcome is not known"
	done := map[string]string{contract.TermCompletion: unknown}
	for name, c := range map[string]struct {
		images string
		want   map[string]string
	}{
		"no camera":            {images("96", "96"), with(done)},
		"a scene camera":       {images("96", "96", scene), with(done, imageTerms[0][:]...)},
		"a camera at the hand": {images("96", "96", wrist), with(done, imageTerms[1][:]...)},
		"small pictures": {images("14", "40", scene), with(map[string]string{
			contract.TermCompletion: unknown, contract.TermSceneORB: "camera front has 40x14 pixels, and the sides must have 17"}, contract.TermSceneMSE, contract.TermSceneSSIM)},
		"tiny pictures": {images("8", "8", scene), with(map[string]string{
			contract.TermCompletion: unknown, contract.TermSceneORB: "camera front has 8x8 pixels, and the sides must have 17",
			contract.TermSceneSSIM: "camera front has 8x8 pixels, and the sides must have 11"}, contract.TermSceneMSE)},
	} {
		con := newContract(t, c.images, "{terms: {scene_orb: 1, scene_ssim: 1, scene_mse: 1, gripper_orb: 1, gripper_ssim: 1, gripper_mse: 1, joint_mse: 1, completion: 1}}")
		r, err := NewRater(con, EveryFrame)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Of(t.Context(), all(film(con, play([]leg{{1, 1, 1}}, 0, 1))))
		if err != nil {
			t.Fatal(err)
		}
		left := map[string]string{}
		for _, l := range got.LeftOut {
			left[l.Term] = l.Reason
		}
		if !reflect.DeepEqual(left, c.want) {
			t.Errorf("%s: left out %v, want %v", name, left, c.want)
		}
		for term, v := range byName(&got) {
			if v[len(v)-1] != 1 && (term != contract.TermSceneORB && term != contract.TermGripperORB) {
				t.Errorf("%s: %s is %v at the sub-goal", name, term, v[len(v)-1])
			}
		}
	}
	r := rater(t, "{terms: {scene_orb: 1}}", EveryFrame)
	got, err := r.Of(t.Context(), all(episode("", bags.Unknown, 1, 1)))
	if err != nil || got.Source != Nothing || len(got.LeftOut) != 1 {
		t.Errorf("no term at all gives %+v (%v)", got, err)
	}
}

// short is a context that ends when it has been asked so many times.
type short struct {
	context.Context
	left *int
}

func (s short) Err() error {
	if *s.left--; *s.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestStopsAmongPictures: terms of pictures take long, so an end is seen within
// an episode.
func TestStopsAmongPictures(t *testing.T) {
	c := newContract(t, images("96", "96", scene), "{source: terms, terms: {scene_mse: 1}}")
	ep := film(c, play([]leg{{1, 1, 1}}, 0, 1))
	r, err := NewRater(c, EveryFrame)
	if err != nil {
		t.Fatal(err)
	}
	left := 2 * len(ep.Frames)
	if _, err := r.Of(short{t.Context(), &left}, all(ep)); err != nil || left < 0 {
		t.Fatalf("a context that does not end gives %v", err)
	}
	left = len(ep.Frames) / 2
	if _, err := r.Of(short{t.Context(), &left}, all(ep)); !errors.Is(err, context.Canceled) || left < -2 {
		t.Errorf("a context that ends at half of the frames gives %v, and was asked %d times more", err, -left)
	}
}

// BenchmarkDense is an episode of 200 frames with two cameras.
func BenchmarkDense(b *testing.B) {
	c := newContract(b, images("96", "96", scene, wrist), "{}")
	ep := film(c, play(pick, 0.001, 1))
	for i := range ep.Frames { // no two pictures are the same
		for k := range ep.Frames[i].Images {
			ep.Frames[i].Images[k].Pix[0] = uint8(i)
		}
	}
	r, err := NewRater(c, EveryFrame)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := r.Of(b.Context(), all(ep)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(ep.Frames)), "frames")
}
