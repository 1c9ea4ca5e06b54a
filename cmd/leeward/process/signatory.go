package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/zones/dnssec"
	"leeward/zones/etcd"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// signatory writes to etcd what this process signs, for servers that hold no keys. It writes only signatures that are
// not there yet: those of another signer count as well as its own, since all signers make the same ones. It removes
// what it finds damaged or forged.
type signatory struct {
	log   *slog.Logger
	now   func() time.Time
	etcd  *etcd.Cluster
	wake  chan struct{}
	apart func(ctx context.Context) control.Apart // compares clocks; nil: nobody can

	snapshot atomic.Pointer[snapshot.Snapshot]

	mu    sync.Mutex
	keys  map[string]dnssec.HandedOut // to be handed out
	found map[string]*foundZone       // by origin: what is in etcd
	read  bool                        // everything in etcd has been read once
	stand standing

	// The rest belongs to run.
	due     map[*dnssec.Generation][]dnssec.Signed // signatures still to be written
	whole   map[*dnssec.Generation]bool            // these were compared in full with what is in etcd
	cleaned time.Time
	turned  time.Time // when the last turn began
	busy    bool      // the last turn has written something
	clock   signerClock
}

// foundZone is what etcd has of a zone.
type foundZone struct {
	*dnssec.Received
	revisions map[slot]int64 // of the chunks and of the keys
	paper     []byte         // the handout
	spoilt    map[slot]bool  // chunks that cannot be read
	changed   bool           // something was removed or replaced

	agreed   *dnssec.Keys // the handout at revision agreedAt is for these keys, or for newer ones
	agreedAt int64
}

const (
	signatoryLook  = 200 * time.Millisecond // how often to look for what was signed
	signatoryClean = time.Minute            // how often to look for what is old
	signatoryLimit = 10 * time.Second       // for one write
	smallChunk     = 256                    // number of signatures; a chunk with fewer is enlarged
)

func newSignatory(cluster *etcd.Cluster, log *slog.Logger, now func() time.Time) *signatory {
	return &signatory{
		log: log, now: now, etcd: cluster, wake: make(chan struct{}, 1),
		keys: map[string]dnssec.HandedOut{}, found: map[string]*foundZone{}, stand: standing{whole: now()},
		due: map[*dnssec.Generation][]dnssec.Signed{}, whole: map[*dnssec.Generation]bool{},
	}
}

// publish passes on what is signed now. It never blocks.
func (g *signatory) publish(s *snapshot.Snapshot) {
	g.snapshot.Store(s)
	g.rouse()
}

func (g *signatory) rouse() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// keyed records the keys of a zone.
func (g *signatory) keyed(origin string, o dnssec.HandedOut) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys[origin] = o
	g.rouse()
}

// zone returns what etcd has of a zone.
func (g *signatory) zone(origin string) *foundZone {
	z := g.found[origin]
	if z == nil {
		name, _ := rr.ParseName(origin)
		z = &foundZone{revisions: map[slot]int64{}, spoilt: map[slot]bool{}}
		z.Received = dnssec.NewReceived(name, func(int64, string, error) {})
		g.found[origin] = z
	}
	return z
}

func (g *signatory) watch() signatureWatch {
	return signatureWatch{
		put: func(s slot, value []byte, revision int64) {
			g.mu.Lock()
			defer g.mu.Unlock()
			z := g.zone(s.origin)
			if z.revisions[s] == revision {
				return
			}
			replaces := z.revisions[s] != 0
			z.revisions[s] = revision
			if s.chunk == "" {
				z.changed = z.changed || replaces
				z.paper = value
				return
			}
			before := z.Entries(s.epoch, s.chunk)
			if delete(z.spoilt, s); !z.Put(s.epoch, s.chunk, value) {
				z.spoilt[s] = true
			}
			if replaces { // a chunk that has grown, as room makes chunks grow, has lost nothing
				now := z.Entries(s.epoch, s.chunk)
				z.changed = z.changed || !slices.Equal(before, now[:min(len(before), len(now))])
			}
		},
		drop: func(s slot) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.forget(s)
		},
		all: func(there map[slot]bool) {
			g.mu.Lock()
			defer g.mu.Unlock()
			for _, z := range g.found {
				for s := range z.revisions {
					if !there[s] {
						g.forget(s)
					}
				}
			}
			g.read = true
		},
		told: g.rouse,
	}
}

