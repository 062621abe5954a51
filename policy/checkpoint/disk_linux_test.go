package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inThread runs f on an OS thread of its own, which ends with it: what f
// changes about the thread (user, mounts) is gone afterwards. f returns why the
// test cannot run here, or nothing.
func inThread(t *testing.T, f func() (skip string)) {
	t.Helper()
	skip := make(chan string)
	go func() {
		runtime.LockOSThread() // never unlocked
		skip <- f()
	}()
	if s := <-skip; s != "" {
		t.Skip(s)
	}
}

// asNobody runs f without root's right to read and write everything.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	inThread(t, func() string {
		const nobody = 65534
		syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		if id, _, _ := syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0); id != nobody {
			return "setfsuid is not allowed here"
		}
		f()
		return ""
	})
}

func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	tensors, _ := sample()
	if err := WriteTensors(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o755)
	asNobody(t, func() {
		if _, _, err := ReadTensors(path, 1<<20); !errors.Is(err, ErrPermission) {
			t.Errorf("read: %v", err)
		}
		if err := WriteTensors(path, tensors, nil); !errors.Is(err, ErrWriteDenied) || !strings.Contains(err.Error(), path) {
			t.Errorf("write: %v", err)
		}
	})
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
}

// TestFullAndReadOnlyDisk saves to a real file system of 16 KiB.
func TestFullAndReadOnlyDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	inThread(t, func() string {
		if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
			return fmt.Sprintf("no mount namespace here: %v", err)
		}
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			return fmt.Sprintf("no private mounts here: %v", err)
		}
		if err := syscall.Mount("none", dir, "tmpfs", 0, "size=16k"); err != nil {
			return fmt.Sprintf("no tmpfs here: %v", err)
		}
		defer syscall.Unmount(dir, syscall.MNT_DETACH)
		small, large := []Tensor{NewTensor("a", []float32{1})}, []Tensor{NewTensor("a", make([]float32, 1<<16))}
		if err := WriteTensors(path, small, nil); err != nil {
			t.Errorf("small file: %v", err)
		}
		if err := WriteTensors(path, large, nil); !errors.Is(err, ErrDiskFull) || !strings.Contains(err.Error(), path) {
			t.Errorf("full disk: %v", err)
		}
		if list, _ := os.ReadDir(dir); len(list) != 1 {
			t.Errorf("left behind: %v", list)
		}
		if _, _, err := ReadTensors(path, 1<<20); err != nil {
			t.Errorf("the old file: %v", err)
		}
		if err := syscall.Mount("none", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Errorf("remount: %v", err)
		}
		if err := WriteTensors(path, small, nil); !errors.Is(err, ErrReadOnly) {
			t.Errorf("read-only: %v", err)
		}
		return ""
	})
}

func TestReplaceNeedsAFolder(t *testing.T) {
	dir := t.TempDir()
	tensors := []Tensor{NewTensor("a", []float32{1})}
	if err := WriteTensors(filepath.Join(dir, "none", "x.safetensors"), tensors, nil); !errors.Is(err, ErrWrite) {
		t.Errorf("missing folder: %v", err)
	}
	folder := filepath.Join(dir, "folder.safetensors")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteTensors(folder, tensors, nil); !errors.Is(err, ErrWrite) {
		t.Errorf("a folder in the way: %v", err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
}

// TestStaleTemporaries are those of writers that were killed; a young one may
// still be in use.
func TestStaleTemporaries(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	old, young, other := filepath.Join(dir, ".x.safetensors.tmp-1"), filepath.Join(dir, ".x.safetensors.tmp-2"), filepath.Join(dir, ".y.safetensors.tmp-1")
	for _, p := range []string{old, young, other} {
		if err := os.WriteFile(p, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-2 * time.Hour)
	for _, p := range []string{old, other} {
		if err := os.Chtimes(p, past, past); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteTensors(path, []Tensor{NewTensor("a", []float32{1})}, nil); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]bool{old: false, young: true, other: true, path: true} {
		if _, err := os.Stat(p); (err == nil) != want {
			t.Errorf("%s: %v", filepath.Base(p), err)
		}
	}
}
