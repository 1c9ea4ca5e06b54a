// Package hangup listens for SIGHUP as early as a Go program can. A server reads its files again at SIGHUP (`systemctl
// reload`, logrotate, kill -HUP), but SIGHUP kills a process that does not listen yet, and whoever sends it cannot know
// that the process began a moment ago. Packages are initialized in the order of their paths, after those that they
// import, so this one imports next to nothing.
package hangup

import (
	"os"
	"os/signal"
	"syscall"
)

// Signals has a value if SIGHUP came since the process began, and the verb is one that reads files again.
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
