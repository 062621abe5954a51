package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"
)

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// command is one node of the command line: either a group with sub-commands or
// a leaf that runs.
type command struct {
	name    string
	args    string // what follows the flags, for the usage line; empty: nothing may
	summary string
	detail  string // what a newcomer needs to know beside the flags; may be empty
	example string
	flags   *pflag.FlagSet
	run     func(ctx context.Context, std streams, args []string) error
	sub     []*command
	version func() string // of a root
}

// streams is where a command writes: results to out, everything else to err.
type streams struct{ out, err io.Writer }

// usageError is a mistake in the words of the command line: exit status 2.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// taken says what flags of a type take; those of others say it themselves.
var taken = map[string]string{
	"bool":         "true or false",
	"int":          "a whole number",
	"int64":        "a whole number",
	"uint64":       "a whole number that is not negative",
	"float64":      "a number",
	"intSlice":     "whole numbers with commas between",
	"float64Slice": "numbers with commas between",
	"stringToInt":  "names and whole numbers, such as batch=1,sequence=16",
	"duration":     "a time with its unit, such as 1m30s",
}

// flagError words an error of pflag for those who do not read Go.
func flagError(err error) error {
	var bad *pflag.InvalidValueError
	if errors.As(err, &bad) {
		what, known := taken[bad.GetFlag().Value.Type()]
		switch {
		case known && errors.Is(err, strconv.ErrRange):
			return usagef("--%s takes %s within the range of 64 bits, not %.40q", bad.GetFlag().Name, what, bad.GetValue())
		case known:
			return usagef("--%s takes %s, not %.40q", bad.GetFlag().Name, what, bad.GetValue())
		}
	}
	return usageError{err}
}

// interruptedError is a signal that ended the work, and what became of it.
type interruptedError struct {
	then string
	error
}

func (e interruptedError) Unwrap() error { return e.error }

func newFlags(name string) *pflag.FlagSet {
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() {}
	return fs
}

// numbers writes a list as a flag takes it.
func numbers(list []float64) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
}

// showDefault has --help show list as a flag takes it; pflag would print [0.400000,...].
func showDefault(fs *pflag.FlagSet, flag string, list []float64) {
	fs.Lookup(flag).DefValue = numbers(list)
}

func (c *command) execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := &output{w: stdout}
	status := c.dispatch(ctx, c.name, args, streams{out, stderr})
	if status == exitDone && out.err != nil { // results that nobody can read are none
		return report(fmt.Errorf("the output is lost: %w", out.err), c.name, streams{out, stderr})
	}
	return status
}

// output remembers the first error of its writer and drops what comes after.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	o.err = err
	return n, err
}

func (c *command) dispatch(ctx context.Context, path string, args []string, std streams) int {
	if c.sub != nil {
		return c.dispatchGroup(ctx, path, args, std)
	}
	err := c.flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		c.help(std.out, path)
		return exitDone
	case err != nil:
		err = flagError(err)
	case c.args == "" && c.flags.NArg() > 0:
		err = usagef("nothing is expected behind the flags, not %q", c.flags.Arg(0))
	default:
		err = c.run(ctx, std, c.flags.Args())
	}
	return report(err, path, std)
}

func (c *command) dispatchGroup(ctx context.Context, path string, args []string, std streams) int {
	if len(args) == 0 {
		c.help(std.err, path)
		return exitUsage
	}
	switch args[0] {
	case "help":
		if len(args) > 1 { // arfm help train is arfm train --help
			return c.dispatchGroup(ctx, path, append(args[1:len(args):len(args)], "--help"), std)
		}
		fallthrough
	case "-h", "--help":
		c.help(std.out, path)
		return exitDone
	case "--version":
		if c.version != nil {
			fmt.Fprintln(std.out, c.version())
			return exitDone
		}
	}
	for _, s := range c.sub {
		if s.name == args[0] {
			return s.dispatch(ctx, path+" "+s.name, args[1:], std)
		}
	}
	return report(usagef("there is no command %q", args[0]), path, std)
}

// report prints err as one line and gives the exit status that it means.
func report(err error, path string, std streams) int {
	var usage usageError
	var stopped interruptedError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		fmt.Fprintf(std.err, "%s: %s (see %s --help)\n", path, strings.ReplaceAll(err.Error(), "\n", "; "), path)
		return exitUsage
	case errors.As(err, &stopped):
		fmt.Fprintf(std.err, "%s: interrupted %s\n", path, stopped.then)
		return exitFailed
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(std.err, "%s: interrupted\n", path)
		return exitFailed
	}
	said := err.Error() + remedy(err)
	fmt.Fprintf(std.err, "%s: %s\n", path, strings.ReplaceAll(said, "\n", "; ")) // joined errors have a line each
	return exitFailed
}

func (c *command) help(w io.Writer, path string) {
	fmt.Fprintln(w, c.summary)
	if c.sub != nil {
		fmt.Fprintf(w, "\nUsage: %s COMMAND\n\nCommands:\n", path)
		tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		c.list(tw, "")
		tw.Flush()
		fmt.Fprintf(w, "\n%s COMMAND --help explains one.\n", path)
		if c.version != nil {
			fmt.Fprintf(w, "%s --version says what it was built from.\n\n%s", path, c.detail)
		}
		return
	}
	fmt.Fprintf(w, "\nUsage: %s\n", strings.TrimSpace(path+" [FLAGS] "+c.args))
	if c.detail != "" {
		fmt.Fprintf(w, "\n%s", c.detail)
	}
	fmt.Fprintf(w, "\nFlags:\n%s", c.flags.FlagUsages())
	fmt.Fprintf(w, "\nExample:\n  %s\n", strings.ReplaceAll(c.example, "\n", "\n  "))
}

func (c *command) list(w io.Writer, prefix string) {
	for _, s := range c.sub {
		if s.sub != nil {
			s.list(w, prefix+s.name+" ")
			continue
		}
		fmt.Fprintf(w, "  %s%s\t%s\n", prefix, s.name, s.summary)
	}
}

// writeJSON prints v as indented JSON.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
