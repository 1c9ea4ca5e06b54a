package transfer

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/tsig"
	"leeward/zones"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// Bounds on the times of a primary's SOA, and on how often a zone is refreshed and saved.
const (
	leastRefresh = 2 * time.Second
	mostRefresh  = 24 * time.Hour
	leastRetry   = 2 * time.Second
	// between tries of a zone that was never transferred; doubles from leastRetry
	mostFirst    = time.Minute
	notifyGap    = 500 * time.Millisecond // from the start of a refresh to the next that a NOTIFY asks for
	hintGap      = 10 * time.Second       // the same for a NOTIFY that anybody may have sent
	restTooLarge = 5 * time.Minute        // for a zone that needs too much memory, whatever its SOA says
	saveEvery    = 10 * time.Second       // for a zone that changes all the time
)

// SecondaryOptions configure a Secondary.
type SecondaryOptions struct {
	Log        *slog.Logger          // nil: silent
	Now        func() time.Time      // nil: time.Now
	Random     func() float64        // 0 to 1, for jitter; nil: math/rand/v2's Float64
	Registerer prometheus.Registerer // nil: metrics are not registered
	Keys       func() *tsig.Ring     // returns the keys that are known now; nil: none
	// addresses with ports that primaries are asked from, unless a zone sets others
	Listen  []string
	State   string // folder where what was transferred is kept; "": it is not
	Sockets int    // to primaries at once, at most; 0: as many as the bounds allow

	// OnTransfer is called whenever the state of a zone changes, in order for each zone. It must not block.
	OnTransfer func(origin string, t snapshot.Transferred)
}

// Secondary follows zones that live on other primaries (RFC 1034 section 4.3.5).
//
// Each zone has a goroutine. It asks the primaries when the SOA's times or a NOTIFY say so, and hands over each Version
// that has arrived completely. Until then, and if nothing arrives, the version before stays in service. The last
// version is kept on disk.
//
// Methods may be called from any goroutine.
type Secondary struct {
	o       SecondaryOptions
	dial    func(ctx context.Context, to netip.AddrPort, from []netip.Addr) (net.Conn, error)
	asks    *turns     // turns for SOA queries
	fetches *turns     // turns for transfers
	held    *held      // the memory of transfers
	disk    sync.Mutex // so that one zone is written at a time
	metrics *receiving

	mu      sync.Mutex
	ctx     context.Context // Run's; nil before
	zones   map[string]*elsewhere
	running sync.WaitGroup
}

// elsewhere is one zone that lives on another primary. Secondary.mu guards its fields, except those that belong to its
// goroutine.
type elsewhere struct {
	origin rr.Name
	name   string
	wake   chan struct{}
	stop   context.CancelFunc // nil: its goroutine is not running yet
	done   chan struct{}
	looked chan struct{} // closed once the version that an earlier run has kept, if any, is handed over

	peers   []zones.Peer
	sources []netip.Addr
	again   string     // as in Assignment
	did     string     // the last value of again that a transfer was made for
	asked   bool       // a refresh is due now
	hinted  bool       // a refresh is asked for, perhaps by a forged NOTIFY
	first   netip.Addr // the sender of that NOTIFY, which is asked first
	tried   bool       // a version was found, or the first refresh has failed
	version *snapshot.Version
	from    string         // the primary that sent the version or last confirmed it
	source  netip.AddrPort // the address of that primary; not valid: not known
	checked time.Time      // when it last confirmed the version; zero: never
	good    time.Time      // EXPIRE counts from then
	until   *atomic.Int64
	since   time.Time // when the version came
	expired bool
	failed  string // why the last refresh failed; "": it did not
	next    time.Time
	busy    bool

	// These fields belong to the zone's goroutine.
	failures int
	bare     bool // the version was kept by an earlier Leeward that left out what signing makes
	unsaved  bool
	saved    time.Time
	unkept   string // why the last save failed; "": it did not
	began    time.Time
	rests    time.Time // no refresh before then
}

// NewSecondary returns a Secondary that follows no zone yet. It fails if the Registerer has its metrics already.
func NewSecondary(o SecondaryOptions) (*Secondary, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Keys == nil {
		o.Keys = func() *tsig.Ring { return nil }
	}
	if o.OnTransfer == nil {
		o.OnTransfer = func(string, snapshot.Transferred) {}
	}
	s := &Secondary{
		o: o, zones: map[string]*elsewhere{},
		asks:    newTurns(o.Now, askAtOnce, askFromOne, o.Sockets),
		fetches: newTurns(o.Now, fetchAtOnce, fetchFromOne, o.Sockets), held: newHeld(mayHold()),
	}
	usual := newSources(o.Listen)
	s.dial = func(ctx context.Context, to netip.AddrPort, from []netip.Addr) (net.Conn, error) {
		return usual.dial(ctx, "tcp", to, from, "transferSource")
	}
	var err error
	s.metrics, err = newReceiving(o.Registerer, s)
	return s, err
}

// Assignment is a zone to follow.
type Assignment struct {
	Origin    string
	Primaries []zones.Peer
	Sources   []netip.Addr // to ask from; if none has the family, the usual one is used
	Again     string       // each new value has the whole zone transferred once; "": its serial decides
}

