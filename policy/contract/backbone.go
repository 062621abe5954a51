package contract

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Bounds of a frozen encoder's description.
const (
	MaxBackboneSide = 1024 // of the picture that it is given, pixels
	MaxTextTokens   = 512
)

// Ways to resize a picture for a vision backbone; both filters widen with the
// reduction, as Pillow's do.
const (
	ResizeBilinear = "bilinear" // triangle filter
	ResizeBicubic  = "bicubic"  // Keys' cubic, a = -0.5
	ResizeNearest  = "nearest"
)

// Vision is a vision encoder that was trained elsewhere and is not trained
// further: its features take the place of the built-in ViT's. A camera's
// picture is resized, cut, divided by 255 and normalised by channel.
type Vision struct {
	ONNX   string `yaml:"onnx"`             // file; a relative path starts at the contract's folder
	Output string `yaml:"output,omitempty"` // default: the model's first
	Freeze bool   `yaml:"freeze"`           // true; backbones are not trained

	Resize   []int     `yaml:"resize,omitempty,flow"` // [height, width]
	Shortest int       `yaml:"shortest,omitempty"`    // instead: length of the shorter side, the other in proportion
	Mode     string    `yaml:"mode"`                  // bilinear (default) | bicubic | nearest
	Crop     []int     `yaml:"crop,omitempty,flow"`   // [height, width] of the centre
	Mean     []float64 `yaml:"mean,flow"`             // of red, green and blue in 0..1
	Std      []float64 `yaml:"std,flow"`
}

// Language is a text encoder that was trained elsewhere and is not trained
// further: its features take the place of the hashed words.
type Language struct {
	ONNX      string `yaml:"onnx"`             // file; a relative path starts at the contract's folder
	Tokenizer string `yaml:"tokenizer"`        // Hugging Face's tokenizer.json
	Output    string `yaml:"output,omitempty"` // default: the model's first
	MaxTokens int    `yaml:"max_tokens"`       // later ones are cut off; default 32
}

func (c *Contract) checkBackbones() error {
	if c.Vision != nil {
		if err := c.Vision.check(len(c.Observation.Images)); err != nil {
			return err
		}
	}
	if l := c.Language; l != nil {
		in := c.Observation.Instruction
		switch {
		case in.Topic == "" && in.Default == "":
			return fault("language", "has no text to encode, give observation.instruction or remove it")
		case l.Tokenizer == "" || len(l.Tokenizer) > 4096:
			return fault("language.tokenizer", "is missing, name the model's tokenizer.json")
		}
		if l.MaxTokens == 0 {
			l.MaxTokens = 32
		}
		if l.MaxTokens < 1 || l.MaxTokens > MaxTextTokens {
			return fault("language.max_tokens", "is %d, set it to 1..%d", l.MaxTokens, MaxTextTokens)
		}
		return checkModel("language", l.ONNX, l.Output)
	}
	return nil
}

func checkModel(at, path, output string) error {
	if path == "" || len(path) > 4096 || strings.ContainsRune(path, 0) {
		return fault(at+".onnx", "is missing, name the model's file")
	}
	if len(output) > 256 {
		return fault(at+".output", "has %d bytes, 256 are allowed", len(output))
	}
	return nil
}

func (v *Vision) check(cameras int) error {
	switch {
	case cameras == 0:
		return fault("vision", "has no picture to encode, give observation.images or remove it")
	case !v.Freeze:
		return fault("vision.freeze", "must be true: backbones are not trained")
	case len(v.Resize) > 0 && v.Shortest != 0:
		return fault("vision.shortest", "is given beside resize, keep one")
	case v.Shortest < 0 || v.Shortest > MaxBackboneSide:
		return fault("vision.shortest", "is %d, set it to 1..%d", v.Shortest, MaxBackboneSide)
	}
	if err := checkModel("vision", v.ONNX, v.Output); err != nil {
		return err
	}
	if err := choice("vision.mode", &v.Mode, ResizeBilinear, ResizeBicubic, ResizeNearest); err != nil {
		return err
	}
	for _, s := range []struct {
		field string
		sides []int
	}{{"vision.resize", v.Resize}, {"vision.crop", v.Crop}} {
		if s.sides == nil {
			continue
		}
		if len(s.sides) != 2 || min(s.sides[0], s.sides[1]) < 1 || max(s.sides[0], s.sides[1]) > MaxBackboneSide {
			return fault(s.field, "is %v, give [height, width], each 1..%d", s.sides, MaxBackboneSide)
		}
	}
	for _, s := range []struct {
		field  string
		values []float64
		least  float64
	}{{"vision.mean", v.Mean, -2}, {"vision.std", v.Std, 1e-3}} {
		ok := len(s.values) == 3
		for _, x := range s.values {
			ok = ok && x >= s.least && x <= 2 // not NaN; those for pictures in 0..255 are larger
		}
		if !ok {
			return fault(s.field, "is %v, give the three that the model was trained with, for pictures in 0..1 (ImageNet: mean [0.485, 0.456, 0.406], std [0.229, 0.224, 0.225])", s.values)
		}
	}
	return nil
}

// resolve makes the paths of backbones start at dir.
func (c *Contract) resolve(dir string) error {
	var paths []*string
	if c.Vision != nil {
		paths = append(paths, &c.Vision.ONNX)
	}
	if c.Language != nil {
		paths = append(paths, &c.Language.ONNX, &c.Language.Tokenizer)
	}
	for _, p := range paths {
		if !filepath.IsAbs(*p) {
			full, err := filepath.Abs(filepath.Join(dir, *p))
			if err != nil {
				return fmt.Errorf("find %s: %w", *p, err)
			}
			*p = full
		}
	}
	return nil
}

// Preprocessing is what decides the features of a picture beside the model: the
// contract's vision part as YAML, without where the file lies; nil without one.
func (c *Contract) Preprocessing() []byte {
	if c.Vision == nil {
		return nil
	}
	return (&Contract{Vision: c.withoutPaths().Vision}).YAML()
}

// Tensors is the part of a contract that decides what observations and actions
// are, as YAML: without where rewards and episodes come from, which only
// training reads, and where the files of backbones lie, which are known by
// their sums.
func (c *Contract) Tensors() []byte {
	bare := c.withoutPaths()
	bare.Reward, bare.Episode = Reward{}, Episode{}
	return bare.YAML()
}

// Portable is a copy that names the files of backbones without their folders.
func (c *Contract) Portable() *Contract {
	bare := *c
	if c.Vision != nil {
		v := *c.Vision
		v.ONNX = filepath.Base(v.ONNX)
		bare.Vision = &v
	}
	if c.Language != nil {
		l := *c.Language
		l.ONNX, l.Tokenizer = filepath.Base(l.ONNX), filepath.Base(l.Tokenizer)
		bare.Language = &l
	}
	return &bare
}

// withoutPaths is a copy in which the files of backbones have fixed names.
func (c *Contract) withoutPaths() *Contract {
	bare := *c
	if c.Vision != nil {
		v := *c.Vision
		v.ONNX = "vision.onnx"
		bare.Vision = &v
	}
	if c.Language != nil {
		l := *c.Language
		l.ONNX, l.Tokenizer = "language.onnx", "tokenizer.json"
		bare.Language = &l
	}
	return &bare
}
