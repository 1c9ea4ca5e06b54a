package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/health/vantage"
	"leeward/zones"
	"leeward/zones/snapshot"
)

// probesWait is how long a server that starts waits for the first round of its probes before it is ready. With many
// targets or long timeouts a round takes longer, and what the server knows from before the start is then good enough.
const probesWait = 10 * time.Second

// primariesWait is how long a starting server waits for the primaries of zones before it is ready. It does not wait
// longer, because a primary may be gone for good.
const primariesWait = 10 * time.Second

// keysWait is how long a starting server waits for the keys that it makes before it is ready. A disk that hangs, or
// thousands of new zones, take longer. Until a zone has its key it is answered unsigned, as no parent has a DS of it.
const keysWait = 10 * time.Second

// ready returns nil once queries can be answered from a snapshot. At the start it also waits until the hostnames of
// endpoints have been looked up once, their addresses probed once, the primaries of zones asked once, and keys made for
// zones without one. What is configured later does not make the server unready.
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
			if origin := zones.NameText(z.Origin()); z.Elsewhere() {
				if tried, has := r.secondary.Tried(origin); !tried || has && !z.Current() {
					left = append(left, origin)
				}
			}
			return left == nil
		})
		if left != nil {
			return fmt.Errorf("zones are being transferred from their primaries, such as %s", left[0])
		}
	}
	if r.keyless() && time.Since(r.started) < keysWait {
		return errors.New("keys are being made for zones that are to be signed")
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
			return fmt.Errorf("endpoints are being probed, %d are left, such as %s at %s", left, such.Endpoint,
				such.Address)
		}
	}
	r.looked.Store(true)
	return nil
}

// keyless reports whether zones may still be without the keys that this server makes for them. A key that cannot be
// made is not waited for. Keys that others make come with the zones, or are read before anything is served.
func (r *run) keyless() bool {
	if r.keyring == nil || !r.keyring.makes || !r.keyring.wantsAny() {
		return false
	}
	select {
	case <-r.keyring.settled:
		return false
	default:
		return true
	}
}

// firstWait is how long queries are left in the sockets' buffers until there is a snapshot, until the transferred zones
// on disk are read, and until new zones have keys. The copies on disk and a key take milliseconds, and so does an etcd
// that answers; the queries are then answered. Without a snapshot they get SERVFAIL, so that resolvers go elsewhere.
//
// heardWait is how long they are left there until the vantages' reports have been read too. An endpoint that died while
// this server was down is still up in the copy on disk, but the other vantages know better. etcd delivers their reports
// within some 50 ms. If it does not answer, the copy on disk is the best there is.
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
	if r.keyless() {
		select {
		case <-r.keyring.settled:
		case <-limited.Done():
			if ctx.Err() == nil {
				r.Log.Warn("answering although keys are still being made: a zone is answered unsigned until it has one",
					"after", firstWait)
			}
		}
	}
	_ = r.loop.Do(limited, func(control.Inside) {}) // everything handed over before is now published
}

// take hands over what other vantages have written.
func (r *run) take(all []vantage.Event) {
	r.loop.Events(all...)
	if slices.ContainsFunc(all, func(e vantage.Event) bool { return e.Synced }) {
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
