package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"arfm/policy/checkpoint"
	"arfm/policy/export"
	"arfm/policy/onnx"
	"arfm/policy/userfile"
)

const exportDetail = `onnx: graphs of opset 17, for any batch.
  --graph sampler  policy.onnx: observation and noise in, the chunk out
  --graph parts    encoder.onnx, once for an observation, and step.onnx, one Euler
                   step, to be run n times with tau = i/n and dt = 1/n
The state goes in as it is measured and actions come out as they are to be
commanded, absolute and in SI units. Words of an instruction are hashed outside
(32-bit FNV-1a; the file says how), and of frozen encoders the features are
inputs. Each file documents its inputs and outputs, and its metadata hold
architecture, contract, statistics and normaliser as JSON.

safetensors: policy.safetensors. A checkpoint is a safetensors file already; this
one is for programs that are not arfm: the same tensors under the same names, the
contract as JSON rather than YAML, the normaliser's numbers worked out, no probe.
arfm does not load it.

--json prints an object with
  checkpoint, hash, step
  files: path, bytes, and for onnx inputs and outputs, each name, type, shape
  ("batch" is open) and about; for safetensors tensors and parameters, counts
`

// exportFlags are the flags of arfm export as they are written.
type exportFlags struct {
	out, format string
	onnx        export.Options
	force, json bool
}

func exportCommand() *command {
	fs := newFlags("export")
	f := exportFlags{onnx: export.Options{Producer: version()}}
	fs.StringVar(&f.out, "out", "", "folder for the files, or one file that ends in .onnx or .safetensors")
	fs.StringVar(&f.format, "format", "", "onnx or safetensors (default: as --out ends, else onnx)")
	fs.StringVar(&f.onnx.Graph, "graph", export.Sampler, "onnx: sampler (all in one graph) or parts (encoder and Euler step)")
	fs.IntVar(&f.onnx.Steps, "steps", 0, "onnx: Euler steps of a sampler (default: the policy's)")
	fs.BoolVar(&f.force, "force", false, "replace files that are there")
	fs.BoolVar(&f.json, "json", false, "print what was written as JSON")
	return &command{
		name: "export", args: "CHECKPOINT", flags: fs,
		summary: "Write a trained policy as ONNX, or as plain safetensors, to run it without arfm.",
		detail:  exportDetail,
		example: "arfm export --out policy tuned/policy-00002000.safetensors\n" +
			"arfm export --out policy --graph parts tuned/policy-00002000.safetensors\n" +
			"arfm export --out weights.safetensors tuned/policy-00002000.safetensors",
		run: func(_ context.Context, std streams, args []string) error {
			if len(args) != 1 {
				return usagef("name one checkpoint, not %d", len(args))
			}
			if err := f.check(fs.Changed); err != nil {
				return err
			}
			return f.export(std.out, args[0])
		},
	}
}

// check completes the flags and refuses those that contradict each other.
func (f *exportFlags) check(given func(string) bool) error {
	ending := strings.TrimPrefix(filepath.Ext(f.out), ".")
	single := ending == "onnx" || ending == "safetensors"
	switch {
	case f.out == "":
		return usagef("--out is missing: name a folder, or a file that ends in .onnx or .safetensors")
	case f.format == "" && single:
		f.format = ending
	case f.format == "":
		f.format = "onnx"
	case f.format != "onnx" && f.format != "safetensors":
		return usagef("--format is %q; use onnx or safetensors", f.format)
	case single && f.format != ending:
		return usagef("--format is %s and %s ends in .%s", f.format, f.out, ending)
	}
	switch {
	case f.format != "onnx" && (given("graph") || given("steps")):
		return usagef("--graph and --steps are for --format onnx")
	case f.onnx.Graph == export.Parts && single:
		return usagef("--graph parts makes two files: let --out name a folder, not %s", f.out)
	case f.onnx.Graph == export.Parts && given("steps"):
		return usagef("--steps is for --graph sampler; a step of parts has its length as an input")
	case given("steps") && f.onnx.Steps < 1:
		return usagef("--steps is %d; at least one", f.onnx.Steps)
	}
	return nil
}

// written is what the command reports.
type written struct {
	Checkpoint string        `json:"checkpoint"`
	Hash       string        `json:"hash"`
	Step       int64         `json:"step"`
	Files      []writtenFile `json:"files"`
}

