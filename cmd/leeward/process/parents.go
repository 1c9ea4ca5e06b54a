package process

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/cmd/leeward/chain"
	"leeward/server/admin"
	"leeward/server/history"
	"leeward/server/transfer"
	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// parents tells the parents of zones that are signed here that CDS and CDNSKEY are new (RFC 9859), so that they need
// not find them by looking at all of their zones. It tells a parent once, and only if the DS there does not fit yet.
//
// A notice only has the parent look sooner, so it matters little if two servers send one, or none. Of the servers with
// keys the first few are in an order that is another for each zone. The first sends at once. The next ones send if the
// parent has no fitting DS some minutes later.
type parents struct {
	id      string
	folder  string // of --state; "": nothing is kept
	log     *slog.Logger
	now     func() time.Time
	elapsed func() time.Duration // elapsed time, unaffected by changes of the clock
	sent    *prometheus.CounterVec

	// happened is told what became of it, for the history.
	happened func(history.Event)
	// asks returns what zones ask their parents for.
	asks func(ctx context.Context) (map[rr.Name]asking, error)
	// tellers returns the servers and signers that can tell parents, this one included.
	tellers func(ctx context.Context) ([]string, error)
	// ds asks servers of the parent for the DS: the given ones or, if there are none, those that it finds. It ends with
	// the first whose DS is enough.
	ds func(ctx context.Context, origin rr.Name, servers []string, enough func(ds [][]byte) bool) (
		[]dnssec.ParentDS, error)
	// find finds where the parent of a zone is told of CDS.
	find func(ctx context.Context, zone string) (chain.Endpoints, error)
	// send sends the notice, see transfer.Notice.
	send func(ctx context.Context, origin rr.Name, to []netip.AddrPort) (answered bool, err error)

	wake    chan struct{} // holds one token while there is something to look at
	slots   chan struct{} // one for each zone whose parent is being asked
	running sync.WaitGroup

	mu     sync.Mutex
	zones  map[rr.Name]*parentState
	silent map[string]time.Duration // when endpoints were last found not to answer
	dirty  bool                     // zones have something that is not on disk
	anew   bool                     // look again now

	warned   int           // warnings since warnedAt
	warnedAt time.Duration // a new count begins every parentsAgain

	fleet []string      // of tellers
	asked time.Duration // when tellers was last called

	// What follows belongs to run.
	due     []rr.Name     // zones whose turn it is, as last looked: first what was tried least, and is newest
	looked  time.Duration // when
	writes  time.Duration // when the file may be written next
	failing string        // why it could not be; "": it could
}

// asking is what a zone asks its parent for.
type asking struct {
	digest  string   // of CDS and CDNSKEY
	cds     [][]byte // RDATA
	cdnskey [][]byte // RDATA
	servers []string // of the parent; none: they are found
}

// parentState is what is known of the parent of one zone.
type parentState struct {
	asking
	admin.Parent
	seen  time.Duration // when its CDS were first seen here
	due   time.Duration // when to ask again; <0: never
	tries int
	tried time.Duration // when the last attempt began; 0: none has
	busy  bool
	away  time.Duration // since when the zone asks for nothing; 0: it asks
}

const (
	parentsLook   = 10 * time.Second
	parentsSettle = 10 * time.Second // CDS are told when they have been there for so long, on all servers
	parentsAtOnce = 16               // zones whose parents are asked at the same time
	parentsLimit  = 5 * time.Minute  // for one zone
	parentsAgain  = 10 * time.Minute // until the first further attempt; the wait doubles each time
	parentsRarest = 24 * time.Hour
	parentsForget = time.Hour       // how long a zone that asks for nothing is remembered: it may be read again soon
	tellerWait    = 5 * time.Minute // how long each server waits for the one before it
	mostTellers   = 3               // servers that may tell the parent of one zone
	mostWarned    = 10              // lines in the log that a parent could not be told, in each parentsAgain
)

// again is how long to wait before the next attempt, after so many.
func (s *parentState) again() time.Duration {
	return min(parentsAgain<<min(s.tries, 10), parentsRarest)
}

