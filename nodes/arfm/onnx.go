package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"arfm/nodes/onnxtool"
)

// onnxFlags say what a model's inputs are.
type onnxFlags struct {
	dims           map[string]int
	inputs, ranges []string
	seed           uint64
}

func (f *onnxFlags) add(fs *pflag.FlagSet) {
	fs.StringToIntVar(&f.dims, "dims", nil, "sizes of open dimensions, such as batch=1,sequence=16 (default: 1 each)")
	fs.StringArrayVarP(&f.inputs, "input", "i", nil, "NAME=FILE: read this input from an npy file or a TensorProto (.pb); repeatable")
	fs.StringArrayVar(&f.ranges, "range", nil, "NAME=LOW:HIGH: bounds of this input's random numbers; repeatable")
	fs.Uint64Var(&f.seed, "seed", 1, "seed of random inputs")
}

// randomInputs is what the help says of inputs without a file.
const randomInputs = `Inputs that are not given as files are random: floats standard normal, integers
and bools 0 or 1 (numbers of words must not exceed the vocabulary; --range allows
more), uint8 0 to 255. Floats of a --range lie in [LOW, HIGH), integers in
[LOW, HIGH]. Strings come from a file.
`

// read gives the only argument, a model, and what the flags say.
func (f *onnxFlags) read(args []string) (path string, o onnxtool.Options, err error) {
	if len(args) != 1 {
		return "", o, usagef("name one ONNX model, not %d", len(args))
	}
	o, err = f.options()
	return args[0], o, err
}

func (f *onnxFlags) options() (onnxtool.Options, error) {
	o := onnxtool.Options{Dims: f.dims, Seed: f.seed, Inputs: map[string]string{}, Ranges: map[string]onnxtool.Range{}}
	for _, s := range f.inputs {
		name, file, ok := strings.Cut(s, "=")
		if !ok || file == "" {
			return o, usagef("--input is %q; it must be NAME=FILE", s)
		}
		o.Inputs[name] = file
	}
	for _, s := range f.ranges {
		name, bounds, ok := strings.Cut(s, "=")
		if !ok {
			return o, usagef("--range is %q; it must be NAME=LOW:HIGH", s)
		}
		r, err := onnxtool.ParseRange(bounds)
		if err != nil {
			return o, usageError{err}
		}
		o.Ranges[name] = r
	}
	return o, nil
}

// onnxError makes options that do not fit the model a mistake in the words of
// the command line.
func onnxError(err error) error {
	if errors.Is(err, onnxtool.ErrOptions) {
		return usageError{err}
	}
	return err
}

func onnxInfoCommand() *command {
	fs := newFlags("info")
	var f onnxFlags
	layers := fs.Bool("layers", false, "run the model, and say what each layer and each operator takes")
	runs := fs.Int("runs", 10, "runs to take the times from, with --layers")
	f.add(fs)
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "info", args: "MODEL", flags: fs,
		summary: "Say what is in an ONNX model, whether it runs here, and what it takes.",
		detail: `The exit status is 1 if the model does not run; what stands in the way is said.
Steps and memory are those at --dims and the sizes of --input.
` + randomInputs + `
--json prints an object:
  path, producer, opsets, inputs and outputs (name, type, dims), nodes,
  operators (name, nodes, supported), unsupported, parameters (type, tensors,
  elements, bytes), external_data, runs, problem, dims, steps, arena_bytes,
  timing: total (runs, min_ms, median_ms, p90_ms, max_ms), operators (operator,
  layers, ms, share), layers (node, operator, result, ms, share); ms are medians
  over the runs, shares of the layers' sum
`,
		example: "arfm onnx info encoder.onnx\narfm onnx info --dims batch=1,sequence=16 --layers encoder.onnx",
		run: func(ctx context.Context, std streams, args []string) error {
			path, o, err := f.read(args)
			if err != nil {
				return err
			}
			if *runs < 1 {
				return usagef("--runs is %d; it must be at least 1", *runs)
			}
			n := 0
			if *layers {
				n = *runs
			}
			bar := newProgress(std.err, "running")
			o.Progress = func(done, total int) { bar.at(int64(done), int64(total), "") }
			info, err := onnxtool.Inspect(ctx, path, o, n)
			bar.done()
			if err != nil {
				return onnxError(err)
			}
			if err := printReport(std, *asJSON, info); err != nil {
				return err
			}
			return info.Err()
		},
	}
}

