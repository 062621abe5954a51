package ros

import (
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Level is how well a part is, numbered as diagnostic_msgs/msg/DiagnosticStatus.
type Level uint8

const (
	OK Level = iota
	Warn
	Error
	Stale
)

// String is the level's name in the message.
func (l Level) String() string {
	if names := [...]string{"OK", "WARN", "ERROR", "STALE"}; int(l) < len(names) {
		return names[l]
	}
	return strconv.Itoa(int(l))
}

// Status is what a task of the diagnostics says.
type Status struct {
	Level   Level
	Message string
	Values  []KeyValue
}

// KeyValue is one line of a status.
type KeyValue struct{ Key, Value string }

// Summary sets level and message.
func (s *Status) Summary(level Level, format string, args ...any) {
	s.Level, s.Message = level, fmt.Sprintf(format, args...)
}

// Merge is a further finding: the worse level stands, and the messages that are
// not OK follow one another.
func (s *Status) Merge(level Level, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	switch {
	case level > OK && s.Level > OK:
		s.Message += "; " + text
	case level > s.Level || s.Message == "":
		s.Message = text
	}
	s.Level = max(s.Level, level)
}

// Add adds a value; a float64 is shortened.
func (s *Status) Add(key string, value any) {
	text := fmt.Sprint(value)
	if f, ok := value.(float64); ok {
		text = strconv.FormatFloat(f, 'g', 6, 64)
	}
	s.Values = append(s.Values, KeyValue{key, text})
}

// Frequency judges how often something happens: a topic's messages, ticks. It
// is safe for concurrent use.
type Frequency struct {
	min, max float64 // Hz

	mu     sync.Mutex
	total  int64
	window []moment // the last readings, oldest first
}

type moment struct {
	at    time.Time
	total int64
}

// frequencyWindow is over how many readings the frequency is taken.
const frequencyWindow = 5

// NewFrequency wants min to max per second; max 0 is no bound.
func NewFrequency(min, max float64) *Frequency {
	return &Frequency{min: min, max: max, window: []moment{{at: time.Now()}}}
}

// Tick counts one event.
func (f *Frequency) Tick() {
	f.mu.Lock()
	f.total++
	f.mu.Unlock()
}

// tolerance is by how much the bounds may be missed.
const tolerance = 0.1

// Run is the task for the diagnostics.
func (f *Frequency) Run(s *Status) { f.at(time.Now(), s) }

func (f *Frequency) at(now time.Time, s *Status) {
	f.mu.Lock()
	first, total := f.window[0], f.total
	f.window = append(f.window, moment{now, total})
	if len(f.window) > frequencyWindow {
		f.window = f.window[1:]
	}
	f.mu.Unlock()
	events, span := total-first.total, now.Sub(first.at).Seconds()
	var hz float64
	if span > 0 {
		hz = float64(events) / span
	}
	switch {
	case events == 0:
		s.Merge(Error, "No events recorded.")
	case hz < f.min*(1-tolerance):
		s.Merge(Warn, "Frequency too low.")
	case f.max > 0 && hz > f.max*(1+tolerance):
		s.Merge(Warn, "Frequency too high.")
	default:
		s.Merge(OK, "Desired frequency met")
	}
	s.Add("Events in window", events)
	s.Add("Events since startup", total)
	s.Add("Duration of window (s)", span)
	s.Add("Actual frequency (Hz)", hz)
	if f.min > 0 {
		s.Add("Minimum acceptable frequency (Hz)", f.min*(1-tolerance))
	}
	if f.max > 0 {
		s.Add("Maximum acceptable frequency (Hz)", f.max*(1+tolerance))
	}
}
