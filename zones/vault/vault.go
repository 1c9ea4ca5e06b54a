// Package vault is the keys of zones in etcd, sealed (zones/dnssec, seal.go).
//
// A reader has the keys of a zone as they are at one revision. A writer puts what has changed in one transaction, which
// compares that nobody else has changed the zone's keys since they were read. Servers do not read here: keys come to
// them with the resources, by the watch of zones/store.
package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/zones/dnssec"
	"leeward/zones/etcd"
	"leeward/zones/rr"
)

// Vault is the keys in an etcd. Its methods may be called from several goroutines.
type Vault struct {
	Etcd    *etcd.Cluster
	Secrets *dnssec.Secrets
}

// Held is the keys of a zone as they were when they were read.
type Held struct {
	Origin rr.Name
	Keys   *dnssec.Keys // nil: the zone has none
	Roll   *dnssec.Roll // nil: none is under way

	revision  int64            // at which they were read
	revisions map[string]int64 // of each, by place
}

// Read reads the keys of a zone. The error wraps dnssec.ErrNoKey if there is none. Held is valid all the same, so that
// Write can write the first key.
func (v *Vault) Read(ctx context.Context, origin rr.Name) (*Held, error) {
	h := &Held{Origin: origin, revisions: map[string]int64{}}
	all := dnssec.NewSealed()
	folder := etcd.Keys + dnssec.FolderOf(origin)
	at, err := v.Etcd.Read(ctx, 0, []etcd.Range{etcd.Folder(folder)}, func(kv etcd.KV) {
		place := strings.TrimPrefix(kv.Name, etcd.Keys)
		h.revisions[place] = kv.Revision
		all.Put(place, append([]byte{}, kv.Value...))
	})
	if err != nil {
		return nil, v.Etcd.Explain(ctx, err)
	}
	h.revision = at.Revision
	if h.Keys, err = all.Read(origin, v.Secrets); errors.Is(err, dnssec.ErrNoKey) {
		return h, fmt.Errorf("%w in etcd, below %s", err, v.Etcd.Key(folder))
	} else if err != nil {
		return nil, err
	}
	h.Roll, err = all.Roll(origin, v.Secrets)
	return h, err
}

// All reads the sealed keys of all zones.
func (v *Vault) All(ctx context.Context) (*dnssec.Sealed, error) {
	var all *dnssec.Sealed
	if err := etcd.Anew(func() error {
		all = dnssec.NewSealed()
		_, err := v.Etcd.Read(ctx, 0, []etcd.Range{etcd.Folder(etcd.Keys)}, func(kv etcd.KV) {
			all.Put(strings.TrimPrefix(kv.Name, etcd.Keys), append([]byte{}, kv.Value...))
		})
		return err
	}); err != nil {
		return nil, v.Etcd.Explain(ctx, err)
	}
	return all, nil
}

// ErrChanged says that somebody else has changed the zone's keys since they were read. Nothing was written.
var ErrChanged = errors.New("somebody else has changed the zone's keys in the meantime, and nothing is written: look " +
	"at `leeward key list` and try again")

// Write puts keys that are new or have changed, sealed under the first secret, and removes others, all or nothing. The
// error wraps ErrChanged if the zone's keys are no longer those of h. The state of a roll stays.
func (v *Vault) Write(ctx context.Context, h *Held, changed []dnssec.TimedKey, gone ...*dnssec.Key) error {
	t, err := v.begin(h, changed, gone)
	if err != nil {
		return err
	}
	return v.commit(ctx, t)
}

// Carry is Write that also writes the new state of the zone's roll; nil: it is over.
func (v *Vault) Carry(ctx context.Context, h *Held, roll *dnssec.Roll, changed []dnssec.TimedKey) error {
	t, err := v.begin(h, changed, nil)
	if err != nil {
		return err
	}
	name := etcd.Keys + dnssec.RollOf(h.Origin)
	if roll == nil {
		return v.commit(ctx, t.Delete(etcd.One(name)))
	}
	value, err := v.Secrets.SealRoll(h.Origin, roll)
	if err != nil {
		return err
	}
	return v.commit(ctx, t.Put(name, value, 0))
}

