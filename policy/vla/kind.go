package vla

import (
	"strings"

	"arfm/policy/nn"
)

// tensorKind says how a tensor starts: "zero", "gain", "linear", "embedding"
// or "words".
func tensorKind(s nn.Spec) string {
	name := s.Name
	switch {
	case strings.HasSuffix(name, ".bias"):
		return "zero"
	case strings.HasSuffix(name, "ada.weight"), name == "expert.out.weight", name == conditionLast+".weight":
		return "zero"
	case name == wordTable:
		return "words"
	case strings.HasSuffix(name, ".weight") && len(s.Shape) == 1:
		return "gain"
	case strings.HasSuffix(name, ".weight"):
		return "linear"
	default:
		return "embedding"
	}
}
