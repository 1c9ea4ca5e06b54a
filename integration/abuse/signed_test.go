//go:build linux

package abuse

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// signedSiege is zones signed with NSEC and with NSEC3, and an unsigned one with the same content.
func signedSiege() string {
	var b strings.Builder
	b.WriteString(siegeZone + "---\n{kind: Region, name: here}\n---\n{kind: Pool, name: p, region: here}\n")
	for i := range 4 {
		fmt.Fprintf(&b, "---\n{kind: Endpoint, name: p/e%d, addresses: [192.0.2.%d, \"2001:db8::%d\"]}\n", i, i+1, i+1)
	}
	for origin, settings := range map[string]string{
		"nsec.test": "{enabled: true}", "nsec3.test": "{enabled: true, nsec3: true}", "plain.test": "{enabled: false}",
	} {
		fmt.Fprintf(&b, "---\n{kind: Zone, name: %s, nameservers: [ns1.example.test], dnssec: %s}\n", origin, settings)
		for _, record := range []string{
			"www/A 192.0.2.80", "a.b.c/TXT x", "*.wild/A 192.0.2.81", "d/DNAME wild", "cut/NS ns1.example.test.",
			"alias/CNAME www",
		} {
			name, data, _ := strings.Cut(record, " ")
			fmt.Fprintf(&b, "---\n{kind: Record, name: \"%s/%s\", data: ['%s']}\n", origin, name, data)
		}
		for _, policy := range []string{
			"steered.%s, answers: 2", "\"*.pol.%s\", answers: 2", "quiet.%s, whenAllDown: nodata",
		} {
			fmt.Fprintf(&b, "---\n{kind: Policy, name: "+policy+", rules: [{failover: [p]}]}\n", origin)
		}
		for i := range 500 {
			fmt.Fprintf(&b, "---\n{kind: Record, name: %s/n%d/A, data: [192.0.2.7]}\n", origin, i)
		}
	}
	return b.String()
}

// randomQuestions are kinds of floods. Each question has another name, and some have other types.
var randomQuestions = []struct {
	what, format string
	types        []uint16
}{
	{"names that are not there", "%s.$", []uint16{dns.TypeA}},
	{"names below a wildcard", "%s.wild.$", []uint16{dns.TypeA, dns.TypeMX}},
	{"names below a wildcard with a policy", "%s.pol.$", []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT}},
	{"names below a DNAME", "%s.d.$", []uint16{dns.TypeA}},
	{"names below a cut", "%s.cut.$", []uint16{dns.TypeA}},
	{"names deep below others", "%s.x.%[1]s.a.b.c.$", []uint16{dns.TypeA}},
	{"what signing makes", "%s.pol.$", []uint16{dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeANY}},
	{"random types", "n1.$", nil},
	{"random types of a policy", "steered.$", nil},
}

// TestAbuseOfSignedZones floods signed zones with questions that set DO, all different. No signature is made for any of
// them, and others are answered.
func TestAbuseOfSignedZones(t *testing.T) {
	x := newSiegeOf(t, signedSiege(), "--keys", filepath.Join(t.TempDir(), "keys"))
	x.honestly(t)
	made := func() float64 { return x.server.Metric(t, "leeward_dnssec_signatures_made_total", "") }
	settled := 0.0
	lab.Until(t, time.Minute, "all that can be answered is signed", func() error {
		had := made()
		time.Sleep(2 * time.Second)
		if settled = made(); settled != had || settled < 2000 {
			return fmt.Errorf("%v signatures were made, %v two seconds ago", settled, had)
		}
		return nil
	})
	random := rand.New(rand.NewPCG(7, 7))
	question := func(origin string, k int, do bool) []byte {
		kind := randomQuestions[k]
		typ := uint16(1 + random.Uint32N(60000))
		if kind.types != nil {
			typ = kind.types[random.IntN(len(kind.types))]
		}
		for kind.types == nil && (typ == dns.TypeOPT || typ >= dns.TypeTKEY && typ <= dns.TypeANY) {
			typ++ // these are no questions
		}
		name := kind.format
		if strings.Contains(name, "%") {
			name = fmt.Sprintf(name, strconv.FormatUint(random.Uint64(), 36))
		}
		m := lab.Question{Name: strings.Replace(name, "$", origin, 1), Qtype: typ}.Message()
		if do {
			m.IsEdns0().SetDo()
		}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	each := func(origin string, do bool) func() []byte {
		return func() []byte { return question(origin, random.IntN(len(randomQuestions)), do) }
	}
	floods := []struct {
		name    string
		from    func() [4]byte
		message func() []byte
	}{
		{"without DO, from everywhere", everywhere, each("plain.test", false)},
		{"NSEC, from everywhere", everywhere, each("nsec.test", true)},
		{"NSEC3, from everywhere", everywhere, each("nsec3.test", true)},
		{"NSEC, from one /24", victim, each("nsec.test", true)},
		{"NSEC3, from one /24", victim, each("nsec3.test", true)},
	}
	if *abuse {
		for k, kind := range randomQuestions {
			for _, origin := range []string{"plain.test", "nsec.test", "nsec3.test"} {
				floods = append(floods, struct {
					name    string
					from    func() [4]byte
					message func() []byte
				}{kind.what + " in " + origin, everywhere, func() []byte {
					return question(origin, k, origin != "plain.test")
				}})
			}
		}
	}
	for _, flood := range floods {
		t.Run(flood.name, func(t *testing.T) {
			f := x.forger(t)
			others := x.bystander(t)
			queries, used := x.server.Metric(t, "leeward_dns_queries_total", ""), lab.CPU(t, x.server.Process)
			sent, took := f.flood(t, flood.from, flood.message)
			others.check(t, flood.name)
			n := x.server.Metric(t, "leeward_dns_queries_total", "") - queries
			asked := len(others.took["udp"])
			t.Logf("| %s | %.0f/s sent | %.0f/s answered or limited | %.2f µs of processor time each | goodput of "+
				"others %.2f %% |", flood.name, float64(sent)/took, n/took,
				float64(lab.CPU(t, x.server.Process)-used)/n/1e3,
				100*(1-float64(others.again["udp"])/float64(asked+others.again["udp"])))
			if n < 1000 {
				t.Errorf("only %v queries have come", n)
			}
			if now := made(); now != settled {
				t.Errorf("%v signatures were made for them", now-settled)
				settled = now
			}
		})
	}
}
