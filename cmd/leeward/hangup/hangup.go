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

// Verbs are those that read files again at SIGHUP. It ends all others, as it does any program that somebody waits for.
var Verbs = [...]string{"serve", "probe", "sign"}

// Signals has a value if SIGHUP came since the process began, and the verb is one of Verbs.
var Signals = early()

func early() chan os.Signal {
	signals := make(chan os.Signal, 1)
	for _, word := range os.Args[min(1, len(os.Args)):] {
		for _, verb := range Verbs {
			if word == verb {
				signal.Notify(signals, syscall.SIGHUP)
			}
		}
	}
	return signals
}
