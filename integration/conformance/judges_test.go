//go:build linux

package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// The judges are the tools with which people check a zone before they delegate it: zonemaster-cli, which registries
// run, and dnsviz. Both look at the tree's zones from its root down, at every server and address.

// finding is one message of a judge.
type finding struct{ level, zone, code, text string }

func (f finding) String() string { return fmt.Sprintf("%s %s %s: %s", f.level, f.zone, f.code, f.text) }

// notOurs is what zonemaster-cli says about zones that are as they should be, with the reason. dnsviz says nothing. A
// NOTICE is less than a warning. Notices are listed so that a new one is seen.
var notOurs = map[string]string{
	"ERROR NAMESERVER_IP_PRIVATE_NETWORK": "the yard has addresses of documentation only, so that no packet " +
		"of a test can reach anybody",
	"NOTICE NOT_SIGNED":            "the zones are not signed",
	"NOTICE NEITHER_DNSKEY_NOR_DS": "the zones are not signed",
	"NOTICE REFRESH_MINIMUM_VALUE_LOWER": "refresh is 1 h unless set: a secondary that missed a NOTIFY " +
		"should not be behind for the 4 h that are asked for",
	"NOTICE RETRY_MINIMUM_VALUE_LOWER": "retry is 15 min unless set, for the same reason; 1 h is asked for",
	"NOTICE SOA_DEFAULT_TTL_MAXIMUM_VALUE_LOWER": "negativeTTL is 30 s unless set, so that a name that is new is " +
		"soon seen; 5 min are asked for",
}

// approved is praise of zonemaster-cli, at least one for each of its modules. If a test lacks something, zonemaster-cli
// often leaves it out without a word.
var approved = []string{
	"NAMESERVERS_IP_WITH_REVERSE", "NAMESERVER_IP_PTR_MATCH", // Address
	"HAS_PARENT", "HAS_NAMESERVERS", // Basic
	"IPV4_DIFFERENT_ASN",                                               // Connectivity
	"ONE_SOA_SERIAL", "ONE_NS_SET", "ADDRESSES_MATCH", "ONE_SOA_MNAME", // Consistency
	"ARE_AUTHORITATIVE", "REFERRAL_SIZE_OK", "NAMES_MATCH", // Delegation
	// Nameserver
	"NO_RECURSOR", "EDNS0_SUPPORT", "AXFR_FAILURE", "SAME_SOURCE_IP", "AAAA_WELL_PROCESSED", "CASE_QUERIES_RESULTS_OK",
	"NO_UPWARD_REFERRAL",
	"ONLY_ALLOWED_CHARS", "NAMESERVER_SYNTAX_OK", // Syntax
}

// zonemaster runs all tests of zonemaster-cli on a zone.
func zonemaster(t *testing.T, x *lab.Tree, zone string) (all []finding) {
	t.Helper()
	argv := []string{
		"zonemaster-cli", "--hints", x.Hints, "--level", "INFO", "--show-testcase", "--raw",
		"--no-progress",
	}
	if !x.Yard.IPv6 {
		argv = append(argv, "--no-ipv6")
	}
	begin := time.Now()
	out := lab.Must(t, x.Judge, append(argv, zone)...)
	t.Logf("zonemaster-cli on %s: %v", zone, time.Since(begin).Round(time.Millisecond))
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") { // seconds, level, test case, tag, arguments
		f := strings.Fields(line)
		if len(f) < 4 {
			if len(f) > 0 {
				t.Errorf("zonemaster-cli says what is not understood: %q", line)
			}
			continue
		}
		all = append(all, finding{f[1], zone, f[3], strings.Join(f[4:], " ")})
	}
	return all
}

