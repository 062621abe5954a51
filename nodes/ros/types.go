//go:build ros

package ros

/*
#cgo LDFLAGS: -ldl
#cgo CFLAGS: -I/opt/ros/humble/include/rmw -I/opt/ros/humble/include/rcutils
#cgo CFLAGS: -I/opt/ros/humble/include/rosidl_runtime_c -I/opt/ros/humble/include/rosidl_typesupport_interface
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <rmw/rmw.h>

static const void *arfm_handle(void *get) { return ((const void *(*)(void))get)(); }
static void *arfm_create(void *f) { return ((void *(*)(void))f)(); }
static void arfm_destroy(void *f, void *m) { ((void (*)(void *))f)(m); }

// from_cdr fills a message of C from its serialized form.
static rmw_ret_t arfm_from_cdr(const void *handle, const void *data, size_t n, void *msg) {
	rmw_serialized_message_t s = rmw_get_zero_initialized_serialized_message();
	s.buffer = (uint8_t *)data;
	s.buffer_length = s.buffer_capacity = n;
	s.allocator = rcutils_get_default_allocator();
	return rmw_deserialize(&s, (const rosidl_message_type_support_t *)handle, msg);
}

// to_cdr serializes a message of C; the caller frees what it gets.
static rmw_ret_t arfm_to_cdr(const void *handle, const void *msg, uint8_t **data, size_t *n) {
	rmw_serialized_message_t s = rmw_get_zero_initialized_serialized_message();
	rcutils_allocator_t a = rcutils_get_default_allocator();
	rmw_ret_t rc = rmw_serialized_message_init(&s, 0, &a);
	if (rc != RMW_RET_OK) return rc;
	rc = rmw_serialize(msg, (const rosidl_message_type_support_t *)handle, &s);
	if (rc != RMW_RET_OK && rmw_serialized_message_fini(&s) != RMW_RET_OK) return RMW_RET_ERROR;
	if (rc != RMW_RET_OK) return rc;
	*data = s.buffer;
	*n = s.buffer_length;
	return rc;
}
*/
import "C"

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/tiiuae/rclgo/pkg/rclgo/types"

	"arfm/bags/cdr"
)

// Type is an installed message type: its definition and what the middleware
// needs of it.
type Type struct {
	*cdr.Type
	handle, create, destroy unsafe.Pointer
}

// library loads a shared library of the sourced workspaces once; it stays.
var library = func() func(name string) (unsafe.Pointer, error) {
	var mu sync.Mutex
	loaded := map[string]unsafe.Pointer{}
	return func(name string) (unsafe.Pointer, error) {
		mu.Lock()
		defer mu.Unlock()
		if lib := loaded[name]; lib != nil {
			return lib, nil
		}
		cname := C.CString(name)
		defer C.free(unsafe.Pointer(cname))
		lib := C.dlopen(cname, C.RTLD_LAZY)
		if lib == nil {
			return nil, fmt.Errorf("ros: %s: %w", C.GoString(C.dlerror()), ErrNotInstalled)
		}
		loaded[name] = lib
		return lib, nil
	}
}()

func symbol(lib, name string) (unsafe.Pointer, error) {
	l, err := library(lib)
	if err != nil {
		return nil, err
	}
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	p := C.dlsym(l, cname)
	if p == nil {
		return nil, fmt.Errorf("ros: %s lacks %s: %w", lib, name, ErrNotInstalled)
	}
	return p, nil
}

// typeHandle returns the type support that the middleware knows a type by.
func typeHandle(pkg, kind, name, what string) (unsafe.Pointer, error) {
	get, err := symbol("lib"+pkg+"__rosidl_typesupport_c.so",
		"rosidl_typesupport_c__get_"+what+"_type_support_handle__"+pkg+"__"+kind+"__"+name)
	if err != nil {
		return nil, err
	}
	return unsafe.Pointer(C.arfm_handle(get)), nil
}

// catalog loads types once.
type catalog struct {
	defs *Definitions

	mu    sync.Mutex
	types map[string]*Type
}

func newCatalog() *catalog { return &catalog{defs: NewDefinitions(), types: map[string]*Type{}} }

