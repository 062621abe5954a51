//go:build ros

package launch

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// usage is what a process has.
type usage struct {
	at      time.Duration
	rss     int64 // KiB
	threads int64
	files   int
}

func (u usage) String() string {
	return fmt.Sprintf("%v: %.1f MiB, %d threads, %d files", u.at.Round(time.Second), float64(u.rss)/1024, u.threads, u.files)
}

func measure(t *testing.T, pid int, at time.Duration) usage {
	t.Helper()
	u := usage{at: at}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		number, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		switch key {
		case "VmRSS":
			u.rss, _ = strconv.ParseInt(number, 10, 64)
		case "Threads":
			u.threads, _ = strconv.ParseInt(number, 10, 64)
		}
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	u.files = len(files)
	return u
}

// TestSoak: a camera of 640x480 at 30 Hz and joint states at 500 Hz for as long
// as ARFM_SOAK says (20s): memory, latency, and whether anything piles up.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("ARFM_SOAK"), "20s"))
	if err != nil {
		t.Fatal(err)
	}
	o := observe(t, 33)
	b, a := watch(o), hearChunks(o)
	r := newRig(o)
	p := rigNode(t, rigPolicy(t))
	b.is(t, "tracking")
	begin, images, states := time.Now(), r.images.Load(), r.states.Load()
	warm := min(time.Minute, length/2)
	var used []usage
	for time.Since(begin) < length {
		time.Sleep(time.Second)
		used = append(used, measure(t, p.cmd.Process.Pid, time.Since(begin)))
	}
	took := time.Since(begin).Seconds()
	t.Logf("published: %.1f pictures and %.1f joint states a second", float64(r.images.Load()-images)/took, float64(r.states.Load()-states)/took)
	for _, d := range []string{"policy_node: policy", "policy_node: topics"} {
		t.Log(d + ": " + strings.Join(b.pairs(d), "; "))
	}
	k := slices.IndexFunc(used, func(u usage) bool { return u.at >= warm })
	first, most, last := used[k], used[k], used[len(used)-1]
	for _, u := range used[k:] {
		most.rss, most.threads, most.files = max(most.rss, u.rss), max(most.threads, u.threads), max(most.files, u.files)
	}
	t.Logf("used at %v; at %v; most %.1f MiB, %d threads, %d files", first, last, float64(most.rss)/1024, most.threads, most.files)
	a.mu.Lock()
	half := len(a.ages) / 2
	t.Logf("%d chunks; frame to chunk heard, first half %s, second half %s", len(a.ages), quantiles(a.ages[:half]), quantiles(a.ages[half:]))
	a.mu.Unlock()
	if length >= 2*time.Minute && float64(most.rss) > 1.05*float64(first.rss) {
		t.Errorf("memory grew from %v to %d KiB", first, most.rss)
	}
	// Go makes a thread where one is blocked; a leak makes many.
	if length >= 2*time.Minute && (last.threads > first.threads+8 || last.files > first.files+2) {
		t.Errorf("threads or files grew from %v to %v", first, last)
	}
	if n := b.value("policy_node: policy", "chunks not published"); n != "0" {
		t.Errorf("%s chunks were not published", n)
	}
	for _, topic := range []string{"/joint_states", rigCamera} {
		if n := b.value("policy_node: topics", topic+" refused"); n != "" {
			t.Errorf("%s messages of %s were refused", n, topic)
		}
	}
}

func quantiles(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	d = slices.Sorted(slices.Values(d))
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1))].Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %v p99 %v max %v", at(0.5), at(0.99), at(1))
}
