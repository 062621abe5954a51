package vla

// SampleFLOPs returns the floating-point operations of the matrix products of
// Sample for b chunks by steps Euler steps: 2 m n k for (m, k) times (k, n). For
// each chunk these are the encoders and, in each block, 2 T D^2 multiply-adds for
// keys and values of the context, once; then in each step and block 14 H D^2 for
// the linear layers and 2 H D (H + T) for scores and weighted sums of the two
// attentions. Where CPUs with kernels fold the layers around cross-attention into
// keys and values of N heads, these take 2 T D^2 more, once, and in each step and
// block 2 H D N T stand for 2 H D^2 + 2 H D T. The time modulations, computed once
// for the weights, do not count, nor does what works on single elements.
func (c Config) SampleFLOPs(b, steps int) float64 {
	var once, step products
	c.countEncoders(&once)
	c.countKeys(&once)
	c.countCondition(&once)
	cross := c.countCross
	if c.folds() {
		c.countKeys(&once) // both are multiplied with a matrix (D, D) again
		cross = c.countFolded
	}
	c.countField(&step, cross)
	return float64(b) * (once.forward + float64(steps)*step.forward)
}

// TrainFLOPs returns those of Velocity and Backward on a batch of b. A product
// has two of its size in its backward pass, one for the gradient of each factor;
// where a factor is data, not computed from weights, it has one.
func (c Config) TrainFLOPs(b int) float64 {
	var p products
	c.countEncoders(&p)
	c.countKeys(&p)
	c.countTime(&p)
	c.countCondition(&p)
	c.countField(&p, c.countCross)
	return float64(b) * (p.forward + p.backward)
}

// products counts the operations of products.
type products struct{ forward, backward float64 }

// linear is a layer on rows of computed inputs.
func (p *products) linear(rows, in, out int) {
	n := 2 * float64(rows) * float64(in) * float64(out)
	p.forward += n
	p.backward += 2 * n
}

// first is a layer on rows of data.
func (p *products) first(rows, in, out int) {
	n := 2 * float64(rows) * float64(in) * float64(out)
	p.forward += n
	p.backward += n
}

// attention is scores and weighted sums of all heads together, of width d.
func (p *products) attention(tq, tk, d int) {
	p.linear(tq, d, tk)
	p.linear(tq, tk, d)
}

func (c *Config) countEncoders(p *products) {
	for _, f := range c.stateFields() {
		p.first(1, f.n, c.D)
		p.linear(1, c.D, c.D)
	}
	if c.Text != nil {
		p.first(c.Text.Tokens, c.Text.Width, c.D)
	}
	for _, cam := range c.Cameras {
		if v := c.Vision; v != nil {
			p.first(v.Tokens, v.Width, c.D)
			continue
		}
		n, v := c.cameraTokens(cam), c.VisionD
		p.first(n, c.Patch*c.Patch*channels, v)
		for range c.VisionLayers {
			p.linear(n, v, 3*v)
			p.attention(n, n, v)
			p.linear(n, v, v)
			p.linear(n, v, 4*v)
			p.linear(n, 4*v, v)
		}
		p.linear(n, v, c.D)
	}
}

func (c *Config) countKeys(p *products) {
	for range c.Layers {
		p.linear(c.ContextTokens(), c.D, 2*c.D)
	}
}

// countCondition is the condition's embedding and head.
func (c *Config) countCondition(p *products) {
	t := c.Condition
	if t == nil {
		return
	}
	p.first(1, t.Size, c.D)
	p.linear(1, c.D, c.D)
	if t.Predicted {
		p.attention(1, c.ContextTokens(), c.D)
		p.linear(1, c.D, c.D)
		p.linear(1, c.D, t.Size)
	}
}

func (c *Config) countTime(p *products) {
	p.first(1, c.D, c.D)
	p.linear(1, c.D, c.D)
	for range c.Layers {
		p.linear(1, c.D, 9*c.D)
	}
	p.linear(1, c.D, 2*c.D)
}

// countField is the velocity field, with keys and modulations at hand, and cross
// for cross-attention.
func (c *Config) countField(p *products, cross func(*products)) {
	h, d := c.Horizon, c.D
	p.first(h, c.ActionDim, d)
	for range c.Layers {
		p.linear(h, d, 3*d)
		p.attention(h, h, d)
		p.linear(h, d, d)
		cross(p)
		p.linear(h, d, 4*d)
		p.linear(h, 4*d, d)
	}
	p.linear(h, d, c.ActionDim)
}

// countCross is cross-attention with its layers for queries and output.
func (c *Config) countCross(p *products) {
	p.linear(c.Horizon, c.D, c.D)
	p.attention(c.Horizon, c.ContextTokens(), c.D)
	p.linear(c.Horizon, c.D, c.D)
}

// countFolded is countCross with the layers in keys and values.
func (c *Config) countFolded(p *products) {
	p.linear(c.Horizon, c.D, c.Heads*c.ContextTokens())
	p.linear(c.Horizon, c.Heads*c.ContextTokens(), c.D)
}
