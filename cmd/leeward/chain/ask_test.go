package chain

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestSilence: if a server accepts a question and says nothing, the error says how long the wait was, and over which
// transport.
func TestSilence(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections, and nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	server, err := ParseServer(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = exchange(t.Context(), server, plain("example.test.", dns.TypeDS), 50*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "no answer over TCP within 50ms") {
		t.Errorf("silent: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err = exchange(ctx, server, plain("example.test.", dns.TypeDS), time.Minute)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "not waited for") {
		t.Errorf("given up: %v", err)
	}
}
