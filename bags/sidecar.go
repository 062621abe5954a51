package bags

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"arfm/bags/rosbag2"
	"arfm/policy/contract"
)

// Bounds of a sidecar file.
const (
	maxSidecarBytes = 64 << 20
	maxSidecarRows  = 4_000_000 // a short row takes many times its bytes in memory
	maxTaskBytes    = 1024
)

// Event marks the start or end of an episode.
type Event string

// Events of an episode, as arfm/msg/EpisodeEvent has them.
const (
	EventNone    Event = ""
	EventStart   Event = "start"
	EventEnd     Event = "end" // success unknown
	EventSuccess Event = "success"
	EventFailure Event = "failure"
)

// Label is one row of a sidecar file: a reward, an event, or both at one time.
type Label struct {
	Stamp  int64    // ROS time, ns
	Reward *float64 // for the step that ends at Stamp; nil: none
	Event  Event
	Task   string // with EventStart: the instruction in words; empty: the contract's
}

// byteOrderMark begins a table that a spreadsheet saved as UTF-8.
const byteOrderMark = "\ufeff"

var sidecarColumns = []string{"stamp_ns", "reward", "event", "task"}

// SidecarPath returns where the labels of a bag lie: in the bag's folder, or
// for a single file beside it under its name. file is the contract's
// reward.file; empty means rewards.csv.
func SidecarPath(bag, file string) string {
	file = cmp.Or(file, contract.DefaultSidecar)
	if info, err := os.Stat(bag); err == nil && info.IsDir() {
		return filepath.Join(bag, file)
	}
	return bag + "." + file
}

// WriteSidecar writes labels, sorted by time, as CSV with the columns
// stamp_ns, reward, event, task. The file is replaced as a whole or not at all.
func WriteSidecar(path string, labels []Label) (err error) {
	labels = slices.Clone(labels)
	slices.SortStableFunc(labels, func(a, b Label) int { return cmp.Compare(a.Stamp, b.Stamp) })
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return rosbag2.IOError("write", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	w := csv.NewWriter(f)
	rows := [][]string{sidecarColumns}
	for i, l := range labels {
		reward := ""
		if l.Reward != nil {
			reward = strconv.FormatFloat(*l.Reward, 'g', -1, 64)
		}
		row := []string{strconv.FormatInt(l.Stamp, 10), reward, string(l.Event), l.Task}
		if _, err := parseLabel(row); err != nil {
			return fmt.Errorf("%s: label %d: %w", path, i, err)
		}
		rows = append(rows, row)
	}
	if err := w.WriteAll(rows); err != nil {
		return rosbag2.IOError("write", path, err)
	}
	if err := f.Chmod(0o644); err != nil {
		return rosbag2.IOError("write", path, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return rosbag2.IOError("write", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return rosbag2.IOError("write", path, err)
	}
	return nil
}

// ReadSidecar reads what WriteSidecar wrote, or a table made elsewhere with the
// same columns. Errors wrap ErrSidecar and name the line, or fs.ErrNotExist.
func ReadSidecar(path string) ([]Label, error) {
	f, size, err := rosbag2.OpenRegular(path)
	if errors.Is(err, rosbag2.ErrNotRegular) {
		return nil, fmt.Errorf("%w: %w", ErrSidecar, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > maxSidecarBytes {
		return nil, fmt.Errorf("%w: %s is over %d bytes", ErrSidecar, path, maxSidecarBytes)
	}
	labels, err := parseSidecar(io.LimitReader(f, maxSidecarBytes), maxSidecarRows)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return labels, nil
}

func parseSidecar(in io.Reader, maxRows int) ([]Label, error) {
	buf := bufio.NewReader(in)
	if mark, _ := buf.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		buf.Discard(len(byteOrderMark))
	}
	r := csv.NewReader(buf)
	r.ReuseRecord = true
	r.FieldsPerRecord = len(sidecarColumns)
	head, err := r.Read()
	var bad *csv.ParseError
	if err != nil && err != io.EOF && !errors.As(err, &bad) {
		return nil, fmt.Errorf("%w: it cannot be read: %w", ErrSidecar, err)
	}
	if err != nil || !slices.Equal(head, sidecarColumns) {
		return nil, fmt.Errorf("%w: the first line must be %s", ErrSidecar, strings.Join(sidecarColumns, ","))
	}
	var out []Label
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSidecar, err)
		}
		if len(out) == maxRows {
			return nil, fmt.Errorf("%w: it has over %d rows; leave out those without a reward or an event, or split the bag", ErrSidecar, maxRows)
		}
		l, err := parseLabel(row)
		if err != nil {
			line, _ := r.FieldPos(0)
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		out = append(out, l)
	}
}

func parseLabel(row []string) (Label, error) {
	var l Label
	var err error
	if l.Stamp, err = strconv.ParseInt(row[0], 10, 64); err != nil || l.Stamp < 0 {
		return l, fmt.Errorf("%w: stamp_ns %.40q is no time in ns", ErrSidecar, row[0])
	}
	if row[1] != "" {
		v, err := strconv.ParseFloat(row[1], 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return l, fmt.Errorf("%w: reward %.40q is no finite number", ErrSidecar, row[1])
		}
		l.Reward = &v
	}
	l.Event = Event(strings.Clone(row[2]))
	if !slices.Contains([]Event{EventNone, EventStart, EventEnd, EventSuccess, EventFailure}, l.Event) {
		return l, fmt.Errorf("%w: event %.40q, use start, end, success, failure or nothing", ErrSidecar, row[2])
	}
	if l.Task = strings.Clone(row[3]); !validTask(l.Task) {
		return l, fmt.Errorf("%w: a task is one line of at most %d bytes", ErrSidecar, maxTaskBytes)
	}
	return l, nil
}

func validTask(s string) bool {
	return len(s) <= maxTaskBytes && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
