package gemm

// packLeft packs all of A: block by block of k, in it panel by panel.
func (x *engine) packLeft(to *Packed, a *Matrix) {
	m, k := to.rows, to.columns
	panels := x.cutting(&Product{A: Matrix{Packed: to}}).panels(m)
	for block, n := 0, blocksOf(k); block < n; block++ {
		k0, k1 := cut(block, n, k), cut(block+1, n, k)
		x.packPanels(to.data[k0*m:], a, 0, panels, panels, m, k0, k1)
	}
}

// packRight packs all of B: block by block of k, in it strip by strip.
func (x *engine) packRight(to *Packed, b *Matrix) {
	k, n, strip := to.rows, to.columns, x.cutting(&Product{B: Matrix{Packed: to}}).strip
	for block, blocks := 0, blocksOf(k); block < blocks; block++ {
		k0, k1 := cut(block, blocks, k), cut(block+1, blocks, k)
		for j := 0; j < n && k1 > k0; j += strip {
			x.packStrip(to.data[k0*x.width(n)+j*(k1-k0):], b, j, min(strip, n-j), k0, k1)
		}
	}
}

// packPanels writes panels lo to hi of A one after another: for each k of the
// block, the rows of the panel. It may write some numbers beyond them.
func (x *engine) packPanels(to []float32, a *Matrix, lo, hi, panels, m, k0, k1 int) {
	n := k1 - k0
	if n == 0 || m == 0 {
		return
	}
	first := cut(lo, panels, m)
	for i := lo; i < hi; i++ {
		row, end := cut(i, panels, m), cut(i+1, panels, m)
		panel, rows := to[(row-first)*n:], end-row
		switch {
		case a.Columns != nil:
			x.pick(panel, rows, a.Columns, row, rows, k0, k1)
		case a.Trans:
			x.copyRows(panel, rows, a.Data[k0*a.Ld+row:], a.Ld, n, rows)
		default:
			x.transpose(panel, rows, a.Data[row*a.Ld+k0:], a.Ld, rows, n)
		}
	}
}

// packStrip writes columns j to j+width of the block: for each k, these columns
// made up to whole vectors.
func (x *engine) packStrip(to []float32, b *Matrix, j, width, k0, k1 int) {
	n, step := k1-k0, x.width(width)
	switch {
	case b.Columns != nil:
		x.pick(to, step, b.Columns, j, width, k0, k1)
	case b.Trans:
		for at := 0; at < width; at += x.lanes {
			x.transpose(to[at:], step, b.Data[(j+at)*b.Ld+k0:], b.Ld, min(x.lanes, width-at), n)
		}
	default:
		x.copyRows(to, step, b.Data[k0*b.Ld+j:], b.Ld, n, width)
	}
}

// pick writes columns j to j+width of an image, for each k of the block.
func (x *engine) pick(to []float32, step int, c *Columns, j, width, k0, k1 int) {
	c.runs(j, width, func(from, at, run int) { x.pickRows(to[at:], step, c.Image[from:], c.Offsets[k0:k1], run) })
}

// transpose writes n columns of some rows, at most a vector's, each as a row:
// whole vectors, of which what comes next overwrites what is too much.
func (x *engine) transpose(to []float32, toRow int, from []float32, fromRow, rows, n int) {
	if n < x.lanes {
		for i := range rows {
			for k := range n {
				to[k*toRow+i] = from[i*fromRow+k]
			}
		}
		return
	}
	whole := n / x.lanes
	x.transposeBlocks(&to[0], toRow, &from[0], fromRow, rows, whole)
	if at := n - x.lanes; n > whole*x.lanes { // the last block overlaps the one before
		x.transposeBlocks(&to[at*toRow], toRow, &from[at], fromRow, rows, 1)
	}
}
