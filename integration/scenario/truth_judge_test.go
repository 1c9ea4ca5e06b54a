//go:build linux

package scenario

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"leeward/integration/lab"
)

// TestTruth tests the judge of chaos: what it lets pass, and what it does not.
func TestTruth(t *testing.T) {
	regions := lab.NewRegions()
	zero := time.Unix(1e9, 0)
	at := func(s float64) time.Time { return zero.Add(time.Duration(s * float64(time.Second))) }
	eu, us := regions[0], regions[1]
	both := func(r *lab.Region) []netip.Addr { return r.Addresses(false) }
	for _, c := range []struct {
		name   string
		spells []spell
		client *lab.Region
		second float64
		answer string // the last octets: region and endpoint
		right  bool
	}{
		{"all is well", nil, eu, 10, "1/1 1/2", true},
		{"one that is well is missing", nil, eu, 10, "1/1", false},
		{"another region, though one's own is well", nil, eu, 10, "2/1 2/2", false},
		{"two regions in one answer", nil, eu, 10, "1/1 2/1", false},
		// The bound is 3 × 500 ms + 400 ms + 1 s and a grace of 300 ms.
		{
			"dead, within the bound: still in",
			[]spell{{from: at(0), effect: effect{dead: both(eu)[:1]}}},
			eu, 3,
			"1/1 1/2", true,
		},
		{"dead, within the bound: out", []spell{{from: at(0), effect: effect{dead: both(eu)[:1]}}}, eu, 3, "1/2", true},
		{
			"dead, past the bound: still in",
			[]spell{{from: at(0), effect: effect{dead: both(eu)[:1]}}},
			eu, 4, "1/1 1/2",
			false,
		},
		{"dead, past the bound: out", []spell{{from: at(0), effect: effect{dead: both(eu)[:1]}}}, eu, 4, "1/2", true},
		{
			"dead, and the well one is out too",
			[]spell{{from: at(0), effect: effect{dead: both(eu)[:1]}}},
			eu, 4,
			"2/1 2/2", false,
		},
		{"a region dead: the next", []spell{{from: at(0), effect: effect{dead: both(eu)}}}, eu, 4, "2/1 2/2", true},
		{
			"a region dead: not the one after it",
			[]spell{{from: at(0), effect: effect{dead: both(eu)}}},
			eu, 4,
			"3/1 3/2", false,
		},
		{"a region dead: not itself", []spell{{from: at(0), effect: effect{dead: both(eu)}}}, eu, 4, "1/1 1/2", false},
		{
			"well again, past the bound",
			[]spell{{from: at(0), until: at(20), effect: effect{dead: both(eu)}}},
			eu, 25,
			"2/1 2/2", false,
		},
		{
			"well again, within it",
			[]spell{{from: at(0), until: at(20), effect: effect{dead: both(eu)}}},
			eu, 22,
			"2/1 2/2", true,
		},
		{"nobody is well: as if all were", []spell{
			{from: at(0), effect: effect{dead: append(both(eu), both(us)...)}},
			{from: at(0), effect: effect{dead: both(regions[2])}},
		}, eu, 9, "1/1 1/2", true},
		{"the server may be late", []spell{
			{from: at(0), effect: effect{dead: both(eu)[:1]}}, {from: at(1), effect: effect{late: []string{"eu"}}},
		}, eu, 8, "1/1 1/2", true},
		{"late, but not for ever", []spell{
			{from: at(0), effect: effect{dead: both(eu)[:1]}}, {from: at(1), effect: effect{late: []string{"eu"}}},
		}, eu, 18, "1/1 1/2", false},
		{"one other server is gone: no excuse", []spell{
			{from: at(0), effect: effect{dead: both(eu)[:1]}}, {from: at(0), effect: effect{gone: "us"}},
		}, eu, 4, "1/1 1/2", false},
		{"two are", []spell{
			{from: at(0), effect: effect{dead: both(eu)[:1]}},
			{from: at(0), effect: effect{gone: "us"}},
			{from: at(0), effect: effect{gone: "ap"}},
		}, eu, 4, "1/1 1/2", true},
		{"just started: what was down when it went away stays out", []spell{
			{from: at(0), until: at(10), effect: effect{dead: both(eu)[:1]}},
			{from: at(5), until: at(30), effect: effect{gone: "eu"}},
		}, eu, 31, "1/2", true},
		{"just started: what was up when it went away and is up is in", []spell{
			{from: at(0), until: at(10), effect: effect{dead: both(eu)[:1]}},
			{from: at(30), until: at(40), effect: effect{gone: "eu"}},
		}, eu, 41, "1/2", false},
		{"started a while ago: what was down then is in", []spell{
			{from: at(0), until: at(10), effect: effect{dead: both(eu)[:1]}},
			{from: at(5), until: at(30), effect: effect{gone: "eu"}},
		}, eu, 50, "1/2", false},
		{"another has just started: no excuse", []spell{
			{from: at(0), until: at(10), effect: effect{dead: both(eu)[:1]}},
			{from: at(5), until: at(30), effect: effect{gone: "us"}},
		}, eu, 31, "1/2", false},
		{"just started, after its disk was full: what was down before that stays out", []spell{
			{from: at(0), until: at(10), effect: effect{dead: both(eu)[:1]}},
			{from: at(11), until: at(35), effect: effect{full: "eu"}},
			{from: at(38), until: at(60), effect: effect{gone: "eu"}},
		}, eu, 61, "1/2", true},
		{"just started, its disk was full and written since: no excuse", []spell{
			{from: at(0), until: at(10), effect: effect{dead: both(eu)[:1]}},
			{from: at(11), until: at(25), effect: effect{full: "eu"}},
			{from: at(38), until: at(60), effect: effect{gone: "eu"}},
		}, eu, 61, "1/2", false},
		{"just started: another's disk was full", []spell{
			{from: at(0), until: at(10), effect: effect{dead: both(eu)[:1]}},
			{from: at(11), until: at(35), effect: effect{full: "us"}},
			{from: at(38), until: at(60), effect: effect{gone: "eu"}},
		}, eu, 61, "1/2", false},
		{"just started, hearing nobody: what died while it was away may be in", []spell{
			{from: at(30), effect: effect{dead: both(eu)[:1]}},
			{from: at(20), effect: effect{late: []string{"eu", "us", "ap"}}},
			{from: at(10), until: at(60), effect: effect{gone: "eu"}},
		}, eu, 61, "1/1 1/2", true},
		{"just started, hearing nobody: what was dead long before it went away is out", []spell{
			{from: at(0), effect: effect{dead: both(eu)[:1]}},
			{from: at(20), effect: effect{late: []string{"eu", "us", "ap"}}},
			{from: at(40), until: at(60), effect: effect{gone: "eu"}},
		}, eu, 61, "1/1 1/2", false},
		{"just started, and it hears others: what died while it was away is out", []spell{
			{from: at(30), effect: effect{dead: both(eu)[:1]}},
			{from: at(10), until: at(60), effect: effect{gone: "eu"}},
		}, eu, 61, "1/1 1/2", false},
		{"started a while ago, hearing nobody: what died while it was away is out", []spell{
			{from: at(30), effect: effect{dead: both(eu)[:1]}},
			{from: at(20), effect: effect{late: []string{"eu", "us", "ap"}}},
			{from: at(10), until: at(60), effect: effect{gone: "eu"}},
		}, eu, 70, "1/1 1/2", false},
		{"just started: what flapped when it went away may be out", []spell{
			{from: at(0), until: at(20), effect: effect{vague: both(eu)[:1]}},
			{from: at(21), until: at(60), effect: effect{gone: "eu"}},
		}, eu, 61, "1/2", true},
		{"its link is bad", []spell{{from: at(0), effect: effect{blurs: []string{"eu"}}}}, eu, 9, "2/1 2/2", true},
		{"another's is", []spell{{from: at(0), effect: effect{blurs: []string{"ap"}}}}, eu, 9, "2/1 2/2", false},
		{"it is well now and then", []spell{{from: at(0), effect: effect{vague: both(eu)[:1]}}}, eu, 9, "1/2", true},
		{
			"the other one is well always",
			[]spell{{from: at(0), effect: effect{vague: both(eu)[:1]}}},
			eu, 9, "1/1",
			false,
		},
	} {
		x := &truth{regions: regions, stood: func(time.Time, time.Time) time.Duration { return 0 }, spells: c.spells}
		s := &sighting{server: "eu", client: c.client, sent: at(c.second), received: at(c.second)}
		for text := range strings.FieldsSeq(c.answer) {
			s.addresses = append(s.addresses, regions[text[0]-'1'].Addresses(false)[text[2]-'1'])
		}
		if why := x.wrong(lab.Usual, s); (why == "") != c.right {
			t.Errorf("%s: %s at %v s is right: %v, want %v (%s)", c.name, c.answer, c.second, why == "", c.right, why)
		}
	}
}

