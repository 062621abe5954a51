package checkpoint

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"arfm/policy/contract"
	"arfm/policy/vla"
)

// Matches says, with an error that wraps ErrArchitecture or ErrContract, why
// the checkpoint cannot take the place of a running policy with this
// architecture and contract. The contracts are compared in canonical form,
// as contract.Tensors gives them; of the architecture
// the name of the preset and the condition do not count: neither meets the robot.
func (i Info) Matches(c vla.Config, ct *contract.Contract) error {
	if a, b := bare(i.Config), bare(c); !reflect.DeepEqual(a, b) {
		return fmt.Errorf("%w (%s)", ErrArchitecture, fieldDiff(a, b))
	}
	a, b := i.Contract.Tensors(), ct.Tensors()
	if !bytes.Equal(a, b) {
		return fmt.Errorf("%w (%s)", ErrContract, lineDiff(a, b))
	}
	return nil
}

func bare(c vla.Config) vla.Config {
	c.Preset, c.Condition = "", nil
	if len(c.Cameras) == 0 {
		c.Cameras = nil
	}
	if len(c.StateFields) == 0 {
		c.StateFields = nil
	}
	return c
}

// fieldDiff names the first field in which two structures differ.
func fieldDiff(a, b vla.Config) string {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		if x, y := va.Field(i).Interface(), vb.Field(i).Interface(); !reflect.DeepEqual(x, y) {
			name, _, _ := strings.Cut(va.Type().Field(i).Tag.Get("json"), ",")
			return fmt.Sprintf("%s is %v, running is %v", name, x, y)
		}
	}
	return "they differ"
}

// lineDiff names the first line in which two texts differ.
func lineDiff(a, b []byte) string {
	la, lb := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(la), len(lb)) {
		if !bytes.Equal(la[i], lb[i]) {
			return fmt.Sprintf("%.80q, running is %.80q", bytes.TrimSpace(la[i]), bytes.TrimSpace(lb[i]))
		}
	}
	return "one is longer than the other"
}
