package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"arfm/finetune"
	"arfm/finetune/objective"
	"arfm/nodes/bench"
	"arfm/nodes/onnxtool"
	"arfm/policy/contract"
)

// benchError makes a mistake in the settings one in the words of the command line.
func benchError(err error) error {
	if errors.Is(err, bench.ErrSetup) || errors.Is(err, finetune.ErrOptions) {
		return usageError{err}
	}
	return err
}

// printReport prints a measurement, as JSON if asked.
func printReport(std streams, asJSON bool, r fmt.Stringer) error {
	if asJSON {
		return writeJSON(std.out, r)
	}
	_, err := fmt.Fprint(std.out, r)
	return err
}

func setupFlags(fs *pflag.FlagSet, s *bench.Setup, runs, batch int) {
	fs.StringVar(&s.Preset, "preset", "base", "architecture: nano, base, large")
	fs.IntVar(&s.Width, "width", 0, "width of its tokens in place of the preset's")
	fs.IntVar(&s.Cameras, "cameras", 1, "cameras that the policy sees")
	fs.IntVar(&s.ImageSize, "image-size", 96, "side of the cameras' square images, pixels")
	fs.IntVar(&s.StateDim, "state", 7, "numbers in the state")
	fs.IntVar(&s.StateFields, "state-fields", 1, "entries of the contract that the state comes from; each of several is a token of its own")
	fs.IntVar(&s.ActionDim, "actions", 7, "numbers in an action")
	fs.IntVar(&s.Horizon, "horizon", 16, "actions in a chunk")
	fs.BoolVar(&s.Language, "language", true, "read an instruction; --language=false leaves it out")
	fs.IntVar(&s.Words, "words", 0, "words that there is room for, in place of the preset's number; each is a token")
	fs.IntVar(&s.Batch, "batch", batch, "observations at once, or chunks of a training step")
	fs.IntVar(&s.Runs, "runs", runs, "measured repetitions")
	fs.IntVar(&s.Seed, "seed", 1, "seed of weights and inputs")
}

func benchInferCommand() *command {
	fs := newFlags("infer")
	var s bench.Setup
	setupFlags(fs, &s, 50, 1)
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "infer", flags: fs,
		summary: "Time from an observation to an action chunk.",
		example: "arfm bench infer --preset base --json",
		run: func(ctx context.Context, std streams, _ []string) error {
			r, err := bench.Infer(ctx, s)
			if err != nil {
				return benchError(err)
			}
			return printReport(std, *asJSON, r)
		},
	}
}

func benchTrainCommand() *command {
	fs := newFlags("train")
	var s bench.Setup
	setupFlags(fs, &s, 20, 16)
	name := fs.String("objective", "arfm", "objective: "+strings.Join(objective.Names(), ", "))
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "train", flags: fs,
		summary: "Time of a training step, by what it is spent on.",
		example: "arfm bench train --preset base --batch 16",
		run: func(ctx context.Context, std streams, _ []string) error {
			r, err := bench.Train(ctx, s, *name)
			if err != nil {
				return benchError(err)
			}
			return printReport(std, *asJSON, r)
		},
	}
}

func benchIngestCommand() *command {
	fs := newFlags("ingest")
	contractPath := fs.StringP("contract", "c", "", "contract to read BAG with")
	size := byteCount(100e6)
	fs.Var(&size, "bytes", "size of the bag that is made up when none is named, such as 1G")
	runs := fs.Int("runs", 3, "times that it is read on each number of cores")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "ingest", args: "[BAG]", flags: fs,
		summary: "Speed at which a bag becomes training episodes, on one core and on all.",
		detail: `A made-up bag, of joints and a JPEG camera, is also read with foxglove's Go reader
and image/jpeg alone, turn and turn about, to compare.
`,
		example: "arfm bench ingest --bytes 1G\narfm bench ingest --contract arm.yaml my_bag",
		run: func(ctx context.Context, std streams, args []string) error {
			var path string
			var c *contract.Contract
			switch {
			case len(args) > 1:
				return usagef("name one bag, not %d", len(args))
			case len(args) == 1 && *contractPath == "":
				return usagef("--contract is missing: name the contract to read %s with", args[0])
			case len(args) == 1:
				path = args[0]
				var err error
				if c, err = contract.Load(*contractPath); err != nil {
					return err
				}
			case size < 1e6 || size > 100e9:
				return usagef("--bytes is %v; it must lie in [1M, 100G]", &size)
			}
			r, err := bench.Ingest(ctx, path, c, int64(size), *runs)
			if err != nil {
				return benchError(err)
			}
			return printReport(std, *asJSON, r)
		},
	}
}