func (g *signatory) forget(s slot) {
	z := g.zone(s.origin)
	delete(z.revisions, s)
	delete(z.spoilt, s)
	z.changed = true
	if s.chunk == "" {
		z.paper = nil
	} else {
		z.Drop(s.epoch, s.chunk)
	}
}

// run writes until the context ends.
func (g *signatory) run(ctx context.Context) {
	var follows sync.WaitGroup
	defer follows.Wait()
	follows.Go(func() { followSignatures(ctx, g.etcd, g.log, g.watch()) })
	tick := time.NewTicker(signatoryLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-g.wake: // by its own writes too: while much is signed each turn waits for a chunk's worth of it
			if wait := signatoryLook - time.Since(g.turned); wait > 0 && g.busy {
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
			}
		}
		g.turned = time.Now()
		if err := g.turn(ctx); ctx.Err() == nil {
			g.tell(g.etcd.Due(err, "reads and writes", etcd.Signatures))
		}
	}
}

// tell logs why signatures cannot be written, once for each reason.
func (g *signatory) tell(err error) {
	g.mu.Lock()
	failing := g.stand.failing
	if g.stand.failing = ""; err != nil {
		g.stand.failing = err.Error()
	}
	g.mu.Unlock()
	switch {
	case err == nil && failing != "":
		g.log.Info("signatures are written to etcd again")
	case err != nil && failing != err.Error():
		g.log.Error("signatures cannot be written to etcd: trying on, and servers without keys go on with those that "+
			"they have", "err", err)
	}
}

// turn writes what there is to write.
func (g *signatory) turn(ctx context.Context) (err error) {
	g.mu.Lock()
	read := g.read
	g.mu.Unlock()
	s := g.snapshot.Load()
	if s == nil || !read || !g.compare(ctx) {
		return nil
	}
	g.busy = false
	live, lacks := map[*dnssec.Generation]bool{}, map[string]time.Time{}
	s.Signed(func(name rr.Name, signer *dnssec.Signer) bool {
		origin := rr.TrimDot(name.String())
		e := g.handOut(ctx, origin)
		changed := g.repair(ctx, origin, signer, &e)
		now, next := signer.Generations()
		for _, of := range []*dnssec.Generation{now, next} {
			if of == nil {
				continue
			}
			live[of] = true
			if changed {
				delete(g.whole, of)
			}
			if e == nil {
				if e = g.useless(name, of.Epoch); e == nil {
					e = g.write(ctx, origin, name, of)
				}
			}
		}
		err = errors.Join(err, e)
		lacks[origin] = g.lacks(origin, now, next)
		return ctx.Err() == nil
	})
	maps.DeleteFunc(g.whole, func(of *dnssec.Generation, _ bool) bool { return !live[of] })
	maps.DeleteFunc(g.due, func(of *dnssec.Generation, _ []dnssec.Signed) bool { return !live[of] })
	g.stands(lacks, err)
	if now := g.now(); err == nil && now.Sub(g.cleaned).Abs() >= signatoryClean {
		g.cleaned = now
		err = g.clean(ctx, s)
	}
	return err
}

