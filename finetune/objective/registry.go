package objective

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// ErrUnknown says that there is no objective, or no option, of a name.
var ErrUnknown = errors.New("unknown")

// Definition registers an objective.
type Definition struct {
	Name    string
	Summary string // how it treats chunks, in a few words
	// New returns the objective and adds its options to fs, with their
	// defaults. An option's name belongs to one objective.
	New func(fs *flag.FlagSet) Objective
}

// registered holds all definitions by name.
var registered = map[string]Definition{}

// register adds an objective: var _ = register(...) in its file does so before
// anyone can ask. It returns true for the sake of that.
func register(d Definition) bool {
	if _, ok := registered[d.Name]; ok {
		panic("objective: two objectives are called " + d.Name)
	}
	registered[d.Name] = d
	return true
}

// Names returns the names of all objectives, sorted.
func Names() []string { return slices.Sorted(maps.Keys(registered)) }

// Summary returns all objectives in one line, each with what it does.
func Summary() string {
	var parts []string
	for _, name := range Names() {
		parts = append(parts, fmt.Sprintf("%s (%s)", name, registered[name].Summary))
	}
	return strings.Join(parts, ", ")
}

// Options are options of objectives by name, as they are written on a command
// line. Those that are missing have their defaults; an objective passes over
// those of others.
type Options map[string]string

// New returns an objective of the given name. The error wraps ErrUnknown, or
// says which option is out of range.
func New(name string, o Options) (Objective, error) {
	d, ok := registered[name]
	if !ok {
		return nil, fmt.Errorf("objective %q is %w; use one of %s", name, ErrUnknown, strings.Join(Names(), ", "))
	}
	own, all := newFlags(), newFlags()
	obj := d.New(own)
	Define(all, nil)
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if all.Lookup(key) == nil {
			return nil, fmt.Errorf("option %.40q of objectives is %w", key, ErrUnknown)
		}
		if own.Lookup(key) == nil {
			continue
		}
		if err := own.Set(key, o[key]); err != nil {
			return nil, fmt.Errorf("option %s of objective %s is %.40q: %w", key, name, o[key], err)
		}
	}
	if v, ok := obj.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	return obj, nil
}

func newFlags() *flag.FlagSet {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// Define adds the options of all objectives to fs, with the values of o or else
// their defaults; whose an option is stands before what it says. Values in o
// that do not parse are left to New.
func Define(fs *flag.FlagSet, o Options) {
	for _, name := range Names() {
		own := newFlags()
		registered[name].New(own)
		own.VisitAll(func(f *flag.Flag) {
			fs.Var(f.Value, f.Name, name+": "+f.Usage)
			if v, ok := o[f.Name]; ok {
				_ = fs.Set(f.Name, v)
			}
		})
	}
}

// Owner returns the objective that the option belongs to; empty: none.
func Owner(option string) string {
	for _, name := range Names() {
		own := newFlags()
		registered[name].New(own)
		if own.Lookup(option) != nil {
			return name
		}
	}
	return ""
}

// Complete returns o with the default of every option that it lacks, and each
// value in the form in which its flag prints it.
func (o Options) Complete() Options {
	fs, all := newFlags(), Options{}
	Define(fs, o)
	fs.VisitAll(func(f *flag.Flag) { all[f.Name] = f.Value.String() })
	for key, v := range o { // what does not parse, New refuses
		if f := fs.Lookup(key); f == nil || f.Value.Set(v) != nil {
			all[key] = v
		}
	}
	return all
}

// Own returns the options of the objective of that name alone, with the default
// of every one that o lacks.
func Own(name string, o Options) Options {
	own := Options{}
	if d, ok := registered[name]; ok {
		fs := newFlags()
		d.New(fs)
		all := o.Complete()
		fs.VisitAll(func(f *flag.Flag) { own[f.Name] = all[f.Name] })
	}
	return own
}
