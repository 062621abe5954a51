// Package blas is the matrix product of a library: gonum's or, under the build
// tag openblas, that of OpenBLAS. Package gemm falls back on it and is measured
// against it.
package blas
