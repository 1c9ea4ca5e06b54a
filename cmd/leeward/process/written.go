package process

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/admin"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// standing says how complete the signatures are that a signatory has written.
type standing struct {
	lacks   map[string]time.Time // by origin: from when on servers would lack signatures
	since   map[string]time.Time // zones that lack signatures of today: since when they do
	waiting int                  // signatures made but not yet in etcd
	whole   time.Time            // when everything signed was last known to be in etcd
	written int64                // chunks
	removed int64                // chunks that were damaged or forged
	failing string               // why signatures cannot be written; "": they can
}

const (
	// writtenGrace is how long signatures of today may be missing before that is reported: a change takes less.
	writtenGrace = 10 * time.Second
	// shortOf is how long before a day begins it is a fault if its signatures are missing: they should have been in
	// etcd for hours by then.
	shortOf = 20 * time.Hour
)

// lacks returns from when on servers lack signatures of a zone. now and next are the generations that the zone is
// signed in; next may be nil.
func (g *signatory) lacks(origin string, now, next *dnssec.Generation) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	z := g.zone(origin)
	lacks := now.Epoch.Start()
	for _, of := range []*dnssec.Generation{now, next} {
		if of == nil || len(g.due[of]) > 0 || z.revisions[slot{origin, of.Epoch.Number, dnssec.WholeChunk}] == 0 {
			break
		}
		lacks = of.Epoch.Next().Start()
	}
	return lacks
}

