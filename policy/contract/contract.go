// Package contract ties topics to tensors. One YAML says which messages make
// an observation, which make an action and on which clock; training and the
// robot read the same file and build their frames with the same Resampler, so
// that a frame built live and one built from a recording are equal to the bit.
package contract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"sort"

	"go.yaml.in/yaml/v3"

	"arfm/policy/userfile"
)

// Bounds of a contract; all are generous for an arm and keep every allocation
// that follows from a contract small.
const (
	MaxFileBytes   = 256 << 10 // size of the YAML
	MaxStateFields = 64        // entries of observation.state
	MaxStateDim    = 1024      // S
	MaxActionDim   = 128       // A
	MaxHorizon     = 256       // H
	MaxCameras     = 8
	MaxImageSide   = 1024 // of an image after resizing, pixels
	MinImageSide   = 8
)

// Units of an action.
const (
	UnitPosition = "position" // rad or m
	UnitVelocity = "velocity" // rad/s or m/s
	UnitTwist    = "twist"    // m/s and rad/s of the end effector
	UnitGripper  = "gripper"  // as the gripper takes it: m, rad or 0..1
)

// Alignments of a stream onto the clock grid.
const (
	AlignHold = "hold" // newest sample not stamped after t
	AlignAsof = "asof" // sample stamped nearest to t, of those received by t
	AlignDrop = "drop" // like hold, but stamped within the last period
)

// Clocks that stamp a sample.
const (
	ClockHeader  = "header"  // the message's header stamp; receive time where it is zero or absent
	ClockReceive = "receive" // the time the message was received (a bag's log time)
)

// Normalisations of state and action.
const (
	NormalizeQuantile = "quantile" // q01..q99 -> [-1, 1]; min..max where that is over 10 times as wide
	NormalizeZScore   = "zscore"   // (x - mean) / std
)

// NextState as Action.From takes the measured state at t+period for the action.
const NextState = "next_state"

// DefaultMaxAgeMS is the max_age_ms of a stream that gives none.
const DefaultMaxAgeMS = 500

// ErrContract is wrapped by every error about what a contract says.
var ErrContract = errors.New("invalid contract")

// Contract is one YAML file: which topics make observations and actions. Use
// Parse or Load, or call Validate on one built by hand.
type Contract struct {
	Version     int         `yaml:"version"`           // 1
	RateHz      float64     `yaml:"rate_hz"`           // frames per second, 0.1..1000
	Clock       string      `yaml:"clock"`             // header (default) | receive
	Observation Observation `yaml:"observation"`       // what the policy sees
	Action      Action      `yaml:"action"`            // what it commands
	Reward      Reward      `yaml:"reward,omitempty"`  // where rewards come from
	Episode     Episode     `yaml:"episode,omitempty"` // what marks episodes; none: one bag is one episode
	Normalize   string      `yaml:"normalize"`         // quantile (default) | zscore
	// Frozen encoders in place of the built-in ones.
	Vision   *Vision   `yaml:"vision,omitempty"`
	Language *Language `yaml:"language,omitempty"`
}

// Observation lists the inputs of a policy.
type Observation struct {
	State       []StateField          `yaml:"state,omitempty"`  // concatenated in this order
	Images      map[string]ImageField `yaml:"images,omitempty"` // by camera name; used in sorted order
	Instruction Instruction           `yaml:"instruction,omitempty"`
}

// Selection picks numbers out of a message: either Fields, one path per
// number, or Field, one path to an array (flattened row-major) or a number.
type Selection struct {
	// Field is the path of an array, such as position, or of one number.
	Field string `yaml:"field,omitempty"`
	// Fields are paths of single numbers, such as twist.linear.x; data.3 is
	// element 3 of data.
	Fields []string `yaml:"fields,omitempty,flow"`
	// Names are the joints to take, matched with the message's name[] (or
	// joint_names[]). Where the message carries no names, Indices are used,
	// else the order if the lengths are equal. With Fields they only label.
	Names []string `yaml:"names,omitempty,flow"`
	// Indices are the elements of Field to take, counted from 0.
	Indices []int `yaml:"indices,omitempty,flow"`
}

// StateField is one part of the state vector.
type StateField struct {
	Topic     string `yaml:"topic"`
	Type      string `yaml:"type"` // pkg/msg/Name
	Selection `yaml:",inline"`
	Align     string  `yaml:"align"`           // hold (default) | asof | drop
	MaxAgeMS  float64 `yaml:"max_age_ms"`      // older is stale; default 500, up to 3600000
	Clock     string  `yaml:"clock,omitempty"` // header | receive; default: the contract's
}

// ImageField is one camera.
type ImageField struct {
	Topic    string    `yaml:"topic"`
	Type     string    `yaml:"type"`                   // sensor_msgs/msg/Image | sensor_msgs/msg/CompressedImage
	Size     [2]int    `yaml:"size,flow"`              // [height, width] after resizing, 8..1024
	RangeM   []float64 `yaml:"range_m,omitempty,flow"` // [near, far] of a depth camera: metres that become 1 and 255; 0 is unknown
	Align    string    `yaml:"align"`                  // hold (default) | asof | drop
	MaxAgeMS float64   `yaml:"max_age_ms"`             // older is stale; default 500
	Clock    string    `yaml:"clock,omitempty"`        // header | receive; default: the contract's
}

// Instruction is the task in words: the newest message of a topic, or Default.
type Instruction struct {
	Topic   string `yaml:"topic,omitempty"`
	Type    string `yaml:"type,omitempty"` // std_msgs/msg/String
	Default string `yaml:"default,omitempty"`
}

