package finetune

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"arfm/finetune/objective"
	"arfm/policy/checkpoint"
	"arfm/policy/contract"
)

// Environment of the process that the tests below run and kill: this test
// binary as a trainer.
const (
	envOut   = "ARFM_TEST_TRAIN_OUT"
	envSteps = "ARFM_TEST_TRAIN_STEPS"
	envWhich = "ARFM_TEST_TRAIN_OBJECTIVE"
	envLimit = "ARFM_TEST_FILE_LIMIT" // bytes a file may have, as on a full disk
	envKills = "ARFM_TEST_KILLS"      // how often TestKill kills a run; 2 if unset
)

func TestMain(m *testing.M) {
	if out := os.Getenv(envOut); out != "" {
		os.Exit(child(out))
	}
	os.Exit(m.Run())
}

// child trains in this process and returns its exit status.
func child(out string) int {
	steps, err := strconv.ParseInt(os.Getenv(envSteps), 10, 64)
	if err == nil {
		err = limitFiles(os.Getenv(envLimit))
	}
	var c *contract.Contract
	if err == nil {
		c, err = contract.Parse(fmt.Appendf(nil, testContract, "", true))
	}
	if err == nil {
		err = beginOrResume(c, out, steps)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// beginOrResume trains in a folder; a run that is there goes on with no more
// than its state says.
func beginOrResume(c *contract.Contract, out string, steps int64) error {
	o := killOptions(out, steps)
	o.Objective = cmp.Or(os.Getenv(envWhich), o.Objective)
	if _, err := os.Stat(o.statePath()); err == nil {
		saved, err := ReadSaved(out)
		if err != nil {
			return err
		}
		o, c = saved.Options, saved.Contract
	}
	_, err := Train(context.Background(), episodes(c, 9, 20), c, o)
	return err
}

// limitFiles makes writes beyond a size fail, as they do on a full disk.
func limitFiles(limit string) error {
	if limit == "" {
		return nil
	}
	n, err := strconv.ParseUint(limit, 10, 64)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n})
}

func killOptions(out string, steps int64) Options {
	o := Defaults(steps)
	o.Model, o.Batch, o.Out, o.Workers, o.Seed = tiny(), 8, out, 2, 42
	o.SaveEvery, o.EvalEvery, o.EvalChunks, o.Keep = 8, 50, 4, 3
	o.Optim.EMA, o.Tuning = 0.9, smallCritic
	return o
}

func start(t *testing.T, out string, steps int64, env ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd, errs := exec.Command(exe), new(bytes.Buffer)
	cmd.Env = append(os.Environ(), envOut+"="+out, envSteps+"="+strconv.FormatInt(steps, 10))
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, errs
}

