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

// Bounds of the times that a primary's SOA asks for, and of what happens at once.
const (
	leastRefresh = 2 * time.Second
	mostRefresh  = 24 * time.Hour
	leastRetry   = 2 * time.Second
	// between tries of a zone that there is nothing of yet; doubled from leastRetry
	mostFirst    = time.Minute
	notifyGap    = 500 * time.Millisecond // from the start of a refresh to one that a NOTIFY asks for
	hintGap      = 10 * time.Second       // the same for one that anybody can have sent
	restTooLarge = 5 * time.Minute        // for a zone that does not fit here, whatever its primary asks for
	saveEvery    = 10 * time.Second       // a zone that changes all the time
)

// SecondaryOptions are what a Secondary works with.
type SecondaryOptions struct {
	Log        *slog.Logger          // silent if nil
	Now        func() time.Time      // time.Now if nil
	Random     func() float64        // 0 to 1, for jitter; math/rand/v2's Float64 if nil
	Registerer prometheus.Registerer // none if nil
	Keys       func() *tsig.Ring     // the keys that there are now
	// addresses with ports: primaries are asked from these, unless a zone says otherwise
	Listen  []string
	State   string // folder where what was transferred is kept; "": it is not
	Sockets int    // to primaries at once, at most; as many as there may be if zero

	// OnTransfer is called with how a zone stands whenever that is new, in order for each zone. It must not block.
	OnTransfer func(origin string, t snapshot.Transferred)
}

// Secondary keeps up with zones that live on other primaries (RFC 1034 section 4.3.5). Each zone has a goroutine, which
// asks its primaries when the SOA's times or a NOTIFY say so, and hands over each Version that has come whole; until
// then, and where nothing comes, the one before goes on. What was transferred last is kept on disk. Its methods may be
// called from any goroutine.
type Secondary struct {
	o       SecondaryOptions
	dial    func(ctx context.Context, to netip.AddrPort, from []netip.Addr) (net.Conn, error)
	asks    *turns     // SOA queries
	fetches *turns     // transfers
	held    *held      // what these hold in memory
	disk    sync.Mutex // one zone at a time is written
	metrics *receiving

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before
	zones   map[string]*elsewhere
	running sync.WaitGroup
}

// elsewhere is one zone that lives on another primary. Secondary.mu guards all but what is said to belong to its
// goroutine.
type elsewhere struct {
	origin rr.Name
	name   string
	wake   chan struct{}
	stop   context.CancelFunc // nil: its goroutine does not run yet
	done   chan struct{}
	looked chan struct{} // closed when what an earlier run has kept is handed over, if there is anything

	peers   []zones.Peer
	sources []netip.Addr
	again   string     // of Assignment
	did     string     // that it was transferred whole for
	asked   bool       // it is to be refreshed now
	hinted  bool       // somebody who may be a primary says so
	first   netip.Addr // the primary that said so, which is asked first
	tried   bool       // it is known what there is of it, or that there is nothing
	version *snapshot.Version
	from    string         // the primary that the version came from, or that last said that it is current
	source  netip.AddrPort // of that one; invalid: not known
	checked time.Time      // when that was; zero: never
	good    time.Time      // its EXPIRE counts from then
	until   *atomic.Int64
	since   time.Time // when the version came
	expired bool
	failed  string // why the last try brought nothing; "": it did
	next    time.Time
	busy    bool

	// Its goroutine's own.
	failures int
	bare     bool // what is here was kept by a Leeward that left out what signing makes
	unsaved  bool
	saved    time.Time
	unkept   string // why it could not be saved last; "": it could
	began    time.Time
	rests    time.Time // no refresh before that
}

// NewSecondary returns one that follows no zone. The error is that of registering its metrics.
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
	Sources   []netip.Addr // that they are asked from; none of a family: the usual one
	Again     string       // the zone is transferred whole, once for each text that is new; "": as its serial says
}

// Follow returns the Assignment of a zone that lives elsewhere.
func Follow(z *zones.Zone) Assignment {
	return Assignment{
		Origin: z.Origin, Primaries: z.Transfer.PrimaryServers(), Sources: z.Transfer.TransferSources(),
		Again: z.Transfer.Retransfer,
	}
}

// Assign makes these the zones that are followed. It does not wait.
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

// start runs a zone's goroutine; or, where gone is one that is not wanted any more, what is left to do for that.
func (s *Secondary) start(z, gone *elsewhere) {
	if s.ctx == nil {
		return // Run starts those that there are
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
		if s.zones[z.name] == nil { // it has not come back meanwhile
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

// nudge wakes a zone's goroutine.
func (z *elsewhere) nudge() {
	select {
	case z.wake <- struct{}{}:
	default:
	}
}

// Tried reports whether it is known what there is of a zone: it has been transferred, was kept on disk, or could not be
// had. True for a zone that is not followed. has is true if there is something to serve, which may be on its way.
func (s *Secondary) Tried(origin string) (tried, has bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[origin]
	return z == nil || z.tried, z != nil && z.version != nil && !z.expired
}

// Resumed waits until what an earlier run has kept of all zones is handed over, or the context ends.
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

// Notified has a zone refreshed at once, its primary of that address first, unless the serial is known that it was told
// of (RFC 1996 section 3.11). What is only a hint, as anybody could have sent it, has it refreshed too, but less often.
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

// follow keeps up with one zone until the context ends.
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

// due returns when something is to be done for a zone.
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

// soonest returns when the zone may be refreshed if somebody asks for that.
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
