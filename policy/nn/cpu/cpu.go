// Package cpu says which vector instructions the kernels of policy/nn may use.
package cpu

import "os"

// Level is a set of vector instructions; a higher one contains the lower.
type Level int

// Levels of x86-64. Other processors have Generic.
const (
	Generic Level = iota // pure Go
	AVX2                 // with FMA
	AVX512               // F, BW, DQ and VL
)

// Variable is the name of the environment variable that lowers the level:
// generic, avx2 or avx512. What the processor lacks cannot be asked for.
const Variable = "ARFM_CPU"

// Has is the level that kernels use. Tests may lower it.
var Has = lowered(detect(), os.Getenv(Variable))

func (l Level) String() string {
	return [...]string{"generic", "avx2", "avx512"}[l]
}

// lowered takes a level down to the one asked for.
func lowered(has Level, asked string) Level {
	for l := Generic; l < has; l++ {
		if asked == l.String() {
			return l
		}
	}
	return has
}
