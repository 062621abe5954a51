package onnxtool

import (
	"context"

	"arfm/policy/onnx"
)

// Ready opens a model with its shapes fixed, and makes the inputs that Run would
// give it. The caller closes the model.
func Ready(ctx context.Context, path string, o Options) (*onnx.Model, map[string]*onnx.Tensor, error) {
	m, err := open(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	inputs, err := o.prepare(m)
	if err != nil {
		m.Close()
		return nil, nil, err
	}
	return m, inputs, nil
}

// prepare makes the inputs and fixes the shapes for them.
func (o *Options) prepare(m *onnx.Model) (map[string]*onnx.Tensor, error) {
	inputs, err := o.feed(m)
	if err != nil {
		return nil, err
	}
	return inputs, because(fix(m, inputs), o.assumed)
}
