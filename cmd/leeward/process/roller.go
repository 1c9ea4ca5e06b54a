package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"weak"

	"leeward/cmd/leeward/control"
	"leeward/health/vantage"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/etcd"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
	"leeward/zones/vault"
)

// roller begins and carries on the rolls of zones' keys that are in etcd, and clears away keys that are no longer
// needed. Every server and signer that can open the keys does so, and it does not matter which of them is alive. If two
// write at once, etcd refuses the slower one. A server without keys only reports where it stands in a roll (edge.roll);
// its report counts as much as the others do.
type roller struct {
	id      string
	log     *slog.Logger
	now     func() time.Time
	elapsed func() time.Duration // elapsed time, unaffected by changes of the clock
	ring    *keyring             // with sealed
	etcd    *etcd.Cluster

	// settings returns the zones that are to be signed.
	settings func(ctx context.Context) (map[rr.Name]*zones.Zone, error)
	// does reports whether what is served is signed as these keys require for now.
	does func(origin rr.Name, k *dnssec.Keys, now time.Time) bool
	// rest returns for how long resolvers and secondaries may still have what the zone had.
	rest func(z *zones.Zone) time.Duration
	// servers returns all servers, and what each reports about rolls.
	servers func(ctx context.Context) ([]heardOf, error)
	// parent asks the servers of the parent for its DS: the given ones or, if there are none, those that it finds.
	parent func(ctx context.Context, origin rr.Name, servers []string) ([]dnssec.ParentDS, error)

	wake  chan struct{} // holds one token while there is something to look at
	mu    sync.Mutex
	words map[rr.Name]*dnssec.Word
	waits map[rr.Name]string // who or what holds each roll up
	asked map[rr.Name]granted
}

// granted is what the parent had when it was last asked.
type granted struct {
	at  time.Duration
	all []dnssec.ParentDS
	err error
}

// heardOf is a server, and how long ago it was last heard from.
type heardOf struct {
	admin.Server
	silent time.Duration
}

// rollerEvery is how often rolls are looked at. They take days.
const rollerEvery = 10 * time.Second

// parentEvery is how often a server asks the parent of a zone, and parentDue how often once the next step is due.
const (
	parentEvery = 10 * time.Minute
	parentDue   = time.Minute
)

func (r *roller) run(ctx context.Context) {
	for range turns(ctx, rollerEvery, r.wake) {
		r.look(ctx)
	}
}

// reload has everything looked at again, the parent included.
func (r *roller) reload() {
	r.mu.Lock()
	clear(r.asked)
	r.mu.Unlock()
	r.again()
}

// ask asks the parent of a zone, unless it was asked not long ago.
func (r *roller) ask(ctx context.Context, origin rr.Name, servers []string, every time.Duration) (
	[]dnssec.ParentDS, error,
) {
	r.mu.Lock()
	g, known := r.asked[origin]
	r.mu.Unlock()
	if now := r.elapsed(); !known || now-g.at >= every {
		all, err := r.parent(ctx, origin, servers)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		g = granted{now, all, err}
		r.mu.Lock()
		r.asked[origin] = g
		r.mu.Unlock()
	}
	return g.all, g.err
}

// again has rolls looked at again soon.
func (r *roller) again() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// look looks at all zones that have a roll, or settings for one.
func (r *roller) look(ctx context.Context) {
	all, err := r.settings(ctx)
	if err != nil {
		return // the server stops, or is busy
	}
	r.ring.finding.Lock()
	o := r.ring.sealed.now()
	r.ring.finding.Unlock()
	servers := sync.OnceValues(func() ([]heardOf, error) { return r.servers(ctx) })
	r.mu.Lock()
	maps.DeleteFunc(r.waits, func(origin rr.Name, _ string) bool { return all[origin] == nil })
	r.mu.Unlock()
	again := false
	for _, origin := range slices.Sorted(maps.Keys(all)) {
		waits, err := r.zone(ctx, o, origin, all[origin], servers)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, vault.ErrChanged): // another server was faster
			continue
		case err != nil:
			waits = err.Error()
		}
		again = r.wait(origin, waits) || again
	}
	if again {
		r.ring.look()
	}
}

