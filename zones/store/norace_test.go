//go:build !race

package store

import "time"

const (
	testTimeout = 5 * time.Second // of one call
	slower      = 1
)
