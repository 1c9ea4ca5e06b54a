package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/disk"
	"leeward/zones/etcd"
	"leeward/zones/snapshot"
)

// keeper writes the last good resources to disk. It has its own goroutine, so that a slow disk holds up nobody.
type keeper struct {
	folder string
	log    *slog.Logger
	now    func() time.Time
	jobs   chan job // the newest, until run takes it

	mu      sync.Mutex
	point   etcd.Point // where the source was at its last delivery
	failing error      // why the last copy could not be written
}

// keepRetry is how long after a failed write the copy is tried again. By then the disk may have room, even if no
// resource has changed.
const keepRetry = 10 * time.Second

type job struct {
	meta      snapshot.Saved
	resources *catalog.Frozen
}

func newKeeper(folder string, log *slog.Logger, now func() time.Time) *keeper {
	return &keeper{folder: folder, log: log, now: now, jobs: make(chan job, 1)}
}

// trialLimit is how long a start waits for the trial of the disk, so that a hanging disk does not keep a server from
// starting.
const trialLimit = time.Second

// trial checks when the server starts whether the folder can be written. So the first status already says if it cannot.
// It only informs: a server whose disk is full or read-only answers queries as usual.
func (k *keeper) trial() {
	done := make(chan error, 1)
	path := filepath.Join(k.folder, "trial")
	go func() {
		err := disk.Write(path, 0o640, func(f *os.File) error {
			_, err := f.Write(make([]byte, 4096)) // a full disk often still has room for a name
			return err
		})
		done <- errors.Join(err, ignoreAbsent(os.Remove(path)))
	}()
	var err error
	select {
	case err = <-done:
	case <-time.After(trialLimit):
		err = fmt.Errorf("writing to %s has not ended within %s", k.folder, trialLimit)
	}
	if err == nil {
		return
	}
	k.mu.Lock()
	k.failing = err
	k.mu.Unlock()
	k.log.Error("the folder of --state cannot be written: a restart would have nothing to answer from until the "+
		"source is read, "+
		"and would not know what is down; going on without", "err", err)
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// at notes the point that the source has reached.
func (k *keeper) at(p etcd.Point) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.point = p
}

// keep accepts what to write next. It and close are called by the same goroutine.
func (k *keeper) keep(revision int64, resources *catalog.Frozen) {
	k.mu.Lock()
	cluster := k.point.ClusterID
	k.mu.Unlock()
	select {
	case <-k.jobs: // older, and not started
	default:
	}
	k.jobs <- job{snapshot.Saved{Revision: revision, Cluster: cluster, Time: k.now()}, resources}
}

func (k *keeper) close() { close(k.jobs) }

// run writes until close.
func (k *keeper) run() {
	var unwritten job
	again := time.NewTimer(keepRetry)
	again.Stop()
	for {
		var j job
		var open bool
		select {
		case j, open = <-k.jobs:
			if !open {
				return
			}
		case <-again.C:
			j = unwritten
		}
		if k.write(j) {
			unwritten = job{}
			again.Stop()
		} else {
			unwritten = j
			again.Reset(keepRetry)
		}
	}
}

// write writes one copy and reports whether it succeeded.
func (k *keeper) write(j job) bool {
	began := k.now()
	if j.resources.Len() >= control.LargeBatch {
		defer paceHeap()() // it unpacks one resource after another, on top of all that is in service
	}
	err := snapshot.Save(k.folder, j.meta, j.resources)
	k.mu.Lock()
	before := k.failing
	k.failing = err
	k.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		k.log.Error("the last good snapshot is not kept on disk", "err", err)
	case err == nil && before != nil:
		k.log.Info("the last good snapshot is kept on disk again", "revision", j.meta.Revision)
	}
	k.log.Debug("kept on disk", "revision", j.meta.Revision, "resources", j.resources.Len(), "took", k.now().Sub(began),
		"err", err)
	return err == nil
}

// trouble returns why the last write failed, or nil if it succeeded.
func (k *keeper) trouble() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failing
}

// load reads what an earlier run kept. It returns a nil batch and no error if there is nothing.
func (k *keeper) load(ctx context.Context) (*zones.Batch, snapshot.Saved, error) {
	meta, changes, err := snapshot.Load(ctx, k.folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, meta, nil
	}
	if err != nil {
		return nil, meta, err
	}
	k.at(etcd.Point{ClusterID: meta.Cluster, Revision: meta.Revision})
	return &zones.Batch{
		Revision: meta.Revision, Full: true, Copy: true, Changes: changes,
		Serials: meta.Serials,
	}, meta, nil
}
