// Package baseline reads the pictures of an MCAP file as a program without arfm
// would, with foxglove's reader and image/jpeg alone: what ingest is measured
// against. It is for files that arfm has written itself.
package baseline

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/foxglove/mcap/go/mcap"
)

// Counts are what was read.
type Counts struct {
	Messages int64
	Images   int64 // decoded
	Pixels   int64 // in them
}

// Read reads every message of the file at path and decodes each
// sensor_msgs/msg/CompressedImage, a JPEG, on some goroutines; with one, on the
// reading one.
func Read(ctx context.Context, path string, decoders int) (Counts, error) {
	f, err := os.Open(path)
	if err != nil {
		return Counts{}, err
	}
	defer f.Close()
	r, err := mcap.NewReader(f)
	if err != nil {
		return Counts{}, fmt.Errorf("%s: %w", path, err)
	}
	defer r.Close()
	it, err := r.Messages()
	if err != nil {
		return Counts{}, fmt.Errorf("%s: %w", path, err)
	}
	d := newDecoders(decoders)
	n, err := d.feed(ctx, it)
	if failed := d.wait(); err == nil {
		err = failed
	}
	if err != nil {
		return Counts{}, fmt.Errorf("%s: %w", path, err)
	}
	return Counts{n, d.images.Load(), d.pixels.Load()}, nil
}

// decoders are goroutines that decode messages; without any the caller does.
type decoders struct {
	work           chan []byte
	free           chan []byte // buffers
	group          sync.WaitGroup
	images, pixels atomic.Int64
	once           sync.Once
	err            error // the first
}

func newDecoders(n int) *decoders {
	d := &decoders{}
	if n < 2 {
		return d
	}
	d.work, d.free = make(chan []byte, n), make(chan []byte, 2*n)
	for range 2 * n {
		d.free <- nil
	}
	for range n {
		d.group.Go(func() {
			for msg := range d.work {
				d.decode(msg)
				d.free <- msg
			}
		})
	}
	return d
}

func (d *decoders) wait() error {
	if d.work != nil {
		close(d.work)
	}
	d.group.Wait()
	return d.err
}

// feed hands over the messages and returns how many there were.
func (d *decoders) feed(ctx context.Context, it mcap.MessageIterator) (n int64, err error) {
	var msg mcap.Message
	for ; ctx.Err() == nil; n++ {
		schema, _, _, err := it.NextInto(&msg)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		switch {
		case schema.Name != "sensor_msgs/msg/CompressedImage":
		case d.work == nil:
			d.decode(msg.Data)
		default:
			buf := <-d.free
			d.work <- append(buf[:0], msg.Data...)
		}
	}
	return n, ctx.Err()
}

func (d *decoders) decode(msg []byte) {
	data, err := picture(msg)
	if err == nil {
		img, failed := jpeg.Decode(bytes.NewReader(data))
		if err = failed; err == nil {
			d.images.Add(1)
			d.pixels.Add(int64(img.Bounds().Dx()) * int64(img.Bounds().Dy()))
			return
		}
	}
	d.once.Do(func() { d.err = err })
}

var errMessage = errors.New("a message is no CompressedImage in little-endian CDR")

// picture returns the field data of a CompressedImage: after the stamp and the
// strings frame_id and format.
func picture(msg []byte) ([]byte, error) {
	const encapsulation, stamp = 4, 8
	if len(msg) < encapsulation+stamp || msg[1] != 1 {
		return nil, errMessage
	}
	body, at := msg[encapsulation:], stamp
	var field []byte
	for range 3 {
		at = (at + 3) &^ 3
		if len(body)-at < 4 {
			return nil, errMessage
		}
		n := int64(binary.LittleEndian.Uint32(body[at:]))
		at += 4
		if int64(len(body)-at) < n {
			return nil, errMessage
		}
		field = body[at : at+int(n)]
		at += int(n)
	}
	return field, nil
}
