package process

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/health/vantage"
	"leeward/server/admin"
	"leeward/zones/store"
)

// bystanders are the servers that do not probe. Nobody follows their descriptions of themselves. They are read when
// somebody asks for a status, at most once per bystandersEvery.
type bystanders struct {
	etcd *store.Store // nil: there are none
	log  *slog.Logger

	mu   sync.Mutex
	at   time.Time // of the last attempt
	last []admin.Server
	gone map[string]time.Time // servers that did not end on purpose, and when each was first found silent
	err  error                // why last is not fresh; nil: it is
}

// A status waits at most bystandersWait for them.
const (
	bystandersEvery = time.Second
	bystandersWait  = 2 * time.Second
)

// tell adds them to a status. While etcd does not answer, they stay as they were and are not marked fresh.
func (b *bystanders) tell(ctx context.Context, s *admin.Status) {
	if b.etcd == nil {
		return
	}
	defer sayWaits(s)
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.at) >= bystandersEvery {
		b.read(ctx)
	}
	if b.err != nil {
		s.Problems = append(s.Problems,
			admin.Problem{Resource: "servers", InService: admin.InServiceOlder, Message: b.err.Error()})
	}
	for _, v := range b.last {
		if slices.ContainsFunc(s.Servers, func(o admin.Server) bool { return o.ID == v.ID }) {
			continue // it probed not long ago, or it is this server
		}
		v.Fresh = b.err == nil
		s.AddServer(v)
		if !s.Knows(v.Region) {
			s.Problems = append(s.Problems, control.Strayed("servers/"+v.ID, v.Region))
		}
	}
}

func (b *bystanders) read(ctx context.Context) {
	limited, stop := context.WithTimeout(ctx, bystandersWait)
	defer stop()
	all, gone, err := vantage.Bystanders(limited, b.etcd.Cluster)
	if ctx.Err() != nil {
		return // the client that asked went away
	}
	b.at, b.err = time.Now(), err
	if err != nil {
		return
	}
	was := b.gone
	b.gone = map[string]time.Time{}
	for _, id := range gone {
		if b.gone[id] = b.at; !was[id].IsZero() {
			b.gone[id] = was[id]
		}
	}
	b.last = b.last[:0]
	for _, text := range all {
		var v admin.Server
		if json.Unmarshal(text, &v) == nil && v.ID != "" {
			v.NoProbe = true
			b.last = append(b.last, v)
		}
	}
}

// silent returns how long each server has been silent that has not ended on purpose, as far as this process has
// listened. It is as old as the last status.
func (b *bystanders) silent() map[string]time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[string]time.Duration{}
	for id, since := range b.gone {
		all[id] = max(time.Second, time.Since(since))
	}
	return all
}

// sayWaits adds to a status who or what the rolls of keys wait for, as the servers and signers that hold the keys
// report.
func sayWaits(s *admin.Status) {
	for _, v := range slices.Concat(s.Servers, s.Signers) {
		for _, roll := range v.Rolls {
			text := heldUp(roll.Waits)
			zone := "zones/" + roll.Zone
			if text == "" || !v.Fresh || slices.ContainsFunc(s.Problems, func(p admin.Problem) bool {
				return p.Resource == zone && strings.Contains(p.Message, text)
			}) {
				continue
			}
			s.Problems = append(s.Problems, admin.Problem{
				Resource: zone, Field: "dnssec", InService: admin.InServiceNewest, Message: text,
			})
		}
	}
}
