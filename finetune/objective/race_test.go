//go:build race

package objective

func init() { raceDetector = true }