// Follow returns the Assignment of a zone that lives elsewhere.
func Follow(z *zones.Zone) Assignment {
	return Assignment{
		Origin: z.Origin, Primaries: z.Transfer.PrimaryServers(), Sources: z.Transfer.TransferSources(),
		Again: z.Transfer.Retransfer,
	}
}

// Assign replaces the set of zones that are followed. It does not wait.
func (s *Secondary) Assign(all []Assignment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]bool{}
	for _, a := range all {
		origin, err := rr.ParseName(a.Origin)
		if err != nil {
			continue
		}
		wanted[a.Origin] = true
		z := s.zones[a.Origin]
		if z != nil {
			if !slices.EqualFunc(z.peers, a.Primaries, zones.Peer.Equal) || !slices.Equal(z.sources, a.Sources) ||
				a.Again != "" && a.Again != z.again {
				z.asked = true
				z.nudge()
			}
			z.peers, z.sources, z.again = a.Primaries, a.Sources, a.Again
			continue
		}
		z = &elsewhere{
			origin: origin, name: a.Origin, peers: a.Primaries, sources: a.Sources, again: a.Again,
			until: new(atomic.Int64), wake: make(chan struct{}, 1), done: make(chan struct{}),
			looked: make(chan struct{}),
		}
		s.zones[a.Origin] = z
		s.start(z, nil)
	}
	for name, z := range s.zones {
		if !wanted[name] {
			delete(s.zones, name)
			if z.stop != nil {
				z.stop()
			}
			s.start(&elsewhere{origin: z.origin, name: name, done: make(chan struct{})}, z)
		}
	}
}

// start runs a zone's goroutine. If gone is given, that zone is no longer followed, and the goroutine removes what is
// left of it.
func (s *Secondary) start(z, gone *elsewhere) {
	if s.ctx == nil {
		return // Run will start all zones
	}
	ctx, stop := context.WithCancel(s.ctx)
	z.stop = stop
	s.running.Go(func() {
		defer close(z.done)
		defer stop()
		if gone == nil {
			s.follow(ctx, z)
			return
		}
		if gone.stop != nil {
			<-gone.done
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.zones[z.name] == nil { // it has not been assigned again meanwhile
			s.forget(z.name)
			s.o.OnTransfer(z.name, snapshot.Transferred{})
		}
	})
}

// Run follows the zones until the context ends.
func (s *Secondary) Run(ctx context.Context) {
	s.mu.Lock()
	s.ctx = ctx
	for _, z := range s.zones {
		s.start(z, nil)
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.running.Wait()
}

// nudge wakes the zone's goroutine.
func (z *elsewhere) nudge() {
	select {
	case z.wake <- struct{}{}:
	default:
	}
}

// Tried reports whether the first attempt to get a zone is over: it was transferred or loaded from the disk, or the
// attempt failed. It is true for a zone that is not followed. has is true if there is a version to serve, even if it is
// still being handed over.
func (s *Secondary) Tried(origin string) (tried, has bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[origin]
	return z == nil || z.tried, z != nil && z.version != nil && !z.expired
}

// Resumed waits until the kept versions of all zones are handed over, or the context ends.
func (s *Secondary) Resumed(ctx context.Context) {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.zones))
	s.mu.Unlock()
	for _, z := range all {
		select {
		case <-z.looked:
		case <-z.done:
		case <-ctx.Done():
		}
	}
}

// Notified has a zone refreshed at once. The primary that sent the NOTIFY is asked first. If told is true, serial is
// the one in the NOTIFY, and a serial that is not newer is ignored (RFC 1996 section 3.11). A hint, which anybody may
// have sent, also causes a refresh, but less often.
func (s *Secondary) Notified(origin string, from netip.Addr, serial uint32, told, hint bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[origin]
	if z == nil || told && z.version != nil && !z.expired && !newer(serial, z.version.Serial()) {
		return
	}
	if z.first = from; hint {
		z.hinted = true
	} else {
		z.asked = true
		s.asks.awake(from)
	}
	z.nudge()
}

// follow keeps one zone up to date until the context ends.
func (s *Secondary) follow(ctx context.Context, z *elsewhere) {
	s.resume(z)
	close(z.looked)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			if z.unsaved {
				s.save(z)
			}
			return
		case <-z.wake:
		case <-timer.C:
		}
		now := s.o.Now()
		s.expire(z, now)
		s.mu.Lock()
		due := !now.Before(z.next) || (z.asked || z.hinted) && !now.Before(z.soonest())
		s.mu.Unlock()
		if due {
			s.refresh(ctx, z)
		}
		now = s.o.Now()
		if z.unsaved && !now.Before(z.saved.Add(saveEvery)) {
			s.save(z)
		}
		timer.Reset(max(0, s.due(z).Sub(now)))
	}
}

// due returns when the zone needs attention next.
func (s *Secondary) due(z *elsewhere) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := z.next
	if (z.asked || z.hinted) && z.soonest().Before(next) {
		next = z.soonest()
	}
	if e := z.expires(); !e.IsZero() && !z.expired && e.Before(next) {
		next = e
	}
	if z.unsaved && z.saved.Add(saveEvery).Before(next) {
		next = z.saved.Add(saveEvery)
	}
	return next
}

// soonest returns the earliest time at which a requested refresh may start.
func (z *elsewhere) soonest() time.Time {
	gap := notifyGap
	if !z.asked {
		gap = hintGap
	}
	if at := z.began.Add(gap); at.After(z.rests) {
		return at
	}
	return z.rests
}
