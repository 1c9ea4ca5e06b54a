//go:build linux

package scenario

import (
	"leeward/integration/lab"
	"leeward/integration/script"
)

func failEndpoint(e *lab.Endpoint, _ script.Args) error   { return e.Turn(lab.Failing, lab.Pace{}) }
func hangEndpoint(e *lab.Endpoint, _ script.Args) error   { return e.Turn(lab.Hanging, lab.Pace{}) }
func removeEndpoint(e *lab.Endpoint, _ script.Args) error { return e.Turn(lab.Gone, lab.Pace{}) }
func healEndpoint(e *lab.Endpoint, _ script.Args) error   { return e.Turn(lab.Well, lab.Pace{}) }

func slowEndpoint(e *lab.Endpoint, a script.Args) error {
	return e.Turn(lab.Well, lab.Pace{Least: a.Duration(1), Most: a.Duration(1)})
}

func unevenEndpoint(e *lab.Endpoint, a script.Args) error {
	return e.Turn(lab.Well, lab.Pace{Least: a.Duration(1), Most: a.Duration(2)})
}

func flapEndpoint(e *lab.Endpoint, a script.Args) error {
	e.Flap(a.Duration(1))
	return nil
}