// dnsviz probes names with dnsviz, with its EDNS compatibility queries, and returns what it criticises, and what each
// zone is by its DS.
func dnsviz(t *testing.T, x *lab.Tree, names ...string) (all []finding, zones map[string]string) {
	t.Helper()
	probed := filepath.Join(t.TempDir(), "probe.json")
	argv := []string{"dnsviz", "probe", "-A", "-E", "-a", ".", "-x", ".:a.root=" + lab.TreeRoot, "-o", probed}
	if !x.Yard.IPv6 {
		argv = append(argv, "-4")
	}
	begin := time.Now()
	lab.Must(t, x.Judge, append(argv, names...)...)
	out := lab.Must(t, nil, "dnsviz", "grok", "-l", "info", "-r", probed)
	t.Logf("dnsviz on %d names: %v", len(names), time.Since(begin).Round(time.Millisecond))
	var tree map[string]any
	if err := json.Unmarshal([]byte(out), &tree); err != nil {
		t.Fatalf("dnsviz grok: %v\n%s", err, out)
	}
	var walk func(path []string, v any)
	walk = func(path []string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				list, ok := v[k].([]any)
				if !ok || k != "errors" && k != "warnings" {
					walk(append(path, k), v[k])
					continue
				}
				for _, e := range list {
					m, _ := e.(map[string]any)
					all = append(all, finding{
						k, strings.Join(path, " "), fmt.Sprint(m["code"]),
						fmt.Sprint(m["description"]),
					})
				}
			}
		case []any:
			for _, e := range v {
				walk(path, e)
			}
		}
	}
	walk(nil, tree)
	zones = map[string]string{}
	for name, v := range tree {
		if of, _ := v.(map[string]any)["delegation"].(map[string]any); of != nil {
			zones[strings.TrimSuffix(name, ".")] = fmt.Sprint(of["status"])
		}
	}
	for _, n := range names { // silence about nothing is worth nothing
		if tree[n+"."] == nil {
			t.Errorf("dnsviz has not looked at %s:\n%s", n, out)
		}
	}
	return all, zones
}

// brokenZone is a zone on Leeward whose delegation has every usual mistake.
const brokenZone = `---
kind: Zone
name: broken.test
nameservers: [ns1.broken.test, ns2.broken.test]
hostmaster: hostmaster@example.test
---
{kind: Record, name: broken.test/ns1/A, data: [192.0.2.53]}
---
{kind: Record, name: broken.test/ns2/A, data: [198.51.100.53]}
`

const brokenDelegation = `
broken.test. 3600 NS ns1.broken.test.
broken.test. 3600 NS ns9.broken.test.
ns1.broken.test. 3600 A 203.0.113.53
ns9.broken.test. 3600 A 192.0.2.3
`

// found fails the test for each code that a judge should have found and did not.
func found(t *testing.T, judge string, all []finding, codes ...string) {
	t.Helper()
	for _, code := range codes {
		if !slices.ContainsFunc(all, func(f finding) bool { return f.level+" "+f.code == code }) {
			t.Errorf("%s has not found %s, but %v", judge, code, all)
		}
	}
}

// excusesOf is notOurs, and whatever is due to this machine.
func excusesOf(x *lab.Tree) map[string]string {
	excused := maps.Clone(notOurs)
	if !x.Yard.IPv6 {
		excused["NOTICE NO_IPV6_NS_CHILD"] = "this machine has no IPv6"
		excused["NOTICE NO_IPV6_NS_DEL"] = "this machine has no IPv6"
	}
	return excused
}

// passes lets zonemaster-cli check a zone. It must report all that is excused and nothing else, and all praise.
func passes(t *testing.T, x *lab.Tree, zone string, excused map[string]string, praise []string) {
	t.Helper()
	said := map[string]bool{}
	for _, f := range zonemaster(t, x, zone) {
		said[f.level+" "+f.code] = true
		if f.level != "INFO" && excused[f.level+" "+f.code] == "" {
			t.Error(f)
		}
	}
	for _, k := range praise {
		if !said["INFO "+k] {
			t.Errorf("zonemaster-cli does not say %s: a test of its has not run, or has not come to an end", k)
		}
	}
	for k := range excused { // or the table would excuse what nobody reports any more
		if !said[k] {
			t.Errorf("zonemaster-cli no longer says %s: take it out of the table", k)
		}
	}
}

