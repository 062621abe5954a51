package bags

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLabelOverEarlierOnes: what a label does not cover of earlier episodes
// keeps their outcome and rewards.
func TestLabelOverEarlierOnes(t *testing.T) {
	one, whole := 1.0, Span{}
	ms := func(a, b int64) Span {
		return Span{Start: time.Duration(a) * time.Millisecond, End: time.Duration(b) * time.Millisecond}
	}
	for _, tc := range []struct {
		name   string
		labels []Labelling
		want   string // outcome and frames of each episode
	}{
		{"inside", []Labelling{{Span: whole, Outcome: EventSuccess}, {Span: ms(300, 600), Outcome: EventFailure}}, "success 3, failure 3, success 4"},
		{"across the end", []Labelling{{Span: ms(0, 500), Outcome: EventSuccess}, {Span: ms(300, 800), Outcome: EventFailure}}, "success 3, failure 5"},
		{"over all", []Labelling{{Span: ms(300, 600), Outcome: EventFailure}, {Span: whole, Outcome: EventSuccess}}, "success 10"},
		{"side by side", []Labelling{{Span: ms(0, 500), Outcome: EventSuccess, Reward: &one}, {Span: ms(500, 1000), Outcome: EventFailure}}, "success 5, failure 5"},
		{"the same again", []Labelling{{Span: ms(200, 500), Outcome: EventSuccess}, {Span: ms(200, 500), Outcome: EventEnd}}, "unknown 3"},
	} {
		path := walk(t, 1000, 2000).close()
		for _, l := range tc.labels {
			if _, _, err := LabelEpisode(path, l); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
		}
		eps, _, err := ReadEpisodes(t.Context(), path, parse(t, simple+"}"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range eps {
			got = append(got, fmt.Sprint(e.Outcome, " ", len(e.Frames)))
		}
		if s := strings.Join(got, ", "); s != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, s, tc.want)
		}
	}
}

func TestLabelRefuses(t *testing.T) {
	path := walk(t, 1000, 2000).close()
	for name, tc := range map[string]struct {
		l    Labelling
		want error
	}{
		"behind the end":  {Labelling{Outcome: EventSuccess, Span: Span{Start: time.Minute, End: 2 * time.Minute}}, ErrSpan},
		"another folder":  {Labelling{Outcome: EventSuccess, File: "../labels.csv"}, ErrSidecar},
		"unknown outcome": {Labelling{Outcome: "great"}, ErrSidecar},
	} {
		if _, _, err := LabelEpisode(path, tc.l); !errors.Is(err, tc.want) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(path, "*.csv")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestLabelOfAFile: a recording in a bag's folder stands for the bag.
func TestLabelOfAFile(t *testing.T) {
	path := walk(t, 1000, 2000).close()
	files, err := filepath.Glob(filepath.Join(path, "*.mcap"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	file, _, err := LabelEpisode(files[0], Labelling{Outcome: EventSuccess})
	if err != nil || file != SidecarPath(path, "") {
		t.Errorf("%s, error %v", file, err)
	}
}

// TestLabelOfSplits: the label of a split bag without metadata.yaml lies where
// reading looks for it; a folder of several bags is refused.
func TestLabelOfSplits(t *testing.T) {
	src, root := walk(t, 1000, 2000).close(), t.TempDir()
	data, err := os.ReadFile(filepath.Join(src, filepath.Base(src)+"_0.mcap"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"spl/x_0.mcap", "spl/x_1.mcap", "days/may_1.mcap", "days/may_2.mcap"} {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	folder := filepath.Join(root, "spl")
	found, err := Find(folder)
	if err != nil || !slices.Equal(found, []string{folder}) {
		t.Fatalf("%v, error %v", found, err)
	}
	for _, bag := range []string{folder, filepath.Join(folder, "x_1.mcap")} {
		file, _, err := LabelEpisode(bag, Labelling{Outcome: EventSuccess})
		if err != nil || file != SidecarPath(folder, "") {
			t.Errorf("%s: %s, error %v", bag, file, err)
		}
	}
	if _, _, err := LabelEpisode(filepath.Join(root, "days"), Labelling{Outcome: EventSuccess}); !errors.Is(err, ErrNoBag) {
		t.Errorf("a folder of bags: error %v", err)
	}
}