// set notes a state of the parent.
func (s *parentState) set(state string, now time.Time, text string) {
	if s.State != state || s.Since.IsZero() {
		s.State, s.Since = state, now.UTC().Truncate(time.Second)
	}
	s.Error = text
}

func (p *parents) run(ctx context.Context) {
	for range turns(ctx, parentsLook, p.wake) {
		p.mu.Lock()
		anew := p.anew || p.elapsed()-p.looked >= parentsLook/2
		p.anew = false
		p.mu.Unlock()
		if anew {
			p.look(ctx)
		}
		p.begin(ctx)
		if p.elapsed() >= p.writes {
			p.keep()
		}
	}
	p.running.Wait()
	p.keep()
}

func (p *parents) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// reload has every parent asked again now whose DS did not fit, unless it was asked within a second.
func (p *parents) reload() {
	p.mu.Lock()
	clear(p.silent)
	for _, s := range p.zones {
		if s.due >= 0 && (s.tried == 0 || p.elapsed()-s.tried >= time.Second) {
			s.due, s.tries = 0, 0
		}
	}
	p.anew = true
	p.mu.Unlock()
	p.rouse()
}

// look finds out which zones' parents are to be asked.
func (p *parents) look(ctx context.Context) {
	all, err := p.asks(ctx)
	if err != nil {
		return // the server stops, or is busy
	}
	now := p.elapsed()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looked, p.due = now, p.due[:0]
	for origin, s := range p.zones {
		if _, asks := all[origin]; asks {
			s.away = 0
		} else if s.away == 0 {
			s.away = max(1, now)
		} else if now-s.away >= parentsForget {
			delete(p.zones, origin)
			p.dirty = true
		}
	}
	maps.DeleteFunc(p.silent, func(_ string, at time.Duration) bool { return now-at >= parentsAgain })
	for origin, a := range all {
		s := p.zones[origin]
		if s == nil || s.digest != a.digest {
			s = &parentState{seen: now, due: now + parentsSettle}
			s.set(admin.ParentWaits, p.now(), "")
			p.zones[origin] = s
		}
		if s.asking = a; s.due >= 0 && s.due <= now {
			p.due = append(p.due, origin)
		}
	}
	slices.SortFunc(p.due, func(a, b rr.Name) int {
		x, y := p.zones[a], p.zones[b]
		return cmp.Or(cmp.Compare(x.tries, y.tries), cmp.Compare(y.seen, x.seen), cmp.Compare(a, b))
	})
}

// begin has as many parents asked as there are slots for.
func (p *parents) begin(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.due) > 0 {
		s := p.zones[p.due[0]]
		if s == nil || s.busy || s.due < 0 || s.due > p.elapsed() {
			p.due = p.due[1:]
			continue
		}
		select {
		case p.slots <- struct{}{}:
		default:
			return // whoever ends has this called again
		}
		origin := p.due[0]
		p.due, s.busy, s.tried = p.due[1:], true, p.elapsed()
		p.running.Go(func() {
			p.one(ctx, origin, s)
			<-p.slots
			p.rouse()
		})
	}
}

// one does what is due for one zone.
func (p *parents) one(ctx context.Context, origin rr.Name, s *parentState) {
	limited, stop := context.WithTimeout(ctx, parentsLimit)
	defer stop()
	p.mu.Lock()
	a, was, seen, tries := s.asking, s.Parent, s.seen, s.tries
	p.mu.Unlock()
	now := parentState{asking: a, Parent: was, seen: seen, tries: tries}
	counts := p.attempt(limited, origin, &now)
	p.mu.Lock()
	defer p.mu.Unlock()
	s.busy = false
	if ctx.Err() != nil || s.digest != a.digest {
		return
	}
	if s.Parent, s.due = now.Parent, now.due; counts {
		s.tries++
	}
	p.dirty = p.dirty || s.Parent != was
	if s.State == admin.ParentFailed && was.Error != s.Error {
		p.warn(origin, s)
	}
	p.tellHistory(rr.TrimDot(origin.String()), was, s.Parent)
}