func (c *catalog) message(name string) (*Type, error) {
	t, err := c.defs.Type(name)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if have := c.types[t.Name()]; have != nil {
		return have, nil
	}
	pkg, kind, _, _ := splitName(t.Name())
	base := t.Name()[len(pkg)+len(kind)+2:]
	out := &Type{Type: t}
	if out.handle, err = typeHandle(pkg, kind, base, "message"); err != nil {
		return nil, err
	}
	generator := "lib" + pkg + "__rosidl_generator_c.so"
	if out.create, err = symbol(generator, pkg+"__"+kind+"__"+base+"__create"); err != nil {
		return nil, err
	}
	if out.destroy, err = symbol(generator, pkg+"__"+kind+"__"+base+"__destroy"); err != nil {
		return nil, err
	}
	c.types[t.Name()] = out
	return out, nil
}

// service is an installed service type, as rclgo wants it.
type service struct {
	request, response *Type
	handle            unsafe.Pointer
}

// service returns pkg/srv/Name, or pkg/action/Name_SendGoal and the like.
func (c *catalog) service(name string) (*service, error) {
	pkg, kind, _, ok := splitName(name)
	if !ok || kind == "msg" {
		return nil, fmt.Errorf("ros: %q is no service type, want pkg/srv/Name", name)
	}
	var s service
	var err error
	if s.request, err = c.message(name + "_Request"); err != nil {
		return nil, err
	}
	if s.response, err = c.message(name + "_Response"); err != nil {
		return nil, err
	}
	s.handle, err = typeHandle(pkg, kind, name[len(pkg)+len(kind)+2:], "service")
	return &s, err
}

func (s *service) Request() types.MessageTypeSupport  { return support{s.request} }
func (s *service) Response() types.MessageTypeSupport { return support{s.response} }
func (s *service) TypeSupport() unsafe.Pointer        { return s.handle }

// support is a Type as rclgo wants it.
type support struct{ t *Type }

func (s support) New() types.Message             { return &message{t: s.t} }
func (s support) PrepareMemory() unsafe.Pointer  { return C.arfm_create(s.t.create) }
func (s support) ReleaseMemory(p unsafe.Pointer) { C.arfm_destroy(s.t.destroy, p) }
func (s support) TypeSupport() unsafe.Pointer    { return s.t.handle }

// AsCStruct leaves the message of C at its defaults where it cannot be filled,
// and says so in src.
func (s support) AsCStruct(dst unsafe.Pointer, src types.Message) {
	m := src.(*message)
	if len(m.data) == 0 {
		return
	}
	if rc := C.arfm_from_cdr(s.t.handle, unsafe.Pointer(&m.data[0]), C.size_t(len(m.data)), dst); rc != C.RMW_RET_OK {
		m.err = fmt.Errorf("ros: the middleware does not take a %s (code %d)", s.t.Name(), int(rc))
	}
}

// AsGoStruct puts the serialized message of C, or the error, into dst.
func (s support) AsGoStruct(dst types.Message, src unsafe.Pointer) {
	m := dst.(*message)
	var data *C.uint8_t
	var n C.size_t
	if rc := C.arfm_to_cdr(s.t.handle, src, &data, &n); rc != C.RMW_RET_OK {
		m.err = fmt.Errorf("ros: the middleware does not give a %s (code %d)", s.t.Name(), int(rc))
		return
	}
	defer C.free(unsafe.Pointer(data))
	m.data = C.GoBytes(unsafe.Pointer(data), C.int(n))
}

// message is a serialized message on its way through rclgo, which moves
// requests and responses as messages of C.
type message struct {
	t    *Type
	data []byte
	err  error
}

func (m *message) CloneMsg() types.Message                  { c := *m; return &c }
func (m *message) SetDefaults()                             { m.data = nil }
func (m *message) GetTypeSupport() types.MessageTypeSupport { return support{m.t} }

// pack serializes a record of type t; nil is the type's defaults.
func pack(t *Type, rec *cdr.Record) (*message, error) {
	if rec == nil {
		rec = t.New()
	}
	data, err := t.Encode(rec)
	if err != nil {
		return nil, fmt.Errorf("ros: %w", err)
	}
	return &message{t: t, data: data}, nil
}

// unpack decodes what came.
func unpack(m types.Message) (*cdr.Record, error) {
	msg := m.(*message)
	if msg.err != nil {
		return nil, msg.err
	}
	rec, err := msg.t.Decode(msg.data)
	if err != nil {
		return nil, fmt.Errorf("ros: %w", err)
	}
	return rec, nil
}
