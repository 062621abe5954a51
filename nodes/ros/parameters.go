//go:build ros

package ros

import (
	"errors"
	"fmt"

	"arfm/bags/cdr"
	"arfm/nodes/ros/param"
)

// valueFields are the fields of rcl_interfaces/msg/ParameterValue by type.
var valueFields = [...]string{
	param.Bool: "bool_value", param.Integer: "integer_value", param.Double: "double_value", param.String: "string_value", param.ByteArray: "byte_array_value",
	param.BoolArray: "bool_array_value", param.IntegerArray: "integer_array_value", param.DoubleArray: "double_array_value", param.StringArray: "string_array_value",
}

// setValue writes a value into the ParameterValue at path of rec, "" for rec itself.
func setValue(rec *cdr.Record, path string, v param.Value) error {
	if path != "" {
		path += "."
	}
	err := rec.Set(path+"type", uint8(v.Type()))
	if t := v.Type(); t != param.NotSet {
		err = errors.Join(err, rec.Set(path+valueFields[t], v.Any()))
	}
	return err
}

// valueOf reads the ParameterValue that rec holds in its field value.
func valueOf(rec *cdr.Record) (param.Value, error) {
	typ, _ := rec.Lookup("value.type")
	t, _ := typ.(uint8)
	if int(t) >= len(valueFields) {
		return param.Value{}, fmt.Errorf("ros: a parameter's value has the unknown type %d", t)
	}
	if param.Type(t) == param.NotSet {
		return param.Value{}, nil
	}
	v, _ := rec.Lookup("value." + valueFields[t])
	switch v := v.(type) {
	case bool:
		return param.Of(v), nil
	case int64:
		return param.Of(v), nil
	case float64:
		return param.Of(v), nil
	case string:
		return param.Of(v), nil
	case []byte:
		return param.Of(v), nil
	case []bool:
		return param.Of(v), nil
	case []int64:
		return param.Of(v), nil
	case []float64:
		return param.Of(v), nil
	case []string:
		return param.Of(v), nil
	}
	return param.Value{}, fmt.Errorf("ros: a parameter's value is a %T", v)
}

// lookup is the value at path, zero where there is none of that type.
func lookup[T any](rec *cdr.Record, path string) T {
	v, _ := rec.Lookup(path)
	t, _ := v.(T)
	return t
}

// records makes a list of records of a type.
func records[T any](n *Node, typ string, all []T, fill func(*cdr.Record, T) error) ([]*cdr.Record, error) {
	t, err := n.ctx.Type(typ)
	if err != nil {
		return nil, err
	}
	recs := make([]*cdr.Record, len(all))
	for i, x := range all {
		recs[i] = t.New()
		if err := fill(recs[i], x); err != nil {
			return nil, err
		}
	}
	return recs, nil
}

// put fills the list at path of rec with records of a type.
func put[T any](n *Node, rec *cdr.Record, path, typ string, all []T, fill func(*cdr.Record, T) error) error {
	recs, err := records(n, typ, all, fill)
	if err != nil {
		return err
	}
	return rec.Set(path, recs)
}

func (n *Node) setParameters(rec *cdr.Record, path string, params []param.Parameter) error {
	return put(n, rec, path, "rcl_interfaces/msg/Parameter", params, func(r *cdr.Record, p param.Parameter) error {
		return errors.Join(r.Set("name", p.Name), setValue(r, "value", p.Value))
	})
}

// serveParameters makes the parameter services and tells /parameter_events.
func (n *Node) serveParameters() error {
	for name, s := range map[string]struct {
		typ    string
		handle Handler
	}{
		"get_parameters":            {"GetParameters", n.getParameters},
		"get_parameter_types":       {"GetParameterTypes", n.getParameterTypes},
		"list_parameters":           {"ListParameters", n.listParameters},
		"describe_parameters":       {"DescribeParameters", n.describeParameters},
		"set_parameters":            {"SetParameters", n.handleSet},
		"set_parameters_atomically": {"SetParametersAtomically", n.handleSetAtomically},
	} {
		if _, err := n.Serve(n.group, "~/"+name, "rcl_interfaces/srv/"+s.typ, s.handle); err != nil {
			return err
		}
	}
	events, err := n.publisher("/parameter_events", "rcl_interfaces/msg/ParameterEvent", QoS{Reliable: true, Depth: 1000})
	if err != nil {
		return err
	}
	n.Params.OnChange(func(c param.Change) {
		rec := events.Type.New()
		err := errors.Join(rec.Set("node", n.FullName()), SetTime(rec, "stamp", n.Clock.Now()),
			n.setParameters(rec, "new_parameters", c.New), n.setParameters(rec, "changed_parameters", c.Changed))
		if err == nil {
			err = events.Publish(rec)
		}
		if err != nil {
			n.Log.Errorf("parameter events: %v", err)
		}
	})
	return nil
}

