package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"leeward/zones"
	"leeward/zones/disk"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// sealedKeys are the keys of zones that come from etcd, with the resources, and the secrets that open them. Those in
// use are kept under --state, still sealed: so they survive a restart without etcd.
type sealedKeys struct {
	file string // file of the secrets; "": there are none
	path string // where keys in use are kept; "": nowhere
	log  *slog.Logger

	mu    sync.Mutex
	all   *dnssec.Sealed
	heard bool // etcd has delivered all of them
	// changed is the revision at which etcd last delivered a change of a zone's keys.
	changed map[rr.Name]int64

	// The rest belongs to whoever holds keyring.finding.
	clock   func() time.Time
	secrets *dnssec.Secrets
	open    string // what is wrong with the mode of the file
	wrong   error  // what is wrong with the file
	good    map[rr.Name]map[string][]byte
	witness dnssec.Witness     // of rolls
	waits   map[rr.Name]string // who holds up the roll of each zone
	unkept  bool               // good is not on disk yet
	trouble string             // why good could not be written, as last logged
}

func newSealedKeys(s *Settings) *sealedKeys {
	k := &sealedKeys{
		file: s.KeySecrets, log: s.Log, all: dnssec.NewSealed(), good: map[rr.Name]map[string][]byte{},
		waits: map[rr.Name]string{}, changed: map[rr.Name]int64{}, clock: s.clock(),
	}
	if s.State != "" {
		k.path = filepath.Join(s.State, "keys.sealed")
	}
	return k
}

// take takes in what etcd says about keys, and returns the zones that it may concern.
func (s *sealedKeys) take(b *zones.Batch) (origins map[rr.Name]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	origins = map[rr.Name]bool{}
	if b.Full {
		for _, origin := range s.all.Origins() {
			origins[origin] = true
		}
		s.all, s.heard = dnssec.NewSealed(), true
	}
	for place, value := range b.Sealed {
		if origin, ok := s.all.Put(place, value); ok {
			origins[origin] = true
		} else if value != nil {
			s.log.Error("etcd has a key below keys/ that is none of a zone's; delete it", "key", place)
		}
	}
	for origin := range origins {
		if s.changed[origin] = b.Revision; len(s.all.Values(origin)) == 0 {
			delete(s.changed, origin)
		}
	}
	return origins
}

// readSecrets reads the file of secrets. If the file is bad, the secrets that were read before stay in use.
func (s *sealedKeys) readSecrets() {
	if s.file == "" {
		return
	}
	had := s.wrong
	secrets, open, err := KeySecretFile(s.file)
	if s.wrong = err; err != nil {
		if had == nil || had.Error() != err.Error() {
			s.log.Error("the secrets of keys cannot be read: going on with the keys that are in use", "err", err)
		}
		return
	}
	if open != "" && open != s.open {
		s.log.Warn(open)
	}
	if had != nil {
		s.log.Info("the secrets of keys are read again", "file", s.file)
	}
	s.secrets, s.open = secrets, open
}

// now returns the keys as they are now.
func (s *sealedKeys) now() *opening {
	s.readSecrets()
	s.mu.Lock()
	defer s.mu.Unlock()
	return &opening{s.all.Clone(), s, s.heard, maps.Clone(s.changed)}
}

// of returns the keys of one zone as they are now. The secrets that were read last open them.
func (s *sealedKeys) of(origin rr.Name) *opening {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &opening{s.all.Only(origin), s, s.heard, map[rr.Name]int64{origin: s.changed[origin]}}
}

// opening is the state of the sealed keys at one moment.
type opening struct {
	*dnssec.Sealed
	from    *sealedKeys
	heard   bool
	changed map[rr.Name]int64
}

// Mark returns a text that changes when the zone's keys change, or the secrets that open them.
func (o *opening) Mark(origin rr.Name) string {
	mark := o.Sealed.Mark(origin) + o.from.secrets.Mark() + o.from.open + o.from.waits[origin] +
		o.from.witness.Mark(origin)
	if o.from.wrong != nil {
		mark += o.from.wrong.Error()
	}
	return mark
}

