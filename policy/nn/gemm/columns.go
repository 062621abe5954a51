package gemm

import "fmt"

// Columns describes a matrix whose rows are windows of an image, as the
// product of a convolution needs them, without building it:
//
//	B[k][j] = Image[Offsets[k] + j/Width*Step + j%Width]
//
// Row k is what one place of the kernel meets at every place of the output:
// runs of Width numbers (a row of the output), Step apart.
type Columns struct {
	Image       []float32
	Offsets     []int
	Width, Step int
}

func (c *Columns) check(k, n int) {
	if len(c.Offsets) != k || c.Width < 1 || c.Step < 0 {
		panic(fmt.Sprintf("gemm: columns of %d rows, %d wide, %d apart for %d rows", len(c.Offsets), c.Width, c.Step, k))
	}
	reach := (n-1)/c.Width*c.Step + min(n, c.Width)
	for _, o := range c.Offsets {
		if o < 0 || o > len(c.Image)-reach {
			panic(fmt.Sprintf("gemm: columns reach %d numbers beyond %d in an image of %d", reach, o, len(c.Image)))
		}
	}
}

// runs visits the runs that columns j to j+n are made of: where each begins in
// the image, in the columns, and how long it is.
func (c *Columns) runs(j, n int, visit func(from, to, n int)) {
	for done := 0; done < n; {
		at := (j + done) % c.Width
		m := min(c.Width-at, n-done)
		visit((j+done)/c.Width*c.Step+at, done, m)
		done += m
	}
}
