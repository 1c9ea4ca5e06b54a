package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/zones/etcd"
)

// History is the reports of earlier drills, in etcd below meta/drills/, by their IDs.
type History struct{ Etcd *etcd.Cluster }

// Kept is how many reports the history keeps.
const Kept = 50

// callWait is how long one call to etcd may take.
const callWait = 5 * time.Second

// Save writes a report, over an earlier one of the same drill, and deletes the oldest reports beyond Kept.
func (h History) Save(ctx context.Context, r *Report) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	c := h.Etcd.Within(callWait)
	if err := c.Put(ctx, etcd.Drills+r.ID, b, 0); err != nil {
		return fmt.Errorf("the report cannot be saved in etcd: %w", err)
	}
	var all []string // sorted, and thus in order of time
	_, err = c.Read(ctx, 0, []etcd.Range{etcd.Folder(etcd.Drills)}, func(kv etcd.KV) { all = append(all, kv.Name) },
		etcd.KeysOnly())
	if err != nil || len(all) <= Kept {
		return nil // the next Save tries again
	}
	t := c.Begin()
	for _, name := range all[:len(all)-Kept] {
		t.Delete(etcd.One(name))
	}
	_, _ = t.Commit(ctx)
	return nil
}

// List returns all reports, the newest first. If some cannot be read, it returns the others and an error that names
// those.
func (h History) List(ctx context.Context) ([]*Report, error) {
	var reports []*Report
	var wrong []error
	_, err := h.Etcd.Within(callWait).Read(ctx, 0, []etcd.Range{etcd.Folder(etcd.Drills)}, func(kv etcd.KV) {
		id := strings.TrimPrefix(kv.Name, etcd.Drills)
		r := &Report{}
		if err := json.Unmarshal(kv.Value, r); err != nil {
			wrong = append(wrong, fmt.Errorf("the report %q cannot be read: %w", id, err))
			return
		}
		r.ID = id
		reports = append(reports, r)
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(reports)
	return reports, errors.Join(wrong...)
}

// Get returns one report; "last" is the newest.
func (h History) Get(ctx context.Context, id string) (*Report, error) {
	reports, err := h.List(ctx)
	for _, r := range reports {
		if r.ID == id || id == "last" {
			return r, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("there is no drill %q; leeward drills lists them", id)
}
