package sim

import (
	"fmt"
	"image"
	"math"

	"arfm/nodes/sim/mujoco"
)

// Camera makes pictures of what one of the arena's cameras sees.
type Camera struct {
	index int
	fovy  float64 // vertical field of view, rad
	r     *mujoco.Renderer
	img   *image.RGBA // of the last picture
	pix   []byte
}

// Camera returns the camera scene, before the table, or wrist, beside the
// gripper; its pictures have that size, in pixels, at most 640x480. Close frees
// it.
func (a *Arena) Camera(name string, width, height int) (*Camera, error) {
	i, err := a.w.Index(mujoco.Camera, name)
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	r, err := mujoco.NewRenderer(a.w, width, height)
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	return &Camera{index: i, fovy: a.w.FieldOfView(i), r: r, img: image.NewRGBA(image.Rect(0, 0, width, height)), pix: make([]byte, 3*width*height)}, nil
}

// Snapshot is how an arena stands, enough to make pictures of it.
type Snapshot struct {
	qpos, mocap []float64
	lit         bool
}

// Snapshot copies how the arena stands into s, whose memory is used again.
func (a *Arena) Snapshot(s *Snapshot) {
	s.qpos, s.mocap, s.lit = append(s.qpos[:0], a.w.QPos...), append(s.mocap[:0], a.w.MocapPos...), a.lit
}

// Show makes the arena, which must be of the same scene, look as another one did
// at a snapshot. Its cameras then make pictures while the other moves on.
func (a *Arena) Show(s *Snapshot) error {
	if len(s.qpos) != len(a.w.QPos) || len(s.mocap) != len(a.w.MocapPos) {
		return fmt.Errorf("sim: a snapshot of another scene")
	}
	copy(a.w.QPos, s.qpos)
	copy(a.w.MocapPos, s.mocap)
	if a.button >= 0 && a.lit != s.lit {
		a.Light(s.lit)
	}
	a.w.Pose()
	return nil
}

// FocalLength returns the camera's focal length, pixels; its pixels are square
// and its axis goes through the picture's middle.
func (c *Camera) FocalLength() float64 {
	return float64(c.img.Rect.Dy()) / 2 / math.Tan(c.fovy/2)
}

// render fills the camera's own image.
func (c *Camera) render() error {
	if err := c.r.Render(c.index, c.pix); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	for i := range len(c.pix) / 3 {
		copy(c.img.Pix[4*i:], c.pix[3*i:3*i+3])
		c.img.Pix[4*i+3] = 255
	}
	return nil
}

// Look returns a new picture.
func (c *Camera) Look() (*image.RGBA, error) {
	if err := c.render(); err != nil {
		return nil, err
	}
	img := *c.img
	img.Pix = append([]uint8(nil), c.img.Pix...)
	return &img, nil
}

// Close frees the camera.
func (c *Camera) Close() { c.r.Close() }
