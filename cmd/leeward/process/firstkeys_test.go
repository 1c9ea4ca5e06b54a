//go:build !noembed

package process_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/cmd/leeward/process"
)

// signs asks for a zone's keys, and reports whether they come with a signature.
func (p *member) signs(zone string) (signed bool, answer string) {
	p.t.Helper()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(zone), dns.TypeDNSKEY)
	m.SetEdns0(1232, true)
	r, err := dns.Exchange(m, p.DNS[0].String())
	if err != nil {
		return false, err.Error()
	}
	for _, x := range r.Answer {
		_, is := x.(*dns.RRSIG)
		signed = signed || is
	}
	return signed, r.String()
}

// awaitReady waits until /readyz says that the server is ready.
func (p *member) awaitReady() {
	p.t.Helper()
	p.await("it is ready", func() string {
		r, err := http.Get("http://" + p.Admin + "/readyz")
		if err != nil {
			return err.Error()
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			return r.Status
		}
		return ""
	})
}

// freshZones are settings of a server with signed zones that have no keys yet.
func freshZones(t *testing.T) (s process.Settings, zones []string) {
	t.Helper()
	var text strings.Builder
	for i := range 12 {
		zones = append(zones, fmt.Sprintf("z%d.test", i))
		fmt.Fprintf(&text, "---\n{kind: Zone, name: %s, nameservers: [ns1.example.net], dnssec: {enabled: true}}\n",
			zones[i])
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "zones.yaml"), []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return process.Settings{
		ID: "a", Region: "eu-west", Listen: []string{"127.0.0.1:0"}, Files: dir, State: t.TempDir(),
	}, zones
}

// TestFirstAnswerIsSigned: a server makes keys for zones without any before it answers the first query, and before it
// says that it is ready.
func TestFirstAnswerIsSigned(t *testing.T) {
	t.Run("answering", func(t *testing.T) {
		s, zones := freshZones(t)
		p := serve(t, s)
		for _, zone := range []string{zones[len(zones)-1], zones[0]} {
			signed, got := p.signs(zone)
			if strings.Contains(p.log.String(), "answering although keys") {
				t.Skip("the machine is too busy: keys were not made within the wait")
			}
			if !signed {
				t.Fatalf("the first answer of %s is not signed:\n%s", zone, got)
			}
		}
	})
	t.Run("ready", func(t *testing.T) {
		s, zones := freshZones(t)
		began := time.Now()
		p := serve(t, s)
		p.awaitReady()
		if time.Since(began) > 10*time.Second {
			t.Skip("the machine is too busy: a server is ready after ten seconds, whatever its disk does")
		}
		for _, zone := range zones {
			if signed, got := p.signs(zone); !signed {
				t.Fatalf("it is ready, and %s is not signed:\n%s", zone, got)
			}
		}
	})
}

// TestNoKeyHoldsNothingUp: if no key can be made, the zones are answered unsigned, with a problem, and the server is
// ready.
func TestNoKeyHoldsNothingUp(t *testing.T) {
	for says, keys := range map[string]string{
		"none can be made":                  "/proc/self/keys", // nobody can make a file there
		"this server has no folder of keys": "",
	} {
		s, zones := freshZones(t)
		s.State, s.Keys = "", keys
		p := serve(t, s)
		p.awaitReady()
		if signed, got := p.signs(zones[0]); signed || !strings.Contains(got, "NOERROR") {
			t.Errorf("%s: the answer is\n%s", says, got)
		}
		p.awaitSaid(says, true)
		p.end()
	}
}
