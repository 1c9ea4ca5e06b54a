//go:build linux

package scenario

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"leeward/integration/lab"
)

// TestPromises holds the judge itself: what counts as wrong while one promise gives way to another, before and after.
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
		{11, "10.77.1.11 10.77.1.12", true}, // still
		{11, "10.77.1.12", true},            // one has turned
		{11, "10.77.1.12 10.77.2.11", true}, // of either
		{11, "10.77.2.11 10.77.2.12", true}, // already
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
		s := &sighting{sent: at(c.second), received: at(c.second), addresses: []netip.Addr{netip.MustParseAddr(c.answer)}}
		if why := stale([]promises{ps}, s, 5*time.Second); (why == "") != c.allowed {
			t.Errorf("through the resolver, %s at %v s: allowed: %v, want %v (%s)", c.answer, c.second, why == "", c.allowed, why)
		}
	}
}

// TestStories holds that a scenario which says something that is not known is refused, with its line.
func TestStories(t *testing.T) {
	const head = "row 1\ntitle one\n"
	for _, c := range []struct{ text, wrong string }{
		{head, "at least one \"after\""},
		{"after 1s\n  kill server eu\n", "has a row"},
		{head + "after soon\n", ":3: after soon: "},
		{head + "  kill server eu\n", ":3: kill server eu: nothing has begun yet"},
		{head + "after 1s\n  kill the server eu\n", ":4: kill the server eu: nothing known"},
		{head + "after 1s\n  within 5s kill server eu\n", "write: within 5s: what must hold"},
		{head + "after 1s\n  within 5s: kill server eu\n", "nothing known"}, // it cannot hold: it happens
		{head + "after 1s\n  all agree\n", "nothing known"},                 // it cannot happen
		{head + "colour green\nafter 1s\n", "no such setting"},
		{head + "runs at night\nafter 1s\n", "by make faults"},
	} {
		file := t.TempDir() + "/x.txt"
		lab.Write(t, file, c.text)
		if _, err := readStory(file); err == nil || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%q: got %v, want an error with %q", c.text, err, c.wrong)
		}
	}
	file := t.TempDir() + "/x.txt"
	lab.Write(t, file, head+"monitor interval 2s fall 5\nat most 3 changes # of region\nthen # at once\n  note  two  words # said\n  within 1500ms: clients of eu,us get eu or us/1 from ap\n")
	s, err := readStory(file)
	if err != nil {
		t.Fatal(err)
	}
	if s.plan.Every != 2*time.Second || s.plan.Fall != 5 || s.plan.Rise != lab.Usual.Rise || s.limits["changes"] != 3 || len(s.blocks) != 1 {
		t.Errorf("read as %+v", s)
	}
	for i, want := range []string{"two  words", "eu,us|eu or us/1 from ap"} {
		if got := strings.Join(s.blocks[0].steps[i].args, "|"); got != want {
			t.Errorf("line %d says %q, want %q", i, got, want)
		}
	}
	if got := s.blocks[0].steps[1].within; got != 1500*time.Millisecond {
		t.Errorf("within %v", got)
	}
}
