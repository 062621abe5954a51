package gemm

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"unsafe"
)

// TestGenerated writes the assembly again and compares it with the file.
func TestGenerated(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not there")
	}
	out := filepath.Join(t.TempDir(), "gemm_amd64.s")
	if msg, err := exec.Command("go", "run", "./asm", "-out", out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, msg)
	}
	body := func(name string) []byte {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := bytes.Cut(text, []byte("\n")) // the command that wrote it
		return rest
	}
	if !bytes.Equal(body(out), body("gemm_amd64.s")) {
		t.Error("gemm_amd64.s is not what ./asm writes; run go generate")
	}
}

// TestTileOffsets compares the type tile with what the generator takes it for.
func TestTileOffsets(t *testing.T) {
	var x tile
	want := map[string]uintptr{
		"A": unsafe.Offsetof(x.a), "ARow": unsafe.Offsetof(x.aRow), "AStep": unsafe.Offsetof(x.aStep),
		"B": unsafe.Offsetof(x.b), "BStep": unsafe.Offsetof(x.bStep), "C": unsafe.Offsetof(x.c), "CRow": unsafe.Offsetof(x.cRow),
		"K": unsafe.Offsetof(x.k), "Next": unsafe.Offsetof(x.next), "Col": unsafe.Offsetof(x.column), "Row": unsafe.Offsetof(x.row),
		"Alpha": unsafe.Offsetof(x.alpha), "Beta": unsafe.Offsetof(x.beta), "Low": unsafe.Offsetof(x.low), "High": unsafe.Offsetof(x.high),
		"Clip": unsafe.Offsetof(x.clip), "Kind": unsafe.Offsetof(x.kind), "Lanes": unsafe.Offsetof(x.lanes), "Fetch": unsafe.Offsetof(x.fetch), "Round": unsafe.Offsetof(x.round),
		"D": unsafe.Offsetof(x.d), "DRow": unsafe.Offsetof(x.dRow),
	}
	text, err := os.ReadFile("asm/tile.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\ttile(\w+)\s+= (\d+)$`).FindAllSubmatch(text, -1)
	if len(found) != len(want) {
		t.Errorf("the generator knows %d fields, the type has %d", len(found), len(want))
	}
	for _, f := range found {
		if n, _ := strconv.Atoi(string(f[2])); uintptr(n) != want[string(f[1])] {
			t.Errorf("tile%s is %d in the generator, %d in the type", f[1], n, want[string(f[1])])
		}
	}
}
