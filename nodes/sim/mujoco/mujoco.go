//go:build mujoco && cgo

package mujoco

/*
#cgo LDFLAGS: -lmujoco -lm
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <mujoco/mujoco.h>

// loads a model from memory: MuJoCo 2.2 reads files only, of a file system of
// its own if it is given one.
static mjModel* load(const char* xml, int size, char* err, int errsize) {
	mjVFS* vfs = malloc(sizeof(mjVFS));
	if (vfs == NULL) return NULL;
	mj_defaultVFS(vfs);
	mj_makeEmptyFileVFS(vfs, "scene.xml", size);
	memcpy(vfs->filedata[mj_findFileVFS(vfs, "scene.xml")], xml, size);
	mjModel* m = mj_loadXML("scene.xml", vfs, err, errsize);
	mj_deleteVFS(vfs);
	free(vfs);
	return m;
}

// MuJoCo's own handlers write a log file and wait for a key. After an error it
// cannot go on: only misuse by this package leads there.
static void fail(const char* msg) { fprintf(stderr, "MuJoCo: %s\n", msg); abort(); }
static void quiet(const char* msg) {}
static void handlers(void) { mju_user_error = fail; mju_user_warning = quiet; }
static int warnings(const mjData* d) {
	int n = 0;
	for (int i = 0; i < mjNWARNING; i++) n += d->warning[i].number;
	return n;
}
*/
import "C"

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// Available says whether this build can simulate.
const Available = true

// kinds are MuJoCo's numbers of the kinds of things that have names.
var kinds = map[Kind]C.int{
	Body: C.mjOBJ_BODY, Joint: C.mjOBJ_JOINT, Geom: C.mjOBJ_GEOM,
	Site: C.mjOBJ_SITE, Camera: C.mjOBJ_CAMERA, Actuator: C.mjOBJ_ACTUATOR,
}

var setHandlers = sync.OnceFunc(func() { C.handlers() })

// World is a compiled model and its state. It is not safe for concurrent use;
// several worlds are.
type World struct {
	m *C.mjModel
	d *C.mjData

	// Views of the state; they stay valid until Close.
	QPos, QVel []float64 // (nq), (nv)
	Ctrl       []float64 // (nu)
	Applied    []float64 // (nv) generalised forces added by the user
	Bias       []float64 // (nv) Coriolis, centrifugal and gravity forces
	MocapPos   []float64 // (mocap bodies, 3) where bodies stand that nothing moves
	spos, smat []float64 // (sites, 3), (sites, 9)
	qposAdr    []C.int
	dofAdr     []C.int
}

func view[E any](p *C.mjtNum, n int, _ E) []E {
	return unsafe.Slice((*E)(unsafe.Pointer(p)), n)
}

// Load compiles an MJCF document.
func Load(xml []byte) (*World, error) {
	setHandlers()
	if len(xml) == 0 {
		return nil, fmt.Errorf("%w: the document is empty", ErrModel)
	}
	text := (*C.char)(C.CBytes(xml))
	defer C.free(unsafe.Pointer(text))
	msg := (*C.char)(C.calloc(1024, 1))
	defer C.free(unsafe.Pointer(msg))
	m := C.load(text, C.int(len(xml)), msg, 1024)
	if m == nil {
		return nil, fmt.Errorf("%w: %s", ErrModel, strings.Join(strings.Fields(C.GoString(msg)), " "))
	}
	d := C.mj_makeData(m)
	if d == nil {
		C.mj_deleteModel(m)
		return nil, fmt.Errorf("%w: no memory for its state", ErrModel)
	}
	w := &World{m: m, d: d}
	nv, ns, nj := int(m.nv), int(m.nsite), int(m.njnt)
	w.QPos, w.QVel = view(d.qpos, int(m.nq), 0.0), view(d.qvel, nv, 0.0)
	w.Ctrl, w.Applied, w.Bias = view(d.ctrl, int(m.nu), 0.0), view(d.qfrc_applied, nv, 0.0), view(d.qfrc_bias, nv, 0.0)
	w.MocapPos = view(d.mocap_pos, 3*int(m.nmocap), 0.0)
	w.spos, w.smat = view(d.site_xpos, 3*ns, 0.0), view(d.site_xmat, 9*ns, 0.0)
	w.qposAdr = unsafe.Slice((*C.int)(unsafe.Pointer(m.jnt_qposadr)), nj)
	w.dofAdr = unsafe.Slice((*C.int)(unsafe.Pointer(m.jnt_dofadr)), nj)
	runtime.SetFinalizer(w, (*World).Close)
	return w, nil
}

// Close frees the world; it may be called twice.
func (w *World) Close() {
	if w.m != nil {
		C.mj_deleteData(w.d)
		C.mj_deleteModel(w.m)
		*w = World{}
	}
}

// Index returns the number of the thing of that kind and name.
func (w *World) Index(kind Kind, name string) (int, error) {
	s := C.CString(name)
	defer C.free(unsafe.Pointer(s))
	if i := C.mj_name2id(w.m, kinds[kind], s); i >= 0 {
		return int(i), nil
	}
	return 0, fmt.Errorf("%w: it has no %s named %q", ErrModel, kind, name)
}

// Address returns where joint j begins in QPos and in QVel.
func (w *World) Address(j int) (qpos, dof int) { return int(w.qposAdr[j]), int(w.dofAdr[j]) }

// Timestep returns the time that Step takes, s.
func (w *World) Timestep() float64 { return float64(w.m.opt.timestep) }

// SitePose returns a site's place (3) and rotation matrix (3, 3) in the world, as
// of the last Pose, Forward or Begin.
func (w *World) SitePose(i int) (pos, rot []float64) { return w.spos[3*i : 3*i+3], w.smat[9*i : 9*i+9] }

// Reset puts the world into the model's reference state.
func (w *World) Reset() { C.mj_resetData(w.m, w.d) }

// Forward computes all that follows from QPos and QVel.
func (w *World) Forward() { C.mj_forward(w.m, w.d) }

// Pose computes where everything is, for sites, cameras and pictures, from QPos.
func (w *World) Pose() {
	C.mj_kinematics(w.m, w.d)
	C.mj_comPos(w.m, w.d)
	C.mj_camlight(w.m, w.d)
}

// Paint gives a geom a colour, RGBA, 0..1.
func (w *World) Paint(geom int, rgba [4]float32) {
	copy(unsafe.Slice((*float32)(unsafe.Pointer(w.m.geom_rgba)), 4*int(w.m.ngeom))[4*geom:], rgba[:])
}

// FieldOfView returns a camera's vertical one, rad.
func (w *World) FieldOfView(camera int) float64 {
	return float64(unsafe.Slice(w.m.cam_fovy, int(w.m.ncam))[camera]) * math.Pi / 180
}

// Begin computes what a controller needs at the start of a step: poses, Bias,
// the inertia matrix.
func (w *World) Begin() { C.mj_step1(w.m, w.d) }

// End finishes the step with the forces set since Begin.
func (w *World) End() { C.mj_step2(w.m, w.d) }

// MulInertia sets dst (nv) to the inertia matrix times src (nv).
func (w *World) MulInertia(dst, src []float64) {
	C.mj_mulM(w.m, w.d, (*C.mjtNum)(&dst[0]), (*C.mjtNum)(&src[0]))
}

// Check returns an error once the state went bad: NaN, huge velocities, or a
// contact buffer that ran over.
func (w *World) Check() error {
	if n := C.warnings(w.d); n > 0 {
		return fmt.Errorf("%w: %d warnings, the state is not to be trusted", ErrDiverged, int(n))
	}
	return nil
}