// Told returns a zone's keys in the form that others are told. It is the same on all who have heard the same from etcd.
func (o *opening) Told(origin rr.Name, k *dnssec.Keys) dnssec.HandedOut {
	out := dnssec.HandedOut{Keys: k, Made: o.from.clock(), Revision: o.changed[origin]}
	out.Roll, _ = o.Roll(origin) // the status reports an error
	return out
}

// Read opens the keys of a zone.
func (o *opening) Read(origin rr.Name) (*dnssec.Keys, error) {
	zone := rr.TrimDot(origin.String())
	switch {
	case len(o.Values(origin)) == 0 && !o.heard:
		return nil, errors.New("etcd has not delivered the zone's keys yet, and --state has no copy of them")
	case len(o.Values(origin)) == 0:
		return nil, fmt.Errorf("%w in etcd; make one by `leeward key generate %s --etcd URL --key-secret-file FILE`, "+
			"or give every server the same key files by --keys", dnssec.ErrNoKey, zone)
	case o.from.wrong != nil:
		return nil, fmt.Errorf("the keys in etcd cannot be opened: %w; put the file back", o.from.wrong)
	}
	keys, err := o.Sealed.Read(origin, o.from.secrets)
	if roll, _ := o.Roll(origin); err == nil && roll != nil {
		keys = o.from.witness.Passed(keys, roll)
	}
	return keys, err
}

// Roll returns how far the zone's roll is, or nil if there is none.
func (o *opening) Roll(origin rr.Name) (*dnssec.Roll, error) {
	return o.Sealed.Roll(origin, o.from.secrets)
}

// Doubt returns what is wrong with a zone although its keys can be read, or nil.
func (o *opening) Doubt(origin rr.Name) error {
	var all []string
	if o.from.open != "" {
		all = append(all, o.from.open)
	}
	if _, err := o.Roll(origin); err != nil {
		all = append(all, err.Error())
	}
	if waits := o.from.waits[origin]; waits != "" {
		all = append(all, waits)
	}
	if len(all) == 0 {
		return nil
	}
	return errors.New(strings.Join(all, "; "))
}

// Use notes that the keys of a zone are in use, or that the zone no longer has any.
func (o *opening) Use(origin rr.Name) {
	values, s := o.Values(origin), o.from
	same := func(a, b []byte) bool { return string(a) == string(b) }
	if maps.EqualFunc(s.good[origin], values, same) {
		return
	}
	if s.good[origin] = values; len(values) == 0 {
		delete(s.good, origin)
	}
	s.unkept = true
}

// keptKeys is the file of keys in use.
type keptKeys struct {
	Format int               `json:"format"`
	Keys   map[string][]byte `json:"keys"` // by place, as etcd had them
}

// mostKept is the largest size of that file, in octets: some 100,000 zones with two keys.
const mostKept = 128 << 20

// load takes the keys that an earlier process had in use.
func (s *sealedKeys) load() {
	if s.path == "" {
		return
	}
	text, err := disk.Read(s.path, mostKept)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var kept keptKeys
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err == nil && kept.Format != 1 {
		err = fmt.Errorf("it has the format %d, which is not known here", kept.Format)
	}
	if err != nil {
		s.log.Error("the keys that were in use before this start cannot be read: signed zones wait for etcd", "file",
			s.path, "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for place, value := range kept.Keys {
		if origin, ok := s.all.Put(place, value); ok {
			s.good[origin] = s.all.Values(origin)
		}
	}
}

// keep writes the keys in use to disk if they have changed. It reports whether nothing is left to write.
func (s *sealedKeys) keep() bool {
	if s.path == "" || !s.unkept {
		return true
	}
	kept := keptKeys{1, map[string][]byte{}}
	for _, values := range s.good {
		maps.Copy(kept.Keys, values)
	}
	err := disk.Write(s.path, 0o600, func(f *os.File) error { return json.NewEncoder(f).Encode(kept) })
	if err != nil {
		if s.trouble != err.Error() {
			s.trouble = err.Error()
			s.log.Error("the keys in use are not kept on disk: a restart without etcd would not have them", "err", err)
		}
		return false
	}
	s.unkept, s.trouble = false, ""
	return true
}
