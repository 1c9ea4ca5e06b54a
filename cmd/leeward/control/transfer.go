package control

import (
	"leeward/server/admin"
	"leeward/server/transfer"
	"leeward/server/tsig"
)

// openDesk makes what answers for transfers, with the keys of the files.
func (r *run) openDesk() error {
	desk, err := transfer.New(transfer.Options{Log: r.Log, Registerer: r.registry})
	if err != nil {
		return err
	}
	keys, err := tsig.ReadFiles(r.TSIGKeys...)
	if err != nil {
		return err
	}
	desk.SetKeys(keys)
	r.desk = desk
	return nil
}

// readKeys reads the TSIG keys again. Those that there are stay where the files cannot be read.
func (r *run) readKeys() {
	if r.desk == nil || len(r.TSIGKeys) == 0 {
		return
	}
	keys, err := tsig.ReadFiles(r.TSIGKeys...)
	if err != nil {
		r.Log.Error("the TSIG keys stay as they were", "err", err)
		return
	}
	r.desk.SetKeys(keys)
	r.Log.Info("TSIG keys read", "keys", keys.Len())
}

// secondaries describes how this server's secondaries stand.
func (r *run) secondaries() []admin.Secondary {
	if r.desk == nil {
		return nil
	}
	var all []admin.Secondary
	for _, t := range r.desk.Told() {
		all = append(all, admin.Secondary(t))
	}
	return all
}
