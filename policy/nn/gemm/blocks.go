package gemm

import (
	"unsafe"

	"arfm/policy/nn/cpu"
)

// Sizes of blocks. maxK numbers of a row of A and a column of B are summed in
// registers before C is touched; it is the same for all levels, as it decides
// where the sum is cut. A block of A stays in the second-level cache while the
// strips of B pass.
const (
	maxK      = 384
	leftBlock = 1 << 17 // numbers
	tallRows  = 16      // of the largest tile of one vector
	slack     = 16      // a packing kernel may write so many beyond a panel
)

// Operands that fewer tiles than these read are not packed.
const (
	fewStrips = 3 // of B, for a panel of A
	fewPanels = 2 // of A, for a strip of B
)

// How far ahead B is fetched into the second-level cache: rows of one that is
// read as it lies, which is too wide a step for the processor to foresee, and
// the next strip of one to be packed, over the first tiles of the one before.
const (
	fetchAhead = 32
	fetchTiles = 4
)

// tile is what a kernel computes: some rows and one or two vectors of C. The
// assembly knows the offsets of the fields; steps are in bytes.
type tile struct {
	a           unsafe.Pointer
	aRow, aStep int // from row to row of A, and along k
	b           unsafe.Pointer
	bStep       int // along k
	c           unsafe.Pointer
	cRow        int
	k           int
	next        uintptr        // is fetched into the cache meanwhile; no pointer, as it may lie behind an operand
	column, row unsafe.Pointer // biases
	alpha, beta float32
	low, high   float32
	clip        int
	kind        int            // which body computes it
	lanes       int            // of the last vector
	fetch       int            // step along next, for each k
	round       int            // and for four k of packed operands
	d           unsafe.Pointer // what beta multiplies
	dRow        int
}

// engine computes products at one level, for one goroutine at a time. A is cut
// into panels of rows and B into strips of columns; a panel and a strip make a
// tile.
type engine struct {
	t     tile
	level cpu.Level
	rows  int // of the largest tile of two vectors
	lanes int // of a vector

	p            Product
	form         form
	k0, k1       int       // the block of k in hand
	last         bool      // it is the last one
	left         []float32 // packed panels of A; nil where A is read as it lies
	firstRow     int       // of these
	count        int       // of panels in hand, packed or not
	packA, packB []float32 // what is packed on the way
	inPlace      bool      // B is read as it lies
}

var engines = [...]shelf[engine]{
	cpu.AVX2:   {make: func() *engine { return &engine{level: cpu.AVX2, rows: 6, lanes: 8} }},
	cpu.AVX512: {make: func() *engine { return &engine{level: cpu.AVX512, rows: 14, lanes: 16} }},
}

func borrow(level cpu.Level) *engine { return engines[level].take() }

// giveBack also forgets the caller's memory.
func (x *engine) giveBack() {
	x.t, x.p, x.left = tile{}, Product{}, nil
	engines[x.level].put(x)
}

// form is how a product is cut.
type form struct {
	rows  int // of the largest tile
	strip int // width of all strips but the last
	tall  bool
}

// cutting is the form of p: a B that is read once has strips of one vector, and
// tall tiles unless A is packed, in panels for two.
func (x *engine) cutting(p *Product) form {
	switch {
	case p.B.Packed == nil || !p.B.Packed.once:
		return form{x.rows, 2 * x.lanes, false}
	case p.A.Packed != nil:
		return form{x.rows, x.lanes, false}
	}
	return form{tallRows, x.lanes, true}
}

// panels is how many panels of about equal height m rows are cut into.
func (f form) panels(m int) int { return (m + f.rows - 1) / f.rows }

// bodies that a kernel has for each number of rows.
func (f form) bodies() int {
	if f.tall {
		return 1
	}
	return 2
}

func (f form) strips(n int) int { return (n + f.strip - 1) / f.strip }

