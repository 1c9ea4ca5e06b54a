//go:build !noembed

package process_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Two of five vantages in three regions probe each address, from different regions. When one stops another takes over,
// and no verdict turns.
func TestTwoOfFiveProbe(t *testing.T) {
	c := newCluster(t)
	near := listen(t, "127.0.0.1:0")
	var text strings.Builder
	fmt.Fprintf(&text, "kind: Monitor\nname: web\ntcp: {port: %d}\ninterval: 100ms\nvantages: 2\n---\n",
		near.address.Port())
	text.WriteString("kind: Region\nname: eu-west\n---\nkind: Pool\nname: www\nregion: eu-west\nmonitor: web\n")
	const endpoints = 16
	for i := range endpoints {
		if i > 0 {
			listen(t, fmt.Sprintf("127.0.0.%d:%d", i+1, near.address.Port()))
		}
		fmt.Fprintf(&text, "---\nkind: Endpoint\nname: www/lb-%d\naddresses: [127.0.0.%d]\n", i, i+1)
	}
	c.putAll(text.String())
	regions := map[string]string{"a": "eu-west", "b": "eu-west", "c": "us-east", "d": "us-east", "e": "ap-south"}
	var all []*member
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		s := settings(id, c)
		s.Listen, s.Region = nil, regions[id]
		all = append(all, serve(t, s))
	}
	// settled says how far the votes are from two fresh ones of chosen vantages on every address.
	settled := func(p *member) func() string {
		return func() string {
			s := p.status()
			if len(s.Endpoints) != endpoints {
				return fmt.Sprintf("%d endpoints", len(s.Endpoints))
			}
			for _, e := range s.Endpoints {
				a := e.Addresses[0]
				var votes []string
				for _, v := range a.Votes {
					if v.Fresh && v.Counted {
						votes = append(votes, v.Vantage)
					}
				}
				if len(a.Votes) != 2 || !slices.Equal(votes, a.Chosen) || a.Verdict != "up" || a.Up != 2 {
					return fmt.Sprintf("%s: %+v", e.Endpoint, a)
				}
				if regions[votes[0]] == regions[votes[1]] {
					return fmt.Sprintf("%s is probed from %s alone", e.Endpoint, regions[votes[0]])
				}
			}
			return ""
		}
	}
	for _, p := range all {
		p.await("two of five probe each address", settled(p))
	}
	before := all[0].status()
	all[4].end()
	for _, p := range all[:4] {
		p.await("two of four probe each address", settled(p))
	}
	after := all[0].status()
	for i, e := range after.Endpoints {
		was := before.Endpoints[i].Addresses[0]
		if got := e.Addresses[0]; !got.Since.Equal(*was.Since) {
			t.Errorf("%s: the verdict turned: %+v, %+v", e.Endpoint, was, got)
		}
		if !slices.Contains(was.Chosen, "e") && !slices.Equal(was.Chosen, e.Addresses[0].Chosen) {
			t.Errorf("%s: e was not chosen, and has left: %v, %v", e.Endpoint, was.Chosen, e.Addresses[0].Chosen)
		}
	}
}
