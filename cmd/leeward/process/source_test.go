package process

import (
	"context"
	"errors"
	"testing"
)

// While the first snapshot is made from the copy on disk, nothing of the source is used. Here there is no source.
func TestTheSourceWaitsForTheCopyOnDisk(t *testing.T) {
	r := &run{first: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.follow(ctx, true); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("without a copy on disk the source is not followed either")
		}
	}()
	_ = r.follow(ctx, false)
}
