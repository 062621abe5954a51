package bags

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
	"arfm/policy/contract"
)

// required roles: without their topic no frame can be made.
func required(r contract.Role) bool {
	return r == contract.RoleState || r == contract.RoleImage || r == contract.RoleAction
}

// fit finds the bag's topic for a use of the contract. The error wraps ErrTopic
// or ErrType and lists what the bag has that is near.
func fit(bag string, topics []rosbag2.Topic, reg *cdr.Registry, use contract.TopicUse) (*rosbag2.Topic, error) {
	var other *rosbag2.Topic
	for i := range topics {
		t := &topics[i]
		switch {
		case t.Name != use.Topic:
			continue
		case contract.NormalType(t.Type) != use.Type:
			other = t
			continue
		}
		if err := t.Readable(); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", bag, ErrType, err)
		}
		if _, err := reg.Type(t.Type); err != nil {
			return nil, fmt.Errorf("%s: %w: %s: %w", bag, ErrType, rosbag2.Printable(t.Name), err)
		}
		if t.Count == 0 && required(use.Role) {
			return nil, fmt.Errorf("%s: %w: %s (%s, for %s) was recorded without a message%s", bag, ErrTopic, use.Topic, use.Type, use.Role, nearby(topics, use))
		}
		return t, nil
	}
	if other != nil {
		return nil, fmt.Errorf("%s: %w: %s is %s in the bag, the contract reads it as %s for %s%s",
			bag, ErrType, use.Topic, rosbag2.Printable(other.Type), use.Type, use.Role, nearby(topics, use))
	}
	return nil, fmt.Errorf("%s: %w: there is no %s (%s, for %s)%s", bag, ErrTopic, use.Topic, use.Type, use.Role, cmp.Or(nearby(topics, use), "; the bag has nothing near it"))
}

// nearby lists up to four topics of the bag that may be meant: those of the
// type first, then those of a similar name. It is empty where there is none.
func nearby(topics []rosbag2.Topic, use contract.TopicUse) string {
	type candidate struct {
		rank int
		t    *rosbag2.Topic
	}
	var found []candidate
	for i := range topics {
		t := &topics[i]
		rank := distance(t.Name, use.Topic)
		sameType := contract.NormalType(t.Type) == use.Type
		similar := rank <= len(use.Topic)/2 || path.Base(t.Name) == path.Base(use.Topic)
		if t.Name == use.Topic || t.Count == 0 || (!sameType && !similar) {
			continue
		}
		if !sameType {
			rank += 1000
		}
		found = append(found, candidate{rank, t})
	}
	if len(found) == 0 {
		return ""
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.t.Name, b.t.Name))
	})
	var names []string
	for _, c := range found[:min(len(found), 4)] {
		names = append(names, fmt.Sprintf("%s (%s, %d messages)", rosbag2.Printable(c.t.Name), rosbag2.Printable(c.t.Type), c.t.Count))
	}
	return "; the bag has " + strings.Join(names, ", ")
}

// distance is Levenshtein's, between names cut to 255 bytes.
func distance(a, b string) int {
	a, b = a[:min(len(a), 255)], b[:min(len(b), 255)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag = row[j+1]
			row[j+1] = min(cost, diag+1, row[j]+1)
		}
	}
	return row[len(b)]
}
