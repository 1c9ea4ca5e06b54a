//go:build race

package store

import "time"

// With the race detector, and with an etcd in the same process that it slows down as well, everything takes many times
// as long: what is tested is what happens, and not how soon.
const (
	testTimeout = 30 * time.Second
	slower      = 4 // times fewer keys
)