// width is n, made up to whole vectors.
func (x *engine) width(n int) int { return (n + x.lanes - 1) / x.lanes * x.lanes }

// cut is where part i of n parts begins.
func cut(i, n, size int) int { return i * size / n }

// blocksOf is how many blocks k is cut into.
func blocksOf(k int) int { return max(1, (k+maxK-1)/maxK) }

// share is what of C one goroutine computes: panels and strips, from and to.
type share struct{ panel, panels, strip, strips int }

func (x *engine) run(p *Product, s share) {
	x.p, x.form = *p, x.cutting(p)
	panels := x.form.panels(p.M)
	for block, n := 0, blocksOf(p.K); block < n; block++ {
		x.begin(cut(block, n, p.K), cut(block+1, n, p.K))
		step := max(1, leftBlock/max(x.t.k, 1)/x.form.rows)
		for lo := s.panel; lo < s.panels; lo += step {
			hi := min(lo+step, s.panels)
			x.count = hi - lo
			x.takeLeft(lo, hi, panels, s.strips-s.strip)
			for q := s.strip; q < s.strips; q++ {
				x.takeRight(q, hi-lo)
				for i := lo; i < hi; i++ {
					x.tile(i, panels, q, hi-i)
				}
			}
		}
	}
}

// begin starts a block of k: blocks add up in C, the last finishes it.
func (x *engine) begin(k0, k1 int) {
	t, p := &x.t, &x.p
	x.k0, x.k1, x.last = k0, k1, k1 == p.K
	t.k, t.alpha, t.beta, t.cRow, t.clip = k1-k0, p.Alpha, 1, 4*p.LdC, 0
	if k0 == 0 {
		t.beta = p.Beta
	}
	t.low, t.high = p.Low, p.High
	if x.last && p.Clip {
		t.clip = 1
	}
}

// takeLeft packs panels lo to hi of A where enough strips read them.
func (x *engine) takeLeft(lo, hi, panels, strips int) {
	a, m := &x.p.A, x.p.M
	x.firstRow, x.left = cut(lo, panels, m), nil
	switch {
	case a.Packed != nil:
		x.left = a.Packed.data[x.k0*m+x.firstRow*x.t.k:]
	case strips > fewStrips || a.Columns != nil || x.form.tall:
		x.packA = room(x.packA, (cut(hi, panels, m)-x.firstRow)*x.t.k+slack)
		x.left = x.packA
		x.packPanels(x.left, a, lo, hi, panels, m, x.k0, x.k1)
	}
}

// takeRight finds strip q of B, packed where it is transposed, columns of an
// image or read often enough, and sets what all tiles of the strip share.
func (x *engine) takeRight(q, panels int) {
	t, b := &x.t, &x.p.B
	j, n := x.columns(q)
	vectors := (n + x.lanes - 1) / x.lanes
	t.lanes = n - (vectors-1)*x.lanes
	t.bStep = 4 * x.lanes * vectors
	t.column = nil
	if x.last && x.p.ColumnBias != nil {
		t.column = unsafe.Pointer(&x.p.ColumnBias[j])
	}
	t.kind = vectors - 1
	if x.level == cpu.AVX2 && t.lanes < x.lanes {
		t.kind += x.form.rows * x.form.bodies()
	}
	x.inPlace = b.Packed == nil && b.Columns == nil && !b.Trans && panels <= fewPanels
	switch {
	case t.k == 0:
		t.b = nil
	case b.Packed != nil:
		t.b = x.packedStrip(q)
	case x.inPlace:
		t.b, t.bStep = unsafe.Pointer(&b.Data[x.k0*b.Ld+j]), 4*b.Ld
	default:
		x.packB = room(x.packB, x.form.strip*t.k)
		x.packStrip(x.packB, b, j, n, x.k0, x.k1)
		t.b = unsafe.Pointer(&x.packB[0])
	}
}

