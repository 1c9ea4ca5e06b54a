package process

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"leeward/health"
	"leeward/zones/disk"
)

// verdictsFile is the name of the file, in the folder of --state, that has the health of targets.
const verdictsFile = "verdicts.jsonl"

// largestVerdicts is the size, in octets, of the largest such file that is read: about a hundred for each of a million
// targets.
const largestVerdicts = 128 << 20

// verdictsFormat is the number of the file's format. Files of other formats are not read.
const verdictsFormat = 1

// memory keeps on disk what is known of the health of targets, so that a restart does not bring dead endpoints back. It
// writes in its own goroutine, to a file of its own: verdicts and resources change at different times, and neither
// should wait for the other.
type memory struct {
	folder string
	log    *slog.Logger
	add    func([]health.Past) // adds since when this vantage has reported them down; nil: nothing is added
	jobs   chan []health.Past  // the newest, until run takes it
	ending chan struct{}       // closed after the last job

	mu      sync.Mutex
	failing error // why the last write failed; nil: it did not
}

// memoryShare bounds what writing verdicts costs: one part in memoryShare of the writer's time. A write that fails is
// tried again after keepRetry.
const memoryShare = 20

func newMemory(folder string, log *slog.Logger) *memory {
	return &memory{folder: folder, log: log, jobs: make(chan []health.Past, 1), ending: make(chan struct{})}
}

// keep accepts what to write next. It and close are called by the same goroutine.
func (m *memory) keep(past []health.Past) {
	select {
	case <-m.jobs: // older, and not started
	default:
	}
	m.jobs <- past
}

func (m *memory) close() {
	close(m.jobs)
	close(m.ending)
}

// run writes until close.
func (m *memory) run() {
	again := time.NewTimer(keepRetry)
	again.Stop()
	var unwritten []health.Past
	for {
		var past []health.Past
		var open bool
		select {
		case past, open = <-m.jobs:
			if !open {
				return
			}
		case <-again.C:
			past = unwritten
		}
		began := time.Now()
		unwritten = nil
		if !m.write(past) {
			unwritten = past
			again.Reset(keepRetry)
			continue
		}
		again.Stop()
		rest := time.NewTimer(min(memoryShare*time.Since(began), keepRetry))
		select {
		case <-rest.C:
		case <-m.ending:
		}
		rest.Stop()
	}
}

func (m *memory) write(past []health.Past) bool {
	if m.add != nil {
		m.add(past)
	}
	err := saveVerdicts(m.folder, past)
	m.mu.Lock()
	before := m.failing
	m.failing = err
	m.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		m.log.Error("verdicts are not kept on disk: a restart would not know what is down", "err", err)
	case err == nil && before != nil:
		m.log.Info("verdicts are kept on disk again")
	}
	return err == nil
}

// trouble returns why the last write failed, or nil if it succeeded.
func (m *memory) trouble() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failing
}

// verdictsHead is the file's first line.
type verdictsHead struct {
	Format  int       `json:"format"`
	Time    time.Time `json:"time"`
	Targets int       `json:"targets"`
}

// verdictLine is one target.
type verdictLine struct {
	Endpoint string       `json:"endpoint"`
	Address  netip.Addr   `json:"address"`
	Verdict  health.State `json:"verdict"`
	Fell     time.Time    `json:"fell,omitzero"`
}

func saveVerdicts(folder string, past []health.Past) error {
	return disk.Write(filepath.Join(folder, verdictsFile), 0o600, func(f *os.File) error {
		w := bufio.NewWriter(f)
		e := json.NewEncoder(w)
		err := e.Encode(verdictsHead{verdictsFormat, time.Now().UTC(), len(past)})
		for i := range past {
			if err != nil {
				return err
			}
			p := &past[i]
			err = e.Encode(verdictLine{p.Endpoint, p.Address, p.Verdict, p.Fell.UTC().Round(time.Millisecond)})
		}
		return errors.Join(err, w.Flush())
	})
}

// loadVerdicts reads what an earlier run kept. It returns (nil, nil) if there is no file.
func loadVerdicts(folder string) ([]health.Past, error) {
	file := filepath.Join(folder, verdictsFile)
	b, err := disk.Read(file, largestVerdicts)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	var head verdictsHead
	if err := json.Unmarshal(first, &head); err != nil {
		return nil, fmt.Errorf("%s: line 1: %w", file, err)
	}
	if head.Format != verdictsFormat {
		return nil, fmt.Errorf("%s: it has format %d, and this Leeward reads format %d", file, head.Format,
			verdictsFormat)
	}
	past := []health.Past{}
	for n := 2; len(rest) > 0; n++ {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		var v verdictLine
		if err := json.Unmarshal(line, &v); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", file, n, err)
		}
		past = append(past, health.Past{
			Target:  health.Target{Endpoint: v.Endpoint, Address: v.Address},
			Verdict: v.Verdict, Fell: v.Fell,
		})
	}
	if len(past) != head.Targets {
		return nil, fmt.Errorf("%s: it is cut short: %d of %d targets", file, len(past), head.Targets)
	}
	return past, nil
}