// stands records the state after a turn.
func (g *signatory) stands(lacks map[string]time.Time, err error) {
	now := g.now()
	since := map[string]time.Time{}
	waiting := 0
	for _, due := range g.due {
		waiting += len(due)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for origin, from := range lacks {
		if from.After(now) {
			continue
		}
		if since[origin] = now; !g.stand.since[origin].IsZero() {
			since[origin] = g.stand.since[origin]
		}
	}
	g.stand.lacks, g.stand.since, g.stand.waiting = lacks, since, waiting
	if err == nil && waiting == 0 && len(since) == 0 {
		g.stand.whole = now
	}
}

// says returns what this signer tells others about what it has written. It does not change while all is well.
func (g *signatory) says() *admin.Written {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	w := &admin.Written{Zones: len(g.stand.lacks), Error: g.stand.failing}
	for _, origin := range slices.Sorted(maps.Keys(g.stand.lacks)) {
		switch g.stand.state(origin, now) {
		case writtenBehind:
			w.Behind = append(w.Behind, origin)
		case writtenShort:
			w.Short = append(w.Short, origin)
		}
	}
	w.Behind, w.Short = w.Behind[:min(len(w.Behind), mostHeldTold)], w.Short[:min(len(w.Short), mostHeldTold)]
	return w
}

// The states of a zone's written signatures.
const (
	writtenAhead  = "ahead"
	writtenShort  = "short"
	writtenBehind = "behind"
)

func (s *standing) state(origin string, now time.Time) string {
	switch since := s.since[origin]; {
	case !since.IsZero() && now.Sub(since) >= writtenGrace:
		return writtenBehind
	case since.IsZero() && s.lacks[origin].Sub(now) < shortOf:
		return writtenShort
	}
	return writtenAhead
}

// writtenMetrics are the metrics of a process that signs for others.
type writtenMetrics struct{ of *signatory }

var (
	writtenZones = prometheus.NewDesc("leeward_sign_zones",
		"Zones that are signed for others, by what etcd has: ahead (today's signatures, and the next day's), short "+
			"(not all of the next day's, which begins within 20 hours), behind (not all of today's, for 10 seconds).",
		[]string{"state"}, nil)
	writtenAheadFor = prometheus.NewDesc("leeward_sign_ahead_seconds",
		"Time until servers without keys need signatures that are not in etcd yet, for the zone where that is "+
			"soonest. Below 0: they need them now.", nil, nil)
	writtenAge = prometheus.NewDesc("leeward_sign_age_seconds",
		"Time since all that is signed was last known to be in etcd.", nil, nil)
	writtenWaiting = prometheus.NewDesc("leeward_sign_waiting",
		"Signatures that are made and not in etcd yet.", nil, nil)
	writtenFailing = prometheus.NewDesc("leeward_sign_failing",
		"1 if signatures cannot be written to etcd.", nil, nil)
	writtenChunks = prometheus.NewDesc("leeward_sign_chunks_written_total",
		"Chunks of signatures written to etcd.", nil, nil)
	writtenRemoved = prometheus.NewDesc("leeward_sign_chunks_removed_total",
		"Chunks of signatures in etcd that were damaged or forged, and removed.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m writtenMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		writtenZones, writtenAheadFor, writtenAge, writtenWaiting, writtenFailing, writtenChunks, writtenRemoved,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m writtenMetrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	now := m.of.now()
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	s := &m.of.stand
	states := map[string]int{}
	var first time.Time
	for origin, lacks := range s.lacks {
		states[s.state(origin, now)]++
		if first.IsZero() || lacks.Before(first) {
			first = lacks
		}
	}
	for _, state := range []string{writtenAhead, writtenShort, writtenBehind} {
		gauge(writtenZones, float64(states[state]), state)
	}
	if !first.IsZero() {
		gauge(writtenAheadFor, first.Sub(now).Seconds())
	}
	gauge(writtenAge, now.Sub(s.whole).Seconds())
	gauge(writtenWaiting, float64(s.waiting))
	failing := 0.0
	if s.failing != "" {
		failing = 1
	}
	gauge(writtenFailing, failing)
	for d, n := range map[*prometheus.Desc]int64{writtenChunks: s.written, writtenRemoved: s.removed} {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
}

// edgeMetrics are the metrics of a server without keys.
type edgeMetrics struct{ of *edge }

var (
	edgeAge = prometheus.NewDesc("leeward_edge_signatures_age_seconds",
		"Time since the beginning of the day of the oldest signatures in use. Up to a day and an hour all is "+
			"well.", nil, nil)
	edgeRefused = prometheus.NewDesc("leeward_edge_chunks_refused",
		"Chunks of signatures in etcd that are refused: they are damaged, forged or of something else.", nil, nil)
	edgeRefusals = prometheus.NewDesc("leeward_edge_chunks_refused_total",
		"How often a chunk of signatures was refused.", nil, nil)
	edgeUntrusted = prometheus.NewDesc("leeward_edge_keys_refused",
		"Zones whose keys, as handed out in etcd, are refused.", nil, nil)
	edgeWaiting = prometheus.NewDesc("leeward_edge_zones_waiting",
		"Signed zones that stay as they were because signatures of the new configuration have not come.", nil, nil)
	edgeWaits = prometheus.NewDesc("leeward_edge_waiting_seconds",
		"For how long the first of these has waited; 0: none does.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m edgeMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{edgeAge, edgeRefused, edgeRefusals, edgeUntrusted, edgeWaiting, edgeWaits} {
		to <- d
	}
}

// Collect implements prometheus.Collector. If no zone is signed, it leaves out the age of signatures.
func (m edgeMetrics) Collect(to chan<- prometheus.Metric) {
	e, now := m.of, m.of.now()
	gauge := func(d *prometheus.Desc, value float64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	if s := e.inUse(); s != nil {
		var oldest time.Time
		s.Signed(func(_ rr.Name, signer *dnssec.Signer) bool {
			if began := signer.Now().Epoch.Start(); oldest.IsZero() || began.Before(oldest) {
				oldest = began
			}
			return true
		})
		if !oldest.IsZero() {
			gauge(edgeAge, now.Sub(oldest).Seconds())
		}
	}
	e.refusals.Lock()
	refused, refusals := len(e.refused), e.refusing
	e.refusals.Unlock()
	gauge(edgeRefused, float64(refused))
	to <- prometheus.MustNewConstMetric(edgeRefusals, prometheus.CounterValue, float64(refusals))
	untrusted := 0
	e.mu.Lock()
	for _, z := range e.zones {
		if z.bad != "" {
			untrusted++
		}
	}
	e.mu.Unlock()
	gauge(edgeUntrusted, float64(untrusted))
	waiting, since := e.gate.waiting()
	gauge(edgeWaiting, float64(waiting))
	longest := time.Duration(0)
	if waiting > 0 {
		longest = now.Sub(since)
	}
	gauge(edgeWaits, longest.Seconds())
}
