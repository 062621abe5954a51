package sim

import (
	"fmt"
	"image"

	"arfm/nodes/sim/mujoco"
)

// Camera makes pictures of what one of the arena's cameras sees.
type Camera struct {
	index int
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
	return &Camera{index: i, r: r, img: image.NewRGBA(image.Rect(0, 0, width, height)), pix: make([]byte, 3*width*height)}, nil
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
func (c *Camera) Look() (image.Image, error) {
	if err := c.render(); err != nil {
		return nil, err
	}
	img := *c.img
	img.Pix = append([]uint8(nil), c.img.Pix...)
	return &img, nil
}

// Close frees the camera.
func (c *Camera) Close() { c.r.Close() }
