package vla

import (
	"errors"
	"fmt"

	"arfm/policy/contract"
)

// ErrConfig is wrapped by every refusal of Config.Validate and Preset.
var ErrConfig = errors.New("vla: bad architecture")

// Camera is one image input: its name in the contract and its size in pixels.
type Camera struct {
	Name   string `json:"name"`
	Height int    `json:"height"`
	Width  int    `json:"width"`
}

// Config is the architecture: everything that fixes the names and shapes of
// the weights. It is stored in a checkpoint, so Validate bounds all of it.
type Config struct {
	Preset  string `json:"preset"`  // the preset it came from, for people
	D       int    `json:"d"`       // width of context and action tokens; even, a multiple of Heads
	Layers  int    `json:"layers"`  // blocks of the action expert
	Heads   int    `json:"heads"`   // attention heads of the expert
	Horizon int    `json:"horizon"` // H, actions in a chunk

	ActionDim int      `json:"action_dim"` // A
	StateDim  int      `json:"state_dim"`  // S; 0 leaves the state out
	Cameras   []Camera `json:"cameras,omitempty"`
	// StateFields are the lengths of the parts of the state that get a token
	// each, beside that of the whole; their sum is S. Empty: no such tokens.
	StateFields []int `json:"state_fields,omitempty"`

	Patch        int `json:"patch"`         // side of a square image patch, pixels
	VisionD      int `json:"vision_d"`      // width of the ViT
	VisionLayers int `json:"vision_layers"` // blocks of the ViT
	VisionHeads  int `json:"vision_heads"`

	Language bool `json:"language"`  // whether the context has word tokens
	Vocab    int  `json:"vocab"`     // rows of the hashed word table
	MaxWords int  `json:"max_words"` // word tokens; later words are cut off

	// Frozen encoders in place of the built-in ones; nil: built in.
	Vision *Backbone `json:"vision,omitempty"`
	Text   *Backbone `json:"text,omitempty"`

	Condition *Condition `json:"condition,omitempty"` // nil: the observation is all

	Steps int `json:"steps"` // Euler steps of a sample
}

// Presets lists the names that Preset knows, smallest first.
var Presets = []string{"nano", "base", "large"}

// Preset returns the architecture of a name: nano (state input, tests, the
// demo), base (one or two cameras on a CPU) or large. The dimensions of the
// robot are filled in by For.
func Preset(name string) (Config, error) {
	c := Config{Preset: name, Patch: 16, Language: true, Steps: 10}
	switch name {
	case "nano":
		c.D, c.Layers, c.Heads, c.Horizon = 128, 4, 4, 16
		c.VisionD, c.VisionLayers, c.VisionHeads = 64, 2, 4
		c.Vocab, c.MaxWords = 512, 12
	case "base":
		c.D, c.Layers, c.Heads, c.Horizon = 256, 6, 4, 16
		c.VisionD, c.VisionLayers, c.VisionHeads = 192, 4, 4
		c.Vocab, c.MaxWords = 2048, 16
	case "large":
		c.D, c.Layers, c.Heads, c.Horizon = 512, 12, 8, 32
		c.VisionD, c.VisionLayers, c.VisionHeads = 384, 6, 6
		c.Vocab, c.MaxWords = 4096, 24
	default:
		return Config{}, fmt.Errorf("%w: no preset %q, use one of %v", ErrConfig, name, Presets)
	}
	return c, nil
}

// Bounds of Validate.
const (
	maxParams = 1 << 28 // 1 GiB of weights
	maxTokens = 4096
	maxSide   = 1024    // of an image, pixels
	maxScores = 1 << 26 // attention weights of one layer and item, 256 MiB
)

