package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	stdjpeg "image/jpeg"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"arfm/bags"
	"arfm/bags/baseline"
	"arfm/bags/cdr"
	"arfm/bags/rosbag2"
	"arfm/policy/contract"
	"arfm/policy/contract/jpeg"
)

// IngestReport is the speed at which a bag becomes episodes.
type IngestReport struct {
	Machine  Machine    `json:"machine"`
	Bag      string     `json:"bag"`
	Decoder  string     `json:"decoder"` // of JPEG pictures, in this build
	Bytes    int64      `json:"bytes"`   // of message data
	Messages int64      `json:"messages"`
	Frames   int        `json:"frames"`
	Read     float64    `json:"read_s"` // reading every message, decoding none
	On       []IngestOn `json:"on"`     // one core, then all
}

// IngestOn is what a number of cores reach, medians of interleaved rounds.
type IngestOn struct {
	Cores    int     `json:"cores"`
	Ingest   float64 `json:"ingest_s"`             // reading, decoding, resampling, images included
	Baseline float64 `json:"baseline_s,omitempty"` // the foxglove reader and image/jpeg alone; of a made-up bag only
	Speed    float64 `json:"speed,omitempty"`      // ours by the baseline's
}

func (r *IngestReport) String() string {
	mb := float64(r.Bytes) / 1e6
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d messages, %.1f MB, %d frames\nread alone: %.2f s, %.0f MB/s\n", r.Bag, r.Messages, mb, r.Frames, r.Read, mb/r.Read)
	for _, on := range r.On {
		fmt.Fprintf(&b, "read, decoded, resampled on %s: %.2f s, %.0f MB/s, %.0f frames/s", cores(on.Cores), on.Ingest, mb/on.Ingest, float64(r.Frames)/on.Ingest)
		if on.Baseline > 0 {
			fmt.Fprintf(&b, "; foxglove's reader and image/jpeg alone: %.2f s, %.2f of their speed", on.Baseline, on.Speed)
		}
		fmt.Fprintln(&b)
	}
	if len(r.On) > 1 {
		fmt.Fprintf(&b, "on %s: %.2f times its speed on one\n", cores(r.On[1].Cores), r.scaling())
	}
	fmt.Fprintf(&b, "JPEG pictures by %s, on %v\n", r.Decoder, r.Machine)
	return b.String()
}

// scaling is the speed on all cores by that on one, 1 where there is one only.
func (r *IngestReport) scaling() float64 { return r.On[0].Ingest / r.On[len(r.On)-1].Ingest }

func cores(n int) string {
	if n == 1 {
		return "1 core"
	}
	return fmt.Sprintf("%d cores", n)
}