type writtenFile struct {
	Path       string  `json:"path"`
	Bytes      int64   `json:"bytes"`
	Inputs     []value `json:"inputs,omitempty"`
	Outputs    []value `json:"outputs,omitempty"`
	Tensors    int     `json:"tensors,omitempty"`
	Parameters int     `json:"parameters,omitempty"`

	write func(path string) error
}

type value struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []any  `json:"shape"`
	About string `json:"about"`
}

// export makes everything before it writes anything.
func (f *exportFlags) export(w io.Writer, path string) error {
	ck, err := checkpoint.Load(path)
	if err != nil {
		return err
	}
	r := written{Checkpoint: path, Hash: ck.Hash, Step: ck.Step}
	if f.format == "onnx" {
		r.Files, err = f.graphs(ck)
	} else {
		r.Files, err = f.tensors(ck)
	}
	if err != nil {
		return err
	}
	for i := range r.Files {
		if err := f.free(r.Files[i].Path, path); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(r.Files[0].Path), 0o755); err != nil {
		return err
	}
	for i := range r.Files {
		file := &r.Files[i]
		if err := file.write(file.Path); err != nil {
			return err
		}
		info, err := os.Stat(file.Path)
		if err != nil {
			return err
		}
		file.Bytes = info.Size()
	}
	if f.json {
		return writeJSON(w, r)
	}
	r.print(w)
	return nil
}

// path is where a file of that name goes.
func (f *exportFlags) path(name string) string {
	if filepath.Ext(f.out) == "."+f.format {
		return f.out
	}
	return filepath.Join(f.out, name+"."+f.format)
}

// free refuses a path that is taken, and the checkpoint's own in any case.
func (f *exportFlags) free(path, source string) error {
	there, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !f.force:
		return fmt.Errorf("%s is there already; name another, or say --force to replace it", path)
	}
	if own, err := os.Stat(source); err != nil || os.SameFile(there, own) {
		return fmt.Errorf("%s is the checkpoint itself; name another file", path)
	}
	return nil
}

func (f *exportFlags) graphs(ck *checkpoint.Checkpoint) ([]writtenFile, error) {
	models, err := export.ONNX(ck, f.onnx)
	if errors.Is(err, export.ErrOptions) {
		return nil, usageError{err}
	}
	if err != nil {
		return nil, err
	}
	var files []writtenFile
	for _, m := range models {
		data, err := m.File.Bytes()
		if err != nil {
			return nil, err
		}
		files = append(files, writtenFile{
			Path: f.path(m.Name), Inputs: values(m.File.Inputs, m.File.Docs), Outputs: values(m.File.Outputs, m.File.Docs),
			write: func(path string) error {
				return userfile.Replace(path, func(w io.Writer) error {
					_, err := w.Write(data)
					return err
				})
			},
		})
	}
	return files, nil
}

func values(list []onnx.Value, docs map[string]string) []value {
	var out []value
	for _, v := range list {
		shape := []any{}
		for _, d := range v.Dims {
			if d.Symbol != "" {
				shape = append(shape, d.Symbol)
			} else {
				shape = append(shape, d.Size)
			}
		}
		out = append(out, value{v.Name, v.Type.String(), shape, docs[v.Name]})
	}
	return out
}

func (f *exportFlags) tensors(ck *checkpoint.Checkpoint) ([]writtenFile, error) {
	tensors, meta, err := export.Tensors(ck)
	if err != nil {
		return nil, err
	}
	return []writtenFile{{
		Path: f.path("policy"), Tensors: len(tensors), Parameters: len(ck.Model.Params.Data),
		write: func(path string) error { return checkpoint.WriteTensors(path, tensors, meta) },
	}}, nil
}

func (r *written) print(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	list := func(way string, values []value) {
		for _, v := range values {
			fmt.Fprintf(tw, "  %s\t%q\t%s\t%v\n", way, v.Name, v.Type, v.Shape)
		}
	}
	for _, f := range r.Files {
		fmt.Fprintf(tw, "%s, %d bytes\n", f.Path, f.Bytes)
		list("in", f.Inputs)
		list("out", f.Outputs)
		if f.Tensors > 0 {
			fmt.Fprintf(tw, "  %d tensors, %d parameters\n", f.Tensors, f.Parameters)
		}
	}
	tw.Flush()
}