// columns of strip q: where they begin and how many there are.
func (x *engine) columns(q int) (at, n int) {
	at = q * x.form.strip
	return at, min(x.form.strip, x.p.N-at)
}

func (x *engine) packedStrip(q int) unsafe.Pointer {
	return unsafe.Pointer(&x.p.B.Packed.data[x.k0*x.width(x.p.N)+q*x.form.strip*x.t.k])
}

// tile computes the tile of panel i and strip q, after which as many panels are
// left, itself among them.
func (x *engine) tile(i, panels, q, left int) {
	t, p := &x.t, &x.p
	row, end := cut(i, panels, p.M), cut(i+1, panels, p.M)
	m := end - row
	switch a := &p.A; {
	case t.k == 0:
		t.a = nil
	case x.left != nil:
		t.a, t.aRow, t.aStep = unsafe.Pointer(&x.left[(row-x.firstRow)*t.k]), 4, 4*m
	case a.Trans:
		t.a, t.aRow, t.aStep = unsafe.Pointer(&a.Data[x.k0*a.Ld+row]), 4, 4*a.Ld
	default:
		t.a, t.aRow, t.aStep = unsafe.Pointer(&a.Data[row*a.Ld+x.k0]), 4*a.Ld, 4
	}
	t.c = unsafe.Pointer(&p.C[row*p.LdC+q*x.form.strip])
	t.d, t.dRow = t.c, t.cRow
	if x.k0 == 0 && p.D != nil {
		t.d, t.dRow = unsafe.Pointer(&p.D[row*p.LdD+q*x.form.strip]), 4*p.LdD
	}
	t.row = nil
	if x.last && p.RowBias != nil {
		t.row = unsafe.Pointer(&p.RowBias[row])
	}
	x.fetchNext(q, panels, x.count-left, left)
	kind := t.kind
	t.kind += (m - 1) * x.form.bodies()
	x.compute()
	t.kind = kind
}

// fetchNext lets a tile, the done'th of its strip with so many left, fetch the
// numbers of B that come next.
func (x *engine) fetchNext(q, panels, done, left int) {
	t, b := &x.t, &x.p.B
	t.next, t.fetch, t.round = uintptr(t.b), 0, 0
	step := x.form.strip
	more := (q+1)*step < x.p.N
	switch {
	case t.k == 0 || b.Columns != nil || b.Packed != nil && b.Packed.once: // tall tiles fetch themselves
	case b.Packed != nil:
		if more && left <= 2 {
			x.fetchPacked(q, panels, left)
		}
	case x.inPlace:
		if at := x.k0 + fetchAhead; at < x.k1 {
			t.next, t.fetch, t.round = uintptr(unsafe.Pointer(&b.Data[at*b.Ld+q*step])), 4*b.Ld, 16*b.Ld
		}
	case more && done < fetchTiles && !b.Trans:
		row := x.k0 + cut(done, fetchTiles, t.k)
		t.next, t.round = uintptr(unsafe.Pointer(&b.Data[row*b.Ld+(q+1)*step])), 4*b.Ld
	case more && done < fetchTiles && b.Ld == t.k:
		tiles, width := min(fetchTiles, x.count), min(step, x.p.N-(q+1)*step)
		t.next = uintptr(unsafe.Pointer(&b.Data[(q+1)*step*b.Ld+cut(done, tiles, width*t.k)]))
		t.fetch, t.round = 4*step/tiles, 16*step/tiles
	}
}

// fetchPacked lets the last two tiles of a strip, or the only one, fetch the
// next strip of weights, which are too many for the nearer caches.
func (x *engine) fetchPacked(q, panels, left int) {
	t := &x.t
	t.next, t.fetch = uintptr(x.packedStrip(q+1)), 8*x.lanes
	if panels > 1 && (q+2)*x.form.strip <= x.p.N {
		t.fetch = 4 * x.lanes
		if left == 1 {
			t.next += uintptr(t.fetch * t.k)
		}
	}
	t.round = 4 * t.fetch
}
