package reward

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"

	"arfm/bags"
	"arfm/finetune/reward/similarity"
	"arfm/policy"
	"arfm/policy/contract"
)

// mseScale is the factor of a picture's mean squared error, in squared grey
// levels of 0..255.
const mseScale = 0.01

// dense computes the dense terms of a part (ARFM, table 8, with the forms of
// ReinboT, section 3.2):
//
//	r = sum of w_k r_k
//
// An image term compares a frame's picture with that of the next sub-goal, the
// frame itself where it is one: exp(-0.01 MSE) over all channels in 0..255,
// exp(SSIM-1) and exp(ORB-1) of the grey pictures. joint_mse is
// exp(-MSE(s, s*)) of the joints, rad². progress is the share of sub-goals done.
// joint_velocity is -|dq|² and joint_acceleration -|ddq|², of the joints' first
// and second backward differences, in rad a period as the action's are: in rad/s
// and rad/s² accelerations would make up nearly all of the reward. They are 0
// where there is no frame to take them from. action_rate is -|a_(t-1) - a_t|²,
// action_smoothness -|a_(t-2) - 2 a_(t-1) + a_t|², of consecutive frames, in the
// action's unit. completion is the success flag's 1, where the placement says so.
//
// Pictures are those that the episode carries: rewards are found before any
// frozen backbone turns pictures into features, and do not depend on it.
func (r *Rater) dense(ctx context.Context, p Part) (Rewards, error) {
	frames := p.Episode.Frames[p.Lo:p.Hi]
	out := Rewards{Values: make([]float64, len(frames)), Source: Dense, Outcome: p.Episode.Outcome}
	d := densely{ctx: ctx, r: r, part: p, frames: frames, pictures: map[string][]float64{}}
	d.aim()
	for _, t := range r.terms {
		v, missing := d.term(t.Name)
		if missing != "" {
			out.LeftOut = append(out.LeftOut, Absent{t.Name, missing})
			continue
		}
		out.Terms = append(out.Terms, Series{t, v})
		for i, x := range v {
			out.Values[i] += float64(t.Weight * x)
		}
	}
	if err := stopped(ctx); err != nil {
		return Rewards{}, err
	}
	if len(out.Terms) == 0 {
		out.Source = Nothing
	}
	return out, p.check(&out)
}

// densely is the computation of one part's terms.
type densely struct {
	ctx      context.Context // of the pictures, which take long
	r        *Rater
	part     Part
	frames   []bags.Frame
	goals    []int                // sub-goals
	next     []int                // of each frame, the place of its next sub-goal in goals
	pictures map[string][]float64 // image terms that came with another
}

// aim finds the sub-goals.
func (d *densely) aim() {
	d.goals = SubGoals(d.frames, d.r.in)
	d.next = make([]int, len(d.frames))
	k := 0
	for i := range d.next {
		if i > d.goals[k] {
			k++
		}
		d.next[i] = k
	}
}

// goal is the frame of frame i's next sub-goal.
func (d *densely) goal(i int) *bags.Frame { return &d.frames[d.goals[d.next[i]]] }

// term returns a term's values, or why it has none.
func (d *densely) term(name string) (v []float64, missing string) {
	if slices.Contains(imageTerms[0][:], name) || slices.Contains(imageTerms[1][:], name) {
		return d.image(name)
	}
	state := []string{contract.TermJointMSE, contract.TermJointVelocity, contract.TermJointAcceleration}
	if slices.Contains(state, name) && len(d.r.in.Joints) == 0 {
		return nil, "the contract has no state"
	}
	if name == contract.TermCompletion {
		if d.part.Episode.Outcome == bags.Unknown {
			return nil, "the episode's outcome is not known"
		}
		return d.r.flag(d.part), ""
	}
	at := map[string]func(int) float64{
		contract.TermJointMSE: d.jointMSE, contract.TermProgress: d.progress,
		contract.TermJointVelocity: d.velocity, contract.TermJointAcceleration: d.acceleration,
		contract.TermActionRate: d.actionRate, contract.TermActionSmoothness: d.actionSmoothness,
	}[name]
	v = make([]float64, len(d.frames))
	for i := range v {
		v[i] = at(i)
	}
	return v, ""
}

func (d *densely) jointMSE(i int) float64 {
	s, goal := d.frames[i].State, d.goal(i).State
	sum := 0.0
	for _, j := range d.r.in.Joints {
		x := float64(s[j]) - float64(goal[j])
		sum += float64(x * x)
	}
	return math.Exp(-sum / float64(len(d.r.in.Joints)))
}

func (d *densely) progress(i int) float64 {
	done := d.next[i]
	if i == d.goals[done] {
		done++
	}
	return float64(done) / float64(len(d.goals))
}

// speed is joint j's mean velocity before frame i, in rad a period.
func (d *densely) speed(i, j int) float64 {
	dx := float64(d.frames[i].State[j]) - float64(d.frames[i-1].State[j])
	return dx / d.periods(i)
}

// periods is the time from the frame before to frame i: 1, or more where frames
// were dropped.
func (d *densely) periods(i int) float64 {
	return float64(d.frames[i].Stamp-d.frames[i-1].Stamp) / float64(d.r.c.Period())
}

func (d *densely) velocity(i int) float64 {
	if i < 1 {
		return 0
	}
	sum := 0.0
	for _, j := range d.r.in.Joints {
		v := d.speed(i, j)
		sum -= float64(v * v)
	}
	return sum
}

