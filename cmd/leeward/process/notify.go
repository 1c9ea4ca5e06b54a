package process

import (
	"context"
	"fmt"
	"net"
	"time"
)

// notifier tells the service manager how the server is doing. It speaks the protocol of sd_notify(3): datagrams of
// NAME=VALUE lines to a socket that the manager names. With Type=notify, systemd starts dependent units only once the
// server can answer, and shows what it waits for. The server never waits for the manager to read.
type notifier struct{ socket string } // "": there is no manager

const (
	notifyEvery = 100 * time.Millisecond // readiness has to be polled
	notifyLimit = 100 * time.Millisecond // how long sending may wait
)

// tell sends one datagram. It is lost if it cannot be sent.
func (n notifier) tell(state string) {
	if n.socket == "" {
		return
	}
	// The kernel takes a name that begins with @ as abstract, and so does package net.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(notifyLimit))
	_, _ = conn.Write([]byte(state))
}

// run reports what the server waits for until it is ready, then that it is ready, and when ctx ends that it stops.
func (n notifier) run(ctx context.Context, ready func() error) {
	if n.socket == "" {
		return
	}
	tick := time.NewTicker(notifyEvery)
	defer tick.Stop()
	said := ""
	for {
		err := ready()
		if err == nil {
			n.tell("READY=1\nSTATUS=answering")
			break
		}
		if status := fmt.Sprintf("STATUS=not answering yet: %v", err); status != said {
			n.tell(status)
			said = status
		}
		select {
		case <-ctx.Done():
			n.tell("STOPPING=1")
			return
		case <-tick.C:
		}
	}
	<-ctx.Done()
	n.tell("STOPPING=1")
}
