package checkpoint

import (
	"testing"

	"arfm/policy/vla"
)

// TestLeastBytes: the bound holds for every preset and is close enough to keep
// a small file from asking for much memory.
func TestLeastBytes(t *testing.T) {
	for _, name := range vla.Presets {
		if name == "large" && testing.Short() {
			continue // 200 MB
		}
		for _, cameras := range [][]vla.Camera{nil, {{Name: "a", Height: 96, Width: 96}, {Name: "b", Height: 96, Width: 96}}} {
			c, err := vla.Preset(name)
			if err != nil {
				t.Fatal(err)
			}
			c.StateDim, c.StateFields, c.ActionDim, c.Cameras = 7, []int{6, 1}, 7, cameras
			m, err := vla.NewZero(c)
			if err != nil {
				t.Fatal(err)
			}
			size := int64(4 * len(m.Params.Data))
			if least := leastBytes(c); least > size || least < size*8/10 {
				t.Errorf("%s with %d cameras: at least %d bytes, it takes %d", name, len(cameras), least, size)
			}
		}
	}
}
