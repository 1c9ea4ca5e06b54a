//go:build race

package integration

// race says that these tests run with the race detector: the binary under test is then built with it, too.
const race = true
