package finetune

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// ErrResume says that a run cannot be resumed as asked.
var ErrResume = errors.New("the run cannot be resumed")

// stateVersion is raised when a build of before would read a state wrongly.
const stateVersion = "3"

// maxStateBytes bounds a training state: four vectors of the largest model.
const maxStateBytes = 4 << 30

// state is a run between two steps, as its file holds it: with it, the data
// and the settings, the next step is the one that an unbroken run would take.
type state struct {
	step        int64
	options     Options // less those that JSON leaves out
	bags        []string
	published   []published
	model       vla.Config
	contract    string // YAML
	stats       *contract.Stats
	parent      string // hash of the checkpoint the run started from
	fingerprint string // of the data
	streams     []byte // JSON
	orderStart  []byte
	orderAt     int
	tensors     map[string][]float32 // those of trainer.vectors
}

func (t *trainer) saveState() error {
	meta := map[string]string{
		"arfm": "training state", "version": stateVersion, "step": strconv.FormatInt(t.n, 10),
		"contract": string(t.contract.YAML()), "parent": t.parent, "fingerprint": t.fingerprint,
		"order_start": hex.EncodeToString(t.order.start), "order_at": strconv.Itoa(t.order.at),
	}
	o := t.o
	if o.Publish != "" {
		var err error
		if o.Publish, err = filepath.Abs(o.Publish); err != nil {
			return fileError("find the folder to publish in", err)
		}
	}
	for key, v := range map[string]any{
		"options": &o, "bags": t.bags, "published": t.published, "model": t.model.Config, "stats": t.stats, "streams": t.streams,
	} {
		data, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("training state: %s: %w", key, err)
		}
		meta[key] = string(data)
	}
	names, vectors := t.vectors()
	var tensors []checkpoint.Tensor
	for _, name := range names {
		tensors = append(tensors, checkpoint.NewTensor(name, vectors[name]))
	}
	return checkpoint.WriteTensors(t.o.statePath(), tensors, meta)
}

// vectors are what steps change, by name, and the order in which they are saved.
func (t *trainer) vectors() ([]string, map[string][]float32) {
	names, all := []string{"params", "m", "v"}, map[string][]float32{"params": t.model.Params.Data, "m": t.adam.M, "v": t.adam.V}
	if t.adam.Average != nil {
		names, all["average"] = append(names, "average"), t.adam.Average
	}
	if t.critic != nil {
		own := t.critic.Vectors()
		for _, name := range slices.Sorted(maps.Keys(own)) {
			key := "critic." + name
			names, all[key] = append(names, key), own[name]
		}
	}
	return names, all
}

// readState reads the training state in the folder out.
func readState(out string) (*state, error) {
	path := filepath.Join(out, StateFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: folder %s holds no training state; begin a run there without resuming", ErrResume, out)
	}
	tensors, meta, err := checkpoint.ReadTensors(path, maxStateBytes)
	switch damage := fmt.Errorf("%w: the training state %s is damaged; start anew in another folder, from the newest checkpoint", ErrResume, path); {
	case errors.Is(err, checkpoint.ErrNotRegular), errors.Is(err, checkpoint.ErrPermission), errors.Is(err, checkpoint.ErrRead):
		return nil, err
	case err != nil:
		return nil, damage
	}
	if v := meta["version"]; v != stateVersion && v != oldVersion {
		return nil, fmt.Errorf("%w: %s is no training state of version %s; start anew in another folder", ErrResume, path, stateVersion)
	}
	s := &state{contract: meta["contract"], parent: meta["parent"], fingerprint: meta["fingerprint"], streams: []byte(meta["streams"]), tensors: map[string][]float32{}}
	err = errors.Join(
		json.Unmarshal([]byte(meta["options"]), &s.options), json.Unmarshal([]byte(meta["bags"]), &s.bags),
		json.Unmarshal([]byte(meta["published"]), &s.published), json.Unmarshal([]byte(meta["model"]), &s.model),
		json.Unmarshal([]byte(meta["stats"]), &s.stats))
	if err == nil && meta["version"] == oldVersion {
		s.options.Tuning, err = oldTuning(meta["options"])
	}
	s.options.Tuning = s.options.Tuning.Complete()
	if err == nil {
		s.step, err = strconv.ParseInt(meta["step"], 10, 64)
	}
	if err == nil {
		s.orderAt, err = strconv.Atoi(meta["order_at"])
	}
	if err == nil {
		s.orderStart, err = hex.DecodeString(meta["order_start"])
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the training state %s is damaged (%v); start anew in another folder", ErrResume, path, err)
	}
	for _, t := range tensors {
		if s.tensors[t.Name], err = checkpoint.Values[float32](t); err != nil {
			return nil, fmt.Errorf("training state %s: %w", path, err)
		}
	}
	return s, nil
}

// Saved is what the training state of a run says of it.
type Saved struct {
	Options  Options // with Out and Resume set, and without Init
	Contract *contract.Contract
	Bags     []string // absolute paths
	Step     int64    // steps done
}

