package process

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// kept keeps signatures on disk, in one file for each zone and epoch, so that little has to be signed again after a
// restart. It writes in its own goroutine. A failed write loses nothing: what is in service stays, and so does the
// previous file.
type kept struct {
	folder string        // "": nothing is kept
	days   int64         // how many days' files are kept, besides those of today and tomorrow
	within time.Duration // a generation with anything new is written once within this time
	looks  time.Duration // how often to check what there is to write
	log    *slog.Logger

	failing atomic.Pointer[string] // why the last write failed; nil: it did not

	// The rest belongs to run.
	written map[string]written // by file
}

// written says what a generation had when its file was last written.
type written struct {
	of   *dnssec.Generation
	made int64
	at   time.Time
}

const (
	keptFolder = "signatures"     // in the folder of --state
	keptLook   = 20 * time.Second // how often to check what there is to write
	keptWithin = 15 * time.Minute // a generation with anything new is written once within this time
	keptGrowth = 16               // and at once when it has grown by one part in keptGrowth
	keptShare  = 20               // writing takes one part in keptShare of the time
	keptEpochs = 2                // older files are removed; a clock may be wrong by a day
)

func newKept(state string, log *slog.Logger) *kept {
	k := &kept{log: log, days: keptEpochs, within: keptWithin, looks: keptLook, written: map[string]written{}}
	if state != "" {
		k.folder = filepath.Join(state, keptFolder)
	}
	return k
}

func (k *kept) path(origin rr.Name, e dnssec.Epoch) string {
	return filepath.Join(k.folder, dnssec.KeptName(origin, e))
}

// find returns what was signed in an epoch, or else in an earlier one or the next, or nil if there is nothing. Signing
// goes on with the seed of what is found. So what is on disk counts again when the clock is right.
func (k *kept) find(keys *dnssec.Keys, e dnssec.Epoch) *dnssec.Kept {
	next := e.Next()
	for range max(2, k.days) {
		if old := k.read(keys, e); old != nil {
			return old
		}
		e = e.Before()
	}
	return k.read(keys, next)
}

// read returns what was signed in an epoch, nil if there is nothing.
func (k *kept) read(keys *dnssec.Keys, e dnssec.Epoch) *dnssec.Kept {
	if k.folder == "" {
		return nil
	}
	old, err := dnssec.ReadKept(k.path(keys.Origin(), e), keys)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			k.log.Warn("signatures on disk are not used: the zone is signed again",
				"zone", rr.TrimDot(keys.Origin().String()), "err", err)
		}
		return nil
	}
	return old
}

// run writes what is new until the context ends.
func (k *kept) run(ctx context.Context, e *epochs) {
	if k.folder == "" {
		return
	}
	next := time.NewTimer(k.looks)
	defer next.Stop()
	k.clean(e.now())
	for day := e.now(); ; {
		select {
		case <-ctx.Done():
			if k.within == 0 {
				k.look(context.WithoutCancel(ctx), e)
			}
			return
		case <-next.C:
		}
		began := time.Now()
		k.look(ctx, e)
		if now := e.now(); now.Sub(day).Abs() > time.Hour {
			day = now
			k.clean(now)
		}
		next.Reset(max(k.looks, keptShare*time.Since(began)))
	}
}

// look writes each generation in which enough is new.
func (k *kept) look(ctx context.Context, e *epochs) {
	s := e.snapshot.Load()
	if s == nil {
		return
	}
	s.Signed(func(origin rr.Name, signer *dnssec.Signer) bool {
		now, next := signer.Generations()
		for _, g := range []*dnssec.Generation{now, next} {
			if g == nil {
				continue
			}
			path := k.path(origin, g.Epoch)
			was, made := k.written[path], g.Made()
			if was.of != g {
				was = written{}
			}
			if made == was.made ||
				(made-was.made)*keptGrowth < int64(g.Len()) && e.now().Sub(was.at).Abs() < k.within {
				continue
			}
			switch done, err := signer.Keep(path, g); {
			case err != nil:
				if text := err.Error(); k.trouble() != text {
					k.failing.Store(&text)
					k.log.Warn("signatures cannot be kept on disk: a restart would make them again", "err", err)
				}
			case done:
				k.failing.Store(nil)
				k.written[path] = written{g, made, e.now()}
			}
		}
		return ctx.Err() == nil
	})
}

// trouble returns why the last write failed, or "" if it succeeded.
func (k *kept) trouble() string {
	if text := k.failing.Load(); text != nil {
		return *text
	}
	return ""
}

// clean removes files of epochs long past.
func (k *kept) clean(now time.Time) {
	files, err := os.ReadDir(k.folder)
	if err != nil {
		return
	}
	oldest := now.Unix()/int64(dnssec.EpochLength/time.Second) - 1 - k.days
	for _, f := range files {
		_, number, _ := strings.Cut(f.Name(), "-")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && n < oldest {
			delete(k.written, filepath.Join(k.folder, f.Name()))
			_ = os.Remove(filepath.Join(k.folder, f.Name()))
		}
	}
}
