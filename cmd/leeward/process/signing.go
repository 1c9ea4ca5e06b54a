package process

import (
	"context"

	"leeward/cmd/leeward/control"
	"leeward/server/answer"
	"leeward/zones/dnssec"
)

// openSigning makes the parts that sign zones. With keys, they sign this server's answers or, with Sign, sign for
// servers without keys. With Edge, they use signatures that others have made.
func (r *run) openSigning(o *control.LoopOptions) error {
	r.epochs.log, r.epochs.now, r.epochs.ahead = r.Log, r.clock(), newAhead(r.Log)
	r.epochs.early = epochAhead
	if err := r.registry.Register(&signedMetrics{of: &r.epochs}); err != nil {
		return err
	}
	r.epochs.turned = func(origin string) { r.loop.Turned(origin) }
	if r.Edge {
		r.kept = newKept(r.State, r.Log)
		r.kept.days, r.kept.within, r.kept.looks = edgeDays, 0, edgeKeeps
		r.epochs.kept, o.Edge = r.kept, true
		r.edge.open(r)
		return r.registry.Register(edgeMetrics{r.edge})
	}
	state := r.State
	if r.Sign {
		state = "" // signatures are in etcd
	}
	r.keyring = newKeyring(&r.Settings, func(origin string, k *dnssec.Keys, err error) {
		r.loop.Keyed(origin, k, err)
	})
	r.keyring.settle = func(ctx context.Context) { _ = r.loop.Do(ctx, func(control.Inside) {}) }
	r.kept = newKept(state, r.Log)
	r.keyring.recall = func(origin string, k *dnssec.Keys) {
		if old := r.kept.find(k, dnssec.EpochAt(k.Origin(), r.epochs.now())); old != nil {
			r.loop.Kept(origin, old)
		}
	}
	r.epochs.kept = r.kept
	o.Sign, o.KeysAreFiles = r.keyring.want, r.keyring.sealed == nil
	if !r.Sign {
		return nil
	}
	r.signatory = newSignatory(r.etcd.Cluster, r.Log, r.clock())
	r.signatory.apart = func(ctx context.Context) control.Apart {
		limited, stop := context.WithTimeout(ctx, signatoryLook/2)
		defer stop()
		var a control.Apart
		if r.loop.Do(limited, func(i control.Inside) { a = i.Apart() }) != nil {
			return control.Apart{Soon: true} // the loop is busy
		}
		return a
	}
	if err := r.registry.Register(writtenMetrics{r.signatory}); err != nil {
		return err
	}
	r.epochs.early = dnssec.EpochLength // the next day's must be there when this process goes away
	r.epochs.ahead.rests, r.epochs.ahead.chosen.Every = 0, true
	r.keyring.found = func(origin string, o dnssec.HandedOut) {
		o.Keys.Note()
		r.signatory.keyed(origin, o)
	}
	before := o.Publish
	o.Publish = func(s answer.State) {
		before(s)
		r.epochs.snapshot.Store(s.Snapshot)
		r.epochs.ahead.publish(s)
		r.signatory.publish(s.Snapshot)
		r.reached.set(s.Snapshot.Revision())
		r.firstly.Do(func() { close(r.first) })
	}
	return nil
}
