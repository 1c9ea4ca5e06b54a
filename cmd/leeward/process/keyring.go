package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// keyring finds the keys of zones that are to be signed, outside the loop. They are in a folder of key files, or among
// the sealed keys that come from etcd. If the resources are files, keyring makes the key of a zone that has none. If
// they are in etcd, it does not: each of the servers of the zone would make a key of its own.
//
// It checks the folder again and again, because keys are added and their times change. What etcd says about keys is
// taken in as it comes (take).
type keyring struct {
	folder string      // "": there is none
	sealed *sealedKeys // nil: keys are in the folder
	makes  bool
	log    *slog.Logger
	now    func() time.Time
	tell   func(origin string, k *dnssec.Keys, err error)
	recall func(origin string, k *dnssec.Keys) // hands over what an earlier process signed; nil: nothing is recalled
	// found gets keys before they are handed over, in the form that others get. nil: nobody needs them
	found func(origin string, o dnssec.HandedOut)

	// settle waits until what the loop was told is in service. nil: nobody waits for that
	settle func(context.Context)
	// settled is closed once the keys of the first zones that are to be signed are in service, as far as there are any
	// and one could be made.
	settled chan struct{}

	wake   chan struct{} // holds one token while there is something to look for
	mu     sync.Mutex
	wanted map[string]dnssec.Algorithm // by origin of the zones to be signed: the algorithm of a first key; 0: any

	finding sync.Mutex        // held while keys are looked for
	known   map[string]known  // by origin: the keys that the loop has
	closed  error             // why the folder could not be listed when it was last tried; nil: it could
	told    map[string]string // by origin: what is wrong, as last told to the loop
}

// keyPlace is the place where keys are, as it was at one moment.
type keyPlace interface {
	Origins() []rr.Name
	Mark(origin rr.Name) string                           // changes when the zone's keys do
	Told(origin rr.Name, k *dnssec.Keys) dnssec.HandedOut // the zone's keys, in the form that others are told
	Read(origin rr.Name) (*dnssec.Keys, error)
	Doubt(origin rr.Name) error // what is wrong with the zone's keys although they can be read; nil: nothing
}

// known are the keys that were read for one zone.
type known struct {
	keys *dnssec.Keys
	mark string // of the place at the time of reading
	// sealed is the mark of only the values that the keys were opened from.
	sealed string
}

// keysLook is how often to look again for a key that is missing or cannot be read. keysAgain is how often to check keys
// that are there.
const (
	keysLook  = 10 * time.Second
	keysAgain = time.Minute
)

func newKeyring(s *Settings, tell func(origin string, k *dnssec.Keys, err error)) *keyring {
	k := &keyring{
		folder: s.Keys, makes: s.Etcd == nil, log: s.Log, now: s.clock(), tell: tell, wake: make(chan struct{}, 1),
		settled: make(chan struct{}),
		known:   map[string]known{}, told: map[string]string{},
	}
	if k.folder == "" && k.makes && s.State != "" {
		k.folder = filepath.Join(s.State, "keys")
	}
	if s.Etcd != nil && k.folder == "" {
		k.sealed = newSealedKeys(s)
	}
	return k
}

// want sets which zones are to be signed. It does not wait.
func (k *keyring) want(all []*zones.Zone) {
	wanted := make(map[string]dnssec.Algorithm, len(all))
	for _, z := range all {
		wanted[z.Origin] = dnssec.Algorithm(z.DNSSEC.Algorithm)
	}
	k.mu.Lock()
	k.wanted = wanted
	k.mu.Unlock()
	k.look()
}

func (k *keyring) look() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// start hands over all keys that there are, before anything is served. So a zone that was signed before the restart is
// signed from the first answer on. If etcd may have a zone's keys, the zone is not served until etcd has told.
func (k *keyring) start() {
	k.finding.Lock()
	defer k.finding.Unlock()
	if k.sealed != nil {
		k.sealed.load()
		k.tell("", nil, errors.New("etcd has not delivered the zone's keys yet, and --state has no copy of them"))
	}
	f := k.list()
	if f == nil {
		return
	}
	for _, origin := range f.Origins() {
		k.find(f, rr.TrimDot(origin.String()), false)
	}
}

