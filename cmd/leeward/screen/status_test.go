package screen_test

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"leeward/cmd/leeward/screen"
	"leeward/server/admin"
	"leeward/zones/steer"
)

func TestPrintStatus(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	since, held := now.Add(-3*time.Second), now.Add(10*time.Second)
	s := &admin.Status{
		Time: now, Self: "fra",
		Servers: []admin.Server{
			{
				ID: "fra", Region: "eu-west", Version: "v1", Fresh: true, Revision: 7, SnapshotAgeSeconds: 0.3,
				Listen: []string{"127.0.0.1:5300"}, Admin: "127.0.0.1:8053", Source: admin.Source{State: "following"},
			},
			{
				ID: "nyc", Region: "us-east", Version: "v1", Revision: 6, CopyError: "disk full", Problems: 1,
				Source: admin.Source{State: "cut off", Since: now.Add(-time.Minute), Error: "no leader"},
			},
		},
		Vantages: []admin.Vantage{
			{ID: "fra", Server: true, Fresh: true},
			{ID: "sin", Region: "ap-south", Fresh: true, Blind: true, Reports: 4, AgeSeconds: 1},
		},
		Regions: []admin.Region{{Region: "eu-west", Available: 1, Pools: 1, Healthy: 1, Endpoints: 2}},
		Pools: []admin.Pool{{
			Pool: "www-eu", Region: "eu-west", Monitor: "web", Healthy: 1, Total: 2,
			IPv4: steer.FamilyStatus{Available: true, Healthy: 1, Total: 2},
			IPv6: steer.FamilyStatus{Total: 1, Why: "no healthy endpoint"},
		}},
		Overrides: []admin.Override{{Target: "pool/www-us", State: "drain", Reason: "bad\x1b[31m text"}},
		Endpoints: []admin.Endpoint{{Endpoint: "www-eu/lb-1", Weight: 100, Monitor: "web", Addresses: []admin.Address{{
			Address: netip.MustParseAddr("192.0.2.10"), Verdict: "down", Since: &since,
			Chosen: []string{"fra", "nyc", "sin"},
			Votes: []admin.Vote{
				{Vantage: "fra", State: "down", Fresh: true, Counted: true, Reason: "connection refused"},
				{Vantage: "nyc", State: "up", AgeSeconds: 12},
				{Vantage: "tyo", State: "up", Fresh: true},
				{Vantage: "zrh", State: "down", Fresh: true, Counted: true, Reason: "up again, held", Held: &held},
			},
		}}}},
		Watches: []admin.Watch{{Watch: "reports", LagSeconds: 0.8}, {Watch: "resources", LagSeconds: 75}},
		Failover: []admin.Phase{
			{Phase: "detect", To: "down", Count: 3, LastSeconds: 2.8153, MeanSeconds: 2.5, WorstSeconds: 12.2},
			{Phase: "publish", To: "down", Count: 3, LastSeconds: .00042, MeanSeconds: .0123, WorstSeconds: .25},
		},
		StaleVotes: 4,
		Problems: []admin.Problem{{
			Resource: "policies/www.example.test", Field: "rules[0]", InService: admin.InServiceOlder,
			Message: "no pool \"x\"",
		}},
	}
	var b strings.Builder
	if err := screen.Wide(&b, s, false); err != nil {
		t.Fatal(err)
	}
	want := `SERVER  REGION   REVISION  SOURCE           SNAPSHOT                PROBLEMS  HELD  LISTEN          ADMIN           VERSION
fra *   eu-west  7         following        0.3s                    0         0     127.0.0.1:5300  127.0.0.1:8053  v1
nyc     us-east  6         cut off for 60s  not heard of, not kept  1         0                                     v1

Servers that cannot do all they should
nyc  no leader
nyc  the copy on disk is not kept: disk full

WATCH ON   LAG   STALE VOTES  STALE VERDICTS  UNWATCHED
reports    0.8s  4            0               0
resources  75s

VANTAGE  REGION    STATE            REPORTS  MOVED
sin      ap-south  blind, abstains  4        1.0s ago

REGION   POOLS  ENDPOINTS UP  OVERRIDE
eu-west  1/1    1/2

POOL    REGION   A    AAAA  UP   MONITOR  OVERRIDE  WHY
www-eu  eu-west  yes  out   1/2  web                AAAA: no healthy endpoint

ENDPOINT     WEIGHT  ADDRESS     VERDICT  FOR   VOTES
www-eu/lb-1  100     192.0.2.10  down     3.0s  fra down (connection refused),  nyc up [stale 12s],  tyo up [beside the chosen],  zrh down (up again, held until 12:00:10)  nothing yet from sin

FAILOVER  TO    ADDRESSES  LAST    MEAN    WORST
detect    down  3          2.815s  2.500s  12s
publish   down  3          420µs   12.3ms  250ms

OVERRIDE     STATE  LEFT            REASON
pool/www-us  drain  until restored  bad?[31m text

Problems: what is wrong with the newest version, and which one is in service
RESOURCE                            IN SERVICE  WHAT IS WRONG
policies/www.example.test rules[0]  last good   no pool "x"
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
	b.Reset()
	if err := screen.Wide(&b, s, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "\x1b[31mdown\x1b[0m") || strings.Contains(b.String(), "bad\x1b") {
		t.Errorf("colours: %q", b.String())
	}
}

// A bad night fits a screen or two, says how much it leaves out, and the wide status leaves out nothing.
func TestStatusOfABadNight(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 1, 12: 12, 13: 13, 14: 12, 300: 12} {
		s := &admin.Status{Headline: "All is out."}
		for i := range n {
			name := fmt.Sprintf("p%d/e", i)
			s.Endpoints = append(s.Endpoints, admin.Endpoint{Endpoint: name, Addresses: []admin.Address{
				{Address: netip.MustParseAddr("192.0.2.1"), Verdict: "down"},
				{Address: netip.MustParseAddr("2001:db8::1"), Verdict: "down"},
			}})
			s.Problems = append(s.Problems, admin.Problem{Resource: "endpoints/" + name, Message: "odd"})
		}
		for of, print := range map[int]func(io.Writer, *admin.Status, bool) error{want: screen.Status, n: screen.Wide} {
			var b strings.Builder
			if err := print(&b, s, false); err != nil {
				t.Fatal(err)
			}
			text := b.String()
			if down, odd := strings.Count(text, " down"), strings.Count(text, " odd"); down != 2*of || odd != of {
				t.Errorf("of %d, %d addresses and %d problems, want %d and %d:\n%s", n, down, odd, 2*of, of, text)
			}
			left := 0
			if of < n {
				left = 2
			}
			if got := strings.Count(text, fmt.Sprintf("\nand %d more: leeward status -o wide\n", n-of)); got != left {
				t.Errorf("%d of %d: it says %d times that there are more, want %d:\n%s", of, n, got, left, text)
			}
		}
	}
}

func TestAge(t *testing.T) {
	for seconds, want := range map[float64]string{
		-1: "0s", 0.42: "0.4s", 59: "59s", 180: "3m", 7800: "2h10m", 500000: "5d",
	} {
		if got := admin.Age(seconds); got != want {
			t.Errorf("Age(%v) = %q, want %q", seconds, got, want)
		}
	}
}

// Zones of other primaries: one that is well, one whose primary is gone, one that has expired and one that nothing has
// come of.
func TestPrintFollowing(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { x := now.Add(d); return &x }
	const one, two = "192.0.2.1:53", "192.0.2.2:53"
	s := &admin.Status{Time: now, Following: []admin.Following{
		{
			Zone: "a.test", Primaries: []string{one, two}, State: "current", Serial: 7, Records: 12, From: two,
			Checked: at(-time.Minute), Expires: at(24 * time.Hour), Refreshing: true,
		},
		{
			Zone: "b.test", Primaries: []string{one + " key xfer"}, State: "failing", Serial: 8, Records: 1,
			Checked: at(-time.Hour), Expires: at(time.Hour), Error: one + " key xfer: connection refused",
		},
		{
			Zone: "c.test", Primaries: []string{one}, State: "expired", Serial: 9, Records: 1,
			Checked: at(-25 * time.Hour), Expires: at(-time.Hour),
		},
		{Zone: "d.test", Primaries: []string{one, two}, State: "waiting"},
	}}
	var b strings.Builder
	if err := screen.Wide(&b, s, false); err != nil {
		t.Fatal(err)
	}
	want := `ZONE    PRIMARY                     SERIAL  RECORDS  STATE                CHECKED     EXPIRES
a.test  192.0.2.2:53                7       12       current, refreshing  60s ago     in 24h00m
b.test  192.0.2.1:53 key xfer       8       1        failing              60m ago     in 60m     192.0.2.1:53 key xfer: connection refused
c.test  192.0.2.1:53                9       1        expired              25h00m ago  60m ago
d.test  192.0.2.1:53, 192.0.2.2:53          0        waiting              never
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

// Signed zones: all of them in the wide status, and only those that want a look in the other.
func TestPrintSigning(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { x := now.Add(d); return &x }
	const day = 24 * time.Hour
	s := &admin.Status{Time: now, Signing: &admin.Signing{}}
	for _, z := range []admin.SignedZone{
		{
			Zone: "a.test", Signer: "leeward", State: "prepared", Expires: at(13 * day), Signatures: 40,
			Keys: []admin.SignedKey{
				{Tag: 7, Algorithm: "ECDSAP256SHA256", State: "signs keys"},
				{Tag: 8, Algorithm: "ECDSAP256SHA256", State: "signs data"},
			},
		},
		{
			Zone: "b.test", Signer: "sign", State: "late", Expires: at(11 * day), Signatures: 12,
			Keys: []admin.SignedKey{{Tag: 9, State: "signs all"}}, Missing: 3,
		},
		{Zone: "c.test", Signer: "primary", State: "near", Expires: at(30 * time.Hour)},
		{
			Zone: "d.test", Signer: "leeward", State: "expired", Expires: at(-time.Hour), Signatures: 2,
			Error: "no entropy",
		},
		{Zone: "e.test", Signer: "primary", State: "current"},
	} {
		s.Signing.Add(z)
	}
	s.Signing.Order()
	head := `SIGNED ZONE  BY       STATE     EXPIRES    SIGNATURES  KEYS
`
	ill := `d.test       leeward  expired   60m ago    2                                       no entropy. Look at the server's clock, and for the zone in its log.
c.test       primary  near      in 30h00m                                          Have its primary sign it again.
b.test       sign     late      in 11d     12          9 signs all                 Start ` + "`leeward sign`" + ` with the zone's keys.
`
	well := `a.test       leeward  prepared  in 13d     40          7 signs keys, 8 signs data
e.test       primary  current   never
`
	var b strings.Builder
	if err := screen.Wide(&b, s, false); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(head+ill+well, b.String()); d != "" {
		t.Error(d)
	}
	five := at(-5 * time.Minute)
	for i, p := range []*admin.Parent{
		{
			State: admin.ParentFailed, Since: *five, Endpoint: "cds.nic.test:53", Validated: true,
			Error: "192.0.2.1:53: answered with RCODE 5",
		},
		{State: admin.ParentTold, Since: *five, Endpoint: "cds.nic.test:5300"},
		{State: admin.ParentMute, Since: *five},
		{State: admin.ParentFits, Since: *five, Endpoint: "cds.nic.test:5300"},
		nil,
	} {
		s.Signing.List[i].Parent = p
	}
	b.Reset()
	if err := screen.Wide(&b, s, false); err != nil {
		t.Fatal(err)
	}
	head = `SIGNED ZONE  BY       STATE     EXPIRES    SIGNATURES  KEYS                        PARENT
`
	told := `d.test       leeward  expired   60m ago    2                                       not told at cds.nic.test:53: 192.0.2.1:53: answered with RCODE 5  no entropy. Look at the server's clock, and for the zone in its log.
c.test       primary  near      in 30h00m                                          told 5m ago at cds.nic.test:5300 (not validated)                  Have its primary sign it again.
b.test       sign     late      in 11d     12          9 signs all                 no endpoint                                                       Start ` + "`leeward sign`" + ` with the zone's keys.
a.test       leeward  prepared  in 13d     40          7 signs keys, 8 signs data  DS fits
e.test       primary  current   never
`
	if d := cmp.Diff(head+told, b.String()); d != "" {
		t.Error(d)
	}
	s.Signing.List, s.Signing.KeptError = s.Signing.List[3:], "disk full"
	b.Reset()
	if err := screen.Status(&b, s, false); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	if strings.Contains(got, "a.test") || !strings.Contains(got, "cannot be kept on disk: disk full") {
		t.Error(got)
	}
}
