package export

import (
	"fmt"

	"arfm/policy/contract"
	"arfm/policy/onnx"
	"arfm/policy/vla"
)

// channels of an image.
const channels = 3

// observe adds the inputs of an observation and returns the context tokens
// (B, T, D), in the order of package vla: state, words, each camera.
func (g *graph) observe(c *vla.Config, ct *contract.Contract, norm *contract.Coefficients) string {
	var tokens []string
	if c.StateDim > 0 {
		g.input(inputState, onnx.Float32, stateDoc(ct), perItem(c.StateDim)...)
		g.within("state", func() { tokens = g.stateTokens(c, norm) })
	}
	switch {
	case c.Text != nil:
		name := g.input(inputText, onnx.Float32, textDoc(c.Text), perItem(c.Text.Tokens, c.Text.Width)...)
		g.within("language", func() {
			tokens = append(tokens, g.op("Add", g.linear("language.proj", name), g.param("language.type")))
		})
	case c.Language:
		g.input(inputWords, onnx.Int64, wordsDoc(c), perItem(c.MaxWords)...)
		g.within("language", func() { tokens = append(tokens, g.wordTokens(inputWords)) })
	}
	for i, cam := range c.Cameras {
		g.within(fmt.Sprintf("camera%d", i), func() { tokens = append(tokens, g.camera(c, ct, i, cam)) })
	}
	return g.concat(1, tokens...)
}

// camera adds the input of camera i and returns its tokens: patches of the
// image, or the projected features of the frozen encoder.
func (g *graph) camera(c *vla.Config, ct *contract.Contract, i int, cam vla.Camera) string {
	var x string
	if v := c.Vision; v != nil {
		name := g.input(featureInput(cam.Name), onnx.Float32, featureDoc(ct, cam, v), perItem(v.Tokens, v.Width)...)
		x = g.op("Add", g.linear("vision.proj", name), g.param(fmt.Sprintf("vision.pos.%d", i)))
	} else {
		x = g.see(c, i, g.input(imageInput(cam.Name), onnx.Uint8, imageDoc(ct, cam), perItem(cam.Height, cam.Width, channels)...))
	}
	which := g.gather(0, g.param("vision.camera"), g.index(i))
	return g.op("Add", g.op("Add", x, which), g.param("vision.type"))
}

// stateTokens normalises the state (B, S) and returns its tokens, (B, 1, D)
// each: of the whole, then of each field.
func (g *graph) stateTokens(c *vla.Config, norm *contract.Coefficients) []string {
	x := g.op("Sub", inputState, g.floats("normalize.state.offset", norm.StateOffset, c.StateDim))
	x = g.op("Mul", x, g.floats("normalize.state.scale", norm.StateScale, c.StateDim))
	x = g.op("Clip", x, g.number(-norm.StateLimit), g.number(norm.StateLimit))
	parts, names := []string{x}, []string{"state"}
	if len(c.StateFields) > 0 {
		parts = append(parts, g.split(1, x, c.StateFields...)...)
	}
	for i := range c.StateFields {
		names = append(names, fmt.Sprintf("state.%d", i))
	}
	for i, name := range names {
		y := g.linear(name+".l2", g.silu(g.linear(name+".l1", parts[i])))
		parts[i] = g.op("Unsqueeze", g.op("Add", y, g.param(name+".type")), g.ints(1))
	}
	return parts
}

// wordTokens looks up words (B, MaxWords). The last row of the table stands for
// "no word": it is what Gather takes for -1.
func (g *graph) wordTokens(words string) string {
	x := g.gather(0, g.param("language.table"), words)
	return g.op("Add", g.op("Add", x, g.param("language.pos")), g.param("language.type"))
}

// see runs the ViT on camera i's image (B, height, width, 3).
func (g *graph) see(c *vla.Config, i int, image string) string {
	cam, v := c.Cameras[i], c.VisionD
	rows, cols := (cam.Height+c.Patch-1)/c.Patch, (cam.Width+c.Patch-1)/c.Patch
	x := g.node("Cast", map[string]any{"to": int(onnx.Float32)}, 1, image)[0]
	x = g.op("Sub", g.op("Mul", x, g.number(2.0/255)), g.number(1))
	if below, right := rows*c.Patch-cam.Height, cols*c.Patch-cam.Width; below+right > 0 { // with 0, mid grey
		x = g.op("Pad", x, g.ints(0, 0, 0, 0, 0, below, right, 0))
	}
	x = g.reshape(x, 0, rows, c.Patch, cols, c.Patch*channels)
	x = g.reshape(g.transpose(x, 0, 1, 3, 2, 4), 0, rows*cols, c.Patch*c.Patch*channels)
	x = g.op("Add", g.linear("vision.patch", x), g.param(fmt.Sprintf("vision.pos.%d", i)))
	for l := range c.VisionLayers {
		p := fmt.Sprintf("vision.b.%d.", l)
		g.within(fmt.Sprintf("block%d", l), func() {
			qkv := g.equal(g.linear(p+"qkv", g.affine(p+"n1", x)), 3, v)
			a := g.attention(g.heads(qkv[0], c.VisionHeads, v), g.keys(qkv[1], c.VisionHeads, v), g.heads(qkv[2], c.VisionHeads, v), c.VisionHeads, v)
			x = g.op("Add", x, g.linear(p+"o", a))
			x = g.op("Add", x, g.linear(p+"f2", g.gelu(g.linear(p+"f1", g.affine(p+"n2", x)))))
		})
	}
	return g.linear("vision.proj", g.affine("vision.norm", x))
}

// affine is a layer normalisation with learned gain and bias.
func (g *graph) affine(name, x string) string {
	return g.norm(x, g.param(name+".weight"), g.param(name+".bias"))
}
