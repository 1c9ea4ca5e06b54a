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
type keyring struct {
	folder string // "": there is none
	makes  bool
	log    *slog.Logger
	tell   func(origin string, k *dnssec.Key, err error)

	wake   chan struct{} // has a token when there is something to look for
	mu     sync.Mutex
	wanted []string // origins of the zones that are to be signed

	known map[string]bool   // origins whose key the loop has
	told  map[string]string // what is wrong with others
}

// keysLook is how often a key that is not there, or cannot be read, is looked for again.
const keysLook = 10 * time.Second

func newKeyring(s *Settings, tell func(origin string, k *dnssec.Key, err error)) *keyring {
	k := &keyring{
		folder: s.Keys, makes: s.Etcd == nil, log: s.Log, tell: tell, wake: make(chan struct{}, 1),
		known: map[string]bool{}, told: map[string]string{},
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
	origins, err := dnssec.Origins(k.folder)
	if err != nil {
		k.log.Error("the keys of signed zones cannot be read", "folder", k.folder, "err", err)
	}
	for _, origin := range origins {
		k.find(rr.TrimDot(origin.String()), false)
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
		missing := false
		for _, origin := range wanted {
			missing = !k.find(origin, k.makes) || missing
		}
		if again.Stop(); missing {
			again.Reset(keysLook)
		}
	}
}

// find hands over the key of a zone, or what is wrong with it, and reports whether the loop has it.
func (k *keyring) find(origin string, makes bool) bool {
	if k.known[origin] {
		return true
	}
	key, err := k.read(origin, makes)
	if err == nil {
		k.known[origin] = true
		delete(k.told, origin)
		ds, _ := key.DS(dnssec.DigestSHA256)
		text, _ := rr.FormatData(rr.TypeDS, ds)
		k.log.Info("signing a zone", "zone", origin, "key", key.FileName(), "DS", text)
		k.tell(origin, key, nil)
		return true
	}
	if k.told[origin] != err.Error() {
		k.told[origin] = err.Error()
		k.log.Error("a zone cannot be signed", "zone", origin, "err", err)
		k.tell(origin, nil, err)
	}
	return false
}

func (k *keyring) read(origin string, makes bool) (*dnssec.Key, error) {
	name, err := rr.ParseName(origin)
	if err != nil {
		return nil, err
	}
	if k.folder == "" {
		flags := "--keys or --state"
		if !k.makes {
			flags = "--keys"
		}
		return nil, fmt.Errorf("%w, as this server has no folder of keys; give %s", dnssec.ErrNoKey, flags)
	}
	key, err := dnssec.ReadFolder(k.folder, name)
	if err == nil || !errors.Is(err, dnssec.ErrNoKey) {
		return key, err
	}
	if !makes {
		return nil, fmt.Errorf("%w; put the same key there on every server that serves the zone, as "+
			"`dnssec-keygen -f KSK -a ECDSAP256SHA256` makes it", err)
	}
	if key, err = dnssec.Generate(name, dnssec.FlagsCSK, dnssec.ECDSAP256); err == nil {
		err = key.Write(k.folder)
	}
	if err != nil {
		return nil, fmt.Errorf("%w, and none can be made: %w", dnssec.ErrNoKey, err)
	}
	k.log.Warn("a key was made for a zone: keep a copy of its files, and put them on every server of the zone",
		"zone", origin, "folder", k.folder, "key", key.FileName())
	return key, nil
}
