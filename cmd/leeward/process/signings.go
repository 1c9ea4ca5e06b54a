package process

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/admin"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// prepared is the outcome of the last attempts to make the next signatures of zones. The goroutine that makes them
// writes it; the status and metrics read it.
type prepared struct {
	mu     sync.Mutex
	of     map[rr.Name]attempt // attempts that did not make everything
	failed int64               // how many attempts failed
}

// attempt is one that did not make all signatures of an epoch.
type attempt struct {
	missing int
	err     string
}

// note records an attempt. If it made everything, there is nothing left to report.
func (p *prepared) note(origin rr.Name, missing int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if missing == 0 && err == nil {
		delete(p.of, origin)
		return
	}
	if p.of == nil {
		p.of = map[rr.Name]attempt{}
	}
	a := attempt{missing: missing}
	if err != nil {
		a.err = err.Error()
		p.failed++
	}
	p.of[origin] = a
}

func (p *prepared) last(origin rr.Name) attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[origin]
}

func (p *prepared) failures() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// made names a generation of a zone, by its epoch. It is what signatures are counted by.
type made struct {
	origin rr.Name
	epoch  int64
}

// signings describes all zones that have signatures. It returns nil if none has. each, unless it is nil, is called for
// every generation.
func (e *epochs) signings(each func(m made, signatures int64)) *admin.Signing {
	s := e.snapshot.Load()
	if s == nil {
		return nil
	}
	out, now := &admin.Signing{}, e.now()
	s.Signed(func(origin rr.Name, signer *dnssec.Signer) bool {
		at, next := signer.Generations()
		expires := at.Epoch.Expires()
		last := e.prepared.last(origin)
		z := admin.SignedZone{
			Zone: rr.TrimDot(origin.String()), Signer: admin.SignerLeeward, Expires: &expires, Missing: last.missing,
			Error: last.err,
		}
		if signer.Keys().Hand() != nil {
			z.Signer = admin.SignerAway
		}
		for _, g := range []*dnssec.Generation{at, next} {
			if g == nil {
				continue
			}
			z.Signatures += g.Len()
			out.Made += g.Made()
			if each != nil {
				each(made{origin, g.Epoch.Number}, g.Made())
			}
		}
		d, keys := signer.Duty(), signer.Keys().All()
		for i := range keys {
			k := &keys[i]
			z.Keys = append(z.Keys, admin.SignedKey{
				Tag: k.Tag(), Algorithm: k.Algorithm().String(), State: k.State(d, now),
			})
		}
		today := dnssec.EpochAt(origin, now)
		var ended time.Time // when the signatures began that should be in use
		if at.Epoch != today {
			if ended = at.Epoch.Next().Start(); ended.After(now) {
				ended = today.Start() // the clock was ahead when they were made
			}
		}
		z.Judge(now, ended, next != nil && next.IsWhole() && next.Epoch != today && last == attempt{})
		out.Add(z)
		return true
	})
	s.Sealed(func(origin rr.Name, next time.Time, expired int) bool {
		z := admin.SignedZone{Zone: rr.TrimDot(origin.String()), Signer: admin.SignerPrimary}
		if !next.IsZero() {
			z.Expires = &next
		}
		z.Judge(now, time.Time{}, false)
		if expired > 0 {
			z.State = admin.SignedExpired
		}
		out.Add(z)
		return true
	})
	if out.Zones == 0 {
		return nil
	}
	if e.kept != nil {
		out.KeptError = e.kept.trouble()
	}
	out.Order()
	return out
}

// signedMetrics are the metrics of zones that have signatures.
type signedMetrics struct {
	of *epochs

	mu    sync.Mutex
	made  map[made]int64 // as last counted
	total int64
}

var (
	signedZones = prometheus.NewDesc("leeward_dnssec_zones",
		"Zones with signatures, by state: prepared (the next day's are there too), current, late (those of an "+
			"earlier day are in use), near (the first signatures expire soon), expired.",
		[]string{"state"}, nil)
	signedNearest = prometheus.NewDesc("leeward_dnssec_expiry_seconds",
		"Time until the first signature of any zone expires, by signer: leeward (this server), sign "+
			"(leeward sign, elsewhere), primary. Below 0: it has expired.",
		[]string{"signer"}, nil)
	signedExpires = prometheus.NewDesc("leeward_dnssec_zone_expiry_seconds",
		"Time until the first signature of a zone expires, for the 1000 zones where that is soonest.",
		[]string{"zone"}, nil)
	signedKeys = prometheus.NewDesc("leeward_dnssec_keys",
		"Keys of signed zones, by what they do, as leeward key list says it.", []string{"state"}, nil)
	signedHeld = prometheus.NewDesc("leeward_dnssec_signatures", "Signatures in memory.", nil, nil)
	signedMade = prometheus.NewDesc("leeward_dnssec_signatures_made_total",
		"Signatures made by this process, or received and verified.", nil, nil)
	signedMissing = prometheus.NewDesc("leeward_dnssec_signatures_missing",
		"Signatures of the next day that a signer elsewhere has still to make.", nil, nil)
	signedFailed = prometheus.NewDesc("leeward_dnssec_failures_total",
		"Failed attempts to make a zone's signatures of the next day.", nil, nil)
	signedUnkept = prometheus.NewDesc("leeward_dnssec_kept_failing",
		"1 if signatures could not be kept on disk: a restart would make them again.", nil, nil)
)

func (m *signedMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		signedZones, signedNearest, signedExpires, signedKeys, signedHeld, signedMade, signedMissing, signedFailed,
		signedUnkept,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector. It reports no expiry if no zone is signed.
func (m *signedMetrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := map[made]int64{}
	s := m.of.signings(func(of made, n int64) {
		seen[of] = n
		if was := m.made[of]; n >= was {
			m.total += n - was
		} else {
			m.total += n
		}
	})
	m.made = seen
	if s == nil {
		s = &admin.Signing{}
	}
	for _, state := range admin.SignedStates {
		gauge(signedZones, float64(s.States[state]), state)
	}
	for _, state := range dnssec.KeyStates {
		gauge(signedKeys, float64(s.Keys[state]), state)
	}
	now := m.of.now()
	nearest := map[string]float64{}
	for _, z := range s.List {
		if z.Expires == nil {
			continue
		}
		left := z.Expires.Sub(now).Seconds()
		gauge(signedExpires, left, z.Zone)
		if first, known := nearest[z.Signer]; !known || left < first {
			nearest[z.Signer] = left
		}
	}
	for signer, left := range nearest {
		gauge(signedNearest, left, signer)
	}
	gauge(signedHeld, float64(s.Signatures))
	gauge(signedMissing, float64(s.Missing))
	unkept := 0.0
	if s.KeptError != "" {
		unkept = 1
	}
	gauge(signedUnkept, unkept)
	for d, n := range map[*prometheus.Desc]int64{signedMade: m.total, signedFailed: m.of.prepared.failures()} {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
}
