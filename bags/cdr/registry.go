package cdr

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Registry holds message definitions by full name, "pkg/msg/Name". It may be
// used from several goroutines.
type Registry struct {
	mu       sync.Mutex
	defs     map[string]*definition
	scopes   map[string]map[string]*definition // of a root: what its text defined
	compiled map[string]*Type
}

// NewRegistry returns a registry that holds the common packages, as ROS 2
// Humble and Jazzy define them, and arfm's own messages. Where the two differ
// on the wire Humble's is carried, for its sqlite3 recordings store no
// definitions while later ones do.
func NewRegistry() *Registry {
	return &Registry{
		defs:     maps.Clone(common()),
		scopes:   make(map[string]map[string]*definition),
		compiled: make(map[string]*Type),
	}
}

// AddDefinition adds a type and the types that its text also defines. encoding
// is "ros2msg" (a .msg, .srv or .action, dependencies concatenated below lines
// of equals signs and "MSG: pkg/Name") or "ros2idl" (the subset of OMG IDL that
// rosidl writes, dependencies likewise below "IDL: pkg/msg/Name").
//
// The type replaces one of the same name. Its dependencies serve it alone where
// another definition of their name is known: two recordings may disagree. On
// error (ErrDefinition, ErrEncoding, ErrLimit) nothing is changed.
func (r *Registry) AddDefinition(typeName, encoding, text string) error {
	name, ok := fullName(typeName)
	if !ok {
		return fmt.Errorf("cdr: %w: %q is no type name (want pkg/msg/Name)", ErrDefinition, clip(typeName))
	}
	bundle, err := parseBundle(name, encoding, text)
	if err != nil {
		return fmt.Errorf("cdr: definition of %s: %w", name, err)
	}
	// A service or action is no message itself, but stands for several.
	if bundle[name] == nil && bundle[name+"_Event"] == nil && bundle[name+"_FeedbackMessage"] == nil {
		return fmt.Errorf("cdr: definition of %s: %w: the text does not define it", name, ErrDefinition)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, d := range bundle {
		if r.defs[n] == nil || n == name || bundle[name] == nil && strings.HasPrefix(n, name+"_") {
			r.defs[n] = d
			r.scopes[n] = bundle
		}
	}
	clear(r.compiled)
	return nil
}

// Type returns the compiled type of that name ("pkg/msg/Name" or "pkg/Name").
// errors.Is(err, ErrUnknownType) tells that its definition, or one it refers
// to, is missing.
func (r *Registry) Type(name string) (*Type, error) {
	full, ok := fullName(name)
	if !ok {
		return nil, fmt.Errorf("cdr: %w %q (want pkg/msg/Name)", ErrUnknownType, clip(name))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.compiled[full]; t != nil {
		return t, nil
	}
	scope := r.scopes[full]
	t, err := compile(full, func(n string) *definition {
		if d := scope[n]; d != nil {
			return d
		}
		return r.defs[n]
	})
	if err != nil {
		return nil, fmt.Errorf("cdr: %w", err)
	}
	r.compiled[full] = t
	return t, nil
}

// Names returns the full names of all types that are defined, sorted.
func (r *Registry) Names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.defs))
}