// TestJudges: nothing that the judges report about zones on Leeward is Leeward's fault. They do find mistakes if there
// are some.
func TestJudges(t *testing.T) {
	lab.NeedRoot(t)
	lab.Need(t, "zonemaster-cli", "dnsviz")
	x := lab.NewTree(t, brokenZone, brokenDelegation)
	excused := excusesOf(x)
	for _, zone := range []string{"example.test", "kid.example.test", "hoster.test"} {
		t.Run("zonemaster "+zone, func(t *testing.T) { passes(t, x, zone, excused, approved) })
	}

	t.Run("dnsviz", func(t *testing.T) {
		all, _ := dnsviz(t, x,
			"example.test", "kid.example.test", "child.example.test", "hoster.test", // zones
			"www.example.test", "x.apps.example.test", // steered, by a name and by a wildcard
			"x.wild.example.test", "mail.example.test", "alias.example.test", "x.old.example.test",
			"_sip._tcp.example.test",
			"svc.example.test",
			"b.ent.example.test", "nothing.example.test", "www.kid.example.test", "www.child.example.test")
		for _, f := range all {
			t.Error(f)
		}
	})

	// From here on something is wrong, and each of the judges must say so.
	t.Run("a delegation that is wrong", func(t *testing.T) {
		found(t, "zonemaster-cli", zonemaster(t, x, "broken.test"),
			"ERROR IN_BAILIWICK_ADDR_MISMATCH", // the glue is not what the zone has
			"ERROR EXTRA_NAME_PARENT",          // ns9 is not in the zone
			"ERROR CAN_NOT_BE_RESOLVED",
			"ERROR NOT_ENOUGH_IPV4_NS_DEL")
		all, _ := dnsviz(t, x, "broken.test")
		found(t, "dnsviz", all,
			"warnings GLUE_MISMATCH",
			"warnings NS_NAME_NOT_IN_CHILD", "warnings NS_NAME_NOT_IN_PARENT",
			"errors NO_ADDRESS_FOR_NS_NAME",
			"errors SERVER_INVALID_RESPONSE_UDP") // ns9 is lame
	})

	t.Run("a server that has no TCP", func(t *testing.T) {
		lab.Must(t, x.Servers[1].Host, "nft",
			"add table inet closed; add chain inet closed in { type filter hook input priority 0; }; add rule inet "+
				"closed in tcp dport 53 reject with tcp reset")
		found(t, "zonemaster-cli", zonemaster(t, x, "example.test"), "WARNING CN02_NO_RESPONSE_TCP")
		all, _ := dnsviz(t, x, "example.test")
		found(t, "dnsviz", all, "errors SERVER_UNRESPONSIVE_TCP")
	})
}

// wrongZone is not signed, but its parent says that it is. Its NS at a wildcard cannot be signed.
const wrongZone = `---
{kind: Zone, name: wrong.test, nameservers: [ns1.example.test, ns3.hoster.test], hostmaster: hostmaster@example.test}
---
{kind: Record, name: example.test/*.cuts/NS, data: [ns1.example.test.]}
---
{kind: Record, name: hashed.test/*.cuts/NS, data: [ns1.example.test.]}
`

const wrongDelegation = `
wrong.test. 3600 NS ns1.example.test.
wrong.test. 3600 NS ns3.hoster.test.
wrong.test. 3600 DS 4711 13 2 abababababababababababababababababababababababababababababababab
`

