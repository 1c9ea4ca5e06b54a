//go:build linux

// Package console looks at the operator's view as people do: in a real browser, against a real cluster of three
// servers, while an outage is played.
package console

import (
	"flag"
	"testing"

	"leeward/integration/lab"
)

// screenshots is where pictures of all screens are kept, dark and light, wide and narrow.
var screenshots = flag.String("screenshots", "", "a `folder` to keep pictures of all screens in")

func TestMain(m *testing.M) { lab.Main(m) }
