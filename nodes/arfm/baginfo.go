package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"arfm/bags/rosbag2"
)

func bagInfoCommand() *command {
	fs := newFlags("info")
	asJSON := fs.Bool("json", false, "print JSON")
	return &command{
		name: "info", args: "BAG...", flags: fs,
		summary: "Say what is in a rosbag: storage, times, topics and their counts.",
		detail: `BAG is a bag's folder, or a .mcap or .db3 file.

--json prints a list with an object for each bag:
  path, storage (mcap, sqlite3), schema (of sqlite3), metadata_version (0: no
  metadata.yaml), distro, compression, start_ns, end_ns, duration_ns, messages,
  count_source (storage, metadata, none), custom
  topics: name, type, format, messages, definition, definition_encoding, qos,
  type_hash
  files: path, size_bytes, start_ns, end_ns, messages (-1: not counted), error
  missing, mismatch: what metadata.yaml names wrongly, or is too new to be known
Times are ROS time in nanoseconds.
`,
		example: "arfm bag info recordings/monday\narfm bag info --json recordings/monday",
		run: func(_ context.Context, std streams, args []string) error {
			if len(args) == 0 {
				return usagef("name at least one bag")
			}
			var infos []rosbag2.Info
			var failed error // of bags that cannot be opened; the others are printed
			for _, path := range args {
				bag, err := rosbag2.Open(path)
				if err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				infos = append(infos, bag.Info())
				failed = errors.Join(failed, bag.Close())
			}
			if *asJSON && len(infos) > 0 {
				all := make([]bagInfo, len(infos))
				for i := range infos {
					all[i] = newBagInfo(&infos[i])
				}
				return errors.Join(writeJSON(std.out, all), failed)
			}
			for _, in := range infos {
				printInfo(std.out, &in)
			}
			return failed
		},
	}
}

func printInfo(w io.Writer, in *rosbag2.Info) {
	fmt.Fprintf(w, "%s\n", in.Path)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	storage := in.Storage
	if in.Schema > 0 {
		storage += fmt.Sprintf(", schema %d", in.Schema)
	}
	if in.Version > 0 {
		storage += fmt.Sprintf(", metadata version %d", in.Version)
	} else {
		storage += ", no metadata.yaml"
	}
	fmt.Fprintf(tw, "  storage\t%s\n", storage)
	if in.Compression != "" {
		fmt.Fprintf(tw, "  compression\t%s\n", rosbag2.Printable(in.Compression))
	}
	if in.Distro != "" {
		fmt.Fprintf(tw, "  distribution\t%s\n", rosbag2.Printable(in.Distro))
	}
	fmt.Fprintf(tw, "  start\t%s (%d ns)\n", time.Unix(0, in.Start).UTC().Format(time.RFC3339Nano), in.Start)
	fmt.Fprintf(tw, "  duration\t%v\n", time.Duration(in.Duration))
	fmt.Fprintf(tw, "  messages\t%d (counted from %s)\n", in.Messages, in.CountSource)
	for _, f := range in.Files {
		fmt.Fprintf(tw, "  file\t%s, %d bytes\n", f.Path, f.Size)
		if f.Log != "" {
			fmt.Fprintf(tw, "  unfinished log\t%s, read along\n", f.Log)
		}
		if f.Err != nil {
			fmt.Fprintf(tw, "  damaged\t%v\n", f.Err)
		}
	}
	for _, m := range in.Missing {
		fmt.Fprintf(tw, "  missing\t%s\n", rosbag2.Printable(m))
	}
	for _, m := range in.Mismatch {
		fmt.Fprintf(tw, "  mismatch\t%s\n", m)
	}
	tw.Flush()
	fmt.Fprintln(tw, "  topic\ttype\tmessages")
	for _, t := range in.Topics {
		format := ""
		if t.Format != "cdr" {
			format = fmt.Sprintf(" (%s: cannot be decoded)", rosbag2.Printable(t.Format))
		}
		fmt.Fprintf(tw, "  %s\t%s\t%d%s\n", rosbag2.Printable(t.Name), rosbag2.Printable(t.Type), t.Count, format)
	}
	tw.Flush()
}

// bagInfo is rosbag2.Info as arfm bag info --json prints it.
type bagInfo struct {
	Path            string            `json:"path"`
	Storage         string            `json:"storage"`
	Schema          int               `json:"schema"`
	MetadataVersion int               `json:"metadata_version"`
	Distro          string            `json:"distro"`
	Compression     string            `json:"compression"`
	StartNS         int64             `json:"start_ns"`
	EndNS           int64             `json:"end_ns"`
	DurationNS      int64             `json:"duration_ns"`
	Messages        int64             `json:"messages"`
	CountSource     string            `json:"count_source"`
	Custom          map[string]string `json:"custom"`
	Topics          []topicInfo       `json:"topics"`
	Files           []fileInfo        `json:"files"`
	Missing         []string          `json:"missing"`
	Mismatch        []string          `json:"mismatch"`
}

type topicInfo struct {
	Name               string `json:"name"`
	Type               string `json:"type"`
	Format             string `json:"format"`
	Messages           int64  `json:"messages"`
	Definition         string `json:"definition"`
	DefinitionEncoding string `json:"definition_encoding"`
	QoS                string `json:"qos"`
	TypeHash           string `json:"type_hash"`
}

type fileInfo struct {
	Path      string `json:"path"`
	SizeBytes int64  `json:"size_bytes"`
	StartNS   int64  `json:"start_ns"`
	EndNS     int64  `json:"end_ns"`
	Messages  int64  `json:"messages"`
	Log       string `json:"unfinished_log,omitempty"`
	Error     string `json:"error,omitempty"`
}

func newBagInfo(in *rosbag2.Info) bagInfo {
	out := bagInfo{
		Path: in.Path, Storage: in.Storage, Schema: in.Schema, MetadataVersion: in.Version, Distro: in.Distro, Compression: in.Compression,
		StartNS: in.Start, EndNS: in.End, DurationNS: in.Duration, Messages: in.Messages, CountSource: in.CountSource, Custom: in.Custom,
		Missing: in.Missing, Mismatch: in.Mismatch,
	}
	for _, t := range in.Topics {
		out.Topics = append(out.Topics, topicInfo{t.Name, t.Type, t.Format, t.Count, t.Definition, t.DefinitionEncoding, t.QoS, t.TypeHash})
	}
	for _, f := range in.Files {
		file := fileInfo{Path: f.Path, SizeBytes: f.Size, StartNS: f.Start, EndNS: f.End, Messages: f.Messages, Log: f.Log}
		if f.Err != nil {
			file.Error = f.Err.Error()
		}
		out.Files = append(out.Files, file)
	}
	return out
}
