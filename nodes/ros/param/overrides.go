package param

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"arfm/policy/userfile"
)

// ErrOverride is wrapped by errors about what a parameter file or a flag sets.
var ErrOverride = errors.New("parameter override")

// Overrides are the values that the command line and parameter files give to
// the parameters of nodes, before it is known which node this is.
type Overrides struct {
	order []string // patterns of node names, in order of their first rule
	rules map[string][]rule
	n     int
}

// Override is a value that replaces a default.
type Override struct {
	Value  Value
	Source string // the flag, or file and line
	shared bool   // by a file, for a pattern of names
}

// ParseArgs reads `-p name:=value`, `-p node:name:=value` and `--params-file
// FILE` between --ros-args and --, and returns the other arguments, which are
// rcl's.
func ParseArgs(args []string) (*Overrides, []string, error) {
	o := &Overrides{}
	var rest []string
	inROS := false
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case !inROS:
			inROS = arg == "--ros-args"
		case arg == "--":
			inROS = false
		case arg == "-p" || arg == "--param" || arg == "--params-file":
			if i++; i == len(args) {
				return nil, nil, fmt.Errorf("%w: %s needs an argument", ErrOverride, arg)
			}
			add := o.AddRule
			if arg == "--params-file" {
				add = o.AddFile
			}
			if err := add(args[i]); err != nil {
				return nil, nil, err
			}
			continue
		case takesValue[arg] && i+1 < len(args):
			rest = append(rest, arg)
			i++
		}
		rest = append(rest, args[i])
	}
	return o, rest, nil
}

// takesValue lists rcl's flags whose next argument is a value.
var takesValue = map[string]bool{
	"-r": true, "--remap": true, "--log-level": true, "--log-config-file": true, "-e": true, "--enclave": true,
}

// flagRule is [node:]name:=value, with names as rcl takes them.
var flagRule = regexp.MustCompile(`(?s)^(?:(\w+):)?([\w/]+(?:\.[\w/]+)*):=(.*)$`)

// AddRule takes what follows -p. A rule without a node is for every node.
func (o *Overrides) AddRule(text string) error {
	source := "-p " + quoteFlag(text)
	m := flagRule.FindStringSubmatch(text)
	if m == nil || len(m[1]) > maxName || len(m[2]) > maxName {
		return fmt.Errorf("%w: %s is not name:=value nor node:name:=value", ErrOverride, source)
	}
	if len(m[3]) > maxFileBytes {
		return fmt.Errorf("%w: -p %s has a value of %d bytes, over the limit of %d", ErrOverride, m[2], len(m[3]), maxFileBytes)
	}
	v, err := parseValue(m[3])
	if err != nil {
		return fmt.Errorf("%w: %s: %v", ErrOverride, source, err)
	}
	node := "/**"
	if m[1] != "" {
		node = "/" + m[1]
	}
	return o.add([]rule{{node, Parameter{m[2], v}, source}})
}

func quoteFlag(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}

// AddFile reads a parameter file.
func (o *Overrides) AddFile(path string) error {
	data, err := userfile.Read(path, maxFileBytes+1)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrOverride, err)
	}
	return o.addYAML(path, data)
}

func (o *Overrides) addYAML(file string, data []byte) error {
	if len(data) > maxFileBytes {
		return fmt.Errorf("%w: %s has more than %d bytes", ErrOverride, file, maxFileBytes)
	}
	r := reader{file: file, room: maxRules - o.n}
	if err := r.read(data); err != nil {
		return err
	}
	return o.add(r.rules)
}

func (o *Overrides) add(rules []rule) error {
	if o.rules == nil {
		o.rules = map[string][]rule{}
	}
	if o.n += len(rules); o.n > maxRules {
		return fmt.Errorf("%w: there are more than %d parameters", ErrOverride, maxRules)
	}
	for _, r := range rules {
		if _, ok := o.rules[r.node]; !ok {
			o.order = append(o.order, r.node)
		}
		o.rules[r.node] = append(o.rules[r.node], r)
	}
	return nil
}

// For returns the overrides of the node with this fully qualified name, by
// name of parameter. Later rules win over earlier ones of the same pattern;
// between patterns that which was named first comes first, as in rcl, whatever
// it is: `-p a:=1 --params-file F` leaves a to F only if F names the node.
func (o *Overrides) For(fqn string) map[string]Override {
	all := map[string]Override{}
	if o == nil {
		return all
	}
	for _, pattern := range o.order {
		if !matches(pattern, fqn) {
			continue
		}
		for _, r := range o.rules[pattern] {
			shared := strings.Contains(pattern, "*") && !strings.HasPrefix(r.source, "-p ")
			all[r.param.Name] = Override{r.param.Value, r.source, shared}
		}
	}
	return all
}

var nameToken = regexp.MustCompile(`^[A-Za-z_]\w*$`)

// nodePattern checks the name of a node in a file and makes it absolute.
func nodePattern(name string) (string, error) {
	if name == "" {
		return "", fmt.Errorf("there is no name of a node above %s; /** means every node", paramsKey)
	}
	name = strings.TrimPrefix(name, "/")
	for token := range strings.SplitSeq(name, "/") {
		if token != "*" && token != "**" && !nameToken.MatchString(token) {
			return "", fmt.Errorf("%s is no name of a node; names have letters, digits and _, and * and ** stand for one and for any number of them", quote("/"+name))
		}
	}
	return "/" + name, nil
}

// matches tells whether a name fits a pattern in which * is one token and **
// any number of them, also none.
func matches(pattern, fqn string) bool {
	p, name := strings.Split(pattern, "/")[1:], strings.Split(fqn, "/")[1:]
	fits := make([]bool, len(name)+1) // fits[j]: the pattern so far takes name[:j]
	fits[0] = true
	for _, token := range p {
		next := make([]bool, len(name)+1)
		for j := range next {
			switch {
			case token == "**":
				next[j] = fits[j] || j > 0 && next[j-1]
			case j > 0:
				next[j] = fits[j-1] && (token == "*" || token == name[j-1])
			}
		}
		fits = next
	}
	return fits[len(name)]
}