// TestJudgesSigned: the same holds for signed zones, while all is up and while a region is down. The judges notice a
// broken chain.
func TestJudgesSigned(t *testing.T) {
	lab.NeedRoot(t)
	lab.Need(t, "zonemaster-cli", "dnsviz")
	x := lab.NewSignedTree(t, wrongZone, wrongDelegation)
	excused := excusesOf(x)
	for k, why := range excused {
		if why == "the zones are not signed" {
			delete(excused, k)
		}
	}
	praise := func(zone string) []string {
		denial := "DS10_HAS_NSEC"
		if zone == "kid.example.test" || zone == "hashed.test" {
			denial = "DS10_HAS_NSEC3"
		}
		return append(slices.Clone(approved), "ALGORITHM_OK", "RRSIG_EXPIRATION", "DS15_HAS_CDS_AND_CDNSKEY", denial)
	}
	// A host that validates gets this from `leeward key check`, which also walks from the root.
	walk := func(t *testing.T, zone string, code int, says string) {
		t.Helper()
		argv := []string{lab.Binary, "key", "check", zone, "--root", lab.TreeRoot, "--anchor", x.Anchor}
		o := lab.Command(t, x.Judge, "", argv...)
		if o.Code != code || !strings.Contains(strings.Join(strings.Fields(o.Stdout), " "), says) {
			t.Errorf("%v, and not %d with %q", o, code, says)
		}
	}
	steered := []string{
		"example.test", "www.example.test", "x.apps.example.test",
		"hashed.test", "www.hashed.test", "x.apps.hashed.test",
	}
	judge := func(t *testing.T, zones []string, names ...string) {
		for _, zone := range zones {
			t.Run("zonemaster "+zone, func(t *testing.T) {
				t.Parallel()
				passes(t, x, zone, excused, praise(zone))
			})
		}
		t.Run("dnsviz", func(t *testing.T) {
			t.Parallel()
			all, states := dnsviz(t, x, append(names, steered...)...)
			for _, f := range all {
				t.Error(f)
			}
			for zone, state := range states {
				want := "SECURE"
				if zone == "child.example.test" || zone == "open.hashed.test" {
					want = "INSECURE"
				}
				if state != want {
					t.Errorf("dnsviz says that %s is %s, and not %s", zone, state, want)
				}
			}
			if len(states) < len(zones)+1 { // and test.
				t.Errorf("dnsviz knows of these zones only: %v", states)
			}
		})
	}
	var all []string
	for _, z := range lab.SignedZones {
		all = append(all, z.Name)
	}

	t.Run("all up", func(t *testing.T) {
		judge(t, all, "kid.example.test", "hoster.test", "child.example.test", "open.hashed.test",
			"x.wild.example.test", "mail.example.test", "alias.example.test", "x.old.example.test",
			"_sip._tcp.example.test", "svc.example.test", "b.ent.example.test", "nothing.example.test",
			"www.kid.example.test", "www.child.example.test", "x.wild.hashed.test", "b.ent.hashed.test",
			"nothing.hashed.test", "alias.hashed.test", "www.open.hashed.test",
			"x.cuts.example.test", "x.cuts.hashed.test", // of NS at a wildcard, which are left out
			"_dsboot.hashed.test._signal.ns1.example.test", "_dsboot.hashed.test._signal.ns3.hoster.test")
		t.Run("key check", func(t *testing.T) {
			for _, zone := range all {
				walk(t, zone, 0, "All is well")
			}
			walk(t, "child.example.test", 1, "Insecure: the chain of trust ends at child.example.test.")
			walk(t, "open.hashed.test", 1, "Insecure: the chain of trust ends at open.hashed.test.")
		})
		t.Run("a chain that is broken", func(t *testing.T) {
			t.Parallel()
			walk(t, "wrong.test", 1, "Bogus at wrong.test:")
			found(t, "zonemaster-cli", zonemaster(t, x, "wrong.test"), "ERROR DS11_DS_BUT_UNSIGNED_ZONE")
			if _, states := dnsviz(t, x, "wrong.test"); states["wrong.test"] != "BOGUS" {
				t.Errorf("dnsviz says %v", states)
			}
		})
	})
	t.Run("a region down", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "down.yaml")
		lab.Write(t, file, "kind: Override\nname: region/here\nstate: down\n")
		lab.Must(t, x.Judge, lab.Binary, "apply", "--etcd", x.Etcd.Client, "-f", file)
		for _, s := range x.Servers {
			for _, zone := range []string{"example.test", "hashed.test"} {
				q := lab.Question{Name: zone, Qtype: dns.TypeA}
				lab.Until(t, 20*time.Second, fmt.Sprintf("%v at %s is of the other region", q, s.Name), func() error {
					m, err := lab.Ask(x.Judge, s.DNS, q)
					if err == nil && !slices.Equal(lab.RDATA(m), []string{"198.51.100.80"}) {
						err = fmt.Errorf("%v", m)
					}
					return err
				})
			}
		}
		judge(t, []string{"example.test", "hashed.test"})
	})
}
