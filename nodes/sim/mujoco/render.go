//go:build mujoco && cgo

package mujoco

/*
#cgo LDFLAGS: -lEGL
#include <stdlib.h>
#include <EGL/egl.h>
#include <EGL/eglext.h>
#include <mujoco/mujoco.h>

// A context on EGL's surfaceless platform: no display, no window, no device.
static const char* openEGL(EGLDisplay* display, EGLContext* context) {
	PFNEGLGETPLATFORMDISPLAYEXTPROC get = (PFNEGLGETPLATFORMDISPLAYEXTPROC)eglGetProcAddress("eglGetPlatformDisplayEXT");
	if (!get) return "EGL has no eglGetPlatformDisplayEXT";
	*display = get(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, NULL);
	if (*display == EGL_NO_DISPLAY) return "EGL has no surfaceless platform";
	EGLint major, minor;
	if (!eglInitialize(*display, &major, &minor)) return "EGL does not initialise";
	if (!eglBindAPI(EGL_OPENGL_API)) return "EGL has no desktop OpenGL";
	const EGLint attributes[] = {EGL_SURFACE_TYPE, EGL_PBUFFER_BIT, EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT,
		EGL_RED_SIZE, 8, EGL_GREEN_SIZE, 8, EGL_BLUE_SIZE, 8, EGL_DEPTH_SIZE, 24, EGL_STENCIL_SIZE, 8, EGL_NONE};
	EGLConfig config;
	EGLint n = 0;
	if (!eglChooseConfig(*display, attributes, &config, 1, &n) || n == 0) return "EGL has no configuration with depth and stencil";
	*context = eglCreateContext(*display, config, EGL_NO_CONTEXT, NULL);
	if (*context == EGL_NO_CONTEXT) return "EGL gives no OpenGL context";
	if (!eglMakeCurrent(*display, EGL_NO_SURFACE, EGL_NO_SURFACE, *context)) return "EGL does not take the context without a surface";
	return NULL;
}

typedef struct {
	mjvScene scene;
	mjvOption option;
	mjrContext context;
} picture;

static const char* openPicture(const mjModel* m, picture* p) {
	mjv_defaultScene(&p->scene);
	mjv_defaultOption(&p->option);
	mjr_defaultContext(&p->context);
	mjv_makeScene(m, &p->scene, 500);
	mjr_makeContext(m, &p->context, mjFONTSCALE_100);
	mjr_setBuffer(mjFB_OFFSCREEN, &p->context);
	if (p->context.currentBuffer != mjFB_OFFSCREEN) return "OpenGL gives no off-screen buffer";
	// What a small picture does not need.
	p->scene.flags[mjRND_SHADOW] = 0;
	p->scene.flags[mjRND_REFLECTION] = 0;
	p->scene.flags[mjRND_SKYBOX] = 0;
	p->scene.flags[mjRND_FOG] = 0;
	p->scene.flags[mjRND_HAZE] = 0;
	return NULL;
}

static void closePicture(picture* p) {
	mjr_freeContext(&p->context);
	mjv_freeScene(&p->scene);
}

static void draw(const mjModel* m, mjData* d, picture* p, int camera, int width, int height, unsigned char* rgb) {
	mjvCamera cam;
	mjv_defaultCamera(&cam);
	cam.type = mjCAMERA_FIXED;
	cam.fixedcamid = camera;
	mjv_updateScene(m, d, &p->option, NULL, &cam, mjCAT_ALL, &p->scene);
	mjrRect view = {0, 0, width, height};
	mjr_setBuffer(mjFB_OFFSCREEN, &p->context); // another picture's may be bound
	mjr_render(view, &p->scene, &p->context);
	mjr_readPixels(rgb, NULL, view, &p->context);
}
*/
import "C"

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"
)

// gl runs what belongs to OpenGL on one thread, which holds the one context of
// the process; its result is that of the context's making.
var gl struct {
	sync.Once
	work chan func()
	err  error
}

func onGL(f func()) error {
	gl.Do(func() {
		gl.work = make(chan func())
		ready := make(chan error)
		go func() {
			runtime.LockOSThread()
			var display C.EGLDisplay
			var context C.EGLContext
			if msg := C.openEGL(&display, &context); msg != nil {
				ready <- fmt.Errorf("%w: %s; run `apt-get install libegl1 libgl1-mesa-dri`", ErrRender, C.GoString(msg))
				return
			}
			ready <- nil
			for f := range gl.work {
				f()
			}
		}()
		gl.err = <-ready
	})
	if gl.err != nil {
		return gl.err
	}
	done := make(chan struct{})
	gl.work <- func() { defer close(done); f() }
	<-done
	return nil
}

// Renderer makes pictures of a world through its model's cameras.
type Renderer struct {
	w             *World
	p             *C.picture
	width, height int
	buf           []byte
}

// NewRenderer returns a renderer of pictures of that size, in pixels. The
// model's offwidth and offheight must not be smaller.
func NewRenderer(w *World, width, height int) (*Renderer, error) {
	if width < 1 || height < 1 || width > int(w.m.vis.global.offwidth) || height > int(w.m.vis.global.offheight) {
		return nil, fmt.Errorf("%w: %dx%d pixels do not fit the model's %dx%d", ErrRender, width, height, int(w.m.vis.global.offwidth), int(w.m.vis.global.offheight))
	}
	r := &Renderer{w: w, p: (*C.picture)(C.calloc(1, C.sizeof_picture)), width: width, height: height, buf: make([]byte, 3*width*height)}
	var failed error
	err := onGL(func() {
		if msg := C.openPicture(w.m, r.p); msg != nil {
			failed = fmt.Errorf("%w: %s", ErrRender, C.GoString(msg))
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		C.free(unsafe.Pointer(r.p))
		return nil, err
	}
	return r, nil
}

// Render fills pix (height, width, 3), RGB, with what the camera sees.
func (r *Renderer) Render(camera int, pix []byte) error {
	row := 3 * r.width
	if len(pix) != row*r.height {
		return fmt.Errorf("%w: a buffer of %d bytes for %dx%d pixels", ErrRender, len(pix), r.width, r.height)
	}
	err := onGL(func() {
		C.draw(r.w.m, r.w.d, r.p, C.int(camera), C.int(r.width), C.int(r.height), (*C.uchar)(&r.buf[0]))
	})
	for y := range r.height { // OpenGL's rows go up
		copy(pix[y*row:(y+1)*row], r.buf[(r.height-1-y)*row:])
	}
	return err
}

// Close frees the renderer; it may be called twice.
func (r *Renderer) Close() {
	if r.p == nil {
		return
	}
	p := r.p
	r.p = nil
	if onGL(func() { C.closePicture(p) }) == nil {
		C.free(unsafe.Pointer(p))
	}
}