func onnxRunCommand() *command {
	fs := newFlags("run")
	var f onnxFlags
	f.add(fs)
	output := fs.StringP("output", "o", "", "folder to write inputs and outputs to, as npy files (strings: .pb)")
	force := fs.Bool("force", false, "replace files that lie in --output")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "run", args: "MODEL", flags: fs,
		summary: "Run an ONNX model once and say what comes out.",
		detail: randomInputs + `
--json prints an object:
  path, ms, files, inputs and outputs (name, type, shape, min, max, mean, std of
  the finite elements, nan, infinite; of strings the first 100: strings)
`,
		example: "arfm onnx run encoder.onnx\narfm onnx run -i input_ids=ids.npy --range attention_mask=1:1 --output out encoder.onnx",
		run: func(ctx context.Context, std streams, args []string) error {
			path, o, err := f.read(args)
			if err != nil {
				return err
			}
			r, err := onnxtool.Run(ctx, path, o)
			if err != nil {
				return onnxError(err)
			}
			if *output != "" {
				if err := r.Write(*output, *force); err != nil {
					return err
				}
			}
			return printReport(std, *asJSON, r)
		},
	}
}

func onnxCompareCommand() *command {
	fs := newFlags("compare")
	data := fs.StringArrayP("data", "d", nil, "folder of expected outputs (default: the model's own); repeatable")
	with := fs.StringP("with", "w", "", "another model, to compare with on the same inputs")
	var f onnxFlags
	f.add(fs)
	var tol onnxtool.Tolerance
	fs.Float64Var(&tol.Rel, "rtol", 1e-3, "tolerance relative to the element expected")
	fs.Float64Var(&tol.Abs, "atol", 1e-5, "absolute tolerance, added to that")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "compare", args: "MODEL", flags: fs,
		summary: "Compare an ONNX model's outputs with expected ones, or with another model's.",
		detail: `The exit status is 1 if an element lies further off than --atol + --rtol times
the element expected.

A folder of expected outputs holds input_0.pb, output_0.pb and so on, as the ONNX
project's test data does, or files called as inputs and outputs are, as arfm onnx
run --output writes them; .npy does as well as .pb. It may have several such sets
in folders called test_data_set_*.

With --with, inputs and outputs belong together by name or else by position, and
may differ in type. --dims, --input, --range and --seed say what both get.
` + randomInputs + `
--json prints an object:
  path, rtol, atol, sets: against, outputs (name, elements, outside, max_abs,
  max_rel, worst, problem)
`,
		example: "arfm onnx compare encoder.onnx --data test_data\narfm onnx compare encoder-int8.onnx --with encoder.onnx --rtol 0.1 --atol 0.05",
		run: func(ctx context.Context, std streams, args []string) error {
			path, o, err := f.read(args)
			if err != nil {
				return err
			}
			switch {
			case !(tol.Rel >= 0 && tol.Abs >= 0):
				return usagef("--rtol is %g and --atol %g; neither may be negative", tol.Rel, tol.Abs)
			case *with != "" && len(*data) > 0:
				return usagef("give --data or --with, not both")
			case *with == "" && (len(o.Inputs)+len(o.Ranges)+len(o.Dims) > 0 || fs.Changed("seed")):
				return usagef("--dims, --input, --range and --seed belong to --with; expected outputs come with their inputs")
			}
			c, err := compareONNX(ctx, std, path, *with, *data, o, tol)
			if err != nil {
				return onnxError(err)
			}
			if err := printReport(std, *asJSON, c); err != nil {
				return err
			}
			return c.Err()
		},
	}
}

func compareONNX(ctx context.Context, std streams, path, with string, data []string, o onnxtool.Options, tol onnxtool.Tolerance) (*onnxtool.Comparison, error) {
	if with != "" {
		return onnxtool.CompareWith(ctx, path, with, o, tol)
	}
	bar := newProgress(std.err, "comparing")
	defer bar.done()
	return onnxtool.Compare(ctx, path, data, tol, func(done, total int) { bar.at(int64(done), int64(total), "") })
}
