package contract

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The types that the package knows by name.
const (
	typeTrajectory = "trajectory_msgs/msg/JointTrajectory"
	typeJointState = "sensor_msgs/msg/JointState"
	typeTwist      = "geometry_msgs/msg/Twist"
	typeTwistStamp = "geometry_msgs/msg/TwistStamped"
	typeArray64    = "std_msgs/msg/Float64MultiArray"
	typeArray32    = "std_msgs/msg/Float32MultiArray"
	typeGripper    = "control_msgs/msg/GripperCommand"
	typeImage      = "sensor_msgs/msg/Image"
	typeCompressed = "sensor_msgs/msg/CompressedImage"
	typeString     = "std_msgs/msg/String"
	typeReward     = "arfm/msg/Reward"
	typeEpisode    = "arfm/msg/EpisodeEvent"
)

// DefaultSidecar is the sidecar's name where the contract gives none.
const DefaultSidecar = "rewards.csv"

var (
	topicName  = regexp.MustCompile(`^(/[A-Za-z_][A-Za-z0-9_]*)+$`)
	typeName   = regexp.MustCompile(`^[a-z][a-z0-9_]*/msg/[A-Za-z][A-Za-z0-9_]*$`)
	pathName   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*$`)
	cameraName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
	fileName   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

// matches applies a pattern to a name of bounded length.
func matches(re *regexp.Regexp, s string) bool { return len(s) <= 255 && re.MatchString(s) }

// fault is an error about one field: what is wrong and what to write instead.
func fault(field, format string, args ...any) error {
	return fmt.Errorf("%w: %s %s", ErrContract, field, fmt.Sprintf(format, args...))
}

// NormalType writes a message type in ROS 2's form: sensor_msgs/Image becomes
// sensor_msgs/msg/Image.
func NormalType(t string) string {
	if pkg, name, ok := strings.Cut(t, "/"); ok && !strings.Contains(name, "/") {
		return pkg + "/msg/" + name
	}
	return t
}

// Validate fills defaults and checks every value. The error wraps ErrContract,
// names the first field that is wrong and says what to do.
func (c *Contract) Validate() error {
	if c.Version != 1 {
		return fault("version", "is %d, this program reads 1", c.Version)
	}
	if !(c.RateHz >= 0.1 && c.RateHz <= 1000) {
		return fault("rate_hz", "is %v, set it to 0.1..1000", c.RateHz)
	}
	if err := choice("clock", &c.Clock, ClockHeader, ClockReceive); err != nil {
		return err
	}
	if err := choice("normalize", &c.Normalize, NormalizeQuantile, NormalizeZScore); err != nil {
		return err
	}
	for _, check := range []func() error{c.checkState, c.checkImages, c.checkInstruction, c.checkAction, c.checkLabels, c.checkDense, c.checkTypes, c.checkBackbones} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// choice sets the default (the first option) and refuses anything else.
func choice(field string, v *string, options ...string) error {
	if *v == "" {
		*v = options[0]
	}
	if !slices.Contains(options, *v) {
		return fault(field, "is %q, use %s", *v, strings.Join(options, " | "))
	}
	return nil
}

func (c *Contract) checkState() error {
	state := c.Observation.State
	if len(state) == 0 && len(c.Observation.Images) == 0 {
		return fault("observation", "is empty, give state or images")
	}
	if len(state) > MaxStateFields {
		return fault("observation.state", "has %d entries, %d are allowed", len(state), MaxStateFields)
	}
	for i := range state {
		f, at := &state[i], fmt.Sprintf("observation.state[%d]", i)
		if err := checkTopic(at, f.Topic, &f.Type); err != nil {
			return err
		}
		if len(f.Fields) == 0 && f.Field == "" {
			f.defaults(f.Type, "")
		}
		if err := f.check(at); err != nil {
			return err
		}
		if err := f.complete(at, f.Type); err != nil {
			return err
		}
		if err := checkTiming(at, &f.Align, &f.MaxAgeMS, f.Clock); err != nil {
			return err
		}
	}
	if n := c.StateDim(); n > MaxStateDim {
		return fault("observation.state", "has %d numbers, %d are allowed", n, MaxStateDim)
	}
	return nil
}

func (c *Contract) checkImages() error {
	if n := len(c.Observation.Images); n > MaxCameras {
		return fault("observation.images", "has %d cameras, %d are allowed", n, MaxCameras)
	}
	for _, cam := range c.Cameras() { // sorted, so that the error is always the same
		f, at := c.Observation.Images[cam.Name], "observation.images."+clip(cam.Name)
		if !cameraName.MatchString(cam.Name) {
			return fault(at, "is no camera name, use letters, digits and _, up to 64")
		}
		if err := checkTopic(at, f.Topic, &f.Type); err != nil {
			return err
		}
		if f.Type != typeImage && f.Type != typeCompressed {
			return fault(at+".type", "is %s, use %s or %s", f.Type, typeImage, typeCompressed)
		}
		for _, side := range f.Size {
			if side < MinImageSide || side > MaxImageSide {
				return fault(at+".size", "is %v, give [height, width], each %d..%d", f.Size, MinImageSide, MaxImageSide)
			}
		}
		r := f.RangeM
		if len(r) > 0 && !(len(r) == 2 && r[0] >= 0 && r[1] > r[0] && r[1] <= 1000) {
			return fault(at+".range_m", "must be [near, far] in metres with 0 <= near < far <= 1000")
		}
		if err := checkTiming(at, &f.Align, &f.MaxAgeMS, f.Clock); err != nil {
			return err
		}
		if len(r) == 0 {
			f.RangeM = nil
		}
		c.Observation.Images[cam.Name] = f
	}
	return nil
}

func (c *Contract) checkInstruction() error {
	in := &c.Observation.Instruction
	if len(in.Default) > 1024 || !utf8.ValidString(in.Default) || strings.ContainsFunc(in.Default, unicode.IsControl) {
		return fault("observation.instruction.default", "must be one line of UTF-8 of at most 1024 bytes")
	}
	if in.Topic == "" {
		if in.Type != "" {
			return fault("observation.instruction.type", "is given without a topic, add the topic")
		}
		return nil
	}
	if in.Type == "" {
		in.Type = typeString
	}
	if err := checkTopic("observation.instruction", in.Topic, &in.Type); err != nil {
		return err
	}
	if in.Type != typeString {
		return fault("observation.instruction.type", "is %s, use %s", in.Type, typeString)
	}
	return nil
}

func (c *Contract) checkAction() error {
	a := &c.Action
	if !slices.Contains([]string{UnitPosition, UnitVelocity, UnitTwist, UnitGripper}, a.Unit) {
		return fault("action.unit", "is %q, use position | velocity | twist | gripper", a.Unit)
	}
	if a.Horizon < 1 || a.Horizon > MaxHorizon {
		return fault("action.horizon", "is %d, set it to 1..%d", a.Horizon, MaxHorizon)
	}
	if !(a.MaxAgeMS >= 0 && a.MaxAgeMS <= 3600e3) {
		return fault("action.max_age_ms", "is %v, set it to 0..3600000 (0: a command holds until the next)", a.MaxAgeMS)
	}
	if err := checkClock("action", a.Clock); err != nil {
		return err
	}
	switch a.From {
	case NextState:
		if a.Topic != "" || a.Type != "" || a.Field != "" || len(a.Fields)+len(a.Indices) > 0 || len(a.Names) == 0 {
			return fault("action.from", "is next_state, which takes names of state elements and no topic, type, field, fields or indices")
		}
		if err := a.check("action"); err != nil {
			return err
		}
	case "":
		if err := c.checkCommand(); err != nil {
			return err
		}
	default:
		return fault("action.from", "is %q, leave it out or use next_state", a.From)
	}
	if n := a.Dim(); n > MaxActionDim {
		return fault("action", "has %d numbers, %d are allowed", n, MaxActionDim)
	}
	if a.Relative && a.Unit == UnitTwist {
		return fault("action.relative", "is true for a twist, which has no state to be relative to; set it to false")
	}
	if a.Relative || a.From == NextState {
		if _, err := c.stateIndex(); err != nil {
			return fault("action.names", "cannot be matched with the state: %v; name each once in observation.state", err)
		}
	}
	return nil
}

// checkCommand checks an action that is read from a topic.
func (c *Contract) checkCommand() error {
	a := &c.Action
	if err := checkTopic("action", a.Topic, &a.Type); err != nil {
		return err
	}
	if len(a.Fields) == 0 && a.Field == "" {
		a.defaults(a.Type, a.Unit)
	}
	if err := a.check("action"); err != nil {
		return err
	}
	if err := a.complete("action", a.Type); err != nil {
		return err
	}
	if a.Type != typeTrajectory {
		return nil
	}
	if len(a.Names) == 0 || len(a.Fields)+len(a.Indices) > 0 {
		return fault("action.names", "must list the joints of a JointTrajectory, without fields and indices")
	}
	want := map[string]string{UnitPosition: "positions", UnitGripper: "positions", UnitVelocity: "velocities"}[a.Unit]
	if a.Field != want {
		return fault("action.field", "is %q, a JointTrajectory of unit %s takes %q", a.Field, a.Unit, want)
	}
	return nil
}

// defaults fills the path that a well-known type leaves no doubt about.
func (s *Selection) defaults(typ, unit string) {
	switch typ {
	case typeTrajectory:
		s.Field = "positions"
		if unit == UnitVelocity {
			s.Field = "velocities"
		}
	case typeJointState:
		s.Field = "position"
		if unit == UnitVelocity {
			s.Field = "velocity"
		}
	case typeTwist, typeTwistStamp:
		prefix := ""
		if typ == typeTwistStamp {
			prefix = "twist."
		}
		for _, p := range []string{"linear.x", "linear.y", "linear.z", "angular.x", "angular.y", "angular.z"} {
			s.Fields = append(s.Fields, prefix+p)
		}
	case typeArray64, typeArray32:
		s.Field = "data"
	case typeGripper:
		s.Field = "position"
	}
}

// check validates a selection; at names it in errors.
func (s *Selection) check(at string) error {
	if len(s.Fields) > 0 && (s.Field != "" || len(s.Indices) > 0) {
		return fault(at+".fields", "excludes field and indices, keep one form")
	}
	for _, p := range append([]string{s.Field}, s.Fields...) {
		if p != "" && !matches(pathName, p) {
			return fault(at+".field", "%q is no path, write it like twist.linear.x", clip(p))
		}
	}
	if slices.Contains(s.Fields, "") {
		return fault(at+".fields", "has an empty path, remove it")
	}
	if max(len(s.Fields), len(s.Names), len(s.Indices)) > MaxStateDim {
		return fault(at, "selects more than %d numbers", MaxStateDim)
	}
	for i, n := range s.Names {
		if n == "" || len(n) > 128 || !utf8.ValidString(n) || strings.ContainsFunc(n, unicode.IsControl) {
			return fault(fmt.Sprintf("%s.names[%d]", at, i), "must be 1..128 bytes of printable text")
		}
		if slices.Contains(s.Names[:i], n) {
			return fault(at+".names", "has %q twice, remove one", n)
		}
	}
	for i, k := range s.Indices {
		if k < 0 || k >= 1<<20 {
			return fault(fmt.Sprintf("%s.indices[%d]", at, i), "is %d, set it to 0..%d", k, 1<<20-1)
		}
	}
	if k := len(s.Indices) + len(s.Fields); len(s.Names) > 0 && k > 0 && k != len(s.Names) {
		return fault(at+".names", "has %d entries for %d indices or fields, give one each", len(s.Names), k)
	}
	return nil
}

// complete refuses a selection that leaves open what, or how much, to take.
func (s *Selection) complete(at, typ string) error {
	if s.Field == "" && len(s.Fields) == 0 {
		return fault(at+".field", "is missing, give the path to take from %s", typ)
	}
	array := typ == typeJointState || typ == typeArray64 || typ == typeArray32
	if array && s.Field != "" && len(s.Names)+len(s.Indices) == 0 {
		return fault(at+".names", "are missing, list what to take from the array %s, by names or indices", s.Field)
	}
	return nil
}

func (c *Contract) checkLabels() error {
	r := &c.Reward
	if r.Topic != "" {
		if r.Type == "" {
			r.Type = typeReward
		}
		if err := checkTopic("reward", r.Topic, &r.Type); err != nil {
			return err
		}
		if r.Field == "" {
			r.Field = "value"
			if strings.HasPrefix(r.Type, "std_msgs/") {
				r.Field = "data"
			}
		}
		if !matches(pathName, r.Field) {
			return fault("reward.field", "%q is no path, write it like value", clip(r.Field))
		}
	} else if r.Type != "" || r.Field != "" {
		return fault("reward.topic", "is missing beside reward.type or reward.field, add it")
	}
	if r.File != "" && (!fileName.MatchString(r.File) || strings.Contains(r.File, "..")) {
		return fault("reward.file", "%q is no plain file name, write it like %s", clip(r.File), DefaultSidecar)
	}
	e := &c.Episode
	if e.Topic == "" {
		if e.Type != "" {
			return fault("episode.topic", "is missing beside episode.type, add it")
		}
		return nil
	}
	if e.Type == "" {
		e.Type = typeEpisode
	}
	if err := checkTopic("episode", e.Topic, &e.Type); err != nil {
		return err
	}
	if e.Type != typeEpisode {
		return fault("episode.type", "is %s, use %s", e.Type, typeEpisode)
	}
	return nil
}

// checkTypes refuses one topic under two types.
func (c *Contract) checkTypes() error {
	types := map[string]string{}
	for _, u := range c.Topics() {
		if t, ok := types[u.Topic]; ok && t != u.Type {
			return fault(string(u.Role)+".type", "is %s, but topic %s is %s elsewhere; a topic has one type", u.Type, u.Topic, t)
		}
		types[u.Topic] = u.Type
	}
	return nil
}

func checkTopic(at, topic string, typ *string) error {
	if !matches(topicName, topic) {
		return fault(at+".topic", "is %q, write an absolute ROS topic like /joint_states", clip(topic))
	}
	*typ = NormalType(*typ)
	if !matches(typeName, *typ) {
		return fault(at+".type", "is %q, write it like %s", clip(*typ), typeJointState)
	}
	return nil
}

func checkTiming(at string, align *string, maxAge *float64, clock string) error {
	if err := choice(at+".align", align, AlignHold, AlignAsof, AlignDrop); err != nil {
		return err
	}
	if *maxAge == 0 {
		*maxAge = DefaultMaxAgeMS
	}
	if !(*maxAge >= 1 && *maxAge <= 3600e3) {
		return fault(at+".max_age_ms", "is %v, set it to 1..3600000", *maxAge)
	}
	return checkClock(at, clock)
}

func checkClock(at, clock string) error {
	if clock != "" && clock != ClockHeader && clock != ClockReceive {
		return fault(at+".clock", "is %q, use header | receive", clip(clock))
	}
	return nil
}

// clip keeps hostile text short in an error.
func clip(s string) string {
	if len(s) > 64 {
		return s[:61] + "..."
	}
	return s
}
