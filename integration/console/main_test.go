//go:build linux

// Package console looks at the console as people do: in a real browser, with a real cluster of three servers, during an
// outage.
package console

import (
	"flag"
	"os"
	"testing"

	"leeward/integration/lab"
)

// screenshots is the folder for pictures of all screens, dark and light, wide and narrow, and without JavaScript.
var screenshots = flag.String("screenshots", os.Getenv("SCREENSHOTS"),
	"a `folder` to keep pictures of all screens in; SCREENSHOTS in the environment does the same")

func TestMain(m *testing.M) { lab.Main(m) }
