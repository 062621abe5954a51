//go:build ros

package ros

/*
#include <malloc.h>

// Pictures come and go as buffers of C of many sizes from many threads. By its
// defaults glibc keeps them in arenas that grow for minutes; mapped one by one
// they go back to the system.
static void arfm_steady_memory(void) {
#ifdef __GLIBC__
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	mallopt(M_ARENA_MAX, 2);
#endif
}
*/
import "C"

import "sync"

// steadyMemory keeps the process from growing with the traffic of pictures.
var steadyMemory = sync.OnceFunc(func() { C.arfm_steady_memory() })
