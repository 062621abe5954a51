package param

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"arfm/policy/userfile"

	"go.yaml.in/yaml/v3"
)

// Bounds on what a parameter file may hold.
const (
	maxFileBytes = 1 << 20
	maxRules     = 10000 // parameters in all files and flags together
	maxName      = 256   // letters of a parameter's or node's name
)

const paramsKey = "ros__parameters"

// rule sets one parameter of the nodes whose name fits the pattern.
type rule struct {
	node   string // pattern: "/**", "/ns/node"
	param  Parameter
	source string // "file.yaml:3", "-p name:=value"
}

// reader turns the YAML of a parameter file into rules, in order.
type reader struct {
	file  string
	rules []rule
	room  int // rules that may still come
}

func (r *reader) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%w: %s:%d: %s", ErrOverride, r.file, n.Line, fmt.Sprintf(format, args...))
}

func (r *reader) read(data []byte) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %s", ErrOverride, r.file, userfile.YAMLError(err))
		}
		if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
			return fmt.Errorf("%w: %s: it holds no YAML mapping", ErrOverride, r.file)
		}
		if err := r.nodes(doc.Content[0], ""); err != nil {
			return err
		}
	}
}

// entries calls f for each key and value of a mapping.
func (r *reader) entries(n *yaml.Node, f func(key, value *yaml.Node) error) error {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Value == "" {
			return r.errorf(key, "a key must be a name")
		}
		if value.Kind == yaml.AliasNode {
			return r.errorf(value, "ROS knows no aliases (*%s); write the value out", value.Value)
		}
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

// nodes reads a mapping of namespaces and node names; above is their path.
func (r *reader) nodes(n *yaml.Node, above string) error {
	if n.Kind != yaml.MappingNode {
		return r.errorf(n, "%s is needed before a value, as in node_name: {%s: {name: value}}", paramsKey, paramsKey)
	}
	return r.entries(n, func(key, value *yaml.Node) error {
		if key.Value != paramsKey {
			path := key.Value
			if above != "" {
				path = strings.TrimSuffix(above, "/") + "/" + key.Value
			}
			if len(path) > maxName {
				return r.errorf(key, "a node's name has more than %d letters", maxName)
			}
			return r.nodes(value, path)
		}
		pattern, err := nodePattern(above)
		if err != nil {
			return r.errorf(key, "%v", err)
		}
		if value.Kind != yaml.MappingNode {
			return r.errorf(value, "%s needs parameters below it, each as name: value", paramsKey)
		}
		return r.params(value, pattern, "")
	})
}

// params reads a mapping of parameters; nested names are joined with dots.
func (r *reader) params(n *yaml.Node, node, above string) error {
	return r.entries(n, func(key, value *yaml.Node) error {
		name := key.Value
		if above != "" {
			name = above + "." + name
		}
		if len(name) > maxName {
			return r.errorf(key, "a parameter's name has more than %d letters", maxName)
		}
		if value.Kind == yaml.MappingNode {
			return r.params(value, node, name)
		}
		v, err := valueOf(value)
		if err != nil {
			return r.errorf(value, "%s: %v", name, err)
		}
		if r.room--; r.room < 0 {
			return r.errorf(key, "there are more than %d parameters", maxRules)
		}
		r.rules = append(r.rules, rule{node, Parameter{name, v}, fmt.Sprintf("%s:%d", r.file, key.Line)})
		return nil
	})
}

// parseValue reads the YAML behind "name:=".
func parseValue(text string) (Value, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(text))
	err := dec.Decode(&doc)
	if err == nil {
		if err = dec.Decode(new(yaml.Node)); err == nil {
			return Value{}, errors.New("it is more than one YAML document; put it into quotes")
		}
	}
	if !errors.Is(err, io.EOF) {
		return Value{}, errors.New(userfile.YAMLError(err))
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return Value{}, errors.New("there is no value; write '' for an empty string")
	}
	return valueOf(doc.Content[0])
}

// valueOf is the value of a scalar or of a list of scalars of one type.
func valueOf(n *yaml.Node) (Value, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return scalarOf(n)
	case yaml.AliasNode:
		return Value{}, fmt.Errorf("ROS knows no aliases (*%s); write the value out", n.Value)
	case yaml.SequenceNode:
	default:
		return Value{}, errors.New("a value is a scalar or a list, no mapping; put text with a colon into quotes")
	}
	if len(n.Content) == 0 {
		return Value{emptyList{}}, nil
	}
	var list Value
	for i, item := range n.Content {
		if item.Kind != yaml.ScalarNode {
			return Value{}, errors.New("a list holds scalars only")
		}
		v, err := scalarOf(item)
		if err != nil {
			return Value{}, err
		}
		if i > 0 && v.Type() != list.element() {
			return Value{}, fmt.Errorf("the list holds %s and %s; make all of one type", list.element().a(), v.Type().a())
		}
		list = list.with(v)
	}
	return list, nil
}

// with appends an element to a list; the first makes its type.
func (v Value) with(element Value) Value {
	switch x := element.v.(type) {
	case bool:
		l, _ := v.v.([]bool)
		return Value{append(l, x)}
	case int64:
		l, _ := v.v.([]int64)
		return Value{append(l, x)}
	case float64:
		l, _ := v.v.([]float64)
		return Value{append(l, x)}
	}
	l, _ := v.v.([]string)
	return Value{append(l, element.v.(string))}
}

func scalarOf(n *yaml.Node) (Value, error) {
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		return Value{n.Value}, nil
	}
	if n.Value == "" {
		return Value{}, errors.New("there is no value; write '' for an empty string")
	}
	return scalar(n.Value), nil
}

// scalar gives unquoted text the type that rcl gives it, which is neither
// YAML 1.1 nor 1.2: yes and on are booleans, 010 is 8, null and ~ are strings.
func scalar(s string) Value {
	switch s {
	case "Y", "y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return Value{true}
	case "N", "n", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return Value{false}
	}
	if n, ok := integer(s); ok {
		return Value{n}
	}
	if f, ok := float(s); ok {
		return Value{f}
	}
	return Value{s}
}

// integer is C's strtoll with base 0.
func integer(s string) (int64, bool) {
	sign, digits := cutSign(s)
	base := 10
	switch {
	case len(digits) > 2 && (digits[:2] == "0x" || digits[:2] == "0X"):
		base, digits = 16, digits[2:]
	case len(digits) > 1 && digits[0] == '0':
		base, digits = 8, digits[1:]
	}
	if digits == "" || digits[0] == '+' || digits[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseInt(sign+digits, base, 64)
	return n, err == nil
}

// float is C's strtod and YAML's .inf and .nan.
func float(s string) (float64, bool) {
	switch s {
	case ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF":
		s = strings.Replace(s, ".", "", 1)
	}
	if strings.Contains(s, "_") {
		return 0, false
	}
	sign, digits := cutSign(s)
	if strings.EqualFold(digits, "nan") {
		sign = "" // ParseFloat knows no signed NaN
	}
	if len(digits) > 2 && (digits[:2] == "0x" || digits[:2] == "0X") && !strings.ContainsAny(digits, "pP") {
		digits += "p0"
	}
	f, err := strconv.ParseFloat(sign+digits, 64)
	return f, err == nil
}

func cutSign(s string) (sign, rest string) {
	if s != "" && (s[0] == '+' || s[0] == '-') {
		return s[:1], s[1:]
	}
	return "", s
}
