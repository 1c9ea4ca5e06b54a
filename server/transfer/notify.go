package transfer

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"leeward/server/wire"
	"leeward/zones"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// How a secondary is notified: the number of tries, the wait for the first answer, which doubles with each try, and how
// many are notified at once.
const (
	notifyTries   = 6
	notifyFirst   = 2 * time.Second
	notifyAtOnce  = 64
	notifyRequest = 512 // octets of the request
)

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
	var err error
	for try, wait := 0, notifyFirst; try < notifyTries; try, wait = try+1, 2*wait {
		var final bool
		for _, as := range peer.Each() { // try the next key only after a refusal
			if final, err = p.notify(ctx, as, from, origin, soa, wait); ctx.Err() != nil {
				return
			}
			if err == nil || !final {
				break
			}
		}
		if err == nil || final {
			break
		}
	}
	result := "ok"
	if err != nil {
		result = "failed"
		p.o.Log.Warn("a secondary could not be told of a change", "zone", now.Zone, "serial", now.Serial, "server",
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

// notify sends one NOTIFY and waits for the answer. final is true if another try would not help.
func (p *Primary) notify(
	ctx context.Context, peer zones.Peer, from []netip.Addr, origin rr.Name, soa []byte, wait time.Duration,
) (final bool, err error) {
	deadline := time.Now().Add(wait)
	conn, err := p.sources.dial(ctx, "udp", peer.Address, from, "notifySource")
	if err != nil {
		return false, errors.Join(err, pause(ctx, wait))
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = conn.SetDeadline(deadline)

	id := uint16(rand.Uint32())
	msg := make([]byte, 0, notifyRequest)
	msg = binary.BigEndian.AppendUint16(msg, id)
	// AA; one question, one answer (RFC 1996 section 3.7)
	msg = append(msg, wire.OpcodeNotify<<3|4, 0, 0, 1, 0, 1, 0, 0, 0, 0)
	msg = append(msg, origin...)
	msg = append(msg, 0, byte(rr.TypeSOA), 0, 1)
	msg = append(append(msg, 0xc0, wire.HeaderSize), soa[2:]...)
	check := func([]byte) error { return nil }
	if peer.Key != "" {
		key := p.Keys().Key(peer.Key)
		if key == nil {
			return true, fmt.Errorf("there is no TSIG key %q; give its file with --tsig-key", peer.Key)
		}
		signed, answers := key.Request(msg, p.o.Now())
		msg = signed
		check = func(b []byte) error { return answers.Next(b, p.o.Now()) }
	}
	if _, err := conn.Write(msg); err != nil {
		return false, errors.Join(err, pause(ctx, time.Until(deadline)))
	}
	var buf [4096]byte
	for {
		size, err := conn.Read(buf[:])
		if err != nil { // refused by the host: the server may come back
			return false, errors.Join(fmt.Errorf("no answer: %w", err), pause(ctx, time.Until(deadline)))
		}
		b := buf[:size]
		if size < wire.HeaderSize || binary.BigEndian.Uint16(b) != id || b[2]&0xf8 != 0x80|wire.OpcodeNotify<<3 {
			continue // from somebody else
		}
		if err := check(b); err != nil {
			return true, err
		}
		if rcode := b[3] & 15; rcode != 0 {
			return true, fmt.Errorf("answered with RCODE %d", rcode)
		}
		return true, nil
	}
}

// pause waits, so that a server that cannot be reached is not tried again at once.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return nil
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