func benchSwapCommand() *command {
	fs := newFlags("swap")
	preset := fs.String("preset", "base", "architecture: nano, base, large")
	n := fs.Int("swaps", 100, "good checkpoints to swap in")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "swap", flags: fs,
		summary: "Swap checkpoints, good and bad, under a 20 Hz loop and count missed ticks.",
		example: "arfm bench swap --swaps 100",
		run: func(ctx context.Context, std streams, _ []string) error {
			bar := newProgress(std.err, "swapping")
			r, err := bench.Swap(ctx, *preset, *n, func(done, total int) { bar.at(int64(done), int64(total), "") })
			bar.done()
			if err != nil {
				return benchError(err)
			}
			if err := printReport(std, *asJSON, r); err != nil {
				return err
			}
			return r.Err()
		},
	}
}

func benchPeersCommand() *command {
	fs := newFlags("peers")
	rounds := fs.Int("rounds", 7, "rounds of each race")
	size := byteCount(50e6)
	fs.Var(&size, "bytes", "size of the bag that is read, such as 1G; 0 leaves it out")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "peers", flags: fs,
		summary: "Hold arfm against ONNX Runtime, PyTorch and other programs, and what it reaches against its goals.",
		detail: `The same policy runs in each, weight for weight, in processes that stay, turn and
turn about with ours; a peer whose answer differs is refused. ONNX Runtime is
taken from build/ort or from the folder that ARFM_ORT names, PyTorch from the
python3 on the PATH and from /usr/bin/python3. Figures are of use on a machine
that has nothing else to do.
`,
		example: "arfm bench peers --rounds 15 --bytes 1G",
		run: func(ctx context.Context, std streams, _ []string) error {
			if size != 0 && (size < 1e6 || size > 100e9) {
				return usagef("--bytes is %v; it must be 0 or lie in [1M, 100G]", &size)
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			bar := newProgress(std.err, "measuring")
			r, err := bench.Peers(ctx, bench.PeersOptions{
				Rounds: *rounds, Bytes: int64(size), Loop: []string{self, "bench", "infer", "--preset", "base", "--json"},
				Progress: func(done, total int, note string) { bar.at(int64(done), int64(total), note) },
			})
			bar.done()
			if err != nil {
				if r != nil && len(r.Works) > 0 && !*asJSON {
					fmt.Fprintln(std.out, r) // half an hour may be behind it
				}
				return benchError(err)
			}
			if err := printReport(std, *asJSON, r); err != nil {
				return err
			}
			return r.Err()
		},
	}
}

func benchONNXCommand() *command {
	fs := newFlags("onnx")
	var f onnxFlags
	f.add(fs)
	rounds := fs.Int("rounds", 7, "rounds of the race")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "onnx", args: "MODEL", flags: fs,
		summary: "Hold the time of an ONNX model against ONNX Runtime's.",
		detail:  randomInputs + "\nONNX Runtime is taken from build/ort or from the folder that ARFM_ORT names; its\nfirst output has to agree with ours.\n",
		example: "arfm bench onnx encoder.onnx",
		run: func(ctx context.Context, std streams, args []string) error {
			path, o, err := f.read(args)
			if err != nil {
				return err
			}
			m, inputs, err := onnxtool.Ready(ctx, path, o)
			if err != nil {
				return onnxError(err)
			}
			defer m.Close()
			r, err := bench.ONNX(ctx, path, m, inputs, *rounds)
			if err != nil {
				return benchError(err)
			}
			return printReport(std, *asJSON, r)
		},
	}
}
