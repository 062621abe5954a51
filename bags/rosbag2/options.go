package rosbag2

// Limits bounds what a recording, however hostile, may cost. All are in bytes;
// a zero field keeps its default. Open and Reorder hold for an Iterator: files
// of a bag whose times overlap are read together and share them.
type Limits struct {
	Message int64 // one message after decompression; default 256 MiB
	Chunk   int64 // one MCAP chunk or record, compressed or not; default 512 MiB
	Open    int64 // all that is kept while times overlap, MCAP chunks above all; one file alone may exceed it by a chunk; default 256 MiB
	Reorder int64 // messages held back to sort a file without an index; default 64 MiB
	Temp    int64 // all temporary files of one bag together; default 256 GiB
}

type options struct {
	Limits
	tempDir    string
	countBelow int64 // databases beyond this size are not counted if metadata.yaml has counts
}

// Option changes how Open reads.
type Option func(*options)

// WithLimits replaces the limits whose fields are not zero.
func WithLimits(l Limits) Option {
	return func(o *options) {
		for _, f := range []struct {
			dst *int64
			v   int64
		}{{&o.Message, l.Message}, {&o.Chunk, l.Chunk}, {&o.Open, l.Open}, {&o.Reorder, l.Reorder}, {&o.Temp, l.Temp}} {
			if f.v > 0 {
				*f.dst = f.v
			}
		}
	}
}

// WithTempDir places decompressed files below dir instead of the system's
// temporary folder.
func WithTempDir(dir string) Option { return func(o *options) { o.tempDir = dir } }

func newOptions(opts []Option) options {
	o := options{countBelow: 256 << 20, Limits: Limits{Message: 256 << 20, Chunk: 512 << 20, Open: 256 << 20, Reorder: 64 << 20, Temp: 256 << 30}}
	for _, f := range opts {
		f(&o)
	}
	// A length of 2 GiB and more does not fit the int of every target.
	o.Message, o.Chunk = min(o.Message, 1<<31-1), min(o.Chunk, 1<<31-1)
	return o
}
