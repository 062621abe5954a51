package rosbag2

import (
	"errors"
	"fmt"

	"arfm/bags/cdr"
)

// Registry returns the definitions of the common packages and those that the
// bag stores, which win. A definition that cannot be parsed is left out and
// named in the error, which comes with a usable registry.
func (b *Bag) Registry() (*cdr.Registry, error) {
	reg := cdr.NewRegistry()
	var errs []error
	done := map[string]bool{}
	for _, t := range b.topics {
		if t.Definition == "" || t.Format != "cdr" || done[t.Type] {
			continue
		}
		done[t.Type] = true
		if err := reg.AddDefinition(t.Type, t.DefinitionEncoding, t.Definition); err != nil {
			errs = append(errs, fmt.Errorf("%s: the definition of %s that the bag stores for topic %s: %w", b.path, Printable(t.Type), Printable(t.Name), err))
		}
	}
	return reg, errors.Join(errs...)
}