func (d *densely) acceleration(i int) float64 {
	if i < 2 {
		return 0
	}
	// A mean velocity is that of the middle of its interval.
	sum, apart := 0.0, (d.periods(i-1)+d.periods(i))/2
	for _, j := range d.r.in.Joints {
		a := (d.speed(i, j) - d.speed(i-1, j)) / apart
		sum -= float64(a * a)
	}
	return sum
}

// follows says whether n frames lie before frame i without a gap.
func (d *densely) follows(i, n int) bool {
	return i >= n && d.frames[i].Stamp-d.frames[i-n].Stamp == int64(n)*d.r.c.Period()
}

func (d *densely) actionRate(i int) float64 {
	if !d.follows(i, 1) {
		return 0
	}
	sum := 0.0
	for j, a := range d.frames[i].Action {
		x := float64(d.frames[i-1].Action[j]) - float64(a)
		sum -= float64(x * x)
	}
	return sum
}

func (d *densely) actionSmoothness(i int) float64 {
	if !d.follows(i, 2) {
		return 0
	}
	sum := 0.0
	for j, a := range d.frames[i].Action {
		x := float64(d.frames[i-2].Action[j]) - 2*float64(d.frames[i-1].Action[j]) + float64(a)
		sum -= float64(x * x)
	}
	return sum
}

// imageTerms are those of the scene camera and of the gripper camera, in the
// order MSE, SSIM, ORB.
var imageTerms = [2][3]string{
	{contract.TermSceneMSE, contract.TermSceneSSIM, contract.TermSceneORB},
	{contract.TermGripperMSE, contract.TermGripperSSIM, contract.TermGripperORB},
}

// image returns the values of an image term. All terms of its camera that are
// asked for are computed at once.
func (d *densely) image(name string) (v []float64, missing string) {
	if v, ok := d.pictures[name]; ok {
		return v, ""
	}
	names, cam, what := imageTerms[0], d.r.in.Scene, "scene"
	if slices.Contains(imageTerms[1][:], name) {
		names, cam, what = imageTerms[1], d.r.in.Gripper, "gripper"
	}
	if cam < 0 {
		return nil, "the contract has no " + what + " camera"
	}
	size := d.r.c.Cameras()[cam]
	side := min(size.Width, size.Height)
	if least := leastSide[slices.Index(names[:], name)]; side < least {
		return nil, fmt.Sprintf("camera %s has %dx%d pixels, and the sides must have %d", size.Name, size.Width, size.Height, least)
	}
	c := &comparer{}
	for k, n := range names {
		asked := slices.ContainsFunc(d.r.terms, func(t contract.WeightedTerm) bool { return t.Name == n })
		if asked && side >= leastSide[k] {
			c.values[k] = make([]float64, len(d.frames))
			d.pictures[n] = c.values[k]
		}
	}
	c.run(d, cam)
	return d.pictures[name], ""
}

// leastSide is the least side, in pixels, of a picture for its MSE, SSIM and ORB.
var leastSide = [3]int{1, similarity.MinSide, 2*similarity.Defaults().EdgeThreshold + 1}

// comparer holds the pictures of one camera against those of the sub-goals.
type comparer struct {
	values [3][]float64 // of MSE, SSIM, ORB; nil: not wanted
	ssim   *similarity.SSIM
	orb    *similarity.ORB
	goal   similarity.Gray
	gray   similarity.Gray
	shared []similarity.Descriptor // the goal's
}

func (c *comparer) run(d *densely, cam int) {
	if size := d.r.c.Cameras()[cam]; c.values[1] != nil {
		c.ssim, _ = similarity.NewSSIM(size.Width, size.Height) // leastSide has seen to its error
	}
	if c.values[2] != nil {
		c.orb, _ = similarity.NewORB(similarity.Defaults()) // which are valid
	}
	for i := range d.frames {
		if d.ctx.Err() != nil {
			return // dense says so
		}
		im, goal := &d.frames[i].Images[cam], &d.goal(i).Images[cam]
		turn := i == 0 || d.next[i] != d.next[i-1]
		if turn {
			c.aim(goal)
		} else if bytes.Equal(im.Pix, d.frames[i-1].Images[cam].Pix) { // a camera slower than the frames
			for _, v := range c.values {
				if v != nil {
					v[i] = v[i-1]
				}
			}
			continue
		}
		c.compare(i, im, goal)
	}
}

// aim sets the sub-goal's picture.
func (c *comparer) aim(goal *policy.Image) {
	c.goal.Set(goal)
	if c.ssim != nil {
		c.ssim.Against(&c.goal)
	}
	if c.orb != nil {
		c.shared = append(c.shared[:0], c.describe(&c.goal)...)
	}
}

func (c *comparer) compare(i int, im, goal *policy.Image) {
	if v := c.values[0]; v != nil {
		v[i] = math.Exp(-mseScale * similarity.MSE(im.Pix, goal.Pix))
	}
	if c.ssim == nil && c.orb == nil {
		return
	}
	c.gray.Set(im)
	if v := c.values[1]; v != nil {
		v[i] = math.Exp(c.ssim.Of(&c.gray) - 1)
	}
	if v := c.values[2]; v != nil {
		v[i] = math.Exp(similarity.Matched(c.describe(&c.gray), c.shared) - 1)
	}
}

func (c *comparer) describe(g *similarity.Gray) []similarity.Descriptor {
	_, of, err := c.orb.Describe(g)
	if err != nil {
		return nil // a picture without pixels, which no contract allows
	}
	return of
}
