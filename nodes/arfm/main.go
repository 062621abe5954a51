// Command arfm trains flow-matching policies from rosbags and runs them. It
// reads flags and wires packages; what it wires lies in the packages.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return root().execute(ctx, args, stdout, stderr)
}

func root() *command {
	return &command{
		name:    "arfm",
		summary: "Run flow-matching policies on robot arms, and improve them from rosbags of good and bad demonstrations.",
		version: version,
		detail: `First steps: arfm bag info shows a recording's topics; a contract YAML ties them
to observation and action (examples: launch/contracts); arfm bag check says how
it fits; arfm train trains; arfm run shows what the policy answers.
Exit status: 0 done, 1 failed, 2 mistake in the command line.
`,
		sub: []*command{
			demoCommand(),
			{
				name:    "bag",
				summary: "Look into rosbags: what is in them, whether they fit a contract, rewards and episode labels.",
				sub:     []*command{bagInfoCommand(), bagCheckCommand(), bagRewardsCommand(), bagLabelCommand()},
			},
			trainCommand(),
			runCommand(),
			evalCommand(),
			exportCommand(),
			{
				name:    "experiment",
				summary: "The ARFM paper's experiments on the simulated arm, as tables with intervals and charts.",
				sub:     experimentCommands(),
			},
			{
				name:    "sim",
				summary: "The simulated arm: its tasks, and demonstrations of them.",
				sub:     []*command{simTasksCommand(), simRecordCommand()},
			},
			{
				name:    "onnx",
				summary: "ONNX models: what is in them, what they give, how far they differ.",
				sub:     []*command{onnxInfoCommand(), onnxRunCommand(), onnxCompareCommand()},
			},
			{
				name:    "bench",
				summary: "Measure inference, training, ingest and hot swap on this machine, and hold them against other programs.",
				sub:     []*command{benchInferCommand(), benchTrainCommand(), benchIngestCommand(), benchSwapCommand(), benchPeersCommand(), benchONNXCommand()},
			},
		},
	}
}
