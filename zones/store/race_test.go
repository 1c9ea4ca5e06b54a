//go:build race

package store

import "time"

// With the race detector, everything takes many times as long, and so does the etcd in the same process. The tests are
// about what happens, not how soon.
const (
	testTimeout = 30 * time.Second
	slower      = 4 // times fewer keys
)