// wait notes who or what holds up the roll of a zone, and reports whether that is new.
func (r *roller) wait(origin rr.Name, waits string) bool {
	r.mu.Lock()
	if r.waits[origin] = waits; waits == "" {
		delete(r.waits, origin)
	}
	r.mu.Unlock()
	waits = heldUp(waits)
	r.ring.finding.Lock()
	defer r.ring.finding.Unlock()
	s := r.ring.sealed
	if s.waits[origin] == waits {
		return false
	}
	if waits == "" {
		delete(s.waits, origin)
		return true
	}
	s.waits[origin] = waits
	r.log.Warn("a roll of keys is held up", "zone", rr.TrimDot(origin.String()), "why", waits)
	return true
}

// heldUp says that somebody or something holds a roll up. It returns "" if nothing does.
func heldUp(waits string) string {
	if waits == "" {
		return ""
	}
	return "the roll of its keys waits: " + waits
}

// held returns the keys that this server has in use for a zone, how far their roll is, and what this server reports
// about that. ok is false if it has no keys in use, or not those that etcd has.
func (r *roller) held(o *opening, origin rr.Name, z *zones.Zone) (
	keys *dnssec.Keys, roll *dnssec.Roll, word *dnssec.Word, ttl time.Duration, ok bool,
) {
	r.ring.finding.Lock()
	defer r.ring.finding.Unlock()
	has := r.ring.known[rr.TrimDot(origin.String())]
	roll, err := o.Roll(origin)
	if has.keys == nil {
		return nil, nil, nil, 0, false
	}
	if d := z.DNSSEC; err == nil && roll.Over() && d.Roll == nil && d.Algorithm == 0 &&
		len(has.keys.Stale(roll, r.now())) == 0 {
		return nil, nil, nil, 0, false // most zones have nothing to do
	}
	o = r.ring.sealed.of(origin)
	if roll, err = o.Roll(origin); err != nil || has.sealed != o.Sealed.Mark(origin) {
		r.ring.sealed.witness.Lacks(origin)
		return nil, nil, nil, 0, false
	}
	if roll.Over() {
		r.ring.sealed.witness.Forget(origin)
		return has.keys, roll, nil, 0, true
	}
	now := r.now()
	ttl = r.rest(z)
	word = r.ring.sealed.witness.Word(origin, roll, r.does(origin, has.keys, now), now, r.elapsed(), ttl)
	return has.keys, roll, word, ttl, true
}

// zone does what is due for one zone.
func (r *roller) zone(ctx context.Context, o *opening, origin rr.Name, z *zones.Zone,
	servers func() ([]heardOf, error),
) (waits string, err error) {
	keys, roll, word, ttl, ok := r.held(o, origin, z)
	r.mu.Lock()
	if r.words[origin] = word; word == nil {
		delete(r.words, origin)
	}
	r.mu.Unlock()
	switch {
	case !ok:
		return "", nil // the status says what is wrong with its keys
	case !roll.Over() && z.Keeps():
		return "the zone keeps its primary's signatures, so the primary would have to publish the new key: stop it " +
			"(`leeward key roll " + z.Origin + " --stop`)", nil
	case roll.Over():
		return r.idle(ctx, origin, z, keys, roll)
	}
	all, err := servers()
	if err != nil {
		return "", err
	}
	var fleet []dnssec.Said
	for _, s := range all {
		said := dnssec.Said{Server: s.ID, Silent: s.silent}
		for _, w := range s.Rolls {
			if w.Zone == rr.TrimDot(origin.String()) {
				said.Word = &dnssec.Word{Step: w.Step, Since: w.Since, Due: w.Due, Not: w.Not}
			}
		}
		if s.ID == r.id {
			said.Word = word
		}
		fleet = append(fleet, said)
	}
	every := parentEvery
	if word != nil && word.Due != "" {
		every = parentDue
	}
	c, err := roll.Carry(keys, r.now(), ttl, fleet, func() ([]dnssec.ParentDS, error) {
		return r.ask(ctx, origin, z.DNSSEC.Parent, every)
	})
	if err != nil || !c.Write {
		return c.Waits, err
	}
	v, held, err := r.read(ctx, origin)
	if err != nil {
		return c.Waits, err
	}
	if !held.Roll.Same(roll) {
		return c.Waits, nil // the keys have changed since they were looked at
	}
	if err := v.Carry(ctx, held, c.Roll, c.Changed); err != nil {
		return c.Waits, err
	}
	r.log.Info("a roll of keys goes on", "zone", rr.TrimDot(origin.String()), "roll", c.Roll.String())
	return c.Waits, nil
}

