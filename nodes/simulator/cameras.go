package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"strings"
	"sync/atomic"

	"arfm/bags"
	"arfm/nodes/sim"
)

// RawTopic and InfoTopic belong to a camera by the topic of its compressed
// pictures.
func RawTopic(topic string) string { return strings.TrimSuffix(topic, "/compressed") }
func InfoTopic(topic string) string {
	return strings.TrimSuffix(topic, "image_raw/compressed") + "camera_info"
}

// cameras makes pictures on a goroutine of its own, from a second arena that
// looks as the first one did when they were asked for.
type cameras struct {
	o     *Options
	sink  sink
	arena *sim.Arena
	cam   []*sim.Camera // in the order of sim.CameraTopics
	msg   *bags.Messages
	jpeg  bytes.Buffer

	free, work chan *shot // one shot: while it is out, the cameras are busy
	done       chan struct{}
	rendered   atomic.Uint64
	skipped    atomic.Uint64 // because the cameras were busy
	failed     atomic.Pointer[string]
}

// shot is a picture to be made.
type shot struct {
	sim.Snapshot
	time   int64
	topics []string
}

func newCameras(o *Options, s sink) (*cameras, error) {
	c := &cameras{o: o, sink: s}
	var topics []bags.TopicType
	for _, t := range sim.CameraTopics {
		topics = append(topics, bags.TopicType{Topic: t, Type: "sensor_msgs/msg/CompressedImage"},
			bags.TopicType{Topic: RawTopic(t), Type: "sensor_msgs/msg/Image"}, bags.TopicType{Topic: InfoTopic(t), Type: "sensor_msgs/msg/CameraInfo"})
	}
	var err error
	if c.msg, err = bags.NewMessages(topics); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	for i, t := range sim.CameraTopics {
		for _, topic := range []string{t, RawTopic(t), InfoTopic(t)} {
			c.msg.Set(topic, "header.frame_id", sim.CameraNames[i]+"_camera")
		}
		c.msg.Set(t, "format", "jpeg")
	}
	if c.arena, err = sim.NewArena(o.Suite.Objects, o.Suite.Fixtures); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *cameras) close() {
	for _, cam := range c.cam {
		cam.Close()
	}
	c.arena.Close()
}

// run makes pictures until stop.
func (c *cameras) run() {
	c.free, c.work, c.done = make(chan *shot, 1), make(chan *shot, 1), make(chan struct{})
	c.free <- &shot{}
	go func() {
		defer close(c.done)
		for s := range c.work {
			if err := c.make(s); err != nil {
				text := err.Error()
				if c.failed.Swap(&text) == nil {
					c.o.Log(Warn, text)
				}
			}
			c.free <- s
		}
	}()
}

func (c *cameras) stop() {
	close(c.work)
	<-c.done
}

// ask wants pictures of the arena as it is, those that somebody listens to. In
// real time a camera that is still busy skips one; else time waits for it.
func (c *cameras) ask(a *sim.Arena, t int64, recording bool) {
	var topics []string
	for _, topic := range sim.CameraTopics {
		if recording || c.sink.wanted(topic) {
			topics = append(topics, topic)
		}
		for _, other := range []string{RawTopic(topic), InfoTopic(topic)} {
			if c.sink.wanted(other) {
				topics = append(topics, other)
			}
		}
	}
	if len(topics) == 0 {
		return
	}
	var s *shot
	if c.o.Rate == 0 {
		s = <-c.free
	} else {
		select {
		case s = <-c.free:
		default:
			c.skipped.Add(1)
			return
		}
	}
	a.Snapshot(&s.Snapshot)
	s.time, s.topics = t, topics
	c.work <- s
}

// make renders a shot and says its messages.
func (c *cameras) make(s *shot) error {
	if err := c.open(); err != nil {
		return err
	}
	if err := c.arena.Show(&s.Snapshot); err != nil {
		return err
	}
	for i, camera := range sim.CameraTopics {
		var img *image.RGBA
		for _, topic := range s.topics {
			var err error
			switch {
			case !strings.HasPrefix(topic, strings.TrimSuffix(InfoTopic(camera), "camera_info")):
				continue
			case img == nil && topic != InfoTopic(camera):
				if img, err = c.cam[i].Look(); err != nil {
					return err
				}
				c.rendered.Add(1)
			}
			if err := c.say(topic, s.time, img); err != nil {
				return err
			}
		}
	}
	return nil
}

// open makes the cameras, with the first shot: a machine that cannot render
// need not, as long as nobody wants pictures.
func (c *cameras) open() error {
	if c.cam != nil {
		return nil
	}
	for i, topic := range sim.CameraTopics {
		cam, err := c.arena.Camera(sim.CameraNames[i], c.o.Width, c.o.Height)
		if err != nil {
			return err
		}
		c.cam = append(c.cam, cam)
		w, h, f := c.o.Width, c.o.Height, cam.FocalLength()
		cx, cy := float64(w)/2, float64(h)/2
		raw, info := RawTopic(topic), InfoTopic(topic)
		for _, at := range []string{raw, info} {
			c.msg.Set(at, "width", w)
			c.msg.Set(at, "height", h)
		}
		c.msg.Set(raw, "encoding", "rgb8")
		c.msg.Set(raw, "step", 3*w)
		c.msg.Set(info, "distortion_model", "plumb_bob")
		c.msg.Set(info, "d", make([]float64, 5))
		c.msg.Set(info, "k", []float64{f, 0, cx, 0, f, cy, 0, 0, 1})
		c.msg.Set(info, "r", []float64{1, 0, 0, 0, 1, 0, 0, 0, 1})
		c.msg.Set(info, "p", []float64{f, 0, cx, 0, 0, f, cy, 0, 0, 0, 1, 0})
	}
	return c.msg.Err()
}

// say says a message of a picture, or of its camera.
func (c *cameras) say(topic string, t int64, img *image.RGBA) error {
	rec := c.msg.Of(topic)
	switch rec.TypeName() {
	case "sensor_msgs/msg/CompressedImage":
		c.jpeg.Reset()
		if err := sim.EncodeJPEG(&c.jpeg, img); err != nil {
			return fmt.Errorf("simulator: %w", err)
		}
		c.msg.Set(topic, "data", c.jpeg.Bytes())
	case "sensor_msgs/msg/Image":
		rgb := make([]byte, 0, 3*len(img.Pix)/4)
		for p := 0; p < len(img.Pix); p += 4 {
			rgb = append(rgb, img.Pix[p:p+3]...)
		}
		c.msg.Set(topic, "data", rgb)
	}
	c.msg.Stamp(topic, t)
	data, err := rec.Type().Encode(rec)
	if err = errors.Join(c.msg.Err(), err); err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	c.sink.say(Message{topic, t, data})
	return nil
}