// tellHistory reports what has become of a zone's parent. It is no news that a parent's DS fits if nobody told it.
func (p *parents) tellHistory(zone string, was, is admin.Parent) {
	if was.State == is.State && was.Error == is.Error {
		return
	}
	e := history.Event{
		Kind: history.Parent, Of: []string{"zone/" + zone, "name/" + zone}, Again: "parent/" + zone,
	}
	switch {
	case is.State == admin.ParentTold:
		e.Text = fmt.Sprintf("the parent of %s was told of new CDS, at %s", zone, is.Endpoint)
		if !is.Validated {
			e.Text += " (DNSSEC does not prove that it is the right place)"
		}
	case is.State == admin.ParentFailed:
		e.Text = fmt.Sprintf("the parent of %s could not be told of new CDS: %s", zone, is.Error)
	case is.State == admin.ParentFits && (was.State == admin.ParentTold || was.State == admin.ParentFailed):
		e.Text, e.Over = fmt.Sprintf("the parent of %s has a DS that fits", zone), true
	default:
		return
	}
	p.happened(e)
}

// warn logs that a parent could not be told. One cause may hinder thousands of zones, so lines are few.
func (p *parents) warn(origin rr.Name, s *parentState) {
	if now := p.elapsed(); p.warned == 0 || now-p.warnedAt >= parentsAgain {
		p.warned, p.warnedAt = 0, now
	}
	switch p.warned++; {
	case p.warned <= mostWarned:
		p.log.Warn("a parent could not be told of new CDS", "zone", rr.TrimDot(origin.String()), "endpoint", s.Endpoint,
			"err", s.Error, "again in", (s.due - p.elapsed()).Round(time.Second))
	case p.warned == mostWarned+1:
		p.log.Warn("more parents could not be told of new CDS: `leeward status -o wide` has all")
	}
}

// attempt asks the parent for its DS, and tells it if that does not fit. It sets what has come of it, and when to try
// again. counts is false if it is not this server's turn.
func (p *parents) attempt(ctx context.Context, origin rr.Name, s *parentState) (counts bool) {
	at := p.elapsed()
	rank, err := p.rank(ctx, origin)
	switch wait := time.Duration(rank) * tellerWait; {
	case err != nil:
		s.due = at + parentsLook
		return false
	case rank >= mostTellers: // others tell; but they may go
		s.Parent, s.due = admin.Parent{}, at+tellerWait
		return false
	case at-s.seen < wait:
		s.due = s.seen + wait
		return false
	}
	s.due = at + s.again()
	wrong := false
	all, err := p.ds(ctx, origin, s.servers, func(ds [][]byte) bool {
		wrong = !dnssec.Fits(origin, s.cdnskey, ds)
		return wrong
	})
	if err == nil && len(all) > 0 && !wrong {
		s.set(admin.ParentFits, p.now(), "")
		s.due = -1
		return true
	}
	if s.State == admin.ParentTold {
		return true // it knows; it has to look, and may refuse
	}
	p.tell(ctx, origin, s)
	return true
}

