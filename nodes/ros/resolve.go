package ros

import "strings"

// remap is one rule [node:][scheme://]from:=to of the command line.
type remap struct{ node, scheme, from, to string }

// remapsIn finds the rules among ROS arguments.
func remapsIn(args []string) (rules []remap) {
	for i := 0; i+1 < len(args); i++ {
		if args[i] != "-r" && args[i] != "--remap" {
			continue
		}
		i++
		left, to, ok := strings.Cut(args[i], ":=")
		if !ok {
			continue // rcl has refused it
		}
		r := remap{from: left, to: to}
		if head, name, ok := strings.Cut(left, "://"); ok {
			r.from, r.scheme = name, head
			if node, scheme, ok := strings.Cut(head, ":"); ok {
				r.node, r.scheme = node, scheme
			}
		} else if node, name, ok := strings.Cut(left, ":"); ok {
			r.node, r.from = node, name
		}
		if !strings.HasPrefix(r.from, "__") {
			rules = append(rules, r)
		}
	}
	return rules
}

// expand makes a name absolute in a node: "~/x" is private to it.
func expand(name, node, namespace string) string {
	name = strings.NewReplacer("{node}", node, "{ns}", namespace, "{namespace}", namespace).Replace(name)
	base := strings.TrimSuffix(namespace, "/")
	switch {
	case name == "~" || strings.HasPrefix(name, "~/"):
		return base + "/" + node + name[1:]
	case strings.HasPrefix(name, "/"):
		return name
	}
	return base + "/" + name
}

// resolve is the full name under which rcl makes a topic (scheme rostopic) or a
// service (rosservice) of a node: absolute, then remapped by the first rule
// that fits.
func resolve(rules []remap, scheme, name, node, namespace string) string {
	name = expand(name, node, namespace)
	for _, r := range rules {
		if (r.scheme == "" || r.scheme == scheme) && (r.node == "" || r.node == node) && expand(r.from, node, namespace) == name {
			return expand(r.to, node, namespace)
		}
	}
	return name
}
