package backbone

import (
	"fmt"
	"image"

	"golang.org/x/image/draw"

	"arfm/policy"
	"arfm/policy/contract"
	"arfm/policy/onnx"
	"arfm/policy/vla"
)

// vision is a vision encoder and what is done to a picture before it.
type vision struct {
	*model
	form  vla.Backbone
	input string
	mean  [3]float32
	scale [3]float32 // 1 / std

	framings map[image.Point]*framing // by the size of a camera's picture
	size     image.Point              // of what the model takes
	x        *onnx.Tensor             // (1, 3, H, W) or (1, H, W, 3)
}

// framing brings pictures of one size to what the model takes.
type framing struct {
	rgba  *image.RGBA
	scale draw.Scaler // nil: the size stays
	sized *image.RGBA
	crop  image.Rectangle // of sized
}

func newFraming(mode string, from, to image.Point, crop image.Rectangle) *framing {
	f := &framing{rgba: image.NewRGBA(image.Rectangle{Max: from}), crop: crop}
	for i := range f.rgba.Pix {
		f.rgba.Pix[i] = 255 // opaque
	}
	f.sized = f.rgba
	if from == to {
		return f
	}
	f.sized = image.NewRGBA(image.Rectangle{Max: to})
	switch mode {
	case contract.ResizeNearest:
		f.scale = draw.NearestNeighbor
	case contract.ResizeBicubic:
		f.scale = draw.CatmullRom.NewScaler(to.X, to.Y, from.X, from.Y)
	default:
		f.scale = draw.BiLinear.NewScaler(to.X, to.Y, from.X, from.Y)
	}
	return f
}

// picture resizes im; the part that counts is crop of the result.
func (f *framing) picture(im *policy.Image) *image.RGBA {
	for i, k := 0, 0; i < len(im.Pix); i, k = i+3, k+4 {
		copy(f.rgba.Pix[k:k+3], im.Pix[i:i+3])
	}
	if f.scale != nil {
		f.scale.Scale(f.sized, f.sized.Rect, f.rgba, f.rgba.Rect, draw.Src, nil)
	}
	return f.sized
}

// openVision opens the model at path for the contract's cameras.
func openVision(path string, c *contract.Contract) (_ *vision, err error) {
	m, err := openModel(path, c.Vision.Output)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	v := &vision{model: m, framings: map[image.Point]*framing{}}
	for i := range 3 {
		v.mean[i], v.scale[i] = float32(c.Vision.Mean[i]), float32(1/c.Vision.Std[i])
	}
	height, width, err := v.takesPicture()
	if err != nil {
		return nil, err
	}
	for i, cam := range c.Cameras() {
		to, crop, err := sizes(c.Vision, cam, height, width)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", path, err)
		case i > 0 && crop.Size() != v.size:
			return nil, fmt.Errorf("%s: pictures of camera %q would come in as [%d %d] and those before as [%d %d]; give vision.resize or vision.crop in the contract", path, cam.Name, crop.Dy(), crop.Dx(), v.size.Y, v.size.X)
		}
		v.size = crop.Size()
		from := image.Pt(cam.Width, cam.Height)
		v.framings[from] = newFraming(c.Vision.Mode, from, to, crop)
	}
	return v, v.try(c.Cameras()[0])
}

// takesPicture finds the input, its layout, and its height and width, 0 where
// they are open.
func (v *vision) takesPicture() (height, width int, err error) {
	bad := func() error {
		return fmt.Errorf("%s takes %v, a vision backbone takes one float32 picture, (1, 3, H, W) or (1, H, W, 3)", v.path, v.Inputs)
	}
	if len(v.Inputs) != 1 {
		return 0, 0, bad()
	}
	in := v.Inputs[0]
	v.input = in.Name
	if in.Type != onnx.Float32 || len(in.Dims) != 4 || in.Dims[0].Symbol == "" && in.Dims[0].Size != 1 {
		return 0, 0, bad()
	}
	is := func(i int) bool { return in.Dims[i].Symbol == "" && in.Dims[i].Size == 3 }
	h := 2
	switch {
	case is(3) && !is(1):
		v.last, h = true, 1
	case !is(1) && in.Dims[1].Symbol == "":
		return 0, 0, bad()
	}
	side := func(d onnx.Dim) int {
		if d.Symbol != "" {
			return 0
		}
		return d.Size
	}
	return side(in.Dims[h]), side(in.Dims[h+1]), nil
}

