// Command leeward is an authoritative DNS server that is a global load balancer, and the way to work with it: one
// verb a file, each with its flags, its wiring and its exit status, nothing else. What the verbs do lives in the
// packages below; what they print and how they fail is here.
//
// Exit status: 0 done, 1 failed, 2 wrong usage. SIGINT and SIGTERM end it in good order, and at once when they come
// again.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"leeward/cmd/leeward/process"
)

func main() {
	process.SteadyHeap(os.Getenv)
	process.BoundMemory(os.Getenv)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // whatever ending waits for: a second signal ends the process, as if nobody listened
	status := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}
