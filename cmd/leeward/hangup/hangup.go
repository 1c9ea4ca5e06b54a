// Package hangup has SIGHUP listened to from as early on as a Go program can. A server reads its files again at it
// (`systemctl reload`, logrotate, an operator's kill -HUP), and whoever sends it cannot know that the process has begun
// a moment ago; but SIGHUP ends a process that does not listen yet. Packages are initialized in the order of their
// paths as soon as those that they import are, so this one imports next to nothing.
package hangup

import (
	"os"
	"os/signal"
	"syscall"
)

// Signals has a value where SIGHUP came since the process began, if it runs one of the verbs that read again.
var Signals = early()

func early() chan os.Signal {
	signals := make(chan os.Signal, 1)
	for _, word := range os.Args[min(1, len(os.Args)):] {
		if word == "serve" || word == "probe" {
			signal.Notify(signals, syscall.SIGHUP)
			break
		}
	}
	return signals
}