// sizes says to which size a camera's pictures are resized and what is cut out
// of them; height and width are what the model takes, 0 where they are open.
func sizes(s *contract.Vision, cam contract.Camera, height, width int) (to image.Point, crop image.Rectangle, err error) {
	to = image.Pt(cam.Width, cam.Height)
	switch {
	case s.Resize != nil:
		to = image.Pt(s.Resize[1], s.Resize[0])
	case s.Shortest != 0 && cam.Width < cam.Height:
		to = image.Pt(s.Shortest, s.Shortest*cam.Height/cam.Width)
	case s.Shortest != 0:
		to = image.Pt(s.Shortest*cam.Width/cam.Height, s.Shortest)
	case s.Crop == nil && height > 0 && width > 0:
		to = image.Pt(width, height)
	}
	crop = image.Rectangle{Max: to}
	if s.Crop != nil {
		size := image.Pt(s.Crop[1], s.Crop[0])
		if size.X > to.X || size.Y > to.Y {
			return to, crop, fmt.Errorf("vision.crop %v is larger than the picture of camera %q, which is [%d %d] by then; resize to more or cut less", s.Crop, cam.Name, to.Y, to.X)
		}
		at := to.Sub(size).Div(2)
		crop = image.Rectangle{Min: at, Max: at.Add(size)}
	}
	size := crop.Size()
	if height > 0 && height != size.Y || width > 0 && width != size.X {
		return to, crop, fmt.Errorf("it takes pictures of [%d %d] and those of camera %q come in as [%d %d]; set vision.resize or vision.crop in the contract", height, width, cam.Name, size.Y, size.X)
	}
	if max(to.X, to.Y) > 4*contract.MaxBackboneSide { // of a very long picture by its shorter side
		return to, crop, fmt.Errorf("pictures of camera %q would become [%d %d]; set vision.resize in the contract", cam.Name, to.Y, to.X)
	}
	return to, crop, nil
}

// try fixes the shapes, encodes a black picture and keeps the form of what
// comes out.
func (v *vision) try(cam contract.Camera) error {
	size := v.size
	shape := []int{1, 3, size.Y, size.X}
	if v.last {
		shape = []int{1, size.Y, size.X, 3}
	}
	if err := v.FixShapes(map[string][]int{v.input: shape}); err != nil {
		return err
	}
	var err error
	if v.x, err = onnx.New(onnx.Float32, make([]float32, 3*size.X*size.Y), shape...); err != nil {
		return err
	}
	x, tokens, width, err := v.look(&policy.Image{Width: cam.Width, Height: cam.Height, Pix: make([]uint8, 3*cam.Width*cam.Height)})
	if err != nil {
		return err
	}
	v.form.Tokens, v.form.Width = tokens, width
	return v.finish(make([]float32, len(x)), x, tokens, width)
}

// encode fills dst with the features of im.
func (v *vision) encode(dst []float32, im *policy.Image) error {
	x, tokens, width, err := v.look(im)
	if err != nil {
		return err
	}
	if tokens != v.form.Tokens || width != v.form.Width {
		return fmt.Errorf("%w: %s gives %d features of %d numbers, and before %d of %d", ErrBackbone, v.path, tokens, width, v.form.Tokens, v.form.Width)
	}
	return v.finish(dst, x, tokens, width)
}

// look runs the model on im.
func (v *vision) look(im *policy.Image) (x []float32, tokens, width int, err error) {
	if v.framings[image.Pt(im.Width, im.Height)] == nil || len(im.Pix) != 3*im.Width*im.Height {
		return nil, 0, 0, fmt.Errorf("%w: a picture of %dx%d with %d bytes, which no camera of the contract has", ErrBackbone, im.Width, im.Height, len(im.Pix))
	}
	v.prepare(im)
	return v.run(map[string]*onnx.Tensor{v.input: v.x})
}

// prepare resizes, cuts and normalises im into x. The picture is rounded to 8
// bits after resizing, as the processors do that backbones come with.
func (v *vision) prepare(im *policy.Image) {
	f := v.framings[image.Pt(im.Width, im.Height)]
	sized, x, size := f.picture(im), onnx.Data[float32](v.x), v.size
	channel, pixel := size.X*size.Y, 1
	if v.last {
		channel, pixel = 1, 3
	}
	for j := range size.Y {
		row := sized.Pix[sized.PixOffset(f.crop.Min.X, f.crop.Min.Y+j):]
		for i := range size.X {
			at := (j*size.X + i) * pixel
			for c := range 3 {
				x[at+c*channel] = (float32(row[4*i+c])/255 - v.mean[c]) * v.scale[c]
			}
		}
	}
}