// list returns where keys are. It returns nil if there is no such place, or it cannot be listed. Then no zone is served
// unsigned, as nobody knows which zones have keys.
func (k *keyring) list() keyPlace {
	if k.sealed != nil {
		return k.sealed.now()
	}
	if k.folder == "" {
		return nil
	}
	l, err := dnssec.List(k.folder)
	had := k.closed
	if k.closed = err; err == nil {
		return l
	}
	if had == nil || had.Error() != err.Error() {
		k.log.Error("the keys of signed zones cannot be read", "folder", k.folder, "err", err)
		k.tell("", nil, k.unread())
	}
	return nil
}

// unread says that the folder cannot be listed.
func (k *keyring) unread() error {
	return fmt.Errorf("the folder of keys cannot be read: %w; correct that, or name another one by --keys", k.closed)
}

// take takes in what a batch says about keys, before the loop gets the batch, so that a zone and its keys arrive at the
// same time. It reports whether the batch says anything about keys.
func (k *keyring) take(b *zones.Batch) bool {
	if k.sealed == nil || !b.Full && b.Sealed == nil {
		b.Sealed = nil
		return false
	}
	k.finding.Lock()
	defer k.finding.Unlock()
	origins := k.sealed.take(b)
	b.Sealed = nil
	f := k.sealed.now()
	for origin := range origins {
		name := rr.TrimDot(origin.String())
		if len(f.Values(origin)) == 0 && !k.wants(name) { // it was signed once, and its keys have been cleared away
			delete(k.known, name)
			delete(k.told, name)
			f.Use(origin)
			continue
		}
		k.find(f, name, false)
	}
	if b.Full {
		k.tell("", nil, nil)
	}
	k.look() // it also keeps them on disk, and reports zones without keys
	return true
}

// wants reports whether a zone is to be signed.
func (k *keyring) wants(origin string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, is := k.wanted[origin]
	return is
}

// run looks for keys until the context ends.
func (k *keyring) run(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for settled := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-again.C:
		}
		known := k.asked() // those that are asked for meanwhile have a wake of their own
		pause := keysAgain
		if !k.once() {
			pause = keysLook
		}
		if known && !settled {
			settled = true
			if k.settle != nil {
				k.settle(ctx)
			}
			close(k.settled)
		}
		again.Reset(pause)
	}
}

// wantsAny reports whether any zone is to be signed.
func (k *keyring) wantsAny() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.wanted) > 0
}

// asked reports whether it is known which zones are to be signed.
func (k *keyring) asked() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wanted != nil
}

// once looks for the keys of all zones that are to be signed. It reports whether all is well.
func (k *keyring) once() bool {
	k.mu.Lock()
	wanted := k.wanted
	k.mu.Unlock()
	k.finding.Lock()
	defer k.finding.Unlock()
	var f keyPlace
	closed := k.closed != nil
	if len(wanted) > 0 {
		f = k.list()
	}
	right := true
	for _, origin := range slices.Sorted(maps.Keys(wanted)) {
		right = k.find(f, origin, k.makes) && right
	}
	if closed && k.closed == nil { // all zones have been told of
		k.tell("", nil, nil)
	}
	if k.sealed != nil {
		right = k.sealed.keep() && right
	}
	return right
}

