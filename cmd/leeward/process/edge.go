package process

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/disk"
	"leeward/zones/dnssec"
	"leeward/zones/etcd"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
)

// edge belongs to a server that signs its answers but holds no keys. What it needs of the keys, and the signatures,
// come through etcd from the process that has the keys (signatory). With --state, both are kept on disk, so that a
// restart needs neither etcd nor that process.
type edge struct {
	log  *slog.Logger
	now  func() time.Time // by which signatures are chosen, see clock
	own  func() time.Time // this machine's
	back atomic.Int64     // by how much now is behind own, a time.Duration

	compared time.Time // when own was last compared with the vantages' clocks; belongs to run

	etcd   *etcd.Cluster
	loop   func() *control.Loop
	ahead  *ahead
	kept   *kept
	state  string // the folder of what is kept; "": nothing is
	folder string // in it, where handouts are kept
	gate   *gate

	mu     sync.Mutex
	secret []byte            // this server's own, by which it recognises its files; nil: it has none yet
	untold string            // why something cannot be kept, as it was logged last; "": all is kept
	again  time.Time         // when to try to keep it again
	lost   map[string][]byte // by origin: the newest handout, while it is not on disk
	zones  map[string]*edgeZone
	came   map[string]bool // origins of zones whose signatures have come since arrived last looked

	looking sync.Mutex
	rests   time.Time // until when arrived leaves alone what has come

	refusals sync.Mutex
	refused  map[slot]string // chunks that are not used, and why
	refusing int64           // how often a chunk was refused

	rolls edgeRolls
}

// edgeRolls is what a server without keys reports about rolls. It holds them up as any other server does: until it
// answers as they require, and resolvers have forgotten what they had from it before.
type edgeRolls struct {
	elapsed  func() time.Duration // elapsed time, unaffected by changes of the clock
	settings func(ctx context.Context) (map[rr.Name]*zones.Zone, error)
	does     func(origin rr.Name, k *dnssec.Keys, now time.Time) bool
	rest     func(z *zones.Zone) time.Duration

	witness dnssec.Witness // with edge.mu

	mu    sync.Mutex // nobody waits for the loop while holding it
	words []admin.Roll
}

// edgeZone is what is known of one zone.
type edgeZone struct {
	hand *dnssec.Hand
	keys *dnssec.Keys // nil: none have been handed out
	out  dnssec.HandedOut
	mark string // changes when more of the roll is known to be past; with keys
	bad  string // why the newest handout is not used
	told string // what the status says
}

const (
	// edgeDays is for how many days signatures stay valid, and so are kept on disk.
	edgeDays = 14
	edgeTick = time.Second
	// edgeKeeps is how often signatures are written to disk. It is short, because an edge cannot make them again.
	edgeKeeps = 2 * time.Second
	// lateAfter is how long after a day begins it counts as a fault that its signatures are missing. nearEnd is how
	// long before the signatures in use expire that becomes an error.
	lateAfter = time.Hour
	nearEnd   = 4 * 24 * time.Hour
)

// open makes the edge of a run.
func (e *edge) open(r *run) {
	e.log, e.now, e.etcd, e.ahead, e.kept = r.Log, e.clock, r.etcd.Cluster, r.epochs.ahead, r.kept
	e.loop = func() *control.Loop { return r.loop }
	e.zones, e.came = map[string]*edgeZone{}, map[string]bool{}
	e.refused, e.lost = map[slot]string{}, map[string][]byte{}
	if r.State != "" {
		e.state = filepath.Join(r.State, keptFolder)
		e.folder = filepath.Join(e.state, "keys")
		e.keep()
	}
	began := e.own()
	e.rolls = edgeRolls{
		elapsed:  func() time.Duration { return e.own().Sub(began) },
		settings: r.signedZones, does: r.signs, rest: r.rests(),
	}
	e.gate = newGate(r.Log, e.now)
	e.gate.deliver = func(b zones.Batch) { r.loop.Batch(b) }
	e.gate.say = func(origin, what string) { r.loop.Awaits(origin, "change", what) }
	e.gate.inService = func(f func(*catalog.Catalog)) error {
		return r.loop.Do(r.starting, func(i control.Inside) { f(i.Catalog()) })
	}
	turned := r.epochs.turned
	r.epochs.turned = func(origin string) {
		turned(origin)
		e.gate.turned(origin)
	}
}