// Action says what was commanded, and so what the policy answers.
type Action struct {
	From      string `yaml:"from,omitempty"`  // empty: the topic; next_state: the state at t+period, Names name its elements
	Topic     string `yaml:"topic,omitempty"` // of the commands
	Type      string `yaml:"type,omitempty"`
	Selection `yaml:",inline"`
	Unit      string  `yaml:"unit"`                 // position | velocity | twist | gripper
	Relative  bool    `yaml:"relative"`             // to the state of the same name at the chunk's start
	Horizon   int     `yaml:"horizon"`              // H, 1..256
	MaxAgeMS  float64 `yaml:"max_age_ms,omitempty"` // 0 (default): a command is in force until the next
	Clock     string  `yaml:"clock,omitempty"`      // header | receive; default: the contract's
}

// Reward names the sources of reward; the first that an episode has is used:
// the topic, the file, its outcome, dense terms.
type Reward struct {
	Topic   string        `yaml:"topic,omitempty"`
	Type    string        `yaml:"type,omitempty"`        // arfm/msg/Reward (default), or any with Field
	Field   string        `yaml:"field,omitempty"`       // path of the number; default value, or data in std_msgs
	File    string        `yaml:"file,omitempty"`        // name of the sidecar file beside the bag; default rewards.csv
	Source  string        `yaml:"source,omitempty"`      // empty: the first that there is | labels | terms
	Terms   WeightedTerms `yaml:"terms,omitempty"`       // dense terms; default: all
	Cameras RewardCameras `yaml:"cameras,omitempty"`     // that dense terms look through
	Joints  []string      `yaml:"joints,omitempty,flow"` // state elements that dense terms compare; default: joint positions
	Gripper string        `yaml:"gripper,omitempty"`     // the element that opens and closes; default: the one that is called so
}

// Episode names the topic of arfm/msg/EpisodeEvent that marks episodes.
type Episode struct {
	Topic string `yaml:"topic,omitempty"`
	Type  string `yaml:"type,omitempty"` // arfm/msg/EpisodeEvent
}

// Camera is a camera's name and the size of its image, in pixels.
type Camera struct {
	Name          string
	Height, Width int
}

// Role is what a topic is read for.
type Role string

// Roles of a topic.
const (
	RoleState       Role = "state"
	RoleImage       Role = "image"
	RoleInstruction Role = "instruction"
	RoleAction      Role = "action"
	RoleReward      Role = "reward"
	RoleEpisode     Role = "episode"
)

// TopicUse is one topic that is read, its type and what for.
type TopicUse struct {
	Topic, Type string
	Role        Role
}

// Parse reads a contract, refuses what it does not know and validates the
// rest. Errors wrap ErrContract and name the field and the remedy.
func Parse(data []byte) (*Contract, error) {
	if len(data) > MaxFileBytes {
		return nil, fmt.Errorf("%w: %d bytes are over the limit of %d", ErrContract, len(data), MaxFileBytes)
	}
	var c Contract
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%w: the file is empty", ErrContract)
		}
		return nil, fmt.Errorf("%w: %s", ErrContract, userfile.YAMLError(err))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one YAML document; keep one", ErrContract)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &c, nil
}

// Load reads the contract in a file; see Parse. Paths in it become absolute.
func Load(path string) (*Contract, error) {
	data, err := userfile.Read(path, MaxFileBytes+1)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	c, err := Parse(data)
	if err == nil {
		err = c.resolve(filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("contract %s: %w", path, err)
	}
	return c, nil
}

// YAML returns the contract in canonical form, defaults written out. Parse
// gives an equal contract back.
func (c *Contract) YAML() []byte {
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(c); err != nil {
		panic("contract: plain data did not encode: " + err.Error())
	}
	return buf.Bytes()
}

// Period returns the time between frames in ns. Frames lie at multiples of it.
func (c *Contract) Period() int64 { return int64(math.Round(1e9 / c.RateHz)) }

// Horizon returns H, the actions in a chunk.
func (c *Contract) Horizon() int { return c.Action.Horizon }

// StateDim returns S, the length of the state vector.
func (c *Contract) StateDim() int {
	n := 0
	for i := range c.Observation.State {
		n += c.Observation.State[i].Dim()
	}
	return n
}

// ActionDim returns A, the length of an action.
func (c *Contract) ActionDim() int { return c.Action.Dim() }

// Cameras returns the cameras in the order of Observation.Images, by name.
func (c *Contract) Cameras() []Camera {
	out := make([]Camera, 0, len(c.Observation.Images))
	for name, im := range c.Observation.Images {
		out = append(out, Camera{Name: name, Height: im.Size[0], Width: im.Size[1]})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Topics returns every topic that is read, once per role, in the order state,
// images, instruction, action, reward, episode.
func (c *Contract) Topics() []TopicUse {
	var out []TopicUse
	add := func(topic, typ string, role Role) {
		u := TopicUse{Topic: topic, Type: typ, Role: role}
		if topic != "" && !slices.Contains(out, u) {
			out = append(out, u)
		}
	}
	for _, s := range c.Observation.State {
		add(s.Topic, s.Type, RoleState)
	}
	for _, cam := range c.Cameras() {
		im := c.Observation.Images[cam.Name]
		add(im.Topic, im.Type, RoleImage)
	}
	add(c.Observation.Instruction.Topic, c.Observation.Instruction.Type, RoleInstruction)
	add(c.Action.Topic, c.Action.Type, RoleAction)
	add(c.Reward.Topic, c.Reward.Type, RoleReward)
	add(c.Episode.Topic, c.Episode.Type, RoleEpisode)
	return out
}
