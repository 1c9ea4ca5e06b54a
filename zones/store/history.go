package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"leeward/zones"
	"leeward/zones/etcd"
)

// The history in service stays until etcd proves that it goes on from there, or until an operator accepts another.
// Operators do so in meta/accepted: "leeward accept" names the cluster that it is meant for, while delete and
// apply --prune accept their own removals only.

// acceptance is the value of meta/accepted.
type acceptance struct {
	By      string    `json:"by,omitempty"`
	Time    time.Time `json:"time"`
	For     string    `json:"for,omitempty"`     // "delete" or "apply --prune": these removals, not another history
	Cluster string    `json:"cluster,omitempty"` // of "leeward accept": the cluster it was meant for, in hexadecimal
}

func (a acceptance) value() []byte {
	a.Time = a.Time.UTC().Truncate(time.Second)
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // text and a time always have a JSON form
	}
	return b
}

// sight is what one look at etcd shows.
type sight struct {
	etcd.Point
	accepted int64 // revision of meta/accepted, 0 if there is none
	word     acceptance
}

// look asks the cluster for its history. A quorum answers, not only this member.
func (f *follower) look(ctx context.Context, c *etcd.Conn) (sight, error) {
	held, at, err := c.Within(f.Options.Silence/2).Get(ctx, etcd.Accepted)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return sight{}, c.Silent(ctx)
	case err != nil:
		return sight{}, err
	}
	s := sight{Point: at}
	if held != nil {
		s.accepted = held.Revision
		_ = json.Unmarshal(held.Value, &s.word) // any text that is put there by hand accepts, too
	}
	return s, nil
}

// compare tells whether the history here is the one in service.
func (f *follower) compare(ctx context.Context, c *etcd.Conn, here etcd.Point) (testimony, error) {
	known := f.Known()
	switch {
	case known.Revision == 0:
		return unproven, nil
	case known.ClusterID != 0 && known.ClusterID != here.ClusterID, here.Revision < known.Revision:
		return other, nil
	}
	return f.last.ask(ctx, c)
}

// hold waits until an operator accepts the history that is here in place of the one in service.
func (f *follower) hold(ctx context.Context, c *etcd.Conn, here sight) error {
	known := f.Known()
	if f.noticed.ClusterID != here.ClusterID || here.Revision < f.noticed.Revision {
		f.noticed = here.Point
	}
	if f.taken(here, known) {
		f.Log().Info("etcd: the other history was accepted", "by", here.word.By, "revision", here.accepted)
		l, err := f.listAt(ctx, c, here.accepted)
		if err != nil {
			return err
		}
		f.noticed = etcd.Point{}
		f.full(l, l.Revision, true)
		return errAgain
	}
	why := fmt.Errorf("%w: it was at revision %d of cluster %x and is at %d of cluster %x. What was served before "+
		"stays; if this etcd is right (restored, or set up again), say so with: leeward accept",
		etcd.ErrHistory, known.Revision, known.ClusterID, here.Revision, here.ClusterID)
	f.turns.Worked()
	f.say(zones.HistoryChanged, why)
	return c.Watch(ctx, etcd.Watch{Range: etcd.One(etcd.Accepted), After: here.Point, Told: func(n etcd.News) error {
		if len(n.Events) > 0 {
			return errAgain
		}
		f.say(zones.HistoryChanged, why)
		return nil
	}})
}

// taken reports whether an operator has accepted the history that is here: after it was first seen, or by naming this
// cluster.
func (f *follower) taken(here sight, known etcd.Point) bool {
	switch {
	case here.accepted == 0 || here.word.For != "":
		return false
	case here.word.Cluster != "" && known.ClusterID != here.ClusterID:
		return here.word.Cluster == fmt.Sprintf("%x", here.ClusterID)
	}
	return here.accepted > f.noticed.Revision
}
