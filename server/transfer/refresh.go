package transfer

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"leeward/zones"
	"leeward/zones/snapshot"
)

// refresh asks the primaries in their order until one of them answers for the zone.
func (s *Secondary) refresh(ctx context.Context, z *elsewhere) {
	z.began = s.o.Now()
	s.mu.Lock()
	z.asked, z.hinted, z.busy = false, false, true
	peers, from, first, have, again := slices.Clone(z.peers), z.sources, z.first, z.version, z.again
	if z.expired || z.bare || again != "" && again != z.did {
		have = nil // so that any version is newer
	}
	z.first = netip.Addr{}
	whole := z.source.IsValid() && !slices.ContainsFunc(peers, func(p zones.Peer) bool { return p.Address == z.source })
	s.mu.Unlock()
	if at := slices.IndexFunc(peers, func(p zones.Peer) bool { return p.Address.Addr() == first }); at > 0 {
		p := peers[at]
		peers = slices.Insert(slices.Delete(peers, at, at+1), 0, p)
	}
	var faults []string
	asked, tooLarge := false, false // a primary was asked; a zone was too large for the memory
	var each []zones.Peer
	for _, peer := range peers {
		each = append(each, peer.Each()...)
	}
	for _, peer := range each {
		f, err := s.fetch(ctx, peer, from, z.origin, have, whole)
		if ctx.Err() != nil {
			return
		}
		s.metrics.octets.Add(float64(f.octets))
		if err == nil {
			s.took(z, peer, f, again)
			return
		}
		asked = asked || !errors.As(err, new(errTurn))
		tooLarge = tooLarge || errors.As(err, new(errHeld))
		faults = append(faults, peer.String()+": "+err.Error())
		s.metrics.received.WithLabelValues(cmp.Or(f.how, "soa"), "failed").Inc()
	}
	z.failures++
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	retry := min(leastRetry<<min(z.failures-1, 10), mostFirst)
	if z.version != nil {
		_, said, _ := z.version.Times()
		retry = min(max(said, leastRetry), mostRefresh)
	}
	switch {
	case tooLarge:
		retry = max(retry, restTooLarge)
		z.rests = now.Add(retry)
	case !asked: // no primary was asked, as another zone is finding out whether it answers
		retry = min(retry, silence)
	}
	fault := strings.Join(faults, "; ")
	if fault != z.failed {
		s.o.Log.Warn("a zone could not be refreshed", "zone", z.name, "retry", retry, "err", fault)
	}
	z.failed, z.tried, z.busy = fault, true, false
	z.next = now.Add(s.jitter(retry))
}

// took takes over the answer of a primary.
func (s *Secondary) took(z *elsewhere, peer zones.Peer, f fetched, again string) {
	s.metrics.received.WithLabelValues(f.how, "ok").Inc()
	now := s.o.Now()
	z.failures = 0
	s.mu.Lock()
	if z.failed != "" {
		s.o.Log.Info("a zone is refreshed again", "zone", z.name, "primary", peer.String())
	}
	z.failed, z.tried, z.busy = "", true, false
	if again != "" {
		z.unsaved = z.unsaved || again != z.did
		z.did = again
	}
	z.from, z.source = peer.String(), peer.Address
	was := z.expired
	z.expired = false
	before := z.version
	if f.version != nil {
		z.bare = false
		z.version, z.since, z.unsaved = f.version, now, true
	}
	z.heard(now, f.left, f.version != nil)
	version, good := z.version, z.good
	refresh, retry, _ := version.Times()
	if f.behind {
		refresh = retry
	}
	z.next = now.Add(s.jitter(bounded(refresh)))
	s.mu.Unlock()
	if f.version == nil {
		if !z.unsaved {
			touchVersion(s.o.State, z.name, good)
		}
		if was {
			s.o.OnTransfer(z.name, snapshot.Transferred{Version: version, Until: z.until})
		}
		return
	}
	args := []any{
		"zone", z.name, "primary", peer.String(), "type", f.how, "serial", version.Serial(), "records", f.records,
		"sets", version.Sets(),
		"octets", f.octets, "took", now.Sub(z.began).Round(time.Millisecond),
	}
	if before != nil {
		args = append(args, "from", before.Serial())
	}
	s.o.Log.Info("zone transferred", args...)
	s.o.OnTransfer(z.name, snapshot.Transferred{Version: version, Until: z.until})
}

// sourceText returns the source as text, or "" if it is not known.
func (z *elsewhere) sourceText() string {
	if !z.source.IsValid() {
		return ""
	}
	return z.source.String()
}

// jitter shortens a time by up to a quarter, so that zones and servers do not all ask at once.
func (s *Secondary) jitter(d time.Duration) time.Duration {
	return d - time.Duration(s.o.Random()*float64(d)/4)
}

func bounded(refresh time.Duration) time.Duration {
	return min(max(refresh, leastRefresh), mostRefresh)
}
