package param

import (
	"maps"
	"slices"
	"strings"
)

// Unused is an override of a parameter that the node does not have.
type Unused struct {
	Name, Source string
	Near         string // a declared name that may be meant, else empty
}

const maxUnused = 20 // that are reported

// Unused returns, sorted by name, the overrides so far of no use. What a file
// sets for a pattern of nodes counts only where a declared name is near, since
// it may be meant for other nodes.
func (s *Set) Unused() []Unused {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Unused
	for _, name := range slices.Sorted(maps.Keys(s.over)) {
		if s.params[name] != nil || len(all) == maxUnused {
			continue
		}
		over := s.over[name]
		if near := s.near(name); near != "" || !over.shared {
			all = append(all, Unused{name, over.Source, near})
		}
	}
	return all
}

// near returns the declared name that is most like name, "" if none is.
func (s *Set) near(name string) string {
	if len(name) > maxName {
		return ""
	}
	best, least := "", max(1, len(name)/4)
	for _, other := range slices.Sorted(maps.Keys(s.params)) {
		if strings.EqualFold(name, other) || strings.HasSuffix(other, "."+name) || strings.HasSuffix(name, "."+other) {
			return other
		}
		if abs(len(other)-len(name)) <= least {
			if d := distance(name, other); d <= least && (best == "" || d < least) {
				best, least = other, d
			}
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// distance counts the letters to insert, delete, change or swap with their
// neighbour to make b of a.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
