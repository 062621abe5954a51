package gemm

import "arfm/policy/nn/cpu"

//go:generate go run ./asm -out gemm_amd64.s

//go:noescape
func tileAVX512(t *tile)

//go:noescape
func tileAVX2(t *tile)

//go:noescape
func tallAVX512(t *tile)

// copyOne and copyTwo copy rows of at most one vector, or more than one and at
// most two, of which the last has some lanes. Distances from row to row are in
// bytes.
//
//go:noescape
func copyOneAVX512(dst *float32, dstRow int, src *float32, srcRow int, rows int, lanes int)

//go:noescape
func copyTwoAVX512(dst *float32, dstRow int, src *float32, srcRow int, rows int, lanes int)

//go:noescape
func copyOneAVX2(dst *float32, dstRow int, src *float32, srcRow int, rows int, lanes int)

//go:noescape
func copyTwoAVX2(dst *float32, dstRow int, src *float32, srcRow int, rows int, lanes int)

// pickOne and pickTwo copy rows that begin offsets (in numbers) after src.
//
//go:noescape
func pickOneAVX512(dst *float32, dstRow int, src *float32, offsets *int, rows int, lanes int)

//go:noescape
func pickTwoAVX512(dst *float32, dstRow int, src *float32, offsets *int, rows int, lanes int)

//go:noescape
func pickOneAVX2(dst *float32, dstRow int, src *float32, offsets *int, rows int, lanes int)

//go:noescape
func pickTwoAVX2(dst *float32, dstRow int, src *float32, offsets *int, rows int, lanes int)

// transpose writes blocks of as many columns as a vector has lanes, each column
// as a row of dst. It reads no more than rows rows.
//
//go:noescape
func transposeAVX512(dst *float32, dstRow int, src *float32, srcRow int, rows int, blocks int)

//go:noescape
func transposeAVX2(dst *float32, dstRow int, src *float32, srcRow int, rows int, blocks int)

func (x *engine) compute() {
	switch {
	case x.form.tall:
		tallAVX512(&x.t)
	case x.level == cpu.AVX512:
		tileAVX512(&x.t)
	default:
		tileAVX2(&x.t)
	}
}

// copyRows copies n rows of width numbers, at most two vectors.
func (x *engine) copyRows(to []float32, toRow int, from []float32, fromRow, n, width int) {
	_, _ = to[(n-1)*toRow+width-1], from[(n-1)*fromRow+width-1]
	switch wide := width > x.lanes; {
	case x.level == cpu.AVX512 && wide:
		copyTwoAVX512(&to[0], 4*toRow, &from[0], 4*fromRow, n, width-x.lanes)
	case x.level == cpu.AVX512:
		copyOneAVX512(&to[0], 4*toRow, &from[0], 4*fromRow, n, width)
	case wide:
		copyTwoAVX2(&to[0], 4*toRow, &from[0], 4*fromRow, n, width-x.lanes)
	default:
		copyOneAVX2(&to[0], 4*toRow, &from[0], 4*fromRow, n, width)
	}
}

// pickRows copies a row of width numbers from each offset; where these lie in
// from is checked before.
func (x *engine) pickRows(to []float32, toRow int, from []float32, offsets []int, width int) {
	n := len(offsets)
	_ = to[(n-1)*toRow+width-1]
	switch wide := width > x.lanes; {
	case x.level == cpu.AVX512 && wide:
		pickTwoAVX512(&to[0], 4*toRow, &from[0], &offsets[0], n, width-x.lanes)
	case x.level == cpu.AVX512:
		pickOneAVX512(&to[0], 4*toRow, &from[0], &offsets[0], n, width)
	case wide:
		pickTwoAVX2(&to[0], 4*toRow, &from[0], &offsets[0], n, width-x.lanes)
	default:
		pickOneAVX2(&to[0], 4*toRow, &from[0], &offsets[0], n, width)
	}
}

func (x *engine) transposeBlocks(to *float32, toRow int, from *float32, fromRow, rows, blocks int) {
	if x.level == cpu.AVX512 {
		transposeAVX512(to, 4*toRow, from, 4*fromRow, rows, blocks)
	} else {
		transposeAVX2(to, 4*toRow, from, 4*fromRow, rows, blocks)
	}
}
