package answer

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// panicLog says what went wrong, one a second at most: whoever finds a request that does it can send many.
type panicLog struct {
	last       atomic.Int64 // nanoseconds since began, and 1; 0: never
	suppressed atomic.Uint64
}

// began is what the log counts from: the monotonic clock tells, so that a wall clock set back does not silence it.
var began = time.Now()

func (p *panicLog) say(log *slog.Logger, fault any, request []byte, client netip.Addr) {
	now, last := int64(time.Since(began))+1, p.last.Load()
	if last != 0 && now-last < int64(time.Second) || !p.last.CompareAndSwap(last, now) {
		p.suppressed.Add(1)
		return
	}
	log.Error("a fault while answering a query; it was dropped", "fault", fmt.Sprint(fault), "client", client,
		"request", fmt.Sprintf("%x", request[:min(len(request), 512)]), "suppressed", p.suppressed.Swap(0),
		"stack", string(debug.Stack()))
}
