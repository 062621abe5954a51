package stage

import (
	"image"

	"arfm/nodes/eval"
	"arfm/nodes/runner"
	"arfm/nodes/sim"
)

// Film is a Stage that takes pictures while its episodes run.
type Film struct {
	*Stage
	Episodes []Reel // in the order they began

	every int // periods between two pictures
	cam   *sim.Camera
}

// Reel is the pictures of one episode.
type Reel struct {
	Task    string
	Success bool
	Frames  []image.Image
	Times   []float64 // s since the episode's beginning
}

var _ eval.Stage = (*Film)(nil)

// NewFilm puts a camera beside a stage, which becomes the Film's: pictures of
// that size, in pixels, every so many periods.
func NewFilm(st *Stage, width, height, every int) (*Film, error) {
	cam, err := st.e.Arena.Camera("scene", width, height)
	if err != nil {
		return nil, err
	}
	return &Film{Stage: st, every: every, cam: cam}, nil
}

// Begin implements eval.Stage.
func (f *Film) Begin(seed, episode uint64) error {
	if err := f.Stage.Begin(seed, episode); err != nil {
		return err
	}
	f.Episodes = append(f.Episodes, Reel{Task: f.e.Instruction()})
	return f.shoot()
}

// Step implements eval.Stage.
func (f *Film) Step(cmd *runner.Command) (float64, error) {
	r, err := f.Stage.Step(cmd)
	f.Episodes[len(f.Episodes)-1].Success = f.e.Success()
	if err == nil && (f.e.Steps%f.every == 0 || f.e.Done()) {
		err = f.shoot()
	}
	return r, err
}

func (f *Film) shoot() error {
	img, err := f.cam.Look()
	if err != nil {
		return err
	}
	r := &f.Episodes[len(f.Episodes)-1]
	r.Frames = append(r.Frames, img)
	r.Times = append(r.Times, float64(f.e.Steps)/sim.RateHz)
	return nil
}

// Close implements eval.Stage.
func (f *Film) Close() error {
	f.cam.Close()
	return f.Stage.Close()
}