// find hands over the keys of a zone if they are new, or what is wrong with them. It reports whether all is well.
func (k *keyring) find(f keyPlace, origin string, makes bool) bool {
	name, err := rr.ParseName(origin)
	if err != nil {
		return true // no zone has such a name
	}
	has, mark := k.known[origin], ""
	if f != nil {
		mark = f.Mark(name)
	}
	if has.keys != nil && f != nil && has.mark == mark {
		if k.told[origin] != "" { // all is again as it was when the keys in use were read
			delete(k.told, origin)
			k.tell(origin, has.keys, f.Doubt(name))
		}
		return true
	}
	keys, err := k.read(f, name, makes)
	if err == nil {
		err = k.lacks(has.keys, keys)
	}
	if err == nil {
		k.known[origin] = known{keys: keys, mark: mark}
		if o, is := f.(*opening); is {
			k.known[origin] = known{keys, mark, o.Sealed.Mark(name)}
		}
		delete(k.told, origin)
		if has.keys == nil || !k.alike(has.keys, keys) {
			k.say(origin, keys)
		}
		if k.found != nil {
			k.found(origin, f.Told(name, keys))
		}
		if has.keys == nil && k.recall != nil {
			k.recall(origin, keys)
		}
		if o, is := f.(*opening); is {
			o.Use(name)
		}
		doubt := f.Doubt(name)
		if _, is := f.(*dnssec.Folder); is && doubt != nil {
			k.log.Warn("the keys of a zone", "zone", origin, "err", doubt)
		}
		k.tell(origin, keys, doubt)
		return true
	}
	if k.told[origin] != err.Error() {
		k.told[origin] = err.Error()
		k.log.Error("the keys of a zone cannot be used", "zone", origin, "in use", has.keys != nil, "err", err)
		k.tell(origin, nil, err)
	}
	return false
}

// lacks returns an error if the new keys lack one whose DNSKEY is in the zone: a resolver may have only signatures by
// it.
func (k *keyring) lacks(had, have *dnssec.Keys) error {
	if had == nil {
		return nil
	}
	now := k.now()
	for _, key := range had.All() {
		if key.Times.Published(now) && !have.Has(key.Key) {
			if k.sealed != nil {
				return fmt.Errorf("key %s is gone from etcd, and its DNSKEY is in the zone: import it again from a "+
					"copy (`leeward key import`); `leeward key retire` retires a key", key.Place())
			}
			return fmt.Errorf("the files of key %s are gone, and its DNSKEY is in the zone: put them back, or retire "+
				"it first (`leeward key retire`)", key.FileName())
		}
	}
	return nil
}

// alike reports whether the DS at the parent may be the same for both.
func (k *keyring) alike(a, b *dnssec.Keys) bool {
	now := k.now()
	return slices.EqualFunc(a.At(now).Entry, b.At(now).Entry, func(x, y *dnssec.Key) bool {
		return x.Place() == y.Place()
	})
}

// say logs which keys a zone is signed with.
func (k *keyring) say(origin string, keys *dnssec.Keys) {
	d := keys.At(k.now())
	for _, key := range d.Entry {
		ds, _ := key.DS(dnssec.DigestSHA256)
		text, _ := rr.FormatData(rr.TypeDS, ds)
		k.log.Info("signing a zone", "zone", origin, "key", key.FileName(), "DS", text)
	}
}

func (k *keyring) read(f keyPlace, origin rr.Name, makes bool) (*dnssec.Keys, error) {
	if k.sealed != nil {
		return f.Read(origin)
	}
	if k.folder == "" {
		return nil, fmt.Errorf("%w, as this server has no folder of keys; give --keys or --state", dnssec.ErrNoKey)
	}
	if f == nil {
		return nil, k.unread()
	}
	keys, err := f.Read(origin)
	if err == nil || !errors.Is(err, dnssec.ErrNoKey) {
		return keys, err
	}
	if !makes {
		return nil, fmt.Errorf("%w; put the same key there on every server that serves the zone, as "+
			"`leeward key generate %s --keys DIR` makes it", err, rr.TrimDot(origin.String()))
	}
	k.mu.Lock()
	a := cmp.Or(k.wanted[rr.TrimDot(origin.String())], dnssec.ECDSAP256)
	k.mu.Unlock()
	made, err := dnssec.Generate(origin, dnssec.FlagsCSK, a)
	key := dnssec.TimedKey{Key: made, Times: dnssec.Times{Created: k.now()}}
	if err == nil {
		err = key.Write(k.folder)
	}
	if err != nil {
		return nil, fmt.Errorf("%w, and none can be made: %w", dnssec.ErrNoKey, err)
	}
	k.log.Warn("a key was made for a zone: keep a copy of its files, and put them on every server of the zone",
		"zone", origin.String(), "folder", k.folder, "key", key.FileName())
	return dnssec.NewKeys(origin, key)
}
