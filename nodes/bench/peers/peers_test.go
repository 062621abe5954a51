package peers

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// found returns the peers of this machine, and skips the test without any.
func found(t *testing.T) []*Program {
	t.Helper()
	if os.Getenv(ORTFolder) == "" {
		t.Setenv(ORTFolder, filepath.Join("..", "..", "..", "build", "ort"))
	}
	programs, missing := Find(t.Context())
	if len(programs) == 0 {
		t.Skip("no peer: " + strings.Join(missing, ". "))
	}
	return programs
}

func started(t *testing.T, ctx context.Context, p *Program) *Process {
	t.Helper()
	q, err := p.Start(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// TestRefuses: what a peer cannot do it says, and goes on.
func TestRefuses(t *testing.T) {
	for _, p := range found(t) {
		if p.Name == "" || p.place == "" {
			t.Errorf("%+v", p)
		}
		q := started(t, t.Context(), p)
		if _, err := q.Run(1); !errors.Is(err, ErrPeer) || !strings.Contains(err.Error(), p.Name) {
			t.Errorf("a run of nothing: %v", err)
		}
		job := &Job{Task: p.Tasks[0], Model: filepath.Join(t.TempDir(), "nothing"), Batch: 1, Horizon: 1, State: []float32{0}, Words: []int32{0}, Noise: []float32{0}}
		if _, err := q.Open(job); !errors.Is(err, ErrPeer) || !strings.Contains(err.Error(), "nothing") {
			t.Errorf("a model that is not there: %v", err)
		}
		var hello struct{ Name string }
		if err := q.ask(request{Do: "hello"}, &hello); err != nil || hello.Name != p.Name {
			t.Errorf("afterwards: %q, %v", hello.Name, err)
		}
		if err := q.Close(); err != nil {
			t.Errorf("%s does not end well: %v", p.Name, err)
		}
	}
}

// TestStopped: a peer ends with its context, and says so.
func TestStopped(t *testing.T) {
	for _, p := range found(t) {
		ctx, cancel := context.WithCancel(t.Context())
		q := started(t, ctx, p)
		cancel()
		if _, err := q.Run(1 << 30); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

// TestNotFound: what is missing, and how to get it.
func TestNotFound(t *testing.T) {
	t.Setenv(ORTFolder, t.TempDir())
	if _, missing := Find(t.Context()); len(missing) == 0 || !strings.HasPrefix(missing[0], "ONNX Runtime: no onnxruntime-node in ") || !strings.Contains(missing[0], "build/ort") {
		t.Errorf("%q", missing)
	}
	t.Setenv("PATH", t.TempDir())
	programs, missing := Find(t.Context())
	if len(programs) == 0 && (len(missing) != 2 || !strings.HasPrefix(missing[1], "PyTorch: python3 does not start") || !strings.Contains(missing[1], "python3-torch")) {
		t.Errorf("%q", missing)
	}
}

// TestBadProcesses: programs that are no peers are refused, not waited for.
func TestBadProcesses(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no shell to run programs that are no peers")
	}
	for name, c := range map[string]struct{ script, want string }{
		"ends":     {"echo some words >&2; echo the reason >&2; exit 3", "ended: the reason"},
		"throws":   {"echo 'Error: no such thing' >&2; echo '    at x.js:1' >&2; exit 1", "ended: Error: no such thing"},
		"chatters": {"read x; echo hello you", `answers "hello you"`},
		"counts":   {`read x; echo '{"ms":[1,2]}'`, "ran 2 times, not 3"},
		"types":    {`read x; echo '{"ms":"long"}'`, "cannot unmarshal"},
		"closes":   {`exec >&-; sleep 0.1; echo bye >&2`, "ended: bye"},
	} {
		p := &Program{where: "sh", argv: []string{"sh", "-c", c.script}}
		if _, err := started(t, t.Context(), p).Run(3); !errors.Is(err, ErrPeer) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := started(t, ctx, &Program{where: "sh", argv: []string{"sh", "-c", "exec sleep 1000"}}).Run(1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one that says nothing: %v", err)
	}
}
