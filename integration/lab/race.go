//go:build race

package lab

// Race says that these tests run with the race detector: the binary under test is then built with it, too.
const Race = true
