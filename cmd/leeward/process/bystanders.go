package process

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
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
	err  error // why last is not fresh; nil: it is
}

// A status waits at most bystandersWait for them.
const (
	bystandersEvery = time.Second
	bystandersWait  = 2 * time.Second
)

// tell adds them to a status. While etcd does not answer, they stay as they were and are not fresh.
func (b *bystanders) tell(ctx context.Context, s *admin.Status) {
	if b.etcd == nil {
		return
	}
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
	all, err := vantage.Bystanders(limited, b.etcd.Cluster)
	if ctx.Err() != nil {
		return // the client that asked went away
	}
	b.at, b.err = time.Now(), err
	if err != nil {
		return
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
