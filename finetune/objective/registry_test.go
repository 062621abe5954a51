package objective

import (
	"errors"
	"flag"
	"strings"
	"testing"
)

func TestNew(t *testing.T) {
	obj, err := New("arfm", Options{"lambda": "7", "scale": "paper", "beta": "-1"}) // beta is rwr's
	o, ok := obj.(*ARFM)
	if err != nil || !ok || o.Options.Lambda != 7 || o.Scale != Paper || o.Options.Max != 5 {
		t.Errorf("arfm is %+v, %v", obj, err)
	}
	if obj, err = New("rwr", nil); err != nil || obj.(*RWR).Beta != 1 {
		t.Errorf("rwr is %+v, %v", obj, err)
	}
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"ppo", nil, "use one of"}, {"", nil, "use one of"}, {"bc", Options{"alpha": "1"}, "alpha"},
		{"rwr", Options{"beta": "-1"}, "[0, 1e6]"}, {"rwr", Options{"beta": "much"}, "much"}, {"rwr", Options{"beta": "NaN"}, "NaN"},
	} {
		if _, err := New(c.name, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %v gives %v", c.name, c.o, err)
		}
	}
	if _, err := New("ppo", nil); !errors.Is(err, ErrUnknown) {
		t.Error("the error of an unknown objective does not wrap ErrUnknown")
	}
}

// TestEveryObjective: each one has its defaults in range, and its options are
// its own.
func TestEveryObjective(t *testing.T) {
	if len(Names()) < 3 {
		t.Fatalf("registered are %v", Names())
	}
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	Define(fs, nil) // panics on an option that two have
	for _, name := range Names() {
		obj, err := New(name, Options{}.Complete())
		if err != nil || obj.Name() != name {
			t.Errorf("%s is %v, %v", name, obj, err)
		}
		if !strings.Contains(Summary(), name+" (") {
			t.Errorf("the summary lacks %s: %s", name, Summary())
		}
	}
}

func TestComplete(t *testing.T) {
	all := Options{"beta": "2.50", "lambda": "loud", "strange": "x"}.Complete()
	if all["beta"] != "2.5" || all["alpha-max"] != "5" || all["lambda"] != "loud" || all["strange"] != "x" {
		t.Errorf("complete options are %v", all)
	}
}

// TestOwn: an objective's own options are those that it defines, as asked for or
// by default.
func TestOwn(t *testing.T) {
	got := Own("rwr", Options{"beta": "2.50", "lambda": "7"})
	if len(got) != 1 || got["beta"] != "2.5" {
		t.Errorf("%v", got)
	}
	if got := Own("arfm", nil); got["scale"] != "relative" || got["lambda"] != "200" || got["beta"] != "" {
		t.Errorf("%v", got)
	}
	if a, none := Owner("lambda"), Owner("no such"); a != "arfm" || none != "" {
		t.Errorf("lambda is of %q, no such of %q", a, none)
	}
	for _, name := range []string{"bc", "no such"} {
		if got := Own(name, Options{"beta": "2"}); len(got) != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}