// A request that names an unknown parameter gets an empty answer, as rclcpp's.

func (n *Node) getParameters(req, resp *cdr.Record) error {
	values, err := n.Params.Values(lookup[[]string](req, "names")...)
	if err != nil {
		return nil
	}
	return put(n, resp, "values", "rcl_interfaces/msg/ParameterValue", values, func(r *cdr.Record, v param.Value) error { return setValue(r, "", v) })
}

func (n *Node) getParameterTypes(req, resp *cdr.Record) error {
	values, err := n.Params.Values(lookup[[]string](req, "names")...)
	if err != nil {
		return nil
	}
	types := make([]uint8, len(values))
	for i, v := range values {
		types[i] = uint8(v.Type())
	}
	return resp.Set("types", types)
}

func (n *Node) listParameters(req, resp *cdr.Record) error {
	names, under := n.Params.List(lookup[[]string](req, "prefixes"), lookup[uint64](req, "depth"))
	return errors.Join(resp.Set("result.names", names), resp.Set("result.prefixes", under))
}

func (n *Node) describeParameters(req, resp *cdr.Record) error {
	all, err := n.Params.Describe(lookup[[]string](req, "names")...)
	if err != nil {
		return nil
	}
	return put(n, resp, "descriptors", "rcl_interfaces/msg/ParameterDescriptor", all, n.describe)
}

func (n *Node) describe(r *cdr.Record, d param.Declaration) error {
	err := errors.Join(r.Set("name", d.Name), r.Set("type", uint8(d.Type())), r.Set("description", d.Description),
		r.Set("additional_constraints", d.AdditionalConstraints()), r.Set("read_only", d.ReadOnly))
	if d.IntegerRange != nil {
		err = errors.Join(err, put(n, r, "integer_range", "rcl_interfaces/msg/IntegerRange", []*param.IntegerRange{d.IntegerRange}, func(r *cdr.Record, x *param.IntegerRange) error {
			return errors.Join(r.Set("from_value", x.From), r.Set("to_value", x.To), r.Set("step", x.Step))
		}))
	}
	if d.DoubleRange != nil {
		err = errors.Join(err, put(n, r, "floating_point_range", "rcl_interfaces/msg/FloatingPointRange", []*param.DoubleRange{d.DoubleRange}, func(r *cdr.Record, x *param.DoubleRange) error {
			return errors.Join(r.Set("from_value", x.From), r.Set("to_value", x.To), r.Set("step", x.Step))
		}))
	}
	return err
}

// asked reads the parameters of a request to set some.
func asked(req *cdr.Record) ([]param.Parameter, error) {
	recs := lookup[[]*cdr.Record](req, "parameters")
	params := make([]param.Parameter, len(recs))
	for i, rec := range recs {
		v, err := valueOf(rec)
		if err != nil {
			return nil, err
		}
		params[i] = param.Parameter{Name: lookup[string](rec, "name"), Value: v}
	}
	return params, nil
}

func (n *Node) handleSet(req, resp *cdr.Record) error {
	params, err := asked(req)
	results := n.Params.Set(params...)
	if err != nil { // one that no client makes
		results = make([]param.Result, len(lookup[[]*cdr.Record](req, "parameters")))
		for i := range results {
			results[i].Reason = err.Error()
		}
	}
	return put(n, resp, "results", "rcl_interfaces/msg/SetParametersResult", results, func(r *cdr.Record, x param.Result) error {
		return errors.Join(r.Set("successful", x.Successful), r.Set("reason", x.Reason))
	})
}

func (n *Node) handleSetAtomically(req, resp *cdr.Record) error {
	params, err := asked(req)
	var result param.Result
	if err != nil {
		result.Reason = err.Error()
	} else {
		result = n.Params.SetAtomically(params...)
	}
	return errors.Join(resp.Set("result.successful", result.Successful), resp.Set("result.reason", result.Reason))
}
