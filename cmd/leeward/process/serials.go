package process

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"leeward/zones"
)

// serialKeeper writes to etcd what the catalog owes it about serials (zones.Catalog.Owed). All servers owe the same at
// the same moment. So each waits a little first, and does not write what another server has written by then.
type serialKeeper struct {
	keep func(context.Context, zones.Serials) error
	log  *slog.Logger
	dice func() float64 // in [0,1)

	mu   sync.Mutex
	owed zones.Serials
	any  bool
	wake chan struct{} // holds one token while something is owed
}

const (
	serialWait  = 20 * time.Millisecond // how long to wait at most for another server to write
	serialAgain = 5 * time.Second       // how long to wait after a failure
)

func newSerialKeeper(keep func(context.Context, zones.Serials) error, log *slog.Logger,
	dice func() float64,
) *serialKeeper {
	return &serialKeeper{keep: keep, log: log, dice: dice, wake: make(chan struct{}, 1)}
}

// owes replaces what is owed. It does not block.
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
				k.log.Warn("etcd does not take what it is to keep of zones' serials (meta/serials): "+
					"servers that start later may give lower ones", "err", err)
				told = true
			}
			wait = serialAgain
		}
	}
}
