package finetune

import (
	"context"
	"fmt"
	"path/filepath"

	"arfm/bags"
	"arfm/finetune/features"
	"arfm/policy"
	"arfm/policy/backbone"
	"arfm/policy/contract"
	"arfm/policy/vla"
)

// encoded is what frozen backbones make of a data set: the features of its
// pictures, on disk, and of its instructions, in memory.
type encoded struct {
	encoders vla.Encoders
	vision   *vla.Backbone
	text     *vla.Backbone
	cache    *features.Cache
	keys     [][]features.Key // by episode, of all cameras frame by frame
	cameras  int
	texts    map[string][]float32
}

// newEncoded opens the cache of features below folder.
func newEncoded(s *backbone.Set, c *contract.Contract, folder string) (*encoded, error) {
	e := &encoded{encoders: s, cameras: len(c.Cameras()), texts: map[string][]float32{}}
	e.vision, e.text = s.Backbones()
	if e.vision == nil {
		return e, nil
	}
	cam := c.Cameras()[0]
	sample := &policy.Image{Width: cam.Width, Height: cam.Height, Pix: make([]uint8, 3*cam.Width*cam.Height)}
	for i := range sample.Pix {
		sample.Pix[i] = uint8(i * i >> 3)
	}
	var err error
	e.cache, err = features.Open(folder, e.vision.SHA256+"\n"+string(c.Preprocessing()), e.vision.Tokens*e.vision.Width, sample, s.Picture)
	return e, err
}

// pictures computes the features of all pictures that the cache does not have.
// progress, which may be nil, is called with those done and those there are to
// do; it is not called when there is nothing to do.
func (e *encoded) pictures(ctx context.Context, episodes []bags.Episode, progress func(done, total int64)) error {
	if e == nil || e.vision == nil {
		return nil
	}
	e.keys = make([][]features.Key, len(episodes))
	type place struct{ episode, frame, camera int }
	todo, seen := []place(nil), map[features.Key]bool{}
	for i := range episodes {
		for f := range episodes[i].Frames {
			for k := range episodes[i].Frames[f].Images {
				key := features.KeyOf(&episodes[i].Frames[f].Images[k])
				e.keys[i] = append(e.keys[i], key)
				if !seen[key] && !e.cache.Has(key) {
					todo = append(todo, place{i, f, k})
				}
				seen[key] = true
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	dst := make([]float32, e.vision.Tokens*e.vision.Width)
	for n, p := range todo {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped before the first step: %w", err)
		}
		if progress != nil {
			progress(int64(n), int64(len(todo)))
		}
		im := &episodes[p.episode].Frames[p.frame].Images[p.camera]
		if _, err := e.cache.Picture(dst, e.keys[p.episode][p.frame*e.cameras+p.camera], im); err != nil {
			return err
		}
	}
	if progress != nil && len(todo) > 0 {
		progress(int64(len(todo)), int64(len(todo)))
	}
	return nil
}

// put takes the features of a frame into sample i of b.
func (e *encoded) put(b *vla.Batch, i, episode, frame int, f *bags.Frame) error {
	if e.vision != nil {
		size := e.vision.Tokens * e.vision.Width
		for k := range f.Images {
			key := e.keys[episode][frame*e.cameras+k]
			if _, err := e.cache.Picture(b.Features[k][i*size:(i+1)*size], key, &f.Images[k]); err != nil {
				return err
			}
		}
	}
	if e.text == nil {
		return nil
	}
	size := e.text.Tokens * e.text.Width
	x, ok := e.texts[f.Instruction]
	if !ok {
		x = make([]float32, size)
		if err := e.encoders.Instruction(x, f.Instruction); err != nil {
			return err
		}
		e.texts[f.Instruction] = x
	}
	copy(b.Text[i*size:], x)
	return nil
}

// featureFolder is where features are kept.
func (o *Options) featureFolder() string {
	if o.Features != "" {
		return filepath.Clean(o.Features)
	}
	return features.DefaultFolder(o.Out)
}
