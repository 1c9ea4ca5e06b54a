package transfer

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"leeward/server/tsig"
	"leeward/zones"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// notifyAtOnce is how many secondaries are notified at once.
const notifyAtOnce = 64

// Told is the state of one secondary for one zone.
type Told struct {
	Zone    string    `json:"zone"`
	Server  string    `json:"server"` // as in Transfer.Notify
	Serial  uint32    `json:"serial"` // the one it was last told
	Since   time.Time `json:"since"`
	Pending bool      `json:"pending,omitempty"` // it is being told now
	Error   string    `json:"error,omitempty"`   // why it could not be told; "": it has answered
}

// notifier tells secondaries. Each pair of a zone and a secondary has a goroutine while it is being told.
type notifier struct {
	primary *Primary
	running sync.WaitGroup
	slots   chan struct{}
}

// telling is the newest serial that one secondary is to be told of one zone.
type telling struct {
	Told
	stop context.CancelFunc
	done chan struct{} // closed when it is no longer being told
}

type tellingKey struct{ zone, server string }

// told is the state of all secondaries.
type told struct {
	mu  sync.Mutex
	all map[tellingKey]*telling
}

func newNotifier(p *Primary) *notifier {
	return &notifier{primary: p, slots: make(chan struct{}, part(notifyAtOnce, p.o.Sockets))}
}

func (n *notifier) wait() { n.running.Wait() }

// changed tells a zone's secondaries its serial. A secondary that is still being told an older serial is told this one
// instead.
func (n *notifier) changed(ctx context.Context, z *snapshot.Zone) {
	t := &n.primary.told
	zone, serial, soa := z.Origin().String(), z.Serial(), z.SOA()
	wanted, from := map[tellingKey]bool{}, z.Transfer().NotifySources()
	for _, peer := range z.Transfer().NotifyServers() {
		key := tellingKey{zone, peer.String()}
		wanted[key] = true
		inner, stop := context.WithCancel(ctx)
		now := &telling{
			Told: Told{Zone: zone, Server: peer.String(), Serial: serial, Since: n.primary.o.Now(), Pending: true},
			stop: stop, done: make(chan struct{}),
		}
		t.mu.Lock()
		before := t.all[key]
		t.all[key] = now
		t.mu.Unlock()
		n.running.Go(func() {
			defer stop()
			defer close(now.done)
			if before != nil {
				before.stop()
				<-before.done
			}
			select {
			case n.slots <- struct{}{}:
			case <-inner.Done():
				return
			}
			defer func() { <-n.slots }()
			n.tell(inner, now, peer, from, z.Origin(), soa)
		})
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, was := range t.all {
		if key.zone == zone && !wanted[key] {
			was.stop()
			delete(t.all, key)
		}
	}
}

// forget removes the state of zones that are gone.
func (n *notifier) forget(there func(zone string) bool) {
	t := &n.primary.told
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, was := range t.all {
		if !there(key.zone) {
			was.stop()
			delete(t.all, key)
		}
	}
}

// tell tries until the secondary has answered or all tries are used.
func (n *notifier) tell(ctx context.Context, now *telling, peer zones.Peer, from []netip.Addr, origin rr.Name,
	soa []byte,
) {
	p := n.primary
	notice := Notice{Zone: origin, Type: rr.TypeSOA, SOA: soa}
	err := tries(ctx, func(_ int, wait time.Duration) (final bool, err error) {
		for _, as := range peer.Each() { // try the next key only after a refusal
			if final, err = p.notify(ctx, as, from, &notice, wait); err == nil || !final {
				break
			}
		}
		return final, err
	})
	if ctx.Err() != nil {
		return
	}
	result := "ok"
	if err != nil {
		result = "failed"
		p.o.Log.Warn("a secondary could not be notified of a change", "zone", now.Zone, "serial", now.Serial, "server",
			now.Server, "err", err)
	}
	p.metrics.notifies.WithLabelValues(result).Inc()
	p.told.mu.Lock()
	defer p.told.mu.Unlock()
	now.Pending, now.Since = false, p.o.Now()
	if err != nil {
		now.Error = err.Error()
	}
}

// notify sends a notice once. final is true if another try would not help.
func (p *Primary) notify(ctx context.Context, peer zones.Peer, from []netip.Addr, notice *Notice, wait time.Duration) (
	final bool, err error,
) {
	var key *tsig.Key
	if peer.Key != "" {
		if key = p.Keys().Key(peer.Key); key == nil {
			return true, fmt.Errorf("there is no TSIG key %q; give its file with --tsig-key", peer.Key)
		}
	}
	conn, err := p.sources.dial(ctx, "udp", peer.Address, from, "notifySource")
	if err != nil {
		return false, err
	}
	return notice.exchange(ctx, conn, key, p.o.Now, wait)
}

// Told returns the state of all secondaries, sorted by zone and server.
func (p *Primary) Told() []Told {
	p.told.mu.Lock()
	defer p.told.mu.Unlock()
	all := make([]Told, 0, len(p.told.all))
	for _, t := range p.told.all {
		all = append(all, t.Told)
	}
	slices.SortFunc(all, func(a, b Told) int {
		return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Server, b.Server))
	})
	return all
}
