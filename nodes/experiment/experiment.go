// Package experiment runs the experiments that package finetune/experiment
// plans on the simulated arm: it records, trains and evaluates, and writes
// tables and charts of what came out.
package experiment

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"arfm/finetune/experiment"
	"arfm/launch"
	"arfm/nodes/sim"
	"arfm/nodes/sim/mujoco"
	"arfm/policy/contract"
	"arfm/policy/nn"
	"arfm/policy/userfile"
)

// ErrBusy says that another experiment uses the folder.
var ErrBusy = errors.New("another experiment is running in this folder")

// Options say what to do; see Plan and Run.
type Options struct {
	Experiment string            // one of experiment.Names
	Budget     experiment.Budget //
	Suites     []string          // empty: those that the experiment is about
	Methods    []string          // empty: experiment.DefaultMethods
	Name       string            // of the files of tables and charts; empty: the experiment's
	Out        string            // folder of results, tables and charts, shared by experiments
	Program    string            // what the program was built from, for people
	Build      string            // the same to the bit: results of another build are not taken
	Command    string            // that does it again

	Before   func(experiment.Estimate)                  // before the first job; may be nil
	Progress func(done, total int64, job string)        // as jobs advance; may be nil
	Wrote    func(r *experiment.Report, files []string) // when files are written; may be nil
}

// scenes are the suites with the same scene.
var scenes = map[string]string{"spatial": "object", "object": "spatial", "goal": "long", "long": "goal"}

// suitesOf are the suites that an experiment is about.
var suitesOf = map[string][]string{
	"multitask": {"spatial", "object", "goal", "long"},
	"perturb":   {"spatial", "object", "goal", "long"},
	"fewshot":   {"long"},
	"continual": {"goal"},
	"ablation":  {"goal"},
}

// Suites returns the suites that an experiment is about unless others are named.
func Suites(name string) []string { return suitesOf[name] }

// Plan plans an experiment. Errors wrap experiment.ErrOptions.
func (o *Options) Plan() (*experiment.Plan, error) {
	names, methods := o.Suites, o.Methods
	if len(names) == 0 {
		names = Suites(o.Experiment)
	}
	if len(methods) == 0 {
		methods = experiment.DefaultMethods
	}
	var suites []experiment.Suite
	for _, name := range names {
		s, err := sim.FindSuite(name)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", experiment.ErrOptions, err)
		}
		suites = append(suites, experiment.Suite{Name: name, Tasks: len(s.Tasks), Kin: scenes[name]})
	}
	return experiment.New(experiment.Options{
		Experiment: o.Experiment, Budget: o.Budget, Suites: suites, Methods: methods, Build: o.Build + "/" + nn.Backend(),
	})
}

// Run does an experiment, or what is left of it, and writes <name>.md, .json and
// .svg into the folder, in place of those that are there; further charts have more
// behind the name.
// When ctx ends, what is done stays, and the next Run goes on from there.
func Run(ctx context.Context, o Options) (*experiment.Report, error) {
	plan, err := o.Plan()
	if err != nil {
		return nil, err
	}
	return run(ctx, o, plan)
}

func run(ctx context.Context, o Options, plan *experiment.Plan) (*experiment.Report, error) {
	if !sim.Available {
		return nil, mujoco.ErrUnavailable
	}
	if err := os.MkdirAll(o.Out, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the folder for the experiment: %w", err)
	}
	unlock, err := lock(filepath.Join(o.Out, ".lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	yaml, err := launch.Contracts.ReadFile("contracts/sim_state.yaml")
	if err != nil {
		return nil, err
	}
	c, err := contract.Parse(yaml)
	if err != nil {
		return nil, err
	}
	runner := experiment.Runner{
		Dir: o.Out, Worker: &arm{contract: c, read: map[reading]*recording{}}, Cores: runtime.GOMAXPROCS(0),
		Before: o.Before, Progress: o.Progress,
	}
	results, err := runner.Run(ctx, plan)
	if err != nil {
		return nil, err
	}
	r := plan.Tabulate(results, experiment.Made{Command: o.Command, Program: o.Program, Machine: machine()})
	files, err := write(filepath.Join(o.Out, cmp.Or(o.Name, o.Experiment)), r)
	if err == nil && o.Wrote != nil {
		o.Wrote(r, files)
	}
	return r, err
}

// machine describes this machine as far as times depend on it.
func machine() string {
	return fmt.Sprintf("%d cores, %s/%s, products by %s, %s", runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH, nn.Backend(), runtime.Version())
}

// lock takes a folder's lock, which ends with the process.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot write into the experiment's folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w; wait for it or name another folder", filepath.Dir(path), ErrBusy)
	}
	return func() { f.Close() }, nil
}

// write puts tables and charts into files that begin with base and returns their
// paths.
func write(base string, r *experiment.Report) (files []string, err error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	add := func(path string, content []byte) {
		if err != nil {
			return
		}
		err = userfile.Replace(path, func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		})
		if err != nil {
			err = fmt.Errorf("cannot write %s: %w", path, err)
			return
		}
		files = append(files, path)
	}
	add(base+".md", []byte(r.Markdown()))
	add(base+".json", append(data, '\n'))
	for _, c := range Charts(r) {
		add(base+c.Suffix+".svg", c.Plot.SVG())
	}
	return files, err
}
