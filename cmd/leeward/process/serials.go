package process

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"leeward/zones"
)

// serialKeeper leaves in etcd what the catalog owes it about serials (zones.Catalog.Owed). All servers owe the same at
// the same moment: each waits a little, and what another has written meanwhile is not owed any more.
type serialKeeper struct {
	keep func(context.Context, zones.Serials) error
	log  *slog.Logger
	dice func() float64 // in [0,1)

	mu   sync.Mutex
	owed zones.Serials
	any  bool
	wake chan struct{} // has one token while something is owed
}

const (
	serialWait  = 20 * time.Millisecond // at most so long for others to write it
	serialAgain = 5 * time.Second       // after etcd did not take it
)

func newSerialKeeper(keep func(context.Context, zones.Serials) error, log *slog.Logger, dice func() float64) *serialKeeper {
	return &serialKeeper{keep: keep, log: log, dice: dice, wake: make(chan struct{}, 1)}
}

// owes takes all that is owed now, in place of what was before. It does not block.
func (k *serialKeeper) owes(s zones.Serials, any bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owed, k.any = s, any
	if any {
		select {
		case k.wake <- struct{}{}:
		default:
		}
	}
}

func (k *serialKeeper) due() (zones.Serials, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.owed, k.any
}

// run writes until the context ends.
func (k *serialKeeper) run(ctx context.Context) {
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		}
		wait := time.Duration(k.dice() * float64(serialWait))
		for {
			t := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-t.C:
			}
			owed, any := k.due()
			if !any {
				break
			}
			err := k.keep(ctx, owed)
			if err == nil {
				told = false
				break
			}
			if !told && ctx.Err() == nil {
				k.log.Warn("etcd does not take what it is to keep of zones' serials (meta/serials): servers that start later may give lower ones", "err", err)
				told = true
			}
			wait = serialAgain
		}
	}
}