// tell tells a parent.
func (p *parents) tell(ctx context.Context, origin rr.Name, s *parentState) {
	zone := rr.TrimDot(origin.String())
	s.Endpoint, s.Validated = "", false
	found, err := p.find(ctx, zone)
	doubts := strings.Join(found.Doubts, "; ")
	switch {
	case err != nil:
		s.set(admin.ParentFailed, p.now(), "DSYNC records cannot be looked up: "+err.Error())
		return
	case len(found.All) == 0:
		s.set(admin.ParentMute, p.now(), doubts)
		return
	}
	to, where, odd := targets(found.All)
	s.Endpoint, s.Validated = strings.Join(where, ", "), found.Validated
	if len(to) == 0 {
		if odd != "" {
			doubts = strings.TrimPrefix(doubts+"; "+odd, "; ")
		}
		s.set(admin.ParentFailed, p.now(), "the endpoint that it names has no address to send to: "+doubts)
		return
	}
	key := fmt.Sprint(to)
	p.mu.Lock()
	silent, is := p.silent[key]
	p.mu.Unlock()
	if since := p.elapsed() - silent; is && since < parentsAgain {
		s.set(admin.ParentFailed, p.now(), "the endpoint has not answered for another zone, minutes ago")
		return
	}
	answered, err := p.send(ctx, origin, to)
	if err != nil {
		if ctx.Err() == nil && !answered {
			p.mu.Lock()
			p.silent[key] = p.elapsed()
			p.mu.Unlock()
		}
		p.sent.WithLabelValues("failed").Inc()
		s.set(admin.ParentFailed, p.now(), err.Error())
		return
	}
	p.sent.WithLabelValues("ok").Inc()
	s.set(admin.ParentTold, p.now(), doubts)
	p.log.Info("the parent was told of new CDS", "zone", zone, "endpoint", s.Endpoint, "validated", s.Validated)
}

// mostTargets is how many addresses a notice may go to.
const mostTargets = 6

// targets returns where a notice can go, in turn: first one address of each endpoint, then the next. Addresses of this
// host or link alone are left out, as no parent can be there; odd names one.
func targets(all []chain.Endpoint) (to []netip.AddrPort, where []string, odd string) {
	for _, e := range all {
		where = append(where, net.JoinHostPort(rr.TrimDot(e.Target), strconv.Itoa(int(e.Port))))
	}
	for i, more := 0, true; more; i++ {
		more = false
		for _, e := range all {
			if i >= len(e.Addresses) {
				continue
			}
			more = true
			a := e.Addresses[i].Addr()
			switch {
			case !a.IsGlobalUnicast(): // private addresses are
				odd = fmt.Sprintf("%s is the address of no parent", a)
			case len(to) < mostTargets && !slices.Contains(to, e.Addresses[i]):
				to = append(to, e.Addresses[i])
			}
		}
	}
	return to, where, odd
}

// rank returns this server's place among those that can tell the parent of a zone.
func (p *parents) rank(ctx context.Context, origin rr.Name) (int, error) {
	p.mu.Lock()
	fleet, fresh := p.fleet, len(p.fleet) > 0 && p.elapsed()-p.asked < parentsLook
	p.mu.Unlock()
	if !fresh {
		var err error
		if fleet, err = p.tellers(ctx); err != nil {
			return 0, err
		}
		p.mu.Lock()
		p.fleet, p.asked = fleet, p.elapsed()
		p.mu.Unlock()
	}
	place := func(id string) string {
		sum := sha256.Sum256([]byte(string(origin) + id))
		return string(sum[:])
	}
	own, rank := place(p.id), 0
	for _, id := range fleet {
		if place(id) < own {
			rank++
		}
	}
	return rank, nil
}

// says adds to the signed zones what is known of their parents.
func (p *parents) says(all []admin.SignedZone) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range all {
		origin, err := rr.ParseName(all[i].Zone)
		if s := p.zones[origin]; err == nil && s != nil && s.State != "" {
			said := s.Parent
			all[i].Parent = &said
		}
	}
}

// digestOf returns a text that is another for each set of CDS and CDNSKEY.
func digestOf(sets ...[][]byte) string {
	h := sha256.New()
	for _, set := range sets {
		set = slices.SortedFunc(slices.Values(set), bytes.Compare)
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(set))))
		for _, data := range set {
			h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(data))))
			h.Write(data)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// newParents returns what tells the parents of zones. It returns nil if this server holds no keys.