// Begin begins a roll, which servers carry on, and returns the keys that it makes or changes. a is the algorithm of the
// new keys, if the algorithm is rolled.
func (v *Vault) Begin(ctx context.Context, h *Held, kind string, a dnssec.Algorithm, now time.Time) (
	changed []dnssec.TimedKey, err error,
) {
	if !h.Roll.Over() {
		return nil, fmt.Errorf("a roll is under way already: %v", h.Roll)
	}
	roll, changed, err := h.Keys.Begin(kind, a, now)
	if err != nil {
		return nil, err
	}
	if h.Roll != nil {
		roll.Passed = h.Roll.Passed
	}
	return changed, v.Carry(ctx, h, roll, changed)
}

// Stop ends a roll as it is. Keys stay as they are.
func (v *Vault) Stop(ctx context.Context, h *Held, now time.Time) error {
	return v.Carry(ctx, h, h.Roll.Stopped(now), nil)
}

// begin returns the transaction that writes keys of a zone.
func (v *Vault) begin(h *Held, changed []dnssec.TimedKey, gone []*dnssec.Key) (*etcd.Txn, error) {
	t := v.Etcd.Begin().Calm(etcd.Folder(etcd.Keys+dnssec.FolderOf(h.Origin)), h.revision)
	for place, revision := range h.revisions {
		t.At(etcd.Keys+place, revision) // it still exists
	}
	for i := range changed {
		k := &changed[i]
		if k.Origin() != h.Origin {
			return nil, fmt.Errorf("key %s is none of %s", k.Place(), h.Origin)
		}
		value, err := v.Secrets.Seal(k)
		if err != nil {
			return nil, err
		}
		t.Put(etcd.Keys+k.Place().String(), value, 0)
	}
	for _, k := range gone {
		t.Delete(etcd.One(etcd.Keys + k.Place().String()))
	}
	return t, nil
}

func (v *Vault) commit(ctx context.Context, t *etcd.Txn) error {
	_, err := t.Commit(ctx)
	if errors.Is(err, etcd.ErrConflict) {
		return ErrChanged
	}
	if err != nil {
		return v.Etcd.Explain(ctx, err)
	}
	return nil
}

// Reseal seals a zone's keys, and the state of its roll, under the first secret, if they are not yet sealed under it.
// It returns the places of what it has sealed. All is written or nothing.
func (v *Vault) Reseal(ctx context.Context, origin rr.Name) (done []string, err error) {
	folder := etcd.Keys + dnssec.FolderOf(origin)
	var all []etcd.KV
	_, err = v.Etcd.Read(ctx, 0, []etcd.Range{etcd.Folder(folder)}, func(kv etcd.KV) { all = append(all, kv) })
	if err != nil {
		return nil, v.Etcd.Explain(ctx, err)
	}
	t := v.Etcd.Begin()
	for _, kv := range all {
		if kv.Name == etcd.Keys+dnssec.RollOf(origin) {
			r, current, err := v.Secrets.OpenRoll(origin, kv.Value)
			if err != nil {
				return nil, err
			}
			if current {
				continue
			}
			value, err := v.Secrets.SealRoll(origin, r)
			if err != nil {
				return nil, err
			}
			t.At(kv.Name, kv.Revision).Put(kv.Name, value, 0)
			done = append(done, dnssec.RollOf(origin))
			continue
		}
		p, err := dnssec.ParsePlace(strings.TrimPrefix(kv.Name, etcd.Keys))
		if err != nil {
			return nil, err
		}
		k, current, err := v.Secrets.Open(p, kv.Value)
		if err != nil {
			return nil, err
		}
		if current {
			continue
		}
		value, err := v.Secrets.Seal(&k)
		if err != nil {
			return nil, err
		}
		t.At(kv.Name, kv.Revision).Put(kv.Name, value, 0)
		done = append(done, p.String())
	}
	if t.Writes() == 0 {
		return nil, nil
	}
	slices.Sort(done)
	return done, v.commit(ctx, t)
}
