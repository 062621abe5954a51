package userfile

import (
	"errors"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	wrongKind = regexp.MustCompile("(?s)cannot unmarshal !!(\\w+)( `.*`)? into (\\S+)$")
	wrongName = regexp.MustCompile(` in type \S+$`)
)

// YAMLError says on one line what a YAML decoder found, without the names of
// Go types.
func YAMLError(err error) string {
	var list *yaml.TypeError
	if !errors.As(err, &list) {
		return strings.Join(strings.Fields(err.Error()), " ")
	}
	said := make([]string, len(list.Errors))
	for i, s := range list.Errors {
		if m := wrongKind.FindStringSubmatchIndex(s); m != nil {
			value := ""
			if m[4] >= 0 {
				value = s[m[4]:m[5]]
			}
			s = s[:m[0]] + kinds[s[m[2]:m[3]]] + value + " is not " + wanted(s[m[6]:m[7]])
		}
		said[i] = strings.Join(strings.Fields(wrongName.ReplaceAllString(s, "")), " ")
	}
	return strings.Join(said, "; ")
}

// kinds names YAML's kinds of values by their tags.
var kinds = map[string]string{
	"seq": "a list", "map": "a mapping", "str": "text", "int": "the number", "float": "the number",
	"bool": "the value", "null": "nothing", "timestamp": "the time", "binary": "binary data",
}

// wanted names the kind of value that a Go type takes.
func wanted(goType string) string {
	switch strings.TrimRight(goType, "0123456789") {
	case "string":
		return "text"
	case "bool":
		return "true or false"
	case "int", "uint", "float":
		return "a number that fits"
	}
	if strings.HasPrefix(goType, "[") {
		return "a list that fits"
	}
	return "a mapping"
}
