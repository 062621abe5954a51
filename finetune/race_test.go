//go:build race

package finetune

func init() { raceDetector = true }
