package process

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"leeward/zones/dnssec"
	"leeward/zones/snapshot"
)

// TestKeptRestart: a restart makes no signature again. If the file is damaged, or the folder cannot be written,
// everything is signed as if there were no file.
func TestKeptRestart(t *testing.T) {
	folder, key := t.TempDir(), signedZoneKey(t)
	var says bytes.Buffer
	log := slog.New(slog.NewTextHandler(&says, nil))
	serve := func(folder string) (made int64, k *kept, e *epochs, g *dnssec.Generation) {
		t.Helper()
		k = newKept(folder, log)
		state, signer := signedZone(t, key, k.find(dnssec.Alone(key), dnssec.EpochAt(key.Origin(), time.Now())))
		var c snapshot.Chosen
		c.See(state.Snapshot, state.View)
		for more := true; more; {
			var err error
			if more, err = c.Next(); err != nil {
				t.Fatal(err)
			}
		}
		e = &epochs{now: time.Now}
		e.snapshot.Store(state.Snapshot)
		return signer.Now().Made(), k, e, signer.Now()
	}
	first, k, e, g := serve(folder)
	k.look(t.Context(), e)
	path := k.path(key.Origin(), g.Epoch)
	before, err := os.Stat(path)
	if err != nil || first == 0 || says.Len() > 0 {
		t.Fatal(first, err, says.String())
	}
	again, k, e, g := serve(folder)
	if again != 0 || g.Len() != int(first) {
		t.Errorf("a restart has made %d signatures again, and has %d of %d", again, g.Len(), first)
	}
	k.look(t.Context(), e)
	if after, err := os.Stat(path); err != nil || !after.ModTime().Equal(before.ModTime()) {
		t.Error("it was written again, and nothing is new")
	}

	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole[len(whole)/2] ^= 4
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, _, _, _ := serve(folder); n != first || !strings.Contains(says.String(), "damaged") {
		t.Errorf("with a damaged file %d signatures were made, want %d; the log says\n%s", n, first, says.String())
	}

	says.Reset()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n, k, e, _ := serve(file)
	k.look(t.Context(), e)
	k.look(t.Context(), e)
	if n != first || strings.Count(says.String(), "cannot be kept") != 1 {
		t.Errorf("without a folder %d signatures were made, want %d; the log says\n%s", n, first, says.String())
	}
}

// TestKeptClean: files of epochs long past are removed. Those of yesterday and of tomorrow are not.
func TestKeptClean(t *testing.T) {
	k := newKept(t.TempDir(), slog.New(slog.DiscardHandler))
	now := time.Unix(1_800_000_000, 0)
	put := func(ago int) string {
		path := k.path("\x07example\x04test\x00", dnssec.EpochAt("\x07example\x04test\x00",
			now.Add(-time.Duration(ago)*dnssec.EpochLength)))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stays := []string{put(-1), put(0), put(1), put(2)}
	gone := []string{put(5), put(100)}
	k.clean(now)
	for _, path := range stays {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	for _, path := range gone {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
}
