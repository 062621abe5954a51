//go:build !mujoco || !cgo

package mujoco

// Available says whether this build can simulate.
const Available = false

// World stands for a simulation that this build does not have: Load gives none.
type World struct {
	QPos, QVel, Ctrl, Applied, Bias, MocapPos []float64
}

// Load returns ErrUnavailable.
func Load([]byte) (*World, error) { return nil, ErrUnavailable }

// The methods of a World, which there is none of.

func (w *World) Close()                            {}
func (w *World) Index(Kind, string) (int, error)   { return 0, ErrUnavailable }
func (w *World) Address(int) (qpos, dof int)       { return 0, 0 }
func (w *World) Timestep() float64                 { return 0 }
func (w *World) SitePose(int) (pos, rot []float64) { return nil, nil }
func (w *World) Reset()                            {}
func (w *World) Pose()                             {}
func (w *World) Paint(int, [4]float32)             {}
func (w *World) FieldOfView(int) float64           { return 0 }
func (w *World) Forward()                          {}
func (w *World) Begin()                            {}
func (w *World) End()                              {}
func (w *World) MulInertia(dst, src []float64)     {}
func (w *World) Check() error                      { return ErrUnavailable }

// Renderer stands for the pictures that this build cannot make.
type Renderer struct{}

// NewRenderer returns ErrUnavailable.
func NewRenderer(*World, int, int) (*Renderer, error) { return nil, ErrUnavailable }

// Render returns ErrUnavailable.
func (r *Renderer) Render(int, []byte) error { return ErrUnavailable }

// Close does nothing.
func (r *Renderer) Close() {}
