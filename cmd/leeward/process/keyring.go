package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// keyring finds the keys of the zones that are to be signed, aside from the loop, in a folder of key files. Where the
// resources are files it makes the key of a zone that has none. Where they are in etcd it does not: other servers serve
// the same zone, and would make keys of their own.
//
// It looks at the folder again and again: keys come, and their times change.
type keyring struct {
	folder string // "": there is none
	makes  bool
	log    *slog.Logger
	now    func() time.Time
	tell   func(origin string, k *dnssec.Keys, err error)
	recall func(origin string, k *dnssec.Keys) // hands over what an earlier process has signed; nil: nothing

	wake   chan struct{} // has a token when there is something to look for
	mu     sync.Mutex
	wanted []string // origins of the zones that are to be signed

	known map[string]known  // by origin: the keys that the loop has
	told  map[string]string // by origin: what is wrong, and the loop knows
}

// known are keys that were read.
type known struct {
	keys *dnssec.Keys
	mark string // of their files
}

// keysLook is how often a key that is not there, or cannot be read, is looked for again; keysAgain, how often those are
// looked at that are there.
const (
	keysLook  = 10 * time.Second
	keysAgain = time.Minute
)

func newKeyring(s *Settings, tell func(origin string, k *dnssec.Keys, err error)) *keyring {
	k := &keyring{
		folder: s.Keys, makes: s.Etcd == nil, log: s.Log, now: time.Now, tell: tell, wake: make(chan struct{}, 1),
		known: map[string]known{}, told: map[string]string{},
	}
	if k.folder == "" && k.makes && s.State != "" {
		k.folder = filepath.Join(s.State, "keys")
	}
	return k
}

// want notes which zones are to be signed. It does not wait.
func (k *keyring) want(origins []string) {
	k.mu.Lock()
	k.wanted = origins
	k.mu.Unlock()
	k.look()
}

func (k *keyring) look() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// start hands over all keys in the folder, before anything is served: a zone that was signed before is signed from the
// first answer on.
func (k *keyring) start() {
	if k.folder == "" {
		return
	}
	f, err := dnssec.List(k.folder)
	if err != nil {
		k.log.Error("the keys of signed zones cannot be read", "folder", k.folder, "err", err)
		return
	}
	for _, origin := range f.Origins() {
		k.find(f, rr.TrimDot(origin.String()), false)
	}
}

// run looks for keys until the context ends.
func (k *keyring) run(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-again.C:
		}
		k.mu.Lock()
		wanted := k.wanted
		k.mu.Unlock()
		var f *dnssec.Folder
		if k.folder != "" && len(wanted) > 0 {
			var err error
			if f, err = dnssec.List(k.folder); err != nil {
				k.log.Error("the keys of signed zones cannot be read", "folder", k.folder, "err", err)
			}
		}
		pause := keysAgain
		for _, origin := range wanted {
			if !k.find(f, origin, k.makes) {
				pause = keysLook
			}
		}
		again.Reset(pause)
	}
}

// find hands over the keys of a zone, if they are new, or what is wrong with them. It reports whether nothing is.
func (k *keyring) find(f *dnssec.Folder, origin string, makes bool) bool {
	name, err := rr.ParseName(origin)
	if err != nil {
		return true // no zone has such a name
	}
	has, mark := k.known[origin], ""
	if f != nil {
		mark = f.Mark(name)
	}
	if has.keys != nil && has.mark == mark {
		k.right(origin, has.keys)
		return true
	}
	keys, err := k.read(f, name, makes)
	if err == nil {
		err = k.lacks(has.keys, keys)
	}
	if err == nil {
		k.known[origin] = known{keys, mark}
		delete(k.told, origin)
		k.say(origin, keys)
		if has.keys == nil && k.recall != nil {
			k.recall(origin, keys)
		}
		k.tell(origin, keys, nil)
		return true
	}
	if k.told[origin] != err.Error() {
		k.told[origin] = err.Error()
		k.log.Error("the keys of a zone cannot be used", "zone", origin, "in use", has.keys != nil, "err", err)
		k.tell(origin, nil, err)
	}
	return false
}

// right takes back what was wrong with a zone's files, which are as they were when the keys in use were read.
func (k *keyring) right(origin string, keys *dnssec.Keys) {
	if k.told[origin] != "" {
		delete(k.told, origin)
		k.tell(origin, keys, nil)
	}
}

// lacks refuses keys that lack one whose DNSKEY is in the zone: a resolver may have nothing but its signatures.
func (k *keyring) lacks(had, have *dnssec.Keys) error {
	if had == nil {
		return nil
	}
	now := k.now()
	for _, key := range had.All() {
		if key.Times.Published(now) && !have.Has(key.Key) {
			return fmt.Errorf("the files of key %s are gone, and its DNSKEY is in the zone: put them back, or retire "+
				"it first (`leeward key retire`)", key.FileName())
		}
	}
	return nil
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

func (k *keyring) read(f *dnssec.Folder, origin rr.Name, makes bool) (*dnssec.Keys, error) {
	if k.folder == "" {
		flags := "--keys or --state"
		if !k.makes {
			flags = "--keys"
		}
		return nil, fmt.Errorf("%w, as this server has no folder of keys; give %s", dnssec.ErrNoKey, flags)
	}
	if f == nil {
		return nil, fmt.Errorf("%s cannot be listed", k.folder)
	}
	keys, err := f.Read(origin)
	if err == nil || !errors.Is(err, dnssec.ErrNoKey) {
		return keys, err
	}
	if !makes {
		return nil, fmt.Errorf("%w; put the same key there on every server that serves the zone, as "+
			"`leeward key generate %s --keys DIR` makes it", err, rr.TrimDot(origin.String()))
	}
	made, err := dnssec.Generate(origin, dnssec.FlagsCSK, dnssec.ECDSAP256)
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
