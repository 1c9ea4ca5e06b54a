package answer

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// panicLog logs panics, at most one per second: whoever finds a request that causes one can send many.
type panicLog struct {
	last       atomic.Int64 // nanoseconds since began, plus 1; 0: never
	suppressed atomic.Uint64
}

// began is when the log's clock starts. It is monotonic, so that a wall clock set back does not silence the log.
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
