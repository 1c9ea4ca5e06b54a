package process

import (
	"time"

	"leeward/server/admin"
	"leeward/server/transfer"
	"leeward/server/tsig"
	"leeward/zones/snapshot"
)

// openTransfer makes the parts that answer transfers and that transfer zones from primaries. It reads the TSIG keys.
func (r *run) openTransfer() error {
	secondary, err := transfer.NewSecondary(transfer.SecondaryOptions{
		Log: r.Log, Registerer: r.registry, State: r.State, Listen: r.Listen, Sockets: r.shares().transfers,
		Keys:       func() *tsig.Ring { return r.primary.Keys() },
		OnTransfer: func(origin string, t snapshot.Transferred) { r.loop.Transferred(origin, t) },
	})
	if err != nil {
		return err
	}
	primary, err := transfer.New(transfer.Options{
		Log: r.Log, Registerer: r.registry, Secondary: secondary, Listen: r.Listen, Sockets: r.shares().transfers,
	})
	if err != nil {
		return err
	}
	keys, err := tsig.ReadFiles(r.TSIGKeys...)
	if err != nil {
		return err
	}
	primary.SetKeys(keys)
	r.primary, r.secondary = primary, secondary
	return nil
}

// readKeys reads the TSIG keys again. If a file cannot be read, the keys stay as they are.
func (r *run) readKeys() {
	if r.primary == nil || len(r.TSIGKeys) == 0 {
		return
	}
	keys, err := tsig.ReadFiles(r.TSIGKeys...)
	r.renewals.read(useTSIG, nil, err)
	if err != nil {
		r.Log.Error("the TSIG keys stay as they were", "err", err)
		return
	}
	r.primary.SetKeys(keys)
	r.Log.Info("TSIG keys read", "keys", keys.Len())
}

// secondaries describes how this server's secondaries stand.
func (r *run) secondaries() []admin.Secondary {
	if r.primary == nil {
		return nil
	}
	var all []admin.Secondary
	for _, t := range r.primary.Told() {
		all = append(all, admin.Secondary(t))
	}
	return all
}

// following describes the zones that live on other primaries.
func (r *run) following() []admin.Following {
	if r.secondary == nil {
		return nil
	}
	var all []admin.Following
	for _, f := range r.secondary.Following() {
		out := admin.Following{
			Zone: f.Zone, Primaries: f.Primaries, Serial: f.Serial, Records: f.Sets, State: f.State,
			Refreshing: f.Refreshing, From: f.From, Error: f.Error,
		}
		for _, x := range []struct {
			to **time.Time
			at time.Time
		}{{&out.Checked, f.Checked}, {&out.Since, f.Since}, {&out.Next, f.Next}, {&out.Expires, f.Expires}} {
			if !x.at.IsZero() {
				*x.to = &x.at
			}
		}
		all = append(all, out)
	}
	return all
}
