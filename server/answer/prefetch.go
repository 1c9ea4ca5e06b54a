//go:build amd64 || arm64

package answer

import "unsafe"

// prefetch has the line at p brought into the cache and does not wait for it. Any p will do, nil too.
//
//go:noescape
func prefetch(p unsafe.Pointer)
