package backbone

import (
	"fmt"
	"slices"

	"arfm/policy/contract"
	"arfm/policy/onnx"
	"arfm/policy/tokenizer"
	"arfm/policy/vla"
)

// text is a text encoder behind its tokenizer.
type text struct {
	*model
	form   vla.Backbone
	tokens *tokenizer.Tokenizer
	most   int // tokens of an instruction
	length int // of the inputs, with padding
}

// What a text encoder's inputs are called by those who export them.
const (
	inputIDs       = "input_ids"
	inputMask      = "attention_mask"
	inputTypes     = "token_type_ids"
	inputPositions = "position_ids"
)

// openText opens the model at path and its tokenizer.
func openText(path, words string, l *contract.Language) (_ *text, err error) {
	m, err := openModel(path, l.Output)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	t := &text{model: m, most: l.MaxTokens}
	if t.tokens, err = tokenizer.Open(words); err != nil {
		return nil, err
	}
	if err := t.shape(); err != nil {
		return nil, err
	}
	return t, t.try()
}

// shape makes the inputs: as long as the model takes, or as max_tokens says
// where it leaves that open.
func (t *text) shape() error {
	t.length = t.most
	shapes := map[string][]int{}
	for _, in := range t.Inputs {
		known := slices.Contains([]string{inputIDs, inputMask, inputTypes, inputPositions}, in.Name)
		if !known || len(in.Dims) != 2 || in.Type != onnx.Int64 && in.Type != onnx.Int32 {
			return fmt.Errorf("%s takes %v, a text encoder takes whole numbers (1, T) called %s, %s, %s or %s; export it so", t.path, in, inputIDs, inputMask, inputTypes, inputPositions)
		}
		if d := in.Dims[1]; d.Symbol == "" {
			t.length = d.Size
		}
	}
	if t.length < 1 || t.length > 1<<14 {
		return fmt.Errorf("%s takes %d tokens at once, 1 to %d are allowed", t.path, t.length, 1<<14)
	}
	t.most = min(t.most, t.length)
	for _, in := range t.Inputs {
		shapes[in.Name] = []int{1, t.length}
	}
	if shapes[inputIDs] == nil {
		return fmt.Errorf("%s has no input %s, it takes %v", t.path, inputIDs, t.Inputs)
	}
	if err := t.FixShapes(shapes); err != nil {
		return fmt.Errorf("%w, with %d tokens; where the model takes fewer, lower language.max_tokens", err, t.length)
	}
	return nil
}

// try encodes an empty instruction and keeps the form of what comes out.
func (t *text) try() error {
	_, x, tokens, width, err := t.read("")
	if err != nil {
		return err
	}
	t.form.Tokens, t.form.Width = min(tokens, t.most), width
	return t.finish(make([]float32, len(x)), x, tokens, width)
}

// encode fills dst with the features of an instruction: one for each token, or
// one in all from a model that pools them.
func (t *text) encode(dst []float32, instruction string) error {
	mask, x, tokens, width, err := t.read(instruction)
	if err != nil {
		return err
	}
	if min(tokens, t.most) != t.form.Tokens || width != t.form.Width {
		return fmt.Errorf("%w: %s gives %d features of %d numbers, and before %d of %d", ErrBackbone, t.path, tokens, width, t.form.Tokens, t.form.Width)
	}
	rows := 1
	if tokens > 1 { // those of padding are left out
		rows = 0
		for i := range tokens {
			if mask[i] != 0 {
				copy(x[rows*width:(rows+1)*width], x[i*width:])
				rows++
			}
		}
	}
	clear(dst[rows*width : t.form.Tokens*width])
	return t.finish(dst, x[:rows*width], rows, width)
}

// read runs the model on an instruction; mask is 1 for its tokens. Padding is
// masked; a model without a mask sees it, as it did in its training.
func (t *text) read(instruction string) (mask []int64, x []float32, tokens, width int, err error) {
	fail := func(err error) ([]int64, []float32, int, int, error) {
		return nil, nil, 0, 0, fmt.Errorf("%w: %w", ErrBackbone, err)
	}
	e, err := t.tokens.Padded(instruction, t.most)
	if err != nil {
		return fail(err)
	}
	ids, types, positions := make([]int64, t.length), make([]int64, t.length), make([]int64, t.length)
	mask = make([]int64, t.length)
	for i := range t.length {
		ids[i], positions[i] = int64(t.tokens.Pad()), int64(i)
		if i < t.most {
			ids[i], mask[i], types[i] = int64(e.IDs[i]), int64(e.Mask[i]), int64(e.TypeIDs[i])
		}
	}
	inputs := map[string]*onnx.Tensor{}
	for _, in := range t.Inputs {
		values := map[string][]int64{inputIDs: ids, inputMask: mask, inputTypes: types, inputPositions: positions}[in.Name]
		if inputs[in.Name], err = whole(in.Type, values); err != nil {
			return fail(err)
		}
	}
	x, tokens, width, err = t.run(inputs)
	if err == nil && tokens != 1 && tokens != t.length {
		return fail(fmt.Errorf("%s gives %d features for %d tokens; choose another output", t.path, tokens, t.length))
	}
	return mask, x, tokens, width, err
}

// whole makes a tensor (1, T) of whole numbers.
func whole(kind onnx.Type, v []int64) (*onnx.Tensor, error) {
	if kind == onnx.Int64 {
		return onnx.New(kind, v, 1, len(v))
	}
	short := make([]int32, len(v))
	for i, x := range v {
		short[i] = int32(x)
	}
	return onnx.New(kind, short, 1, len(v))
}
