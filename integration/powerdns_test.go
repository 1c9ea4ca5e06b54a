//go:build linux

package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// zoneOf returns all records of a zone by AXFR, sorted, without its SOA and what drop says.
func zoneOf(server, zone string, drop func(dns.RR) bool) ([]string, error) {
	messages, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr(dns.Fqdn(zone)), server)
	if err != nil {
		return nil, err
	}
	var all []string
	for m := range messages {
		if m.Error != nil {
			return nil, m.Error
		}
		for _, r := range m.RR {
			if r.Header().Rrtype != dns.TypeSOA && !drop(r) {
				all = append(all, strings.ToLower(r.Header().String())+strings.TrimPrefix(r.String(), r.Header().String()))
			}
		}
	}
	slices.Sort(all)
	return all, nil
}

// TestPowerDNSPrimary: zones of PowerDNS with a policy laid over, as it is and replaced whole: all
// is equal to the primary's but what is laid over, here and at a second secondary behind.
func TestPowerDNSPrimary(t *testing.T) {
	need(t, "pdns_server")
	const zone = "pdns.test"
	dir := t.TempDir()
	port := loopbackPort(t)
	primary := fmt.Sprintf("127.0.0.1:%d", port)
	file := filepath.Join(dir, "zone")
	write(t, filepath.Join(dir, "named.conf"), fmt.Sprintf("zone %q { type master; file %q; };\n", zone, file))
	if err := os.Mkdir(filepath.Join(dir, "sockets"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "pdns.conf"), fmt.Sprintf(`launch=bind
bind-config=%[1]s/named.conf
bind-check-interval=1
local-address=127.0.0.1
local-port=%[2]d
allow-axfr-ips=127.0.0.1
socket-dir=%[1]s/sockets
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
master=yes
daemon=no
guardian=no
`, dir, port))
	write(t, file, master(zone, 1, 100, ""))
	start(t, nil, "pdns", "pdns_server", "--config-dir="+dir)
	until(t, 60*time.Second, "PowerDNS serves the zone", func() error {
		r, err := ask(nil, primary, question{name: zone, qtype: dns.TypeSOA})
		if err == nil && len(r.Answer) == 0 {
			err = fmt.Errorf("%v", r)
		}
		return err
	})
	next := newServer(t, "next")
	follow := func(from, more string) map[string]string {
		return map[string]string{"all.yaml": fmt.Sprintf(
			"---\nkind: Zone\nname: %s\ntransfer: {primaries: [%q], allow: [127.0.0.1]%s}\n", zone, from, more)}
	}
	files := follow(primary, fmt.Sprintf(", notify: [%q]", next.dns))
	files["all.yaml"] = eu + files["all.yaml"] + fmt.Sprintf("---\n{kind: Policy, name: www.%s, rules: [{failover: [eu]}]}\n", zone)
	s := newServer(t, "first", "--files", folder(t, files))
	s.start(t)
	s.ready(t)
	next.argv = append(next.argv, "--files", folder(t, follow(s.dns, "")))
	next.start(t)
	next.ready(t)

	laid := func(r dns.RR) bool {
		typ := r.Header().Rrtype
		return strings.EqualFold(r.Header().Name, "www."+zone+".") && (typ == dns.TypeA || typ == dns.TypeAAAA || typ == dns.TypeCNAME)
	}
	for i, c := range []struct{ what, text string }{
		{"the zone as it is", master(zone, 1, 100, "")},
		{"replaced whole", master(zone, 2, 0, "one TXT \"1\"\ntwo.below TXT \"2\"\n")},
	} {
		if i > 0 {
			write(t, file, c.text)
			m := new(dns.Msg).SetNotify(zone + ".")
			until(t, 30*time.Second, c.what+": PowerDNS has it", func() error {
				r, err := ask(nil, primary, question{name: zone, qtype: dns.TypeSOA})
				if err != nil {
					return err
				}
				if len(r.Answer) != 1 || int(r.Answer[0].(*dns.SOA).Serial) != i+1 {
					return fmt.Errorf("%v", r)
				}
				return nil
			})
			if _, err := dns.Exchange(m, s.dns); err != nil {
				t.Fatal(err)
			}
		}
		for _, server := range []string{s.dns, next.dns} {
			until(t, 60*time.Second, c.what+" is equal at "+server, func() error {
				want, err := zoneOf(primary, zone, laid)
				if err != nil {
					return err
				}
				got, err := zoneOf(server, zone, laid)
				if err != nil {
					return err
				}
				if d := cmp.Diff(want, got); d != "" {
					return fmt.Errorf("(-primary +here)\n%s", d)
				}
				r, err := ask(nil, server, question{name: "www." + zone, qtype: dns.TypeA})
				if host, _, _ := net.SplitHostPort(server); err == nil && !slices.Equal(rdata(r), []string{"198.51.100.10"}) {
					err = fmt.Errorf("at %s: %v", host, r)
				}
				return err
			})
		}
	}
}
