//go:build ros

package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"arfm/bags/cdr"
	"arfm/nodes/ros"
)

// program is a process of the system under test and all that it started.
type program struct {
	cmd   *exec.Cmd
	out   lines
	ended chan struct{}
	err   error // once ended is closed
}

// lines keeps what a program printed; it may be read while it runs.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start runs a program of a package, found as ros2 run finds it, until the test
// ends. What it printed is shown where the test fails.
func start(t *testing.T, pkg, executable string, args ...string) *program {
	t.Helper()
	path := ""
	for _, prefix := range filepath.SplitList(os.Getenv("AMENT_PREFIX_PATH")) {
		if p := filepath.Join(prefix, "lib", pkg, executable); exists(p) {
			path = p
			break
		}
	}
	if path == "" {
		t.Skipf("%s has no %s here: the package is not installed", pkg, executable)
	}
	return run(t, path, args...)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func run(t *testing.T, path string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.Env = append(os.Environ(), "ROS_HOME="+t.TempDir(), "PYTHONUNBUFFERED=1")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop(t, 10*time.Second)
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(path), tail(p.out.String(), 4000))
		}
	})
	return p
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// signal sends a signal to the program and all that it started.
func (p *program) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// stop interrupts the program as Ctrl-C does and returns how long it took to
// end; one that does not end in time is killed, which fails the test.
func (p *program) stop(t *testing.T, within time.Duration) time.Duration {
	begin := time.Now()
	select {
	case <-p.ended:
		return 0
	default:
	}
	p.signal(syscall.SIGINT)
	select {
	case <-p.ended:
	case <-time.After(within):
		t.Errorf("%s did not end within %v of Ctrl-C", p.cmd.Path, within)
		p.signal(syscall.SIGKILL)
		<-p.ended
	}
	return time.Since(begin)
}

// kill ends the program at once, as when it crashes.
func (p *program) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// observer is a node of the test.
type observer struct {
	t     *testing.T
	ctx   *ros.Context
	node  *ros.Node
	group *ros.Group
}

// observe joins a domain of the test's own, or skips where nothing is built.
func observe(t *testing.T, domain int) *observer {
	t.Helper()
	environment(t)
	t.Setenv("ROS_DOMAIN_ID", fmt.Sprint(domain))
	ctx, _, err := ros.NewContext(nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := ctx.NewNode("observer")
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{t: t, ctx: ctx, node: n, group: ctx.NewGroup(func(err error) { t.Log(err) })}
	t.Cleanup(func() {
		o.group.Close()
		if err := errors.Join(n.Close(), ctx.Close()); err != nil {
			t.Error(err)
		}
	})
	return o
}

// hear calls take for the messages of a topic.
func (o *observer) hear(topic, typ string, qos ros.QoS, take func(received int64, rec *cdr.Record)) {
	o.t.Helper()
	var sub *ros.Subscription
	ready := make(chan struct{})
	s, err := o.node.Subscribe(o.group, topic, typ, qos, func(m ros.Message) {
		<-ready
		rec, err := sub.Type.Decode(m.Data)
		if err != nil {
			o.t.Errorf("%s: %v", topic, err)
			return
		}
		take(m.Received, rec)
	})
	if err != nil {
		o.t.Fatal(err)
	}
	sub = s
	close(ready)
}

// eventually waits for what a test needs to go on.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// write puts text into a new file and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// numbers returns a list of a message.
func numbers(rec *cdr.Record, path string) []float64 {
	v, _ := rec.Lookup(path)
	x, _ := v.([]float64)
	return x
}

// indented is a text as a YAML block wants it.
func indented(text, by string) string { return by + strings.ReplaceAll(text, "\n", "\n"+by) }

// caller calls a service of the system under test.
func (o *observer) caller(name, typ string) func(fill func(*cdr.Record) error) *cdr.Record {
	o.t.Helper()
	c, err := o.node.Client(o.group, name, typ)
	if err != nil {
		o.t.Fatal(err)
	}
	return func(fill func(*cdr.Record) error) *cdr.Record {
		o.t.Helper()
		req := c.Request.New()
		if err := fill(req); err != nil {
			o.t.Fatal(err)
		}
		eventually(o.t, 20*time.Second, name+" is served", c.Ready)
		var answer *cdr.Record
		for range 4 { // a server whose queue is full drops requests
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			answer, err = c.Call(ctx, req)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				break
			}
		}
		if err != nil {
			o.t.Fatal(err)
		}
		return answer
	}
}

// must calls a service whose answer has to be ok.
func (o *observer) must(call func(func(*cdr.Record) error) *cdr.Record, what string, fill func(*cdr.Record) error) {
	o.t.Helper()
	if ok, _ := call(fill).Lookup("ok"); ok != true {
		o.t.Fatalf("cannot %s", what)
	}
}

// make returns a message with its type's defaults.
func (o *observer) make(typ string) *cdr.Record {
	o.t.Helper()
	t, err := o.ctx.Type(typ)
	if err != nil {
		o.t.Fatal(err)
	}
	return t.New()
}
