package process

import (
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/admin"
)

// renewals knows about the files that somebody must renew: when certificates expire, and what could not be read when it
// changed. The log says such things once, and nobody may have looked.
type renewals struct {
	mu sync.Mutex
	of map[credentialUse]renewal
}

// credentialUse is what a credential is for: how metrics name it, and the flag that names its file.
type credentialUse struct{ name, flag string }

var (
	useAdmin = credentialUse{"admin", "--admin-tls-cert"}
	useToken = credentialUse{"admin-token", "--admin-token-file"}
	useEtcd  = credentialUse{"etcd", "--etcd-cert"}
	useProbe = credentialUse{"probe", "--probe-cert"}
	useTSIG  = credentialUse{"tsig", "--tsig-key"}
)

// renewal is how one of them stands.
type renewal struct {
	from, until time.Time // of the certificate in use; zero: it is none
	fault       string    // why what is on disk is not in use; "": it is
}

// read notes that files have been read, or why they could not be. pair is nil if they have no certificate.
func (r *renewals) read(use credentialUse, pair *tls.Certificate, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.of[use]
	switch {
	case err != nil:
		now.fault = err.Error()
	case pair != nil:
		now = renewal{from: pair.Leaf.NotBefore, until: pair.Leaf.NotAfter}
	default:
		now = renewal{}
	}
	if r.of == nil {
		r.of = map[credentialUse]renewal{}
	}
	r.of[use] = now
}

// mostNear is how long before its end a certificate is told of: two weeks, or a third of its time if that is less, as
// programs that renew certificates do so before.
const mostNear = 14 * 24 * time.Hour

// says returns what is wrong; "": nothing.
func (r renewal) says(now time.Time) string {
	var all []string
	if r.fault != "" {
		all = append(all, "the newest version cannot be used: "+r.fault)
	}
	if near := min(mostNear, r.until.Sub(r.from)/3); r.until.IsZero() {
	} else if why := outdated(r.from, r.until, now); why != "" {
		all = append(all, "the certificate: "+why)
	} else if r.until.Sub(now) < near {
		all = append(all, "the certificate expires at "+r.until.UTC().Format(time.RFC3339)+
			"; put a new one in its place, which is read within seconds")
	}
	return strings.Join(all, "; ")
}

// all calls f with each of them, in the order of their names.
func (r *renewals) all(f func(credentialUse, renewal)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, use := range slices.SortedFunc(maps.Keys(r.of), func(a, b credentialUse) int {
		return strings.Compare(a.name, b.name)
	}) {
		f(use, r.of[use])
	}
}

// problems returns a problem of this server for each that needs somebody.
func (r *renewals) problems(resource string, now time.Time) (ps []admin.Problem) {
	r.all(func(use credentialUse, x renewal) {
		if text := x.says(now); text != "" {
			p := admin.Problem{
				Resource: resource, Field: use.flag, InService: admin.InServiceNewest, Message: text,
			}
			if x.fault != "" {
				p.InService = admin.InServiceOlder
			}
			ps = append(ps, p)
		}
	})
	return ps
}

var (
	certificateExpiry = prometheus.NewDesc("leeward_certificate_expiry_seconds",
		"Time until the certificate that this server presents expires; negative: it has.", []string{"use"}, nil)
	credentialFailing = prometheus.NewDesc("leeward_credential_failing",
		"1 if a credential must be renewed soon, or its newest file cannot be used.", []string{"use"}, nil)
)

// Describe implements prometheus.Collector.
func (r *renewals) Describe(to chan<- *prometheus.Desc) {
	to <- certificateExpiry
	to <- credentialFailing
}

// Collect implements prometheus.Collector.
func (r *renewals) Collect(to chan<- prometheus.Metric) {
	now := time.Now()
	r.all(func(use credentialUse, x renewal) {
		failing := 0.0
		if x.says(now) != "" {
			failing = 1
		}
		to <- prometheus.MustNewConstMetric(credentialFailing, prometheus.GaugeValue, failing, use.name)
		if !x.until.IsZero() {
			left := x.until.Sub(now).Seconds()
			to <- prometheus.MustNewConstMetric(certificateExpiry, prometheus.GaugeValue, left, use.name)
		}
	})
}

// outdated says why nobody will trust a certificate now; "": its time has come and has not passed.
func outdated(from, until, now time.Time) string {
	switch {
	case now.Before(from):
		return "nobody trusts it before " + from.UTC().Format(time.RFC3339)
	case now.After(until):
		return "it expired at " + until.UTC().Format(time.RFC3339) + "; put a new one in its place"
	}
	return ""
}

// presented notes that a certificate has been read, or why it could not be, and warns of one that nobody trusts now. It
// is used even so: a clock may be wrong, and it is the newest.
func (r *run) presented(use credentialUse, what, file string, pair *tls.Certificate, err error) {
	r.renewals.read(use, pair, err)
	if err != nil {
		return
	}
	if why := outdated(pair.Leaf.NotBefore, pair.Leaf.NotAfter, time.Now()); why != "" {
		r.Log.Warn(what+": the certificate is out of its time", "file", file, "why", why)
	}
}

// readEtcdCertificate looks at the certificate that the next connection to etcd will present.
func (r *run) readEtcdCertificate() {
	files := r.Etcd.TLS
	pair, err := ReadPair(files.Cert, files.Key)
	if err != nil {
		err = fmt.Errorf("%s, %s: %w", files.Cert, files.Key, err)
	}
	r.presented(useEtcd, "etcd", files.Cert, &pair, err)
}
