package resolve

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	start = time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	v4    = netip.MustParseAddr("192.0.2.1")
	v4b   = netip.MustParseAddr("192.0.2.2")
	v6    = netip.MustParseAddr("2001:db8::1")
)

func told(ttl time.Duration, addresses ...netip.Addr) reply {
	return reply{addresses: addresses, ttl: ttl}
}

func failed() reply { return reply{err: errors.New("SERVFAIL")} }

// What authoritative servers say for long enough is believed. A failure to get an answer is not.
func TestGone(t *testing.T) {
	absent, nothing := reply{absent: true}, told(0)
	type look struct {
		after     time.Duration // since the reply before
		four, six reply
		gone      bool
	}
	const half = GoneAfter / 2
	for _, c := range []struct {
		name  string
		looks []look
	}{
		{"NXDOMAIN", []look{
			{0, absent, absent, false},
			{GoneAfter - 1, absent, absent, false},
			{1, absent, absent, true},
		}},
		{"no addresses", []look{{0, nothing, nothing, false}, {GoneAfter, nothing, nothing, true}}},
		{
			"said once and never again",
			[]look{
				{0, absent, absent, false},
				{GoneAfter, failed(), failed(), false},
				{time.Hour, failed(), absent, false},
			},
		},
		{"said, not heard, said", []look{
			{0, absent, absent, false},
			{half, failed(), failed(), false},
			{half, absent, absent, true},
		}},
		{"back in between", []look{
			{0, absent, absent, false},
			{half, told(1, v4), nothing, false},
			{half, absent, absent, false},
			{half, absent, absent, false},
			{half, absent, absent, true},
		}},
		{
			"gone, and not heard of since",
			[]look{
				{0, absent, absent, false},
				{GoneAfter, absent, absent, true},
				{time.Hour, failed(), failed(), true},
			},
		},
		{"gone, and back", []look{
			{0, absent, absent, false},
			{GoneAfter, absent, absent, true},
			{1, nothing, told(1, v6), false},
		}},
		{
			"gone, and what comes back is of no use",
			[]look{
				{0, absent, absent, false},
				{GoneAfter, absent, absent, true},
				{1, told(1, netip.IPv4Unspecified()), nothing, false},
			},
		},
	} {
		a, now := Answer{Hostname: "lb.example", Addresses: []netip.Addr{v4}, Told: start}, start
		for i, l := range c.looks {
			now = now.Add(l.after)
			if a = a.fold(l.four, l.six, now); a.Gone != l.gone {
				t.Errorf("%s, look %d: gone: %v", c.name, i+1, a.Gone)
			}
			if len(a.Addresses) == 0 {
				t.Errorf("%s, look %d: what was known is lost", c.name, i+1)
			}
		}
	}
}

func TestFold(t *testing.T) {
	before := Answer{
		Hostname: "lb.example", Addresses: []netip.Addr{v4, v6}, Known: [2]bool{true, true},
		Expires: start.Add(10 * time.Second), Told: start.Add(-50 * time.Second),
	}
	for _, c := range []struct {
		name      string
		before    Answer
		four, six reply
		addresses []netip.Addr
		known     [2]bool
		ttl       time.Duration
		err       bool
	}{
		{
			"both told", before, told(time.Minute, v4b, v4), told(30*time.Second, v6),
			[]netip.Addr{v4, v4b, v6},
			[2]bool{true, true},
			30 * time.Second, false,
		},
		{
			"IPv6 is gone", before, told(time.Minute, v4), told(0),
			[]netip.Addr{v4},
			[2]bool{true, true},
			time.Minute,
			false,
		},
		{
			"IPv6 cannot be told: it stays, and so does its TTL", before, told(time.Minute, v4b), failed(),
			[]netip.Addr{v4b, v6},
			[2]bool{true, true},
			10 * time.Second, true,
		},
		{"nobody tells", before, failed(), failed(), []netip.Addr{v4, v6}, [2]bool{true, true}, 10 * time.Second, true},
		{
			"NXDOMAIN", before,
			reply{absent: true},
			reply{absent: true},
			[]netip.Addr{v4, v6},
			[2]bool{true, true},
			10 * time.Second, true,
		},
		{
			"no address at all", before, told(0), told(0),
			[]netip.Addr{v4, v6},
			[2]bool{true, true},
			10 * time.Second,
			true,
		},
		{
			"no IPv4, IPv6 unknown", before, told(0), failed(),
			[]netip.Addr{v4, v6},
			[2]bool{true, true},
			10 * time.Second, true,
		},
		{
			"for the first time",
			Answer{},
			told(time.Minute, v4), told(0),
			[]netip.Addr{v4},
			[2]bool{true, true},
			time.Minute, false,
		},
		{
			"half of it, for the first time",
			Answer{},
			told(time.Minute, v4), failed(),
			[]netip.Addr{v4},
			[2]bool{true, false},
			time.Minute, true,
		},
		{"never told", Answer{}, failed(), failed(), nil, [2]bool{}, time.Time{}.Sub(start), true},
		{
			"no endpoint's",
			Answer{},
			told(time.Minute, netip.IPv4Unspecified()), told(0, netip.MustParseAddr("ff02::1")),
			nil,
			[2]bool{},
			time.Time{}.Sub(start), true,
		},
	} {
		got := c.before.fold(c.four, c.six, start)
		if !slices.Equal(got.Addresses, c.addresses) || got.Known != c.known || got.Expires.Sub(start) != c.ttl ||
			(got.Err != "") != c.err {
			t.Errorf("%s: %+v", c.name, got)
		}
		if c.err && got.Since != start {
			t.Errorf("%s: it fails since %v", c.name, got.Since)
		}
	}
}

// TestNothingIsForgotten: whatever is answered, a name that had addresses still has some.
func TestNothingIsForgotten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reply := func(addresses ...netip.Addr) reply {
			r := reply{ttl: time.Duration(rapid.IntRange(0, 4000).Draw(t, "ttl")) * time.Second}
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				return failed()
			case 1:
				return reply{absent: true}
			case 2:
				for range rapid.IntRange(0, 3).Draw(t, "count") {
					r.addresses = append(r.addresses, rapid.SampledFrom(addresses).Draw(t, "address"))
				}
			}
			return r
		}
		a, now := Answer{Hostname: "lb.example"}, start
		for range rapid.IntRange(1, 20).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "after")) * time.Second)
			four, six := reply(v4, v4b, netip.IPv4Unspecified()), reply(v6, netip.IPv6Unspecified())
			next := a.fold(four, six, now)
			if len(a.Addresses) > 0 && len(next.Addresses) == 0 {
				t.Fatalf("%+v became %+v by %+v, %+v", a, next, four, six)
			}
			if next.Err == "" && (next.Expires.After(now.Add(MaxInterval)) || len(next.Addresses) == 0 ||
				!next.Since.IsZero()) {
				t.Fatalf("%+v at %v", next, now)
			}
			if !slices.Equal(slices.Concat(usable(next.of(0)), usable(next.of(1))), next.Addresses) {
				t.Fatalf("not sorted, or unusable: %v", next.Addresses)
			}
			a = next
		}
	})
}
