package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"arfm/policy/userfile"
)

// ErrDamaged says that a result in an experiment's folder is not what was
// written there.
var ErrDamaged = errors.New("not a job's result")

// Worker does the jobs of kinds record, train and evaluate, one core each.
type Worker interface {
	// Do does a job with the given ID in the folder dir, which may hold what an
	// interrupted try left. tell takes the share that is done. When ctx ends it
	// keeps what helps the next try, and returns ctx's error.
	Do(ctx context.Context, id string, j Job, dir string, needs Needs, tell func(share float64)) (*Done, error)
	// Tidy removes what a job needed only while it was under way.
	Tidy(j Job, dir string) error
}

// Needs are the results of the jobs before, and the folders that they lie in.
type Needs interface {
	Done(id string) *Done
	Dir(id string) string
}

// Results are those of a plan's jobs in a folder.
type Results struct {
	root string
	mu   sync.Mutex
	done map[string]*Done
}

// Done returns the result of a job; nil: it is not done.
func (r *Results) Done(id string) *Done {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done[id]
}

// Dir returns the folder of a job.
func (r *Results) Dir(id string) string { return filepath.Join(r.root, jobsDir, id) }

const (
	jobsDir    = "jobs"
	resultFile = "result.json"
	// maxResult bounds what is read of a result: 250 episodes take 20 kB.
	maxResult = 16 << 20
)

// load reads the results that lie in the folder root.
func load(root string, p *Plan) (*Results, error) {
	r := &Results{root: root, done: map[string]*Done{}}
	for _, j := range p.Jobs {
		d, err := r.read(j.ID, p.Build)
		if err != nil {
			return nil, err
		}
		if d != nil {
			r.done[j.ID] = d
		}
	}
	return r, nil
}

// read returns a job's result, nil if there is none.
func (r *Results) read(id, build string) (*Done, error) {
	path := filepath.Join(r.Dir(id), resultFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	data, err := userfile.Read(path, maxResult)
	if err != nil {
		return nil, fmt.Errorf("cannot read the result %s: %w; remove its folder to do the job again", path, err)
	}
	var d Done
	err = json.Unmarshal(data, &d)
	sum, failed := d.sum()
	if err != nil || failed != nil || sum != d.Sum || d.Job.ID(build) != id || !d.whole() {
		return nil, fmt.Errorf("%s is %w; remove its folder to do the job again", path, ErrDamaged)
	}
	return &d, nil
}

// whole says whether the result has what its job gives.
func (d *Done) whole() bool {
	j := d.Job
	return (j.Record != nil) == (d.Recorded != nil) && (j.Train != nil) == (d.Trained != nil) &&
		(j.Choose != nil) == (d.Chosen != nil && d.Chosen.Best >= 0 && d.Chosen.Best < len(j.Choose.Scores)) &&
		(j.Evaluate != nil) == (d.Evaluated != nil && len(d.Evaluated.Outcomes) == j.Evaluate.Episodes)
}

// write stores a job's result, whole or not at all.
func (r *Results) write(id string, d *Done) error {
	dir := r.Dir(id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var err error
	if d.Sum, err = d.sum(); err != nil {
		return err
	}
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	err = userfile.Replace(filepath.Join(dir, resultFile), func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[id] = d
	return nil
}

// Estimate is what is left of a plan.
type Estimate struct {
	Jobs, Done int     // of the plan, and those done before
	Seconds    float64 // about, for what is left, on the cores that it gets
}

// Runner does plans.
type Runner struct {
	Dir    string // folder of results; made if need be
	Worker Worker
	Cores  int            // jobs at a time
	Before func(Estimate) // called before the first job; may be nil
	// Progress is called as jobs advance, with the work done and all work since
	// Before, and a job that is under way; may be nil.
	Progress func(done, total int64, job string)
}

// Run does the jobs of a plan that have no result in the folder yet. On an error,
// or when ctx ends, results so far stay, and the next Run goes on from there.
func (r *Runner) Run(ctx context.Context, p *Plan) (*Results, error) {
	results, err := load(r.Dir, p)
	if err != nil {
		return nil, err
	}
	run := &running{Runner: r, results: results, build: p.Build, shares: map[string]float64{}, under: map[string]bool{}}
	for _, j := range p.Jobs {
		if results.Done(j.ID) == nil {
			run.left = append(run.left, j)
			run.total += j.cost()
		}
	}
	if r.Before != nil {
		r.Before(Estimate{len(p.Jobs), len(p.Jobs) - len(run.left), run.total / float64(max(1, r.Cores))})
	}
	return results, run.all(ctx)
}

// running is a Run under way.
type running struct {
	*Runner
	results *Results
	build   string

	mu          sync.Mutex
	left        []Planned // not begun
	under       map[string]bool
	shares      map[string]float64 // of the jobs under way that is done
	total, done float64
	cond        *sync.Cond
	err         error
}

// all does what is left, Cores jobs at a time.
func (r *running) all(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.cond = sync.NewCond(&r.mu)
	stop := context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.err == nil {
			r.err = ctx.Err()
		}
		r.cond.Broadcast()
	})
	defer stop()
	var cores sync.WaitGroup
	for range max(1, r.Cores) {
		cores.Go(func() {
			for {
				j, ok := r.next()
				if !ok {
					return
				}
				r.finish(j, r.do(ctx, j))
				if r.failed() {
					cancel() // the others have no use any more
				}
			}
		})
	}
	cores.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *running) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err != nil
}

// next waits for a job whose needs are done; false: there is nothing to do any
// more.
func (r *running) next() (Planned, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.err != nil || len(r.left) == 0 {
			return Planned{}, false
		}
		for i, j := range r.left {
			if r.ready(j) {
				r.left = append(r.left[:i:i], r.left[i+1:]...)
				r.under[j.ID] = true
				return j, true
			}
		}
		if len(r.under) == 0 {
			r.err = errors.New("a plan whose jobs wait for each other") // no plan of New's
			return Planned{}, false
		}
		r.cond.Wait()
	}
}

func (r *running) ready(j Planned) bool {
	for _, id := range j.Needs() {
		if r.results.Done(id) == nil {
			return false
		}
	}
	return true
}

// do does one job and stores its result.
func (r *running) do(ctx context.Context, j Planned) error {
	start := time.Now()
	var d *Done
	if j.Choose != nil {
		d = &Done{Chosen: choose(j.Choose, r.results.Done)}
	} else {
		dir := r.results.Dir(j.ID)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		var err error
		tell := func(share float64) { r.advance(j, share) }
		if d, err = r.Worker.Do(ctx, j.ID, j.Job, dir, r.results, tell); err != nil {
			return fmt.Errorf("%s: %w", j.ID, err)
		}
	}
	d.Job, d.Seconds = j.Job, time.Since(start).Seconds()
	if err := r.results.write(j.ID, d); err != nil {
		return fmt.Errorf("%s: cannot store its result: %w", j.ID, err)
	}
	if j.Choose != nil { // not the worker's
		return nil
	}
	return r.Worker.Tidy(j.Job, r.results.Dir(j.ID))
}

// advance takes note that a share of a job is done.
func (r *running) advance(j Planned, share float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done += j.cost() * (share - r.shares[j.ID])
	r.shares[j.ID] = share
	if r.Progress != nil {
		r.Progress(int64(r.done), int64(r.total), j.Kind())
	}
}

// finish takes note that a job has ended.
func (r *running) finish(j Planned, err error) {
	if err == nil {
		r.advance(j, 1)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.under, j.ID)
	if err != nil && r.err == nil {
		r.err = err
	}
	r.cond.Broadcast()
}
