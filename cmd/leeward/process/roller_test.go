//go:build !noembed

package process_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// A KSK reaches the age that the zone sets, and rolls by itself. Two servers wait for each other and for the parent,
// which follows CDS. Both name a server that cannot open the new key, and so holds up the roll.
func TestRollUnattended(t *testing.T) {
	c := newCluster(t)
	secrets := secretFile(t, filepath.Join(t.TempDir(), "secrets"), 1)
	late := secretFile(t, filepath.Join(t.TempDir(), "late"), 2)
	v := vaultOf(t, c, secrets)
	origin := rr.Name("\x07example\x04test\x00")

	parent := newParent(t)
	first := firstKeys(t, v, origin, dnssec.ECDSAP256, true, time.Now().Add(-100*24*time.Hour))
	sa, sb := sealedSettings(t, "a", c, secrets), sealedSettings(t, "b", c, late)
	hup := [2]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
	sa.Reload, sb.Reload = hup[0], hup[1]
	var looked time.Time
	look := func() { // both look soon, not after seconds
		if time.Since(looked) < 100*time.Millisecond {
			return
		}
		looked = time.Now()
		for _, one := range hup {
			select {
			case one <- struct{}{}:
			default:
			}
		}
	}
	zone := strings.NewReplacer("{enabled: true}", "{enabled: true, roll: {ksk: 90d}, parent: ["+parent.address+"]}",
		"name: example.test\n", "name: example.test\nttl: 1s\nsoaTTL: 1s\nnegativeTTL: 1s\n").Replace(signedZone)
	c.putAll(zone)
	a, b := serve(t, sa), serve(t, sb)
	a.awaitSigned("example.test.", dns.TypeCDS, 2)
	parent.follow(a)
	a.await("the roll waits for b", func() string {
		look()
		if got := a.problem(); !strings.Contains(got, "server b does not have the keys") {
			return "the problem is " + got
		}
		return ""
	})
	b.awaitProblem("put the line of that secret back")
	secretFile(t, late, 1, 2)
	all := []string{"step publish", "step sign", "step retire", "step delete", "over since"}
	step := func(name string) { // or a later step
		t.Helper()
		a.await("the step "+name, func() string {
			look()
			h, err := v.Read(t.Context(), origin)
			if err != nil {
				return err.Error()
			}
			for _, later := range all[slices.Index(all, name):] {
				if h.Roll != nil && strings.Contains(h.Roll.String(), later) {
					return ""
				}
			}
			return "it is at " + h.Roll.String()
		})
	}
	step("step sign")
	a.await("the parent is named", func() string {
		look()
		if got := a.problem(); !strings.Contains(got, "the parent does not have the new DS yet") {
			return "the problem is " + got
		}
		return ""
	})
	if got := a.awaitSigned("example.test.", dns.TypeCDS, 4); got != b.awaitSigned("example.test.", dns.TypeCDS, 4) {
		t.Error("two servers ask the parent for something else: " + got)
	}
	b.end() // whoever carries the roll on may go at any time
	sb.Reload = hup[1]
	parent.follow(a)
	b = serve(t, sb)
	for _, name := range all[2:] {
		step(name)
	}
	for _, p := range []*member{a, b} {
		p.awaitProblem("")
		p.awaitSigned("example.test.", dns.TypeDNSKEY, 3) // KSK, ZSK, a signature
	}
	parent.follow(a)
	h, err := v.Read(t.Context(), origin)
	if err != nil {
		t.Fatal(err)
	}
	entry := h.Keys.At(time.Now()).Entry
	var ks int
	for _, k := range first {
		if k.Entry() && k.Key.Place() == entry[0].Place() {
			ks++
		}
	}
	ds := *parent.ds.Load()
	if len(entry) != 1 || ks != 0 || len(ds) != 1 || ds[0].(*dns.DS).KeyTag != entry[0].Tag() {
		t.Errorf("in the end %d keys sign the keys, and the parent has %v", len(entry), ds)
	}
}
