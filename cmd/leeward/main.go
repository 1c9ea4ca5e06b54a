// Command leeward is an authoritative DNS server that is a global load balancer, and the tool to operate it. Each verb
// has a file with its flags, its wiring, its messages and its exit status. What verbs do is in the packages below.
//
// Exit status: 0 done, 1 failed, 2 wrong usage. SIGINT and SIGTERM end it in good order; a second one ends it at once.
package main

import (
	"context"
	"net"
	"os"
	"os/signal"
	"syscall"

	"leeward/cmd/leeward/process"
)

func main() {
	net.DefaultResolver.PreferGo = true // a build that links libc looks names up as a static one does
	process.SteadyHeap(os.Getenv)
	process.BoundMemory(os.Getenv)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // nobody listens to the second signal, so it ends the process
	status := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}
