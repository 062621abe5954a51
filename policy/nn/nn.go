// Package nn holds the network kernels of the policy, forward and backward, in
// float32: matrix product, linear layer, layer normalisation, softmax attention,
// embeddings, and one flat parameter vector with named views. What works on flat
// vectors, activations among them, is in package vec below.
//
// Everything is a plain function over slices. Matrices are row-major, shapes
// are written in comments in the order (B batch, T tokens, H horizon, D model
// width). A backward function adds to parameter gradients, unless it says
// otherwise, and says what it does to input gradients. Nothing here allocates, starts a goroutine or keeps
// state, so a caller may run any number of workers over disjoint buffers, and
// the same call on the same data gives the same bits. A slice that is too
// short is a bug of the caller and panics.
package nn