// watch loads every *.safetensors in dir again and again until stop is closed;
// a file that cannot be loaded, and is still there, was torn.
func watch(dir string, stop <-chan struct{}, loads *atomic.Int64, report func(error)) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
		if err != nil {
			report(err)
		}
		for _, path := range files {
			if filepath.Base(path) == StateFile {
				_, _, err = checkpoint.ReadTensors(path, maxStateBytes)
			} else {
				_, err = checkpoint.Load(path)
			}
			if err == nil {
				loads.Add(1)
			} else if !errors.Is(err, checkpoint.ErrNotFound) { // pruned meanwhile
				report(err)
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// TestKill kills a run with SIGKILL at random moments and resumes it, with each
// objective; it must end with the weights, the state and the log of a run that
// nobody killed.
func TestKill(t *testing.T) {
	kills := 2
	if s := os.Getenv(envKills); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range objective.Names() {
		t.Run(name, func(t *testing.T) { killed(t, name, kills) })
	}
}

func killed(t *testing.T, name string, kills int) {
	steps := int64(80 * (kills + 1))
	c := newContract(t, false, true)
	whole := killOptions(t.TempDir(), steps)
	whole.Objective = name
	want, err := Train(context.Background(), episodes(c, 9, 20), c, whole)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	broken := killOptions(dir, steps)
	var loads atomic.Int64
	var readers sync.WaitGroup
	stop := make(chan struct{})
	readers.Go(func() { watch(dir, stop, &loads, func(err error) { t.Errorf("torn: %v", err) }) })
	done := killAndResume(t, dir, name, steps, kills)
	close(stop)
	readers.Wait()
	last := broken.checkpointPath(steps)
	ck, err := checkpoint.Load(last)
	if err != nil {
		t.Fatal(err)
	}
	if ck.Hash != want.Hash || !bytes.Equal(sum(t, last), sum(t, want.Checkpoint)) {
		t.Errorf("after %d kills the weights differ from the unbroken run's", done)
	}
	if !bytes.Equal(sum(t, broken.statePath()), sum(t, whole.statePath())) {
		t.Errorf("after %d kills the state differs from the unbroken run's", done)
	}
	if logged, _ := logged(t, dir); int64(len(logged)) != steps || logged[steps-1] != steps {
		t.Errorf("the log has %d steps, want %d", len(logged), steps)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("half-written files are left: %v", left)
	}
	t.Logf("%d kills in %d steps, %d loads by the concurrent reader", done, steps, loads.Load())
	if done == 0 || loads.Load() == 0 {
		t.Errorf("%d of %d kills came before the end, %d loads", done, kills, loads.Load())
	}
}

// killAndResume runs the child until it ends by itself and returns how many
// times it was killed before: some steps into its life, and a little later, so
// that kills fall into steps and into saves.
func killAndResume(t *testing.T, dir, objective string, steps int64, kills int) (killed int) {
	rng := rand.New(rand.NewPCG(1, uint64(kills)))
	for {
		lines := countLines(dir)
		cmd, errs := start(t, dir, steps, envWhich+"="+objective)
		ended := make(chan struct{})
		if killed < kills {
			target, delay := lines+1+rng.IntN(40), time.Duration(rng.IntN(30_000))*time.Microsecond
			go func() {
				for countLines(dir) < target {
					select {
					case <-ended:
						return
					case <-time.After(time.Millisecond):
					}
				}
				time.Sleep(delay)
				cmd.Process.Kill() // an error says that it has ended
			}()
		}
		err := cmd.Wait()
		close(ended)
		if err == nil {
			return killed
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("the run failed: %v %s", err, errs)
		}
		killed++
	}
}

// countLines returns the length of the log in dir, 0 where there is none.
func countLines(dir string) int {
	data, _ := os.ReadFile(filepath.Join(dir, logFile))
	return bytes.Count(data, []byte("\n"))
}

// TestFullDisk lets a run write files of a bounded size only: the checkpoint
// fits, the state does not, or neither does, or not even the log.
func TestFullDisk(t *testing.T) {
	o := killOptions(t.TempDir(), 8)
	c := newContract(t, false, true)
	r, err := Train(context.Background(), episodes(c, 9, 20), c, o)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(sum(t, r.Checkpoint)))
	for _, limit := range []int64{200, size / 2, size + 100} {
		dir := t.TempDir()
		cmd, errs := start(t, dir, 8, fmt.Sprintf("%s=%d", envLimit, limit))
		if err := cmd.Wait(); err == nil {
			t.Errorf("a limit of %d bytes did not stop the run", limit)
		}
		text := strings.TrimSpace(errs.String())
		if text == "" || strings.Contains(text, "\n") {
			t.Errorf("with %d bytes the run says %q", limit, text)
		}
		t.Logf("%d bytes: %s", limit, text)
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			path := filepath.Join(dir, d.Name())
			switch {
			case d.Name() == logFile:
				if data := sum(t, path); len(data) > 0 && data[len(data)-1] != '\n' {
					t.Errorf("with %d bytes the log ends in half a line", limit)
				}
			case limit < size:
				t.Errorf("with %d bytes %s is left", limit, d.Name())
			default:
				if _, err := checkpoint.Load(path); err != nil {
					t.Errorf("with %d bytes a bad checkpoint is left: %v", limit, err)
				}
			}
		}
	}
}

func TestFolderWithoutPermission(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o500); err != nil {
		t.Fatal(err)
	}
	c := newContract(t, false, true)
	for _, dir := range []string{parent, filepath.Join(parent, "below")} {
		_, err := Train(context.Background(), episodes(c, 4, 8), c, killOptions(dir, 4))
		if !errors.Is(err, os.ErrPermission) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if list, err := os.ReadDir(parent); err != nil || len(list) != 0 {
		t.Errorf("%v was left behind (%v)", list, err)
	}
}
