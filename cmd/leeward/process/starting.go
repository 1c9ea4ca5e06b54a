package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/health/vantage"
	"leeward/zones"
	"leeward/zones/snapshot"
)

// probesWait is how long a server that starts waits for the first round of its probes before it is ready: with many
// targets, or long timeouts, that takes longer, and what it knows from before the start is then good enough.
const probesWait = 10 * time.Second

// primariesWait is how long a server that starts waits for primaries of zones before it is ready: others may be gone
// for good.
const primariesWait = 10 * time.Second

// ready returns nil once queries can be answered: from a snapshot, and, at the start, when the hostnames of its
// endpoints have been looked up once, their addresses probed once, and the primaries of zones that live elsewhere been
// asked once. Those that come later are no reason to be taken out of service.
func (r *run) ready() error {
	if err := r.loop.Ready(); err != nil || r.looked.Load() {
		return err
	}
	for _, name := range r.loop.State().Snapshot.Program().Hostnames() {
		if !r.names.Tried(name) {
			return fmt.Errorf("hostnames of endpoints are being looked up, such as %s", name)
		}
	}
	if r.secondary != nil && time.Since(r.started) < primariesWait {
		var left []string
		r.loop.State().Snapshot.EachZone(func(z *snapshot.Zone) bool {
			if origin := zones.NameText(z.Origin()); z.Elsewhere() && !r.secondary.Tried(origin) {
				left = append(left, origin)
			}
			return left == nil
		})
		if left != nil {
			return fmt.Errorf("zones are being transferred from their primaries, such as %s", left[0])
		}
	}
	if time.Since(r.started) < probesWait {
		if !r.assigned.Load() {
			return errors.New("endpoints are about to be probed")
		}
		if r.prober == nil {
			if r.link.Heard().IsZero() {
				return errors.New("what vantages report is being read")
			}
		} else if left, such := r.prober.Untried(); left > 0 {
			return fmt.Errorf("endpoints are being probed, %d are left, such as %s at %s", left, such.Endpoint, such.Address)
		}
	}
	r.looked.Store(true)
	return nil
}

// firstWait is for how long queries that come before there is a snapshot, and the zones of other primaries that are on
// disk, are left in the sockets' buffers, which are bound by then. The copies on disk take milliseconds, as does an
// etcd that is there, and the queries are then answered; without either they get their SERVFAIL, so that resolvers go
// elsewhere.
//
// heardWait is for how long they are left there until what the vantages say has been read too. An endpoint that died
// while this server was down is up in the copy on disk, and the others know better. An etcd that is there tells within
// some 50 ms; without one the copy on disk is the best there is.
const (
	firstWait = time.Second
	heardWait = 300 * time.Millisecond
)

func (r *run) awaitFirst(ctx context.Context) {
	limited, stop := context.WithTimeout(ctx, firstWait)
	defer stop()
	heard := time.After(heardWait)
	select {
	case <-r.first:
	case <-limited.Done():
		return
	}
	r.secondary.Resumed(limited)
	if r.link != nil {
		select {
		case <-r.heardAll:
		case <-heard:
			r.Log.Warn("answering although what vantages report has not been read yet", "after", heardWait)
		case <-limited.Done():
		}
	}
	_ = r.loop.Do(limited, func(control.Inside) {}) // what has been handed over is published by then
}

// take hands over what a vantage has written.
func (r *run) take(e vantage.Event) {
	r.loop.Event(e)
	if e.Synced {
		r.heardOnce.Do(func() { close(r.heardAll) })
	}
}

// listen binds DNS and the admin interface.
func (r *run) listen() error {
	if r.Admin != "" {
		var err error
		if r.pages, err = r.openPages(); err != nil {
			return err
		}
		r.running.Admin = r.pages.address()
	}
	if r.dns == nil {
		return nil
	}
	if err := r.dns.Bind(); err != nil {
		if r.pages != nil {
			r.pages.listener.Close()
		}
		return err
	}
	r.running.DNS = r.dns.Addrs()
	return nil
}