// Ingest measures reading of a bag through a contract, on one core and on all.
// Without a path it makes a bag of about size bytes with a camera, which is read
// by package baseline too, and removes it afterwards.
func Ingest(ctx context.Context, path string, c *contract.Contract, size int64, rounds int) (*IngestReport, error) {
	if rounds < 1 {
		return nil, fmt.Errorf("%w: the number of runs is %d, it must be at least 1", ErrSetup, rounds)
	}
	r := &IngestReport{Machine: machine(), Bag: path, Decoder: jpeg.Library}
	file := ""
	if path == "" {
		dir, err := tempDir()
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		path, r.Bag = filepath.Join(dir, "bag"), "a made-up bag with a 640x480 JPEG camera"
		file = filepath.Join(path, "bag_0.mcap")
		if c, err = contract.Parse([]byte(ingestContract)); err != nil {
			return nil, err
		}
		if err := writeCameraBag(ctx, path, size); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	if err := r.drain(ctx, path); err != nil {
		return nil, err
	}
	r.Read = time.Since(start).Seconds()
	all := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(all)
	for _, n := range slices.Compact([]int{1, all}) {
		runtime.GOMAXPROCS(n)
		if err := r.measure(ctx, path, file, c, rounds); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// measure reads the bag some times on the cores that there are, and after each
// time the baseline reads file, unless "".
func (r *IngestReport) measure(ctx context.Context, path, file string, c *contract.Contract, rounds int) error {
	on := IngestOn{Cores: runtime.GOMAXPROCS(0)}
	var ours, theirs, speeds []float64
	for range rounds {
		start := time.Now()
		_, report, err := bags.ReadEpisodes(ctx, path, c, bags.Options{})
		if err != nil {
			return err
		}
		ours, r.Frames = append(ours, time.Since(start).Seconds()), report.Frames
		if file == "" {
			continue
		}
		start = time.Now()
		got, err := baseline.Read(ctx, file, on.Cores)
		if err != nil {
			return err
		}
		theirs = append(theirs, time.Since(start).Seconds())
		speeds = append(speeds, theirs[len(theirs)-1]/ours[len(ours)-1])
		if got.Messages != r.Messages || got.Images != r.Messages/2 {
			return fmt.Errorf("%s: the foxglove reader found %d messages and %d pictures, ours %d messages", file, got.Messages, got.Images, r.Messages)
		}
	}
	on.Ingest = median(ours)
	if len(theirs) > 0 {
		on.Baseline, on.Speed = median(theirs), median(speeds)
	}
	r.On = append(r.On, on)
	return nil
}

// drain reads every message of the bag and counts.
func (r *IngestReport) drain(ctx context.Context, path string) error {
	bag, err := rosbag2.Open(path)
	if err != nil {
		return err
	}
	defer bag.Close()
	it, err := bag.Messages(rosbag2.Filter{})
	if err != nil {
		return err
	}
	defer it.Close()
	for {
		m, err := it.Next()
		var broken *rosbag2.BreakError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &broken):
			continue
		case err != nil:
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: reading was stopped: %w", path, err)
		}
		r.Messages++
		r.Bytes += int64(len(m.Data))
	}
}

const ingestContract = `
version: 1
rate_hz: 30
observation:
  state:
    - {topic: /joint_states, type: sensor_msgs/msg/JointState, field: position, names: [joint_1, joint_2]}
  images:
    scene: {topic: /camera/image_raw/compressed, type: sensor_msgs/msg/CompressedImage, size: [96, 96]}
action: {from: next_state, names: [joint_1, joint_2], unit: position, horizon: 16}
`

// writeCameraBag writes a 30 Hz recording of joints and a camera, of about
// the given size.
func writeCameraBag(ctx context.Context, path string, size int64) error {
	w, err := rosbag2.Create(path, rosbag2.WriterOptions{Compression: "none"})
	if err != nil {
		return err
	}
	if err := fillCameraBag(ctx, w, size); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Close()
}

func fillCameraBag(ctx context.Context, w *rosbag2.Writer, size int64) error {
	const period = int64(1e9) / 30
	reg := cdr.NewRegistry()
	joints, err := newTrack(w, reg, "/joint_states", "sensor_msgs/msg/JointState")
	if err != nil {
		return err
	}
	camera, err := newTrack(w, reg, "/camera/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
	if err != nil {
		return err
	}
	var frames [8][]byte
	for i := range frames {
		var b bytes.Buffer
		if err := stdjpeg.Encode(&b, scene(i), &stdjpeg.Options{Quality: 90}); err != nil {
			return err
		}
		frames[i] = b.Bytes()
	}
	for k, written := int64(0), int64(0); written < size; k++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		stamp := (k + 1) * period
		phase := float64(k) / 30
		err := errors.Join(
			joints.write(stamp, map[string]any{"name": []string{"joint_1", "joint_2"}, "position": []float64{math.Sin(phase), math.Cos(phase)}}),
			camera.write(stamp, map[string]any{"format": "jpeg", "data": frames[k%8]}))
		if err != nil {
			return err
		}
		written += int64(len(frames[k%8])) + 100
	}
	return nil
}

// track is a topic that is being written.
type track struct {
	w   *rosbag2.Writer
	id  rosbag2.TopicID
	typ *cdr.Type
	rec *cdr.Record
}

func newTrack(w *rosbag2.Writer, reg *cdr.Registry, topic, typeName string) (*track, error) {
	typ, err := reg.Type(typeName)
	if err != nil {
		return nil, err
	}
	id, err := w.AddTopic(rosbag2.Topic{Name: topic, Type: typeName})
	return &track{w, id, typ, typ.New()}, err
}

func (t *track) write(stamp int64, values map[string]any) error {
	errs := []error{t.rec.Set("header.stamp.sec", stamp/1e9), t.rec.Set("header.stamp.nanosec", stamp%1e9)}
	for path, v := range values {
		errs = append(errs, t.rec.Set(path, v))
	}
	data, err := t.typ.Encode(t.rec)
	if err := errors.Join(append(errs, err)...); err != nil {
		return err
	}
	return t.w.Write(t.id, stamp, data)
}

// scene is a picture with gradients and edges, as a camera's.
func scene(i int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for y := range 480 {
		for x := range 640 {
			v := uint8(x/5 + y/8 + 16*i)
			if (x/40+y/40+i)%3 == 0 {
				v ^= uint8((x*7 + y*13) & 63)
			}
			img.SetRGBA(x, y, color.RGBA{v, uint8(y / 2), 255 - v, 255})
		}
	}
	return img
}