// read reads the keys of a zone from etcd in order to write them.
func (r *roller) read(ctx context.Context, origin rr.Name) (*vault.Vault, *vault.Held, error) {
	r.ring.finding.Lock()
	v := &vault.Vault{Etcd: r.etcd, Secrets: r.ring.sealed.secrets}
	r.ring.finding.Unlock()
	held, err := v.Read(ctx, origin)
	return v, held, err
}

// idle begins a roll if the settings require one, and clears away keys that are no longer needed.
func (r *roller) idle(ctx context.Context, origin rr.Name, z *zones.Zone, keys *dnssec.Keys, roll *dnssec.Roll) (
	waits string, err error,
) {
	now := r.now()
	if stale := keys.Stale(roll, now); len(stale) > 0 {
		v, held, err := r.read(ctx, origin)
		if err != nil {
			return "", err
		}
		if stale = held.Keys.Stale(held.Roll, now); len(stale) == 0 {
			return "", nil
		}
		return "", v.Write(ctx, held, nil, stale...)
	}
	if a := dnssec.Algorithm(z.DNSSEC.Algorithm); a != 0 && !keys.By(a, now) {
		switch {
		case len(z.DNSSEC.Foreign) > 0:
			return "dnssec.algorithm does nothing beside dnssec.foreign, as all who sign a zone must sign by the " +
				"same algorithms (RFC 8901): take the others' keys out first", nil
		case keys.Moves(now):
			return "the keys should have another algorithm (dnssec.algorithm), and other changes are under way by " +
				"their times: `leeward key list`; `leeward key retire` retires a key", nil
		}
		return "", r.begin(ctx, origin, z, roll, dnssec.RollsAlgorithm, a,
			"they are of another algorithm than the zone says")
	}
	if z.DNSSEC.Roll == nil {
		return "", nil
	}
	for _, one := range []struct {
		kind string
		age  zones.Duration
	}{{dnssec.RollsZSK, z.DNSSEC.Roll.ZSK}, {dnssec.RollsEntry, z.DNSSEC.Roll.KSK}} {
		since, known := keys.Since(one.kind, now)
		if one.age == 0 {
			continue
		}
		if !known {
			if one.kind == dnssec.RollsZSK {
				return fmt.Sprintf("dnssec.roll.zsk is set, and no ZSK says since when it is there; `leeward key roll "+
					"%s --role zsk` makes one", z.Origin), nil
			}
			return "dnssec.roll.ksk is set, and the key does not say since when it is there; roll it once by " +
				"`leeward key roll`", nil
		}
		if now.Sub(since) < one.age.Std() || keys.Moves(now) {
			continue
		}
		return "", r.begin(ctx, origin, z, roll, one.kind, 0, "they are as old as the zone says")
	}
	return "", nil
}

// begin begins a roll, unless another one has begun since last.
func (r *roller) begin(ctx context.Context, origin rr.Name, z *zones.Zone, last *dnssec.Roll, kind string,
	a dnssec.Algorithm, why string,
) error {
	v, held, err := r.read(ctx, origin)
	if err != nil || !held.Roll.Same(last) {
		return err
	}
	if _, err := v.Begin(ctx, held, kind, a, r.now()); err != nil {
		return err
	}
	r.log.Info("a roll of keys begins", "zone", z.Origin, "kind", kind, "why", why)
	return nil
}

// says returns what this server reports about rolls.
func (r *roller) says() (all []admin.Roll) {
	r.mu.Lock()
	defer r.mu.Unlock()
	origins := map[rr.Name]bool{}
	for origin := range r.words {
		origins[origin] = true
	}
	for origin := range r.waits {
		origins[origin] = true
	}
	for _, origin := range slices.Sorted(maps.Keys(origins)) {
		one := admin.Roll{Zone: rr.TrimDot(origin.String()), Waits: r.waits[origin]}
		if w := r.words[origin]; w != nil {
			one.Step, one.Since, one.Due, one.Not = w.Step, w.Since, w.Due, w.Not
		}
		all = append(all, one)
	}
	return all
}

