package process

import (
	"context"
	"iter"
	"time"
)

// turns yields at once, and then as ticks does.
func turns(ctx context.Context, pause time.Duration, wake ...<-chan struct{}) iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		if yield(struct{}{}) {
			ticks(ctx, pause, wake...)(yield)
		}
	}
}

// ticks yields each time pause has passed, and when wake delivers, until the context ends.
func ticks(ctx context.Context, pause time.Duration, wake ...<-chan struct{}) iter.Seq[struct{}] {
	woken := append(wake, nil)[0]
	return func(yield func(struct{}) bool) {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			case <-woken:
			}
			if !yield(struct{}{}) {
				return
			}
		}
	}
}