// Validate refuses, with an error that wraps ErrConfig, an architecture that
// cannot be built or that is out of all proportion.
func (c Config) Validate() error {
	in := func(what string, v, lo, hi int) error {
		if v < lo || v > hi {
			return fmt.Errorf("%w: %s is %d, it must lie in [%d, %d]", ErrConfig, what, v, lo, hi)
		}
		return nil
	}
	err := errors.Join(
		in("d", c.D, 2, 4096), in("layers", c.Layers, 1, 64), in("heads", c.Heads, 1, 64),
		in("horizon", c.Horizon, 1, 256), in("action_dim", c.ActionDim, 1, 256),
		in("state_dim", c.StateDim, 0, contract.MaxStateDim), in("number of cameras", len(c.Cameras), 0, 16), in("steps", c.Steps, 1, 1000))
	err = errors.Join(err, c.Vision.validate("vision", false), c.Text.validate("text", true), c.Condition.validate())
	if c.hashesWords() {
		err = errors.Join(err, in("vocab", c.Vocab, 1, 1<<16), in("max_words", c.MaxWords, 1, 256))
	}
	if c.seesPatches() {
		err = errors.Join(err, in("patch", c.Patch, 1, 256), in("vision_d", c.VisionD, 1, 4096),
			in("vision_layers", c.VisionLayers, 1, 64), in("vision_heads", c.VisionHeads, 1, 64))
	}
	for _, cam := range c.Cameras {
		err = errors.Join(err, in(fmt.Sprintf("height of camera %q", cam.Name), cam.Height, 1, maxSide),
			in(fmt.Sprintf("width of camera %q", cam.Name), cam.Width, 1, maxSide))
	}
	err = errors.Join(err, in("number of state_fields", len(c.StateFields), 0, contract.MaxStateFields))
	sum := 0
	for i, n := range c.StateFields[:min(len(c.StateFields), contract.MaxStateFields)] {
		err = errors.Join(err, in(fmt.Sprintf("state_fields[%d]", i), n, 1, contract.MaxStateDim))
		sum += n
	}
	if err != nil {
		return err
	}
	switch {
	case len(c.StateFields) > 0 && sum != c.StateDim:
		return fmt.Errorf("%w: state_fields add up to %d, state_dim is %d", ErrConfig, sum, c.StateDim)
	case c.D%2 != 0 || c.D%c.Heads != 0:
		return fmt.Errorf("%w: d = %d must be even and a multiple of heads = %d", ErrConfig, c.D, c.Heads)
	case c.Text != nil && !c.Language:
		return fmt.Errorf("%w: there is a text backbone and no language", ErrConfig)
	case c.Vision != nil && len(c.Cameras) == 0:
		return fmt.Errorf("%w: there is a vision backbone and no camera", ErrConfig)
	case c.seesPatches() && c.VisionD%c.VisionHeads != 0:
		return fmt.Errorf("%w: vision_d = %d must be a multiple of vision_heads = %d", ErrConfig, c.VisionD, c.VisionHeads)
	case c.ContextTokens() == 0:
		return fmt.Errorf("%w: the context is empty, give it a state, a camera or language", ErrConfig)
	case c.ContextTokens() > maxTokens:
		return fmt.Errorf("%w: %d context tokens, at most %d; use smaller images", ErrConfig, c.ContextTokens(), maxTokens)
	}
	scores := c.Heads * c.Horizon * max(c.Horizon, c.ContextTokens())
	for _, cam := range c.Cameras {
		if c.Vision != nil {
			break
		}
		rows, cols := c.patches(cam)
		scores = max(scores, c.VisionHeads*rows*cols*rows*cols)
	}
	if scores > maxScores {
		return fmt.Errorf("%w: %d attention weights in one layer, at most %d; use smaller images or fewer heads", ErrConfig, scores, maxScores)
	}
	n := 0
	for _, t := range c.layout() { // at most 64 blocks of bounded tensors: no overflow
		n += t.Size()
	}
	if n > maxParams {
		return fmt.Errorf("%w: %d parameters, at most %d", ErrConfig, n, maxParams)
	}
	return nil
}

// patches returns the number of patches of a camera, rows and columns; a
// partial patch at the right or lower edge is filled with mid grey.
func (c Config) patches(cam Camera) (rows, cols int) {
	return (cam.Height + c.Patch - 1) / c.Patch, (cam.Width + c.Patch - 1) / c.Patch
}

// seesPatches says whether the built-in ViT is there, hashesWords whether the
// built-in table of words is.
func (c Config) seesPatches() bool { return len(c.Cameras) > 0 && c.Vision == nil }
func (c Config) hashesWords() bool { return c.Language && c.Text == nil }

// ContextTokens returns T, the number of context tokens: those of the state,
// those of language, those of each camera.
func (c Config) ContextTokens() int {
	n := c.stateTokens() + c.languageTokens()
	for _, cam := range c.Cameras {
		n += c.cameraTokens(cam)
	}
	return n
}

// languageTokens returns the number of tokens of an instruction, room for the
// longest.
func (c Config) languageTokens() int {
	switch {
	case !c.Language:
		return 0
	case c.Text != nil:
		return c.Text.Tokens
	}
	return c.MaxWords
}

// cameraTokens returns the number of tokens of a camera: one per image patch,
// or the backbone's.
func (c Config) cameraTokens(cam Camera) int {
	if c.Vision != nil {
		return c.Vision.Tokens
	}
	rows, cols := c.patches(cam)
	return rows * cols
}

// stateTokens returns the number of state tokens: one for the whole state, one
// for each of its fields.
func (c Config) stateTokens() int {
	if c.StateDim == 0 {
		return 0
	}
	return 1 + len(c.StateFields)
}
