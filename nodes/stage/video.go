package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"arfm/nodes/eval"
	"arfm/nodes/sim"
	"arfm/policy"
)

// ErrVideo is wrapped by refusals of WriteVideo.
var ErrVideo = errors.New("no video")

// VideoForms are the endings of a video's file name that WriteVideo knows.
var VideoForms = []string{".png", ".gif", ".mp4"}

// Size of a video's frames, pixels, and the periods between two of them.
const (
	VideoWidth  = 320
	VideoHeight = 240
	VideoEvery  = 2
)

// sheetColumns is how many frames of an episode a contact sheet shows.
const sheetColumns = 8

// CheckVideo refuses a file name that WriteVideo could not write to.
func CheckVideo(path string) error {
	if dir := filepath.Dir(path); !isDir(dir) {
		return fmt.Errorf("%w: %s is no folder; name a file in a folder that there is", ErrVideo, dir)
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".png", ".gif":
		return nil
	case ".mp4":
		if _, err := exec.LookPath("ffmpeg"); err != nil {
			return fmt.Errorf("%w: %s needs ffmpeg, which is not installed; run `apt-get install ffmpeg`, or name a .gif or a .png", ErrVideo, path)
		}
		return nil
	}
	return fmt.Errorf("%w: %s ends in none of %s", ErrVideo, path, strings.Join(VideoForms, ", "))
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Shoot runs the first episodes of an evaluation once more and films them.
func Shoot(ctx context.Context, open func() (eval.Stage, error), newPolicy func() (policy.Policy, error), o eval.Options) ([]Reel, error) {
	var film *Film
	o.Workers, o.Each = 1, nil
	_, err := eval.Evaluate(ctx, func() (eval.Stage, error) {
		st, err := open()
		if err != nil {
			return nil, err
		}
		if film, err = NewFilm(st.(*Stage), VideoWidth, VideoHeight, VideoEvery); err != nil {
			return nil, errors.Join(err, st.Close())
		}
		return film, nil
	}, newPolicy, o)
	if err != nil {
		return nil, err
	}
	return film.Episodes, nil
}

// WriteVideo writes the reels one after another, or, as .png, a contact sheet
// with a row for each.
func WriteVideo(path string, reels []Reel) error {
	if err := CheckVideo(path); err != nil {
		return err
	}
	var buf bytes.Buffer
	var err error
	switch strings.ToLower(filepath.Ext(path)) {
	case ".png":
		err = png.Encode(&buf, Sheet(reels, sheetColumns))
	case ".gif":
		err = writeGIF(&buf, reels)
	default:
		return writeMP4(path, reels)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrVideo, path, err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o666); err != nil {
		return fmt.Errorf("%w: %w; name a file in a folder that you may write to", ErrVideo, err)
	}
	return nil
}

// Sheet puts columns frames of each reel, evenly spread, into a row.
func Sheet(reels []Reel, columns int) image.Image {
	const gap = 4
	out := image.NewRGBA(image.Rect(0, 0, columns*(VideoWidth+gap)-gap, len(reels)*(VideoHeight+gap)-gap))
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	for i, r := range reels {
		for k, n := range r.Spread(columns) {
			at := image.Pt(k*(VideoWidth+gap), i*(VideoHeight+gap))
			draw.Draw(out, image.Rectangle{at, at.Add(image.Pt(VideoWidth, VideoHeight))}, r.Frames[n], image.Point{}, draw.Src)
		}
	}
	return out
}

// Spread returns the numbers of n frames from the first to the last, or of all
// where there are fewer.
func (r *Reel) Spread(n int) (out []int) {
	if last := len(r.Frames) - 1; last >= n && n > 1 {
		for k := range n {
			out = append(out, (k*last+(n-1)/2)/(n-1))
		}
		return out
	}
	for k := range min(n, len(r.Frames)) {
		out = append(out, k)
	}
	return out
}

// levels of red, green and blue in an animation's palette: 252 colours.
var levels = [3]int{6, 7, 6}

var cube = func() (p color.Palette) {
	for i := range levels[0] * levels[1] * levels[2] {
		r, g, b := i/levels[2]/levels[1], i/levels[2]%levels[1], i%levels[2]
		p = append(p, color.RGBA{uint8(255 * r / (levels[0] - 1)), uint8(255 * g / (levels[1] - 1)), uint8(255 * b / (levels[2] - 1)), 255})
	}
	return p
}()

// bayer is the 4x4 matrix of ordered dithering (Bayer 1973), in sixteenths.
var bayer = [4][4]int{{0, 8, 2, 10}, {12, 4, 14, 6}, {3, 11, 1, 9}, {15, 7, 13, 5}}

// paletted dithers a picture onto the palette. The library's error diffusion
// looks for the nearest of all colours at every pixel: a hundred times slower.
func paletted(f *image.RGBA) *image.Paletted {
	p := image.NewPaletted(f.Rect, cube)
	for y := range f.Rect.Dy() {
		for x := range f.Rect.Dx() {
			index := 0
			for k, n := range levels {
				v := int(f.Pix[y*f.Stride+4*x+k])
				index = index*n + (v*(n-1)*16+255*bayer[y%4][x%4])/(255*16)
			}
			p.Pix[y*p.Stride+x] = uint8(index)
		}
	}
	return p
}

func writeGIF(w io.Writer, reels []Reel) error {
	var g gif.GIF
	for _, r := range reels {
		for _, f := range r.Frames {
			p := paletted(f.(*image.RGBA))
			g.Image, g.Delay = append(g.Image, p), append(g.Delay, 100*VideoEvery/sim.RateHz)
		}
	}
	return gif.EncodeAll(w, &g)
}

// writeMP4 hands the frames to ffmpeg.
func writeMP4(path string, reels []Reel) error {
	cmd := exec.Command("ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgba", "-s", fmt.Sprintf("%dx%d", VideoWidth, VideoHeight),
		"-r", fmt.Sprint(sim.RateHz/VideoEvery), "-i", "-", "-pix_fmt", "yuv420p", "--", path)
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVideo, err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: ffmpeg does not start: %w", ErrVideo, err)
	}
	for _, r := range reels {
		for _, f := range r.Frames {
			if _, err = in.Write(f.(*image.RGBA).Pix); err != nil {
				break // Wait says why
			}
		}
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		return fmt.Errorf("%w: ffmpeg cannot write %s: %s", ErrVideo, path, strings.Join(strings.Fields(said.String()), " "))
	}
	return nil
}
