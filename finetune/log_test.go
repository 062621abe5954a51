package finetune

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadLog reads what a run wrote, up to a torn line, and refuses other files.
func TestReadLog(t *testing.T) {
	o := testOptions(t, 12)
	r := train(t, o)
	log, err := ReadLog(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(log.Lines)) != o.Steps || log.Lines[len(log.Lines)-1].Step != r.Step || log.Lines[0].Loss <= 0 || log.Rewards == nil {
		t.Errorf("%d lines of %d steps, rewards %v", len(log.Lines), o.Steps, log.Rewards)
	}
	if r.Evaluation == nil || len(log.HeldOut) == 0 || log.HeldOut[len(log.HeldOut)-1].Loss != r.Evaluation.Loss {
		t.Errorf("evaluations %v, the run's last %v", log.HeldOut, r.Evaluation)
	}
	for name, text := range map[string]string{"torn": `{"step":1}` + "\n" + `{"step":2`, "other": "hello\n", "long": strings.Repeat(" ", longestLine+1) + "\n"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, logFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		switch log, err := ReadLog(dir); {
		case name == "torn" && (err != nil || len(log.Lines) != 1):
			t.Errorf("torn: %v, error %v", log, err)
		case name != "torn" && (err == nil || !strings.Contains(err.Error(), "line 1")):
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := ReadLog(t.TempDir()); err == nil {
		t.Error("a folder without a log was read")
	}
	for most, says := range map[int]string{2: "", 1: "more than 1 lines"} {
		_, err := readLog(strings.NewReader(`{"step":1}`+"\n"+`{"step":2}`+"\n"), "train.jsonl", most)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("two lines, where there may be %d, give %v", most, err)
		}
	}
}
