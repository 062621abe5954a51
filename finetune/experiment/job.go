// Package experiment plans the ARFM paper's experiments as graphs of jobs
// (record, train, choose, evaluate), runs them so that a killed run goes on
// where it was, and makes tables of what came out. What a job does is up to a
// Worker: package nodes/experiment has one for the simulated arm.
package experiment

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"arfm/finetune/advantage"
	"arfm/finetune/objective"
)

// format is part of every job's hash. It goes up where a job of equal words
// comes to mean something else.
const format = 1

// Job is one piece of work: one of its four specifications is set.
type Job struct {
	Record   *Record   `json:"record,omitempty"`
	Train    *Train    `json:"train,omitempty"`
	Choose   *Choose   `json:"choose,omitempty"`
	Evaluate *Evaluate `json:"evaluate,omitempty"`
}

// Record is a set of demonstrations of a suite, whose tasks take turns. One of
// fewer is the beginning of one of more with the same seed.
type Record struct {
	Suite    string  `json:"suite"`
	Episodes int     `json:"episodes"`
	Expert   float64 `json:"expert"` // shares of the demonstrators' qualities
	Sloppy   float64 `json:"sloppy"`
	Failing  float64 `json:"failing"`
	Seed     uint64  `json:"seed"`
}

// Train is a run of training.
type Train struct {
	Data      string            `json:"data"`             // the Record job's ID
	Tasks     []int             `json:"tasks,omitempty"`  // of the suite, that are trained on; none: all
	Replay    *Replay           `json:"replay,omitempty"` // what of other tasks is trained on beside
	Init      string            `json:"init,omitempty"`   // the Train job's ID whose weights it starts from; empty: random ones
	Objective string            `json:"objective"`
	Tuning    objective.Options `json:"tuning"`
	Advantage advantage.Options `json:"advantage"`
	Rewards   Rewards           `json:"rewards,omitempty"`
	Preset    string            `json:"preset"` // of the architecture
	Steps     int64             `json:"steps"`
	Batch     int               `json:"batch"`
	Rate      float64           `json:"rate"` // peak learning rate
	Seed      uint64            `json:"seed"`
	Workers   int               `json:"workers"` // threads
}

// Rewards are where a run's rewards come from.
type Rewards string

// The choices of Rewards.
const (
	RecordedRewards Rewards = ""        // as they were recorded
	SuccessRewards  Rewards = "success" // the outcome of each demonstration, and nothing else
	DenseRewards    Rewards = "dense"   // the contract's dense terms
)

// Replay is experience replay: the first demonstrations of each of some tasks that
// were learned before.
type Replay struct {
	Tasks    []int `json:"tasks"`
	Episodes int   `json:"episodes"` // of each
}

// Choose takes the candidate with the most successes, of equal ones the first.
type Choose struct {
	Scores [][]string `json:"scores"` // IDs of Evaluate jobs, by candidate
}

// Evaluate is a policy's success on a suite in closed loop.
type Evaluate struct {
	Policies []string `json:"policies"`         // Train job's IDs, by candidate
	Choice   string   `json:"choice,omitempty"` // Choose job's ID that takes one of several
	Suite    string   `json:"suite"`
	Tasks    []int    `json:"tasks,omitempty"` // of the suite; none: all
	Episodes int      `json:"episodes"`        // the tasks take turns
	Seed     uint64   `json:"seed"`
	Noise    float64  `json:"noise"` // standard deviation of noise on actions, in ways of a period (see perturb)
}

// Kind is the job's verb.
func (j Job) Kind() string {
	switch {
	case j.Record != nil:
		return "record"
	case j.Train != nil:
		return "train"
	case j.Choose != nil:
		return "choose"
	}
	return "evaluate"
}

// Needs returns the IDs of the jobs that must be done before.
func (j Job) Needs() (ids []string) {
	switch {
	case j.Train != nil:
		ids = append(ids, j.Train.Data)
		if j.Train.Init != "" {
			ids = append(ids, j.Train.Init)
		}
	case j.Choose != nil:
		for _, s := range j.Choose.Scores {
			ids = append(ids, s...)
		}
	case j.Evaluate != nil:
		ids = append(ids, j.Evaluate.Policies...)
		if j.Evaluate.Choice != "" {
			ids = append(ids, j.Evaluate.Choice)
		}
	}
	return ids
}

// ID names the job by its kind and a hash of what it does, of what the jobs that
// it needs do, and of the build that does it: whatever is equal has one ID, and
// is done once.
func (j Job) ID(build string) string {
	data, err := json.Marshal(struct {
		Format int    `json:"format"`
		Build  string `json:"build"`
		Job
	}{format, build, j})
	if err != nil {
		panic(fmt.Sprintf("experiment: a job that JSON cannot hold: %v", err)) // a NaN that no plan makes
	}
	sum := sha256.Sum256(data)
	return j.Kind() + "-" + hex.EncodeToString(sum[:8])
}

// Costs of jobs in seconds of one core, measured on an Intel Xeon with AVX-512
// at the nano preset; the estimate before the start is made of them.
const (
	episodeRecorded  = 0.30
	episodeEvaluated = 0.60
	chunkTrained     = 0.0025
)

// cost estimates the job's time on one core, seconds.
func (j Job) cost() float64 {
	switch {
	case j.Record != nil:
		return episodeRecorded * float64(j.Record.Episodes)
	case j.Train != nil:
		return chunkTrained * float64(j.Train.Steps) * float64(j.Train.Batch)
	case j.Evaluate != nil:
		return episodeEvaluated * float64(j.Evaluate.Episodes)
	}
	return 0
}