// ownSecret returns the secret in a file. It makes a new one if there is no file, or if the secret has the wrong size.
// If the file cannot be read, it stays: a new secret would make everything kept under the old one useless.
func ownSecret(path string) ([]byte, error) {
	b, err := disk.Read(path, 1<<10)
	switch {
	case err == nil && len(b) == sha256.Size:
		return b, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the secret of the copy: %w; repair the file, or delete it", err)
	}
	b = make([]byte, sha256.Size)
	_, _ = rand.Read(b) // it never fails
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	return b, disk.Write(path, 0o600, func(f *os.File) error { _, err := f.Write(b); return err })
}

// reached returns the revision up to which everything is served. The snapshot's revision may be ahead of it, because
// the gate holds some changes back. e may be nil.
func (e *edge) reached(revision int64) int64 {
	if e != nil {
		if held := e.gate.heldFrom.Load(); held > 0 {
			return min(revision, held-1)
		}
	}
	return revision
}

// zone returns what is known of a zone, which may be nothing yet. It returns nil if origin is not a name.
func (e *edge) zone(origin string) *edgeZone {
	z := e.zones[origin]
	if z == nil {
		name, err := rr.ParseName(origin)
		if err != nil {
			return nil
		}
		z = &edgeZone{}
		z.hand = &dnssec.Hand{}
		z.hand.Vouch(e.secret)
		z.hand.Received = dnssec.NewReceived(name, func(epoch int64, chunk string, err error) {
			e.refuse(slot{origin, epoch, chunk}, err)
		})
		e.zones[origin] = z
	}
	return z
}

// refuse notes that a chunk is not used.
func (e *edge) refuse(s slot, err error) {
	e.refusals.Lock()
	defer e.refusals.Unlock()
	if e.refused[s] == err.Error() {
		return
	}
	e.refused[s] = err.Error()
	e.refusing++
	e.log.Warn("signatures are not used", "zone", s.origin, "key", e.etcd.Key(s.name()), "why", err)
}

// start hands over what was in use before the restart.
func (e *edge) start() {
	if e.secret == nil {
		return
	}
	files, _ := os.ReadDir(e.folder) // without a folder, nothing was kept
	for _, f := range files {
		text, err := disk.Read(filepath.Join(e.folder, f.Name()), 1<<20)
		line, paper, found := bytes.Cut(text, []byte("\n"))
		if err != nil || !found {
			e.log.Warn("keys that were handed out are not known until they come again", "file", f.Name(), "err", err)
			continue
		}
		e.keys(string(line), paper, true)
	}
}

// keys takes in a handout. again says that it was in use before a restart.
func (e *edge) keys(origin string, paper []byte, again bool) {
	z := e.zone(origin)
	if z == nil {
		return
	}
	name, _ := rr.ParseName(origin)
	out, err := dnssec.ReadHandOut(name, paper, z.keys, e.now(), z.hand)
	switch {
	case err != nil:
		if z.bad != err.Error() {
			z.bad = err.Error()
			e.log.Error("the handed-out keys of a zone are not used", "zone", origin, "in use", z.keys != nil,
				"err", err)
		}
		return
	case z.keys != nil && out.Made.Before(z.out.Made), z.keys != nil && out.Same(&z.out):
		z.bad = ""
		return
	}
	same := z.keys != nil && out.Keys.Equal(z.keys)
	if z.bad = ""; same {
		out.Keys = z.out.Keys
	}
	z.out = out
	if again {
		z.hand.Kept = e.kept.find(out.Keys, dnssec.EpochAt(name, e.now()))
	} else {
		if e.lost[origin] = paper; e.untold == "" {
			e.keep()
		}
	}
	if !again && !same {
		e.log.Info("a zone's signatures come from others, made with these keys", "zone", origin, "keys",
			len(out.Keys.All()), "made", out.Made)
	}
	e.use(name, z, same)
}

// use has the zone answered with the keys that were handed out last. same says that they are those already in use; then
// the only news may be that more of their roll is known to be past.
func (e *edge) use(name rr.Name, z *edgeZone, same bool) {
	keys, mark := z.out.Keys, ""
	if z.out.Roll != nil {
		keys = e.rolls.witness.Passed(keys, z.out.Roll)
		mark = z.out.Roll.Passed.String() + e.rolls.witness.Mark(name)
	}
	if same && mark == z.mark {
		return
	}
	z.keys, z.mark = keys, mark
	origin := rr.TrimDot(name.String())
	e.loop().Keyed(origin, keys, nil)
	e.gate.keyed(origin, keys)
}