// newRoller returns the roller of a server that has sealed keys, and nil for one that has none.
func newRoller(r *run) *roller {
	if r.keyring == nil || r.keyring.sealed == nil || r.KeySecrets == "" {
		return nil
	}
	now := r.clock()
	began := now()
	return &roller{
		id: r.ID, log: r.Log, now: now, elapsed: func() time.Duration { return now().Sub(began) },
		ring: r.keyring, etcd: r.etcd.Cluster, words: map[rr.Name]*dnssec.Word{}, waits: map[rr.Name]string{},
		asked:    map[rr.Name]granted{},
		wake:     make(chan struct{}, 1),
		settings: r.signedZones, does: r.signs, rest: r.rests(), servers: r.fleet,
		parent: func(ctx context.Context, origin rr.Name, servers []string) ([]dnssec.ParentDS, error) {
			return askParents(ctx, origin, servers, r.Resolvers, nil)
		},
	}
}

// signedZones returns the zones that are to be signed.
func (r *run) signedZones(ctx context.Context) (map[rr.Name]*zones.Zone, error) {
	var signed []*zones.Zone
	err := r.loop.Do(ctx, func(i control.Inside) { // which is short: names are parsed outside the loop
		i.Catalog().Each(zones.KindZone, func(one zones.Resource) bool {
			if z := one.(*zones.Zone); z.Signed() {
				signed = append(signed, z)
			}
			return true
		})
	})
	if err != nil {
		return nil, err
	}
	all := make(map[rr.Name]*zones.Zone, len(signed))
	for _, z := range signed {
		if origin, err := rr.ParseName(z.Origin); err == nil {
			all[origin] = z
		}
	}
	return all, nil
}

// signs reports whether a zone is served signed as its keys require for now.
func (r *run) signs(origin rr.Name, k *dnssec.Keys, now time.Time) (yes bool) {
	state := r.loop.State()
	if state == nil {
		return false
	}
	state.Snapshot.Signed(func(one rr.Name, signer *dnssec.Signer) bool {
		yes = one == origin && signer.Does(k.At(now))
		return one != origin
	})
	return yes
}

// rests returns a function that returns the longest TTL of a zone, plus REFRESH if the zone has secondaries. It walks a
// zone once for each snapshot.
func (r *run) rests() func(*zones.Zone) time.Duration {
	type walked struct {
		of      weak.Pointer[snapshot.Snapshot] // that longest is of; it is not kept alive
		longest time.Duration
	}
	known := map[string]walked{}
	return func(z *zones.Zone) time.Duration {
		w := known[z.Origin]
		origin, err := rr.ParseName(z.Origin)
		if state := r.loop.State(); err == nil && state != nil && weak.Make(state.Snapshot) != w.of {
			w = walked{of: weak.Make(state.Snapshot)}
			if served := state.Snapshot.Zone(origin); served != nil {
				w.longest = served.LongestTTL()
			}
			known[z.Origin] = w
		}
		rest := max(w.longest, z.TTL.Or(zones.DefaultTTL))
		if z.Transfer != nil {
			rest += z.Refresh.Or(zones.DefaultRefresh)
		}
		return rest
	}
}

// fleet returns all servers and signers. None counts as silent for longer than this server has listened.
func (r *run) fleet(ctx context.Context) (all []heardOf, err error) {
	s, err := r.gather(ctx)
	if err != nil {
		return nil, err
	}
	var listens time.Duration
	everybody := slices.Concat(s.Servers, s.Signers)
	for _, one := range everybody {
		if one.ID != r.ID {
			continue
		}
		if one.Source.State != string(zones.Following) {
			return nil, fmt.Errorf("this server does not follow etcd (%s)", one.Source.State)
		}
		listens = max(time.Second, time.Since(one.Source.Since))
	}
	for _, one := range everybody {
		h := heardOf{Server: one}
		if !one.Fresh {
			h.silent = time.Second
			for _, v := range s.Vantages {
				if v.ID == one.ID {
					h.silent = max(h.silent, time.Duration(v.AgeSeconds*float64(time.Second)))
				}
			}
		}
		h.silent = min(h.silent, listens)
		all = append(all, h)
	}
	for id, silent := range r.bystanders.silent() {
		if slices.ContainsFunc(all, func(h heardOf) bool { return h.ID == id }) {
			continue // it probes by now
		}
		all = append(all, heardOf{admin.Server{ID: id}, silent})
		if silent >= dnssec.LongSilent {
			if err := vantage.Unmark(ctx, r.etcd.Cluster, id); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(all, func(a, b heardOf) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}