func newParents(r *run) (*parents, error) {
	if r.keyring == nil {
		return nil, nil
	}
	began := time.Now()
	p := &parents{
		id: r.ID, folder: r.State, log: r.Log, now: time.Now, asks: r.asks(), tellers: r.tellers,
		happened: func(e history.Event) { r.history.Add(e, nil) },
		elapsed:  func() time.Duration { return time.Since(began) },
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leeward_dnssec_parent_notifies_total",
			Help: "Parents told of new CDS (NOTIFY, RFC 9859), by result: ok, failed.",
		}, []string{"result"}),
		ds: func(ctx context.Context, origin rr.Name, servers []string, enough func([][]byte) bool) (
			[]dnssec.ParentDS, error,
		) {
			return askParents(ctx, origin, servers, r.Resolvers, enough)
		},
		find: func(ctx context.Context, zone string) (chain.Endpoints, error) {
			servers, err := r.names.Servers()
			if err != nil {
				return chain.Endpoints{}, err
			}
			return chain.FindEndpoints(ctx, servers, zone, uint16(rr.TypeCDS))
		},
		send: func(ctx context.Context, origin rr.Name, to []netip.AddrPort) (bool, error) {
			return (&transfer.Notice{Zone: origin, Type: rr.TypeCDS}).Send(ctx, to)
		},
	}
	p.init()
	if err := p.load(); err != nil {
		r.Log.Warn("which parents were told of new CDS before this start is not known: they are told again", "err", err)
	}
	return p, r.registry.Register(p.sent)
}

func (p *parents) init() {
	p.wake, p.slots = make(chan struct{}, 1), make(chan struct{}, parentsAtOnce)
	p.zones, p.silent, p.looked = map[rr.Name]*parentState{}, map[string]time.Duration{}, -parentsLook
}

// asks returns a function that returns what the zones that are signed here ask their parents for. It looks at zones
// once for each snapshot: a change of a zone's settings makes another one too.
func (r *run) asks() func(ctx context.Context) (map[rr.Name]asking, error) {
	var of weak.Pointer[snapshot.Snapshot] // that last is of; it is not kept alive
	var last map[rr.Name]asking
	return func(ctx context.Context) (map[rr.Name]asking, error) {
		state := r.loop.State()
		if state == nil {
			return nil, errors.New("nothing is served yet")
		}
		if weak.Make(state.Snapshot) == of {
			return last, nil
		}
		settings, err := r.signedZones(ctx)
		if err != nil {
			return nil, err
		}
		of, last = weak.Make(state.Snapshot), askingOf(state.Snapshot, settings, last)
		return last, nil
	}
}

// askingOf returns what zones ask their parents for. before is what they asked for in an earlier snapshot: most still
// do, and then no digest is made.
func askingOf(s *snapshot.Snapshot, settings map[rr.Name]*zones.Zone, before map[rr.Name]asking) map[rr.Name]asking {
	all := make(map[rr.Name]asking, len(before))
	s.Signed(func(origin rr.Name, _ *dnssec.Signer) bool {
		z := settings[origin]
		if z == nil || z.Keeps() || z.DNSSEC.NoNotify || origin == rr.Root {
			return true
		}
		served := s.Zone(origin)
		cds, keys := served.MadeBySigning(rr.TypeCDS), served.MadeBySigning(rr.TypeCDNSKEY)
		if len(keys) == 0 {
			return true
		}
		a := before[origin]
		if !slices.EqualFunc(a.cds, cds, bytes.Equal) || !slices.EqualFunc(a.cdnskey, keys, bytes.Equal) {
			// copies, so that the snapshot is not kept alive
			a = asking{digest: digestOf(cds, keys), cds: cloned(cds), cdnskey: cloned(keys)}
		}
		a.servers = z.DNSSEC.Parent
		all[origin] = a
		return true
	})
	return all
}

func cloned(set [][]byte) [][]byte {
	all := make([][]byte, 0, len(set))
	for _, data := range set {
		all = append(all, bytes.Clone(data))
	}
	return all
}

// tellers returns the servers and signers that hold keys and are heard of.
func (r *run) tellers(ctx context.Context) (all []string, err error) {
	s, err := r.gather(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range slices.Concat(s.Servers, s.Signers) {
		if one.Fresh && !one.NoKeys && one.ID != r.ID {
			all = append(all, one.ID)
		}
	}
	return append(all, r.ID), nil
}