// ReadSaved reads what a run in the folder out was asked for, so that it can be
// resumed. Errors wrap ErrResume or the sentinels of package checkpoint.
func ReadSaved(out string) (*Saved, error) {
	s, err := readState(out)
	if err != nil {
		return nil, err
	}
	s.options.Out, s.options.Resume = out, true
	c, err := contract.Parse([]byte(s.contract))
	if err != nil {
		return nil, fmt.Errorf("%w: the contract in %s is damaged (%w); start anew in another folder", ErrResume, filepath.Join(out, StateFile), err)
	}
	return &Saved{s.options, c, s.bags, s.step}, nil
}

// refuse says why a state cannot be gone on from.
func (t *trainer) refuse(format string, args ...any) error {
	return fmt.Errorf("%w from %s: %s", ErrResume, t.o.statePath(), fmt.Sprintf(format, args...))
}

// same refuses a state of other settings or another contract.
func (t *trainer) same(s *state) error {
	now, was := t.o.Settings, s.options.Settings
	now.Model, was.Model = vla.Config{}, vla.Config{} // begin compares them
	different, err := now.difference(&was)
	switch yaml := string(t.contract.YAML()); {
	case err != nil:
		return err
	case different != "":
		return t.refuse("%s; use the same settings or another folder", different)
	case t.o.Name != s.options.Name:
		return t.refuse("name is %s now and was %s; use the same or another folder", t.o.Name, s.options.Name)
	case s.contract != yaml:
		now, was := otherLine(yaml, s.contract)
		return t.refuse("the contract has %q now where it had %q; use the same one or another folder", now, was)
	}
	return nil
}

// otherLine returns the first line in which two texts differ.
func otherLine(a, b string) (inA, inB string) {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return strings.TrimSpace(x[i]), strings.TrimSpace(y[i])
		}
	}
	return "", ""
}

// restore brings a freshly built trainer to a saved state, which must be of the
// same data.
func (t *trainer) restore(s *state) error {
	if s.fingerprint != t.fingerprint {
		return t.refuse("the episodes are others than those of %s; use the same bags or another folder", bagNames(s.bags))
	}
	_, vectors := t.vectors()
	for name, dst := range vectors {
		if len(s.tensors[name]) != len(dst) || !finite(s.tensors[name]) {
			return t.refuse("its tensor %q does not fit or is not finite; start anew in another folder", name)
		}
	}
	if err := json.Unmarshal(s.streams, t.streams); err != nil {
		return t.refuse("its random streams are damaged (%v); start anew in another folder", err)
	}
	t.order.s = t.streams.Get(streamOrder)
	if err := t.order.restore(s.orderStart, s.orderAt); err != nil {
		return t.refuse("its data order is damaged (%v); start anew in another folder", err)
	}
	for name, dst := range vectors {
		copy(dst, s.tensors[name])
	}
	if t.critic != nil && s.step > 0 {
		t.critic.Resume(t.obj.Needs().Critic.WarmUp + s.step)
	}
	t.n, t.adam.Step, t.saved, t.published = s.step, s.step, s.step, s.published
	return nil
}

// bagNames lists paths, the first few of them.
func bagNames(paths []string) string {
	const most = 3
	if len(paths) <= most {
		return strings.Join(paths, ", ")
	}
	return fmt.Sprintf("%s and %d more bags", strings.Join(paths[:most], ", "), len(paths)-most)
}

// clean removes what killed runs left half-written. The caller holds the
// folder's lock.
func (o *Options) clean() error {
	list, err := os.ReadDir(o.Out)
	if err != nil {
		return fileError("look for half-written files", err)
	}
	for _, d := range list {
		name := d.Name()
		ours := strings.HasPrefix(name, "."+o.Name+"-") || strings.HasPrefix(name, "."+StateFile)
		if ours && strings.Contains(name, ".safetensors.tmp-") {
			if err := os.Remove(filepath.Join(o.Out, name)); err != nil {
				return fileError("remove a half-written file", err)
			}
		}
	}
	return nil
}

// saved returns the steps of the checkpoints of this name, rising.
func (o *Options) saved() ([]int64, error) {
	list, err := os.ReadDir(o.Out)
	if err != nil {
		return nil, fileError("look for old checkpoints", err)
	}
	var steps []int64
	for _, d := range list {
		middle, ok := strings.CutPrefix(d.Name(), o.Name+"-")
		middle, ok2 := strings.CutSuffix(middle, ".safetensors")
		step, err := strconv.ParseInt(middle, 10, 64)
		if ok && ok2 && err == nil && filepath.Base(o.checkpointPath(step)) == d.Name() {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

// prune removes all but the newest Keep checkpoints of this name up to a step.
// Later ones are of a killed run and are left to be written again.
func (o *Options) prune(step int64) error {
	steps, err := o.saved()
	if err != nil || o.Keep == 0 {
		return err
	}
	steps = slices.DeleteFunc(steps, func(s int64) bool { return s > step })
	for _, s := range steps[:max(0, len(steps)-o.Keep)] {
		if err := os.Remove(o.checkpointPath(s)); err != nil {
			return fileError("remove an old checkpoint", err)
		}
	}
	return nil
}
