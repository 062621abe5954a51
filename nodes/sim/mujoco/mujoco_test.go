package mujoco

import (
	"errors"
	"strings"
	"testing"
)

// scene is a red, a green and a blue wall, each before a camera, and a ball
// that falls.
const scene = `<mujoco><visual><global offwidth="64" offheight="48"/><headlight ambient="1 1 1" diffuse="0 0 0" specular="0 0 0"/></visual><worldbody>
<geom type="box" size="2 0.1 2" pos="0 3 0" rgba="1 0 0 1"/><camera name="north" pos="0 0 0" xyaxes="1 0 0 0 0 1"/>
<geom type="box" size="0.1 2 2" pos="3 0 0" rgba="0 1 0 1"/><camera name="east" pos="0 0 0" xyaxes="0 -1 0 0 0 1"/>
<geom type="box" size="2 0.1 2" pos="0 -3 0" rgba="0 0 1 1"/><camera name="south" pos="0 0 0" xyaxes="-1 0 0 0 0 1"/>
<body name="ball" pos="9 9 9"><freejoint name="free"/><geom type="sphere" size="0.1" mass="1"/></body></worldbody></mujoco>`

func load(t *testing.T) *World {
	t.Helper()
	if !Available {
		t.Skip("built without MuJoCo: add -tags mujoco")
	}
	w, err := Load([]byte(scene))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func renderer(t *testing.T, w *World, width, height int) *Renderer {
	t.Helper()
	r, err := NewRenderer(w, width, height)
	if errors.Is(err, ErrRender) && !strings.Contains(err.Error(), "pixels") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// TestRenderers: several renderers, in any order, each show what their camera
// sees now.
func TestRenderers(t *testing.T) {
	w := load(t)
	w.Forward()
	var all []*Renderer
	for range 3 {
		all = append(all, renderer(t, w, 32, 24))
	}
	names := []string{"north", "east", "south"} // red, green, blue
	for _, order := range []string{"012012", "001122", "221100", "0210"} {
		for _, k := range order {
			i := int(k - '0')
			camera, err := w.Index(Camera, names[i])
			if err != nil {
				t.Fatal(err)
			}
			pix := make([]byte, 3*32*24)
			if err := all[i].Render(camera, pix); err != nil {
				t.Fatal(err)
			}
			middle := pix[3*(12*32+16):][:3]
			for c, x := range middle {
				if (c == i) != (x > 200) || (c != i) != (x < 50) {
					t.Fatalf("in order %s the camera to the %s sees %v", order, names[i], middle)
				}
			}
		}
	}
}

// TestRows: the first row of a picture is the upper one.
func TestRows(t *testing.T) {
	w := load(t)
	copy(w.QPos, []float64{0, 2, 0.8}) // the ball, high before the northern wall
	w.Forward()
	r := renderer(t, w, 32, 32)
	north, err := w.Index(Camera, "north")
	if err != nil {
		t.Fatal(err)
	}
	pix := make([]byte, 3*32*32)
	if err := r.Render(north, pix); err != nil {
		t.Fatal(err)
	}
	grey := func(row int) bool { // the ball is, the wall is not
		for x := range 32 {
			if p := pix[3*(row*32+x):][:3]; p[1] > 50 {
				return true
			}
		}
		return false
	}
	upper, lower := false, false
	for row := range 16 {
		upper, lower = upper || grey(row), lower || grey(31-row)
	}
	if !upper || lower {
		t.Errorf("a ball above the middle: seen in the upper half %v, in the lower %v", upper, lower)
	}
}

func TestRendererRefuses(t *testing.T) {
	w := load(t)
	for _, size := range [][2]int{{0, 10}, {10, -1}, {65, 10}, {10, 49}} {
		if r, err := NewRenderer(w, size[0], size[1]); !errors.Is(err, ErrRender) {
			r.Close()
			t.Errorf("%v: %v", size, err)
		}
	}
	r := renderer(t, w, 8, 8)
	if err := r.Render(0, make([]byte, 7)); !errors.Is(err, ErrRender) {
		t.Errorf("a buffer of 7 bytes: %v", err)
	}
	r.Close()
	r.Close()
}

func TestLoadRefuses(t *testing.T) {
	if !Available {
		if _, err := Load([]byte(scene)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("without MuJoCo: %v", err)
		}
		return
	}
	for name, xml := range map[string]string{
		"nothing": "", "no XML": "model", "cut short": scene[:200],
		"no mass": strings.Replace(scene, `mass="1"`, `mass="0"`, 1),
	} {
		w, err := Load([]byte(xml))
		if err == nil {
			w.Close()
		}
		if !errors.Is(err, ErrModel) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := load(t)
	if _, err := w.Index(Body, "banana"); !errors.Is(err, ErrModel) {
		t.Error(err)
	}
	w.Close()
	w.Close()
}

// TestCheck: a state that goes bad is told, and Reset makes it good again.
func TestCheck(t *testing.T) {
	w := load(t)
	step := func() error { w.Begin(); w.End(); return w.Check() }
	if err := step(); err != nil {
		t.Fatal(err)
	}
	w.QVel[0] = 1e20
	if err := step(); !errors.Is(err, ErrDiverged) {
		t.Errorf("a ball at 1e20 m/s: %v", err)
	}
	w.Reset()
	if err := step(); err != nil {
		t.Error(err)
	}
}

// TestFall: a falling ball falls.
func TestFall(t *testing.T) {
	w := load(t)
	free, err := w.Index(Joint, "free")
	if err != nil {
		t.Fatal(err)
	}
	q, v := w.Address(free)
	start, n := w.QPos[q+2], int(0.5/w.Timestep())
	for range n {
		w.Begin()
		w.End()
	}
	s := 0.5 * 9.81 * 0.25
	if got := start - w.QPos[q+2]; got < 0.98*s || got > 1.02*s || w.QVel[v+2] > -4.8 {
		t.Errorf("after half a second it fell %g m at %g m/s", got, w.QVel[v+2])
	}
}
