// Package backbone runs the frozen encoders that a contract names: vision and
// text models from ONNX files, whose features a policy reads in place of
// pictures and words.
//
// A feature vector is normalised to mean 0 and variance 1, because the scales
// of backbones differ by orders of magnitude, and rounded to half precision, so
// that what training reads from disk and what the robot computes are equal to
// the bit.
package backbone

import (
	"errors"
	"fmt"
	"sync"

	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/nn"
	"arfm/policy/onnx"
	"arfm/policy/tokenizer"
	"arfm/policy/vla"
)

// ErrBackbone is wrapped by every error about a file of a backbone, or about
// what it computes.
var ErrBackbone = errors.New("unusable backbone")

// Set is the backbones of a contract. It implements vla.Encoders, and is safe
// for concurrent use: those who call at the same time take turns.
type Set struct {
	vision *vision
	text   *text
	mu     sync.Mutex
}

var _ vla.Encoders = (*Set)(nil)

// Open opens the backbones that a contract names, tries each once, and takes
// the form of its features. A contract without any gives nil, on which all
// methods work. The error wraps ErrBackbone or that of the files.
func Open(c *contract.Contract) (*Set, error) { return OpenFor(c, vla.Config{}, "") }

// OpenFor opens the backbones that weights of an architecture were trained
// with. Files are looked for beside the checkpoint, in dir, and where the
// contract says; those with another SHA-256 are refused unopened.
func OpenFor(c *contract.Contract, a vla.Config, dir string) (_ *Set, err error) {
	if c.Vision == nil && c.Language == nil {
		return nil, nil
	}
	s := &Set{}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if v := c.Vision; v != nil {
		path, sum, err := find(v.ONNX, dir, wanted(a.Vision).SHA256, onnx.SHA256)
		if err != nil {
			return nil, err
		}
		if s.vision, err = openVision(path, c); err != nil {
			return nil, refused(err)
		}
		s.vision.form.SHA256 = sum
	}
	if l := c.Language; l != nil {
		path, sum, err := find(l.ONNX, dir, wanted(a.Text).SHA256, onnx.SHA256)
		if err != nil {
			return nil, err
		}
		words, wordSum, err := find(l.Tokenizer, dir, wanted(a.Text).Tokenizer, tokenizer.SHA256)
		if err != nil {
			return nil, err
		}
		if s.text, err = openText(path, words, l); err != nil {
			return nil, refused(err)
		}
		s.text.form.SHA256, s.text.form.Tokenizer = sum, wordSum
	}
	return s, nil
}

// refused wraps ErrBackbone, once.
func refused(err error) error {
	if errors.Is(err, ErrBackbone) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrBackbone, err)
}

// wanted is the backbone that weights were trained with; empty without any.
func wanted(b *vla.Backbone) vla.Backbone {
	if b == nil {
		return vla.Backbone{}
	}
	return *b
}

// Backbones describes what is there.
func (s *Set) Backbones() (vision, text *vla.Backbone) {
	if s == nil {
		return nil, nil
	}
	if s.vision != nil {
		vision = &s.vision.form
	}
	if s.text != nil {
		text = &s.text.form
	}
	return vision, text
}

// Picture fills dst (tokens, width) with the features of a picture of the
// contract's size. The error wraps ErrBackbone.
func (s *Set) Picture(dst []float32, im *policy.Image) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vision.encode(dst, im)
}

// Instruction fills dst (tokens, width) with the features of an instruction;
// rows after its last token are 0. The error wraps ErrBackbone.
func (s *Set) Instruction(dst []float32, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.encode(dst, text)
}

// Close gives the mapped files back.
func (s *Set) Close() error {
	if s == nil {
		return nil
	}
	var errs []error
	if s.vision != nil {
		errs = append(errs, s.vision.close())
	}
	if s.text != nil {
		errs = append(errs, s.text.close())
	}
	return errors.Join(errs...)
}

// model is an ONNX model with a chosen output.
type model struct {
	*onnx.Model
	output int
	path   string
	last   bool // channels are the last dimension of a picture and of a feature map
	rstd   []float32
}

func openModel(path, output string) (*model, error) {
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	x := &model{Model: m, path: path}
	for i, v := range m.Outputs {
		if v.Name == output || output == "" && i == 0 {
			x.output = i
			return x, nil
		}
	}
	m.Close()
	return nil, fmt.Errorf("%s has no output %q, it has %v; choose one of them", path, output, m.Outputs)
}

func (m *model) close() error { return m.Model.Close() }

// run returns the chosen output as tokens of features: of a shape (1, F) one,
// of (1, T, F) T, of a feature map (1, F, H, W), or (1, H, W, F) from a model whose
// pictures have their channels last, H W, row by row.
func (m *model) run(inputs map[string]*onnx.Tensor) (x []float32, tokens, width int, err error) {
	out, err := m.Run(inputs)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("%w: %w", ErrBackbone, err)
	}
	t := out[m.output]
	s := t.Shape
	if t.Type != onnx.Float32 || len(s) < 2 || len(s) > 4 || s[0] != 1 || t.Len() == 0 {
		return nil, 0, 0, fmt.Errorf("%w: output %q of %s is %v, features are float32 of the shape (1, F), (1, T, F) or (1, F, H, W); choose another output", ErrBackbone, m.Outputs[m.output].Name, m.path, t)
	}
	x = onnx.Data[float32](t)
	switch len(s) {
	case 2:
		return x, 1, s[1], nil
	case 3:
		return x, s[1], s[2], nil
	}
	if m.last {
		return x, s[1] * s[2], s[3], nil
	}
	tokens, width = s[2]*s[3], s[1]
	rows := make([]float32, len(x))
	for f := range width {
		for k := range tokens {
			rows[k*width+f] = x[f*tokens+k]
		}
	}
	return rows, tokens, width, nil
}

// finish normalises each of the feature vectors x (tokens, width) and rounds it
// to half precision, into dst. What is not finite is refused.
func (m *model) finish(dst, x []float32, tokens, width int) error {
	if len(m.rstd) < tokens {
		m.rstd = make([]float32, tokens)
	}
	dst = dst[:tokens*width]
	nn.LayerNorm(dst, m.rstd, x, tokens, width)
	for i, v := range dst {
		h := onnx.ToFloat16(v)
		if h&0x7c00 == 0x7c00 {
			return fmt.Errorf("%w: %s gives features that are not finite", ErrBackbone, m.path)
		}
		dst[i] = onnx.FromFloat16(h)
	}
	return nil
}
