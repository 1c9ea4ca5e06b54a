//go:build linux

// Package console looks at the operator's view as people do: in a real browser, against a real cluster of three
// servers, while an outage is played.
package console

import (
	"flag"
	"os"
	"testing"

	"leeward/integration/lab"
)

// screenshots is where pictures of all screens are kept, dark and light, wide and narrow, and without JavaScript.
var screenshots = flag.String("screenshots", os.Getenv("SCREENSHOTS"),
	"a `folder` to keep pictures of all screens in; SCREENSHOTS in the environment does the same")

func TestMain(m *testing.M) { lab.Main(m) }