// handOut writes the public parts of a zone's keys, and how far their roll is, unless etcd has them. Another signer may
// have handed out different ones. Then the ones that etcd had last count; of key files, those that were made last.
func (g *signatory) handOut(ctx context.Context, origin string) error {
	g.mu.Lock()
	out, has := g.keys[origin]
	z := g.zone(origin)
	paper, revision := z.paper, z.revisions[slot{origin: origin}]
	g.mu.Unlock()
	if !has || z.agreed == out.Keys && z.agreedAt == revision {
		return nil
	}
	agree := func() error { z.agreed, z.agreedAt = out.Keys, revision; return nil }
	var before []byte
	if paper != nil {
		had, err := dnssec.ReadHandOut(out.Keys.Origin(), paper, out.Keys, g.now(), nil)
		switch {
		case err != nil: // nobody who has these keys wrote it
		case had.Same(&out):
			return agree()
		case out.Revision > 0 && had.Revision > out.Revision && had.Revision <= revision:
			return agree() // that signer has heard what etcd has yet to deliver here
		case out.Revision > 0: // its signer has heard less, or heard from an etcd before a restore
			if after := had.Made.Add(time.Second); out.Made.Before(after) {
				out.Made = after // the clock of that signer is ahead
			}
		case !out.Made.After(had.Made):
			g.log.Error("another signer has handed out other keys of a zone, or other times of them, that were made "+
				"later: copy its folder of keys here", "zone", origin, "made", had.Made)
			return agree()
		}
		if err == nil {
			before = paper
		}
	}
	paper, err := dnssec.HandOut(out, before)
	if err != nil {
		return err
	}
	return g.put(ctx, slot{origin: origin}, paper, revision)
}

// put writes a key if it is still as it was. A conflict is no error: the watch will deliver what is there.
func (g *signatory) put(ctx context.Context, s slot, value []byte, revision int64) error {
	c := g.etcd.Within(signatoryLimit)
	at, err := c.Begin().At(s.name(), revision).Put(s.name(), value, 0).Commit(ctx)
	if errors.Is(err, etcd.ErrConflict) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", g.etcd.Key(s.name()), err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	z := g.zone(s.origin)
	if z.revisions[s] < at {
		if z.revisions[s] = at; s.chunk == "" {
			z.paper = value
		} else {
			z.Put(s.epoch, s.chunk, value)
		}
	}
	if s.chunk != "" {
		g.stand.written++
	}
	return nil
}

// remove removes a key if it is still as it was.
func (g *signatory) remove(ctx context.Context, s slot, revision int64) error {
	_, err := g.etcd.Within(signatoryLimit).Begin().At(s.name(), revision).Delete(etcd.One(s.name())).Commit(ctx)
	if errors.Is(err, etcd.ErrConflict) {
		return nil
	}
	if err == nil {
		g.mu.Lock()
		g.stand.removed++
		g.mu.Unlock()
	}
	return err
}

// repair removes chunks that cannot be read, of one zone and of the days that are signed here. It reports whether
// anything was removed or replaced, so that everything must be compared again.
func (g *signatory) repair(ctx context.Context, origin string, signer *dnssec.Signer, err *error) (changed bool) {
	g.mu.Lock()
	z := g.zone(origin)
	changed, z.changed = z.changed, false
	spoilt := map[slot]int64{}
	for s := range z.spoilt {
		spoilt[s] = z.revisions[s]
	}
	g.mu.Unlock()
	now, next := signer.Generations()
	for s, revision := range spoilt {
		if s.epoch == now.Epoch.Number || next != nil && s.epoch == next.Epoch.Number {
			g.log.Warn("a chunk of signatures in etcd is damaged or none of the zone: it is removed",
				"key", g.etcd.Key(s.name()))
			*err = errors.Join(*err, g.remove(ctx, s, revision))
		}
	}
	return changed
}

