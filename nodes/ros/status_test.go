package ros

import (
	"testing"
	"time"
)

func TestStatusMerge(t *testing.T) {
	var s Status
	s.Merge(OK, "fine")
	s.Merge(OK, "fine as well")
	if s.Level != OK || s.Message != "fine" {
		t.Errorf("%+v", s)
	}
	s.Merge(Warn, "the image is %d ms old", 300)
	s.Merge(Error, "no joint states")
	s.Merge(OK, "else fine")
	if s.Level != Error || s.Message != "the image is 300 ms old; no joint states" {
		t.Errorf("%+v", s)
	}
}

func TestFrequency(t *testing.T) {
	f := NewFrequency(10, 20)
	now := f.window[0].at
	for i, test := range []struct {
		ticks int
		level Level
		hz    string
	}{
		{0, Error, "0"}, {30, OK, "15"}, {30, OK, "20"}, {30, Warn, "22.5"}, {0, OK, "18"}, // 90 in 5 s
		{0, OK, "18"}, {0, OK, "12"}, {0, Warn, "6"}, {0, Error, "0"}, {80, OK, "16"}, // the last 5 s count
	} {
		for range test.ticks {
			f.Tick()
		}
		now = now.Add(time.Second)
		var s Status
		f.at(now, &s)
		if s.Level != test.level || s.Values[3] != (KeyValue{"Actual frequency (Hz)", test.hz}) {
			t.Errorf("reading %d: %+v, want %s and %s Hz", i, s, test.level, test.hz)
		}
	}
	var s Status
	f = NewFrequency(0, 0)
	f.Tick()
	f.at(f.window[0].at, &s) // no time has passed
	if s.Level != OK {
		t.Errorf("%+v", s)
	}
}
