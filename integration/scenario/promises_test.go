//go:build linux

package scenario

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"leeward/integration/lab"
)

// want is the answer that clients should get: the endpoints of a region, or only one of them ("eu/1"), or one of
// several such things ("eu or us").
type want struct {
	text string
	sets []set
}

// set is some of a region's endpoints.
type set struct {
	region  *lab.Region
	numbers []int // from 1
}

func (s set) addresses(six bool) []netip.Addr {
	var all []netip.Addr
	for _, n := range s.numbers {
		all = append(all, s.region.Addresses(six)[n-1])
	}
	return all
}

// parseWant reads "eu", "eu/2", "eu or us".
func parseWant(w *lab.World, text string) (want, error) {
	wanted := want{text: text}
	for _, part := range strings.Split(text, " or ") {
		name, number, one := strings.Cut(strings.TrimSpace(part), "/")
		i := slices.IndexFunc(w.Regions, func(r *lab.Region) bool { return r.Name == name })
		if i < 0 {
			return want{}, fmt.Errorf("%q is no region", name)
		}
		s := set{region: w.Regions[i], numbers: []int{1, 2}}
		if one {
			if number != "1" && number != "2" {
				return want{}, fmt.Errorf("%q is no endpoint: a region has 1 and 2", part)
			}
			s.numbers = []int{int(number[0] - '0')}
		}
		wanted.sets = append(wanted.sets, s)
	}
	return wanted, nil
}

// met says whether an answer is exactly one of the sets.
func (w want) met(addresses []netip.Addr, six bool) bool {
	return slices.ContainsFunc(w.sets, func(s set) bool { return slices.Equal(addresses, s.addresses(six)) })
}

// has says whether an address is in one of the sets.
func (w want) has(a netip.Addr) bool {
	return slices.ContainsFunc(w.sets, func(s set) bool { return slices.Contains(s.addresses(a.Is6()), a) })
}

// promise is what one server's clients of one region should get from a time on. Until it is kept, at the latest until
// due, the former promise may still be kept in its place.
type promise struct {
	want
	from, due time.Time
}

// promises are those of one track, in the order of their times.
type promises []promise

// inForce returns the promises of that time. An answer must keep one of them.
func (ps promises) inForce(sent, received time.Time) []promise {
	var all []promise
	for i, p := range ps {
		if received.Before(p.from) || i+1 < len(ps) && sent.After(ps[i+1].due) {
			continue
		}
		all = append(all, p)
	}
	return all
}

// broken says why an answer keeps no promise, "" if it keeps one. While one promise replaces another, an answer may
// have parts of either, since addresses turn one by one, and of anything else that was well since that began.
func (ps promises) broken(s *sighting, well func(a netip.Addr, from, until time.Time) bool) string {
	force := ps.inForce(s.sent, s.received)
	var texts []string
	for _, p := range force {
		if slices.ContainsFunc(s.addresses, func(a netip.Addr) bool { return a.Is6() != s.addresses[0].Is6() }) {
			return "both families in one answer"
		}
		if p.met(s.addresses, s.addresses[0].Is6()) {
			return ""
		}
		texts = append(texts, p.text)
	}
	if len(force) > 1 {
		all := true
		for _, a := range s.addresses {
			all = all && (slices.ContainsFunc(force, func(p promise) bool { return p.has(a) }) ||
				well(a, force[len(force)-1].from, s.received))
		}
		if all {
			return ""
		}
	}
	return "it should be " + strings.Join(texts, ", or still ")
}

// stale says why a resolver's answer keeps no promise that any server had to keep within the last TTL.
func stale(all []promises, s *sighting, ttl time.Duration) string {
	var texts []string
	for _, ps := range all {
		for _, p := range ps.inForce(s.sent.Add(-ttl-time.Second), s.received) {
			if !slices.Contains(texts, p.text) {
				texts = append(texts, p.text)
			}
			if !slices.ContainsFunc(s.addresses, func(a netip.Addr) bool { return !p.has(a) }) {
				return ""
			}
		}
	}
	return "within a TTL it was " + strings.Join(texts, ", or ")
}

// TestPromises tests the judge itself: what counts as wrong while one promise replaces another, before and after.
func TestPromises(t *testing.T) {
	w := &lab.World{Regions: lab.NewRegions()}
	wanted := func(text string) want {
		p, err := parseWant(w, text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	zero := time.Unix(1e9, 0)
	at := func(s float64) time.Time { return zero.Add(time.Duration(s * float64(time.Second))) }
	// eu, from 10 s on us, at the latest from 14 s; from 20 s on us/1, at the latest from 21 s.
	ps := promises{{want: wanted("eu")}, {wanted("us"), at(10), at(14)}, {wanted("us/1"), at(20), at(21)}}
	apWell := func(a netip.Addr, from, until time.Time) bool {
		return a == netip.MustParseAddr("10.77.3.11") && from.Before(at(12))
	}
	for _, c := range []struct {
		second  float64
		answer  string
		allowed bool
	}{
		{9, "10.77.1.11 10.77.1.12", true},
		{9, "10.77.1.11", false}, // all of its endpoints are well
		{9, "10.77.2.11 10.77.2.12", false},
		{11, "10.77.1.11 10.77.1.12", true}, // still eu
		{11, "10.77.1.12", true},            // one has turned already
		{11, "10.77.1.12 10.77.2.11", true}, // parts of both
		{11, "10.77.2.11 10.77.2.12", true}, // us already
		{11, "10.77.3.11", true},            // was well
		{11, "10.77.3.12", false},           // was not
		{15, "10.77.1.11 10.77.1.12", false},
		{15, "10.77.2.11 10.77.2.12", true},
		{15, "10.77.2.11", false},
		{20.5, "10.77.2.11 10.77.2.12", true},
		{22, "10.77.2.11 10.77.2.12", false},
		{22, "10.77.2.11", true},
		{22, "10.77.2.12", false},
		{9, "fd77::1:11 fd77::1:12", true},
		{9, "10.77.1.11 fd77::1:12", false},
	} {
		s := &sighting{sent: at(c.second), received: at(c.second)}
		for text := range strings.FieldsSeq(c.answer) {
			s.addresses = append(s.addresses, netip.MustParseAddr(text))
		}
		if why := ps.broken(s, apWell); (why == "") != c.allowed {
			t.Errorf("%s at %v s: allowed: %v, want %v (%s)", c.answer, c.second, why == "", c.allowed, why)
		}
	}
	// A resolver may answer what was true up to a TTL before.
	for _, c := range []struct {
		second  float64
		answer  string
		allowed bool
	}{{15, "10.77.1.11", true}, {19, "10.77.1.11", true}, {21, "10.77.1.11", false}, {19, "10.77.3.11", false}} {
		s := &sighting{
			sent: at(c.second), received: at(c.second),
			addresses: []netip.Addr{netip.MustParseAddr(c.answer)},
		}
		if why := stale([]promises{ps}, s, 5*time.Second); (why == "") != c.allowed {
			t.Errorf("through the resolver, %s at %v s: allowed: %v, want %v (%s)", c.answer, c.second, why == "",
				c.allowed,
				why)
		}
	}
}
