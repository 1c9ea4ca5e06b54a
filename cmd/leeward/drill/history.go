package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/cmd/leeward/process"
	"leeward/zones/store"
)

// History is the reports of earlier drills, in etcd below meta/drills/, each by its ID.
type History struct{ Etcd *store.Etcd }

// Kept is how many reports stay.
const Kept = 50

// callWait is how long one call to etcd may take.
const callWait = 5 * time.Second

func (h History) prefix() string { return h.Etcd.Prefix() + process.Drills }

// Save puts a report there, over what was there of the same drill, and takes out the oldest beyond Kept.
func (h History) Save(ctx context.Context, r *Report) error {
	ctx, stop := context.WithTimeout(ctx, callWait)
	defer stop()
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	client := h.Etcd.Client()
	if _, err := client.Put(ctx, h.prefix()+r.ID, string(b)); err != nil {
		return fmt.Errorf("the report cannot be kept in etcd: %w", err)
	}
	all, err := client.Get(ctx, h.prefix(), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil // another time
	}
	for i := range max(len(all.Kvs)-Kept, 0) { // sorted by key, which is by time
		if _, err := client.Delete(ctx, string(all.Kvs[i].Key)); err != nil {
			return nil
		}
	}
	return nil
}

// List returns all reports, the newest first. What cannot be read is named in the error, beside those that can.
func (h History) List(ctx context.Context) ([]*Report, error) {
	ctx, stop := context.WithTimeout(ctx, callWait)
	defer stop()
	all, err := h.Etcd.Client().Get(ctx, h.prefix(), clientv3.WithPrefix(),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
	if err != nil {
		return nil, err
	}
	var reports []*Report
	var wrong []error
	for _, kv := range all.Kvs {
		id := strings.TrimPrefix(string(kv.Key), h.prefix())
		r := &Report{}
		if err := json.Unmarshal(kv.Value, r); err != nil {
			wrong = append(wrong, fmt.Errorf("the report %q cannot be read: %w", id, err))
			continue
		}
		r.ID = id
		reports = append(reports, r)
	}
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
	return nil, fmt.Errorf("there is no drill %q; leeward drills lists what there is", id)
}