// roll looks at the rolls under way, and works out what this server reports about them.
func (e *edge) roll(ctx context.Context) {
	e.mu.Lock()
	rolls := false
	for _, z := range e.zones {
		rolls = rolls || z.keys != nil && !z.out.Roll.Over()
	}
	e.mu.Unlock()
	var words []admin.Roll
	if rolls {
		all, err := e.rolls.settings(ctx)
		if err != nil {
			return // the server stops, or is busy
		}
		words = e.words(all)
	}
	e.rolls.mu.Lock()
	defer e.rolls.mu.Unlock()
	e.rolls.words = words
}

func (e *edge) words(all map[rr.Name]*zones.Zone) (words []admin.Roll) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	for _, origin := range slices.Sorted(maps.Keys(e.zones)) {
		z := e.zones[origin]
		name, err := rr.ParseName(origin)
		settings := all[name]
		if err != nil || settings == nil || z.keys == nil || z.out.Roll.Over() {
			e.rolls.witness.Forget(name)
			continue
		}
		word := e.rolls.witness.Word(name, z.out.Roll, e.rolls.does(name, z.keys, now), now, e.rolls.elapsed(),
			e.rolls.rest(settings))
		if word != nil {
			words = append(words, admin.Roll{
				Zone: origin, Step: word.Step, Since: word.Since, Due: word.Due, Not: word.Not,
			})
		}
		e.use(name, z, true)
	}
	return words
}

// says returns what this server reports about rolls.
func (e *edge) says() []admin.Roll {
	e.rolls.mu.Lock()
	defer e.rolls.mu.Unlock()
	return e.rolls.words
}

// keepAgain is how often an edge tries to keep what a disk has not taken.
const keepAgain = 5 * time.Second

// keep writes to disk what is to be kept and is not there yet. Where the disk takes it not, as it is full, that is
// logged, and run calls again.
func (e *edge) keep() {
	if e.state == "" {
		return
	}
	err := e.keepAll()
	e.again = time.Now().Add(keepAgain)
	switch {
	case err == nil && e.untold != "":
		e.untold = ""
		e.log.Info("handed-out keys are kept on disk again")
	case err != nil && e.untold != err.Error():
		e.untold = err.Error()
		e.log.Error("handed-out keys cannot be kept on disk: a restart needs etcd", "err", err)
	}
}

func (e *edge) keepAll() error {
	if e.secret == nil {
		secret, err := ownSecret(filepath.Join(e.state, "secret"))
		if err != nil {
			return err
		}
		e.secret = secret
		for _, z := range e.zones {
			z.hand.Vouch(secret)
		}
	}
	for origin, paper := range e.lost {
		err := os.MkdirAll(e.folder, 0o750)
		if err == nil {
			sum := sha256.Sum256([]byte(origin))
			path := filepath.Join(e.folder, fmt.Sprintf("%x", sum[:16]))
			err = disk.Write(path, 0o640, func(f *os.File) error {
				_, err := f.Write(append([]byte(origin+"\n"), paper...))
				return err
			})
		}
		if err == nil {
			delete(e.lost, origin)
		} else {
			return err
		}
	}
	return nil
}

// run follows etcd until the context ends.
func (e *edge) run(ctx context.Context) {
	var follows sync.WaitGroup
	defer follows.Wait()
	follows.Go(func() { followSignatures(ctx, e.etcd, e.log, e.watch()) })
	for range ticks(ctx, edgeTick) {
		e.compare(ctx)
		e.arrived()
		e.gate.tick()
		e.roll(ctx)
		e.late()
		e.mu.Lock()
		if e.untold != "" && time.Now().After(e.again) {
			e.keep()
		}
		e.mu.Unlock()
	}
}

