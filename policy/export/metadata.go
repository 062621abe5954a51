package export

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"arfm/policy/checkpoint"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// Metadata are what an exported file says about its policy, strings all: JSON
// for architecture, contract, statistics and normalizer (as
// contract.Coefficients, and relative_to), plain text for the others.
func Metadata(ck *checkpoint.Checkpoint) (map[string]string, error) {
	norm, err := contract.NewNormalizer(ck.Contract, ck.Stats)
	if err != nil {
		return nil, err
	}
	var ct any
	if err := yaml.Unmarshal(ck.Contract.Portable().YAML(), &ct); err != nil {
		return nil, fmt.Errorf("export: the contract: %w", err)
	}
	out := map[string]string{
		"objective": ck.Objective, "step": strconv.FormatInt(ck.Step, 10), "checkpoint": ck.Hash,
	}
	if c := &ck.Model.Config; c.Language && c.Text == nil {
		out["words"] = wordsDoc(&ck.Model.Config)
	}
	for key, v := range map[string]any{
		"architecture": ck.Model.Config, "contract": ct, "statistics": ck.Stats,
		"normalizer": struct {
			contract.Coefficients
			RelativeTo []int `json:"relative_to"` // null: actions are absolute
		}{norm.Coefficients(), ck.Contract.RelativeTo()},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("export: %s: %w", key, err)
		}
		out[key] = string(text)
	}
	return out, nil
}

// Tensors returns a checkpoint's weights and metadata as they go into a
// safetensors file that is no checkpoint: format is "pt", as PyTorch's loaders
// ask for, and there is no probe.
func Tensors(ck *checkpoint.Checkpoint) ([]checkpoint.Tensor, map[string]string, error) {
	meta, err := Metadata(ck)
	if err != nil {
		return nil, nil, err
	}
	meta["format"] = "pt"
	return checkpoint.Tensors(ck.Model), meta, nil
}

// What the inputs and outputs are, in the files themselves.
const (
	noiseDoc     = "standard normal numbers, one draw a chunk; zeros give the deterministic answer"
	noisyDoc     = "at tau = 0 the noise: standard normal numbers, or zeros for the deterministic answer; then next of the step before"
	tauDoc       = "flow time at which the step begins: 0 is noise, 1 the action"
	dtDoc        = "length of the step in flow time: 1/n of n steps"
	nextDoc      = "noisy after the step, normalised"
	memoryDoc    = "keys and values of the observation for each block of the action expert"
	startDoc     = "the state elements that actions are relative to"
	conditionDoc = "what the policy asks for in this place, as it is added to each action's token"
	encoderDoc   = "The encoder of an arfm policy: run it once for an observation, then step n times. " + rawDoc
	rawDoc       = "The state goes in as it is measured, actions come out as they are to be commanded, absolute and in SI units: normalisation is part of the graph."
)

func samplerDoc(steps int) string {
	return fmt.Sprintf("An arfm policy: observation and noise to a chunk of actions, by %d Euler steps of flow matching. ", steps) + rawDoc
}

func stepDoc(steps int) string {
	return fmt.Sprintf("One Euler step of an arfm policy: with n steps (the policy's own number is %d), step i has tau = i/n and dt = 1/n; next goes in again as noisy. The chunk of the last step is the answer. ", steps) + rawDoc
}

func stateDoc(ct *contract.Contract) string {
	return "state as it is measured, in SI units: " + strings.Join(ct.StateNames(), ", ")
}

func imageDoc(ct *contract.Contract, cam vla.Camera) string {
	return fmt.Sprintf("image of camera %s (%s), RGB, height, width, channel", cam.Name, ct.Observation.Images[cam.Name].Topic)
}

func chunkDoc(ct *contract.Contract) string {
	return fmt.Sprintf("actions to command, absolute, in SI units (%s): %s; row h is the target for (h+1) periods of %g s after the observation",
		ct.Action.Unit, strings.Join(ct.ActionNames(), ", "), float64(ct.Period())/1e9)
}

func featureDoc(ct *contract.Contract, cam vla.Camera, b *vla.Backbone) string {
	return fmt.Sprintf("features of the frozen vision encoder (SHA-256 %s) for the image of camera %s (%s), prepared as the contract's vision says, each vector then normalised to mean 0 and variance 1 (layer normalisation, eps 1e-5); a policy reads the image at %dx%d (height, width) first",
		b.SHA256, cam.Name, ct.Observation.Images[cam.Name].Topic, cam.Height, cam.Width)
}

func textDoc(b *vla.Backbone) string {
	return fmt.Sprintf("features of the frozen text encoder (SHA-256 %s, tokenizer %s) for the instruction, each vector normalised to mean 0 and variance 1 (layer normalisation, eps 1e-5), those of padding left out and 0 after the last", b.SHA256, b.Tokenizer)
}

func wordsDoc(c *vla.Config) string {
	return fmt.Sprintf("the instruction's words (runs of letters and digits), each lower-cased, its UTF-8 bytes hashed by 32-bit FNV-1a modulo %d; the first %d words, -1 for none", c.Vocab, c.MaxWords)
}
