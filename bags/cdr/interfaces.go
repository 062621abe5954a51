package cdr

import (
	"fmt"
	"strings"
)

// parseInterface parses a .msg, a .srv or an .action text and adds the types
// that it stands for. Recordings name a service by its Name_Event and store
// the .srv text for it, an action by its Name_FeedbackMessage or one of its
// services.
func parseInterface(name, text string, defs map[string]*definition) error {
	parts := splitParts(text)
	base := name
	if len(parts) > 1 {
		base = trimOne(base, "_Request", "_Response", "_Event")
	}
	if len(parts) == 3 {
		base = trimOne(base, "_SendGoal", "_GetResult", "_FeedbackMessage", "_Goal", "_Result", "_Feedback")
	}
	var names []string
	switch len(parts) {
	case 1:
		names = []string{name}
	case 2:
		names = []string{base + "_Request", base + "_Response"}
	case 3:
		names = []string{base + "_Goal", base + "_Result", base + "_Feedback"}
	default:
		return fmt.Errorf("%w: it has %d parts (a .msg has 1, a .srv 2, an .action 3)", ErrDefinition, len(parts))
	}
	for i, n := range names {
		d, err := parseMsg(n, parts[i])
		if err != nil {
			return err
		}
		defs[n] = d
	}
	switch len(parts) {
	case 2:
		addEvent(base, defs)
	case 3:
		addAction(base, defs)
	}
	return nil
}

// trimOne cuts off the first of the suffixes that s has.
func trimOne(s string, suffixes ...string) string {
	for _, suffix := range suffixes {
		if base, ok := strings.CutSuffix(s, suffix); ok {
			return base
		}
	}
	return s
}

// splitParts cuts at lines of three dashes.
func splitParts(text string) []string {
	var parts []string
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "---" {
			parts = append(parts, b.String())
			b.Reset()
			continue
		}
		b.WriteString(line)
	}
	return append(parts, b.String())
}

func structField(name, full string) fieldDef {
	return fieldDef{name: name, ref: typeRef{base: full, kind: kindStruct}}
}

// addEvent adds what service introspection publishes (REP 2012).
func addEvent(service string, defs map[string]*definition) {
	part := func(name, typ string) fieldDef {
		return fieldDef{name: name, ref: typeRef{base: service + typ, kind: kindStruct, shape: sequence, n: 1}}
	}
	defs[service+"_Event"] = &definition{name: service + "_Event", fields: []fieldDef{
		structField("info", "service_msgs/msg/ServiceEventInfo"),
		part("request", "_Request"),
		part("response", "_Response"),
	}}
}

// addAction adds the two services and the feedback message that rosidl makes
// of an action.
func addAction(action string, defs map[string]*definition) {
	add := func(suffix string, fields ...fieldDef) {
		defs[action+suffix] = &definition{name: action + suffix, fields: fields}
	}
	id := structField("goal_id", "unique_identifier_msgs/msg/UUID")
	add("_SendGoal_Request", id, structField("goal", action+"_Goal"))
	add("_SendGoal_Response",
		fieldDef{name: "accepted", ref: typeRef{base: "bool", kind: kindBool}},
		structField("stamp", "builtin_interfaces/msg/Time"))
	add("_GetResult_Request", id)
	add("_GetResult_Response",
		fieldDef{name: "status", ref: typeRef{base: "int8", kind: kindInt8}},
		structField("result", action+"_Result"))
	add("_FeedbackMessage", id, structField("feedback", action+"_Feedback"))
	addEvent(action+"_SendGoal", defs)
	addEvent(action+"_GetResult", defs)
}
