package process

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"leeward/health"
)

// Verdicts come back from disk as they were saved. A file with any damage is refused with a reason.
func TestVerdictsOnDisk(t *testing.T) {
	folder := t.TempDir()
	if past, err := loadVerdicts(folder); past != nil || err != nil {
		t.Errorf("of nothing: %v, %v", past, err)
	}
	m := newMemory(folder, slog.New(slog.DiscardHandler))
	fell := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m.add = func(past []health.Past) { past[0].Fell = fell }
	past := []health.Past{
		{Target: health.Target{Endpoint: "www/lb-1", Address: netip.MustParseAddr("192.0.2.1")}, Verdict: health.Down},
		{Target: health.Target{Endpoint: "www/lb-2", Address: netip.MustParseAddr("2001:db8::1")}, Verdict: health.Up},
		{
			Target:  health.Target{Endpoint: "www/lb-3", Address: netip.MustParseAddr("192.0.2.3")},
			Verdict: health.Unknown,
		},
	}
	done := make(chan struct{})
	go func() { defer close(done); m.run() }()
	m.keep(slices.Clone(past)[:1])
	m.keep(slices.Clone(past))
	m.close()
	<-done
	past[0].Fell = fell
	got, err := loadVerdicts(folder)
	if diff := cmp.Diff(past, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
		t.Fatalf("%v %s", err, diff)
	}
	if m.trouble() != nil {
		t.Error(m.trouble())
	}

	file := filepath.Join(folder, verdictsFile)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, says string }{
		{"", "line 1"},
		{string(whole[:len(whole)-10]), "line 4"},
		{string(whole[:strings.LastIndex(string(whole[:len(whole)-1]), "\n")+1]), "2 of 3 targets"},
		{strings.Replace(string(whole), `"format":1`, `"format":91`, 1), "format 91"},
		{strings.Replace(string(whole), "down", "dwon", 1), "line 2"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if past, err := loadVerdicts(folder); err == nil || !strings.Contains(err.Error(), c.says) ||
			!strings.Contains(err.Error(), file) {
			t.Errorf("%q: %v, %v; want an error with %q", c.text, past, err, c.says)
		}
	}
}

// A folder that cannot be written is logged once, and is no reason to stop.
func TestVerdictsCannotBeKept(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	m := newMemory(folder, slog.New(slog.NewTextHandler(&log, nil)))
	m.write(nil)
	m.write(nil)
	if m.trouble() == nil || strings.Count(log.String(), "verdicts are not kept on disk") != 1 {
		t.Errorf("%v:\n%s", m.trouble(), &log)
	}
}