func (e *edge) watch() signatureWatch {
	there := map[slot]bool{} // slots that were put and not dropped
	drop := func(s slot) {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(there, s)
		e.refusals.Lock()
		delete(e.refused, s)
		e.refusals.Unlock()
		if z := e.zones[s.origin]; z != nil && s.chunk != "" {
			z.hand.Received.Drop(s.epoch, s.chunk)
		}
	}
	return signatureWatch{
		put: func(s slot, value []byte, _ int64) {
			e.mu.Lock()
			defer e.mu.Unlock()
			there[s] = true
			if s.chunk == "" {
				e.keys(s.origin, value, false)
				return
			}
			e.refusals.Lock()
			delete(e.refused, s)
			e.refusals.Unlock()
			if z := e.zone(s.origin); z != nil {
				e.came[s.origin] = z.hand.Received.Put(s.epoch, s.chunk, value) || e.came[s.origin]
			}
		},
		drop: drop,
		all: func(now map[slot]bool) {
			for s := range maps.Clone(there) {
				if !now[s] {
					drop(s)
				}
			}
		},
		told: e.arrived,
	}
}

// arrived has the loop look at zones for which signatures have come. Each look covers everything that is lacking. So
// while much comes, as when a large zone is signed for the first time, it spends at most a fifth of its time on it.
func (e *edge) arrived() {
	e.looking.Lock()
	defer e.looking.Unlock()
	began := time.Now()
	if began.Before(e.rests) {
		return // run will come back to it
	}
	e.mu.Lock()
	origins := slices.Sorted(maps.Keys(e.came))
	clear(e.came)
	e.mu.Unlock()
	if len(origins) == 0 {
		return
	}
	for _, origin := range origins {
		e.loop().Arrived(origin)
	}
	e.gate.arrived(origins)
	e.ahead.again()
	now := time.Now()
	e.rests = now.Add(4 * now.Sub(began))
}

// late reports zones whose signatures are of an earlier day because no newer ones have come, and chunks that are not
// used.
func (e *edge) late() {
	s := e.inUse()
	if s == nil {
		return
	}
	what := behind(s, e.now())
	e.refusals.Lock()
	for s, why := range e.refused {
		if what[s.origin] == "" {
			what[s.origin] = fmt.Sprintf("signatures in etcd are not used, such as %s: %s", e.etcd.Key(s.name()), why)
		}
	}
	e.refusals.Unlock()
	back := time.Duration(e.back.Load())
	e.mu.Lock()
	defer e.mu.Unlock()
	for origin, z := range e.zones {
		text := what[origin]
		if text == "" && back > 0 {
			text = fmt.Sprintf("this server's clock is %s ahead of most vantages', so it chooses signatures by "+
				"theirs; set the clock right", admin.Age(back.Seconds()))
		}
		if z.bad != "" {
			text = "the keys that are handed out in etcd are not used: " + z.bad + "; where the signer's are new, as " +
				"its own were lost, delete signatures/keys below --state and restart this server"
		}
		if text == z.told {
			continue
		}
		if z.told = text; text != "" {
			e.log.Error("signatures of a zone", "zone", origin, "what", text)
		}
		e.loop().Awaits(origin, "signatures", text)
	}
}

// behind returns, by origin, what to report about zones whose signatures are of an earlier day.
func behind(s *snapshot.Snapshot, now time.Time) map[string]string {
	what := map[string]string{}
	s.Signed(func(name rr.Name, signer *dnssec.Signer) bool {
		in, today := signer.Now().Epoch, dnssec.EpochAt(name, now)
		if in.Number > today.Number {
			what[rr.TrimDot(name.String())] = fmt.Sprintf("the signatures in use are of the day from %s, and this "+
				"server's clock says %s: there are none of an earlier day; set the clock right",
				in.Start().UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		}
		if in.Number < today.Number && now.Sub(today.Start()) > lateAfter || in.Number < today.Number-1 {
			from, until := in.Start().UTC().Format(time.RFC3339), in.Expires().UTC().Format(time.RFC3339)
			text := fmt.Sprintf("no newer signatures have come than those of the day from %s, which hold until %s; "+
				"look after `leeward sign`", from, until)
			if in.Expires().Sub(now) < nearEnd {
				text += ": they are about to expire, and then validating resolvers get no answer"
			}
			what[rr.TrimDot(name.String())] = text
		}
		return true
	})
	return what
}

// inUse returns the snapshot that answers come from, or nil if there is none yet.
func (e *edge) inUse() *snapshot.Snapshot {
	if state := e.loop().State(); state != nil {
		return state.Snapshot
	}
	return nil
}