// TestTruthOfStalls: what the judge of chaos lets pass where the machine stood still for as long as a probe waits.
func TestTruthOfStalls(t *testing.T) {
	regions := lab.NewRegions()
	at := time.Unix(1e9, 0)
	for _, c := range []struct {
		stood     time.Duration
		addresses []netip.Addr
		right     bool
	}{
		{lab.Usual.Timeout - time.Millisecond, regions[0].Addresses(false)[:1], false},
		{lab.Usual.Timeout, regions[0].Addresses(false)[:1], true},
		{lab.Usual.Timeout, regions[1].Addresses(false), true},
		{lab.Usual.Timeout, []netip.Addr{regions[0].Addresses(false)[0], regions[1].Addresses(false)[0]}, false},
	} {
		x := &truth{regions: regions, stood: func(time.Time, time.Time) time.Duration { return c.stood }}
		s := &sighting{server: "eu", client: regions[0], sent: at, received: at, addresses: c.addresses}
		if why := x.wrong(lab.Usual, s); (why == "") != c.right {
			t.Errorf("%v after %v is right: %v, want %v (%s)", c.addresses, c.stood, why == "", c.right, why)
		}
	}
}

// TestLonely: when a resolver may get no answer.
func TestLonely(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(1e9, 0).Add(time.Duration(s * float64(time.Second))) }
	x := &truth{spells: []spell{
		{from: at(0), until: at(10), effect: effect{gone: "eu"}},
		{from: at(5), until: at(6), effect: effect{gone: "eu"}}, // the same one
		{from: at(8), effect: effect{gone: "us"}},
	}}
	for _, c := range []struct {
		sent, received float64
		want           bool
	}{{1, 2, false}, {5, 7, false}, {6, 9, true}, {9, 14, true}, {14, 19, true}, {16, 21, false}} {
		if got := x.lonely(&sighting{sent: at(c.sent), received: at(c.received)}); got != c.want {
			t.Errorf("from %v to %v s: %v, want %v", c.sent, c.received, got, c.want)
		}
	}
}