// write writes the signatures of a generation that etcd does not have.
func (g *signatory) write(ctx context.Context, origin string, name rr.Name, of *dnssec.Generation) error {
	due, epoch := append(g.due[of], of.Fresh()...), of.Epoch.Number
	if !g.whole[of] {
		due, g.whole[of] = of.Noted(), true
	}
	g.mu.Lock()
	z := g.zone(origin)
	end := slot{origin, epoch, dnssec.WholeChunk}
	ended := z.revisions[end] != 0
	g.mu.Unlock()
	if len(due) == 0 {
		if !ended && of.IsWhole() {
			return g.put(ctx, end, dnssec.AppendChunk(nil, name, epoch, nil), 0)
		}
		return nil
	}
	g.due[of] = due
	var left []dnssec.Signed
	wrong := map[string]bool{}
	for _, one := range due {
		there, other := z.Has(epoch, one)
		if other {
			for _, chunk := range z.Forged(epoch, one) {
				wrong[chunk] = true
			}
		}
		if !there {
			left = append(left, one)
		}
	}
	for chunk := range wrong {
		s := slot{origin, epoch, chunk}
		g.log.Warn("a chunk in etcd has signatures that do not hold: it is removed", "key", g.etcd.Key(s.name()))
		g.mu.Lock()
		revision := z.revisions[s]
		g.mu.Unlock()
		if err := g.remove(ctx, s, revision); err != nil {
			return err
		}
	}
	g.due[of] = left
	for len(left) > 0 && ctx.Err() == nil {
		s, revision, before := g.room(z, origin, epoch)
		some := left[:min(len(left), dnssec.MostInChunk-len(before))]
		value := dnssec.AppendChunk(nil, name, epoch, slices.Concat(before, some))
		g.busy = true
		if err := g.put(ctx, s, value, revision); err != nil {
			return err
		}
		if there, _ := z.Has(epoch, some[0]); !there {
			break // another signer was faster: the watch will deliver what it has written
		}
		left = left[len(some):]
		g.due[of] = left
	}
	return nil
}

// room returns the chunk for the next signatures, and what it already has. It is the last chunk or a new one.
func (g *signatory) room(z *foundZone, origin string, epoch int64) (s slot, revision int64, has []dnssec.Signed) {
	g.mu.Lock()
	defer g.mu.Unlock()
	last := int64(0)
	for k := range z.revisions {
		if n, err := strconv.ParseInt(k.chunk, 10, 64); err == nil && k.epoch == epoch && n > last {
			last = n
		}
	}
	s = slot{origin, epoch, strconv.FormatInt(last, 10)}
	if has = z.Entries(epoch, s.chunk); last > 0 && len(has) < smallChunk && !z.spoilt[s] {
		return s, z.revisions[s], has
	}
	s.chunk = strconv.FormatInt(last+1, 10)
	return s, 0, nil
}

// keptBefore is how many epochs before the present one stay in etcd, for servers whose clocks are slow, or signers
// whose clocks are fast. unknownFor is how many stay for a zone that is not signed here: as long as its signatures are
// valid.
const (
	keptBefore = 1
	unknownFor = 14
)

// clean removes the signatures of days that are over by this process's clock and by those of the vantages, and those of
// days so far ahead that only a clock that was wrong can have led to them.
func (g *signatory) clean(ctx context.Context, s *snapshot.Snapshot) error {
	mine := map[string]bool{}
	s.Signed(func(name rr.Name, signer *dnssec.Signer) bool {
		mine[rr.TrimDot(name.String())] = len(g.due[signer.Now()]) == 0
		return true
	})
	type past struct {
		origin string
		epoch  int64
	}
	gone := map[past]bool{}
	g.mu.Lock()
	for origin, z := range g.found {
		name, err := rr.ParseName(origin)
		if err != nil {
			continue
		}
		stay, now := int64(unknownFor), g.now()
		first, last := dnssec.EpochAt(name, now).Number, int64(math.MaxInt64)
		if mine[origin] {
			stay = keptBefore
			if g.clock.apart.Vantages > 0 && !g.clock.wrong() {
				last = lastEpoch(name, now)
			}
		}
		if g.clock.wrong() {
			first = min(first, dnssec.EpochAt(name, now.Add(g.clock.apart.Ahead)).Number)
		}
		for k := range z.revisions {
			if k.chunk != "" && (k.epoch < first-stay || k.epoch > last) {
				gone[past{origin, k.epoch}] = true
			}
		}
	}
	g.mu.Unlock()
	for p := range gone {
		folder := etcd.Folder(epochFolder(p.origin, p.epoch))
		if _, err := g.etcd.Within(signatoryLimit).Begin().Delete(folder).Commit(ctx); err != nil {
			return err
		}
	}
	return nil
}
