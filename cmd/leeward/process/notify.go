package process

import (
	"context"
	"fmt"
	"net"
	"time"
)

// notifier tells the service manager how the server is, in the protocol of sd_notify(3): datagrams of NAME=VALUE lines
// to the socket that the manager has named. With Type=notify systemd holds back what comes after the server until it
// can answer, and shows what it waits for. A manager that does not read is no reason to wait.
type notifier struct{ socket string } // "": there is no manager

const (
	notifyEvery = 100 * time.Millisecond // readiness has no event of its own
	notifyLimit = 100 * time.Millisecond // a datagram waits for no longer
)

// tell sends one datagram. What cannot be sent is lost.
func (n notifier) tell(state string) {
	if n.socket == "" {
		return
	}
	// A name that begins with @ is an abstract one; package net knows that too.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(notifyLimit))
	_, _ = conn.Write([]byte(state))
}

// run tells when the server is ready, once, and until then what it waits for; and that it stops, when ctx ends.
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
