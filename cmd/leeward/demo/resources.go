package demo

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// What the demo steers, and how fast it probes.
const (
	origin   = "demo.test"
	steered  = "www.demo.test"
	interval = time.Second
	timeout  = 500 * time.Millisecond
	fall     = 3
	rise     = 2
	slack    = time.Second // for reports, agreement and publishing
)

// budget is how long servers may name a cut region.
const budget = fall*interval + timeout + slack

// client is a network of clients, somewhere in the world.
type client struct {
	place  string
	subnet netip.Prefix
	near   string // region
}

func clients() []client {
	return []client{
		{"Europe", netip.MustParsePrefix("193.0.6.0/24"), "eu-west"},
		{"America", netip.MustParsePrefix("4.4.4.0/24"), "us-east"},
		{"Asia", netip.MustParsePrefix("117.192.0.0/24"), "ap-south"},
	}
}

// documents returns the demo's resources, written as an operator would write them.
func documents(sites []*site) string {
	var b strings.Builder
	fmt.Fprintf(&b, `kind: Zone
name: %s
nameservers: [ns1.%s, ns2.%s]
hostmaster: hostmaster@%s
---
kind: Record
name: %s/ns1/A
data: [127.0.0.1]
---
kind: Record
name: %s/ns2/A
data: [127.0.0.1]
---
kind: Record
name: %s/@/TXT
data: ['"the lee is the side sheltered from the storm"']
---
kind: Monitor
name: web
http: {port: %d, path: /, status: "200", body: ok}
interval: %v
timeout: %v
fall: %d
rise: %d
`, origin, origin, origin, origin, origin, origin, origin, sites[0].port, interval, timeout, fall, rise)
	var pools []string
	for _, s := range sites {
		fmt.Fprintf(&b, "---\nkind: Region\nname: %s\nlatitude: %v\nlongitude: %v\n", s.region, s.latitude, s.longitude)
		fmt.Fprintf(&b, "---\nkind: Pool\nname: %s\nregion: %s\nmonitor: web\n", s.pool, s.region)
		for i, a := range s.addresses {
			fmt.Fprintf(&b, "---\nkind: Endpoint\nname: %s/lb-%d\naddresses: [%s]\n", s.pool, i+1, a)
		}
		pools = append(pools, s.pool)
	}
	fmt.Fprintf(&b, "---\nkind: Policy\nname: %s\nttl: 5s\nrules:\n  - nearest: [%s]\nanswers: 2\n", steered,
		strings.Join(pools, ", "))
	return b.String()
}
