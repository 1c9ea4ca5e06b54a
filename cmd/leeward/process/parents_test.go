package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/cmd/leeward/chain"
	"leeward/server/admin"
	"leeward/server/history"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// registry is a parent with DSYNC records, and its surroundings: zones that ask for DS, and servers that notify it.
type registry struct {
	mu     sync.Mutex
	zones  map[rr.Name]asking
	fleet  []string
	ds     map[rr.Name][][]byte // DNSKEY of the keys of which it has a DS
	asked  int                  // how often it was asked for a DS
	found  chain.Endpoints
	err    error // of finding DSYNC records
	silent bool  // no notice is answered
	refuse bool
	told   []string // server and zone of each notice that arrived
	began  time.Time
	// what servers have added to their histories since the last call of happened
	history []string
	sends   int // notices on their way
	most    int // the largest number of these
}

func newRegistry() *registry {
	return &registry{
		zones: map[rr.Name]asking{}, ds: map[rr.Name][][]byte{}, fleet: []string{"a"}, began: time.Now(),
		found: endpoint("192.0.2.1:5300"),
	}
}

// endpoint is an endpoint with these addresses.
func endpoint(addresses ...string) chain.Endpoints {
	one := chain.Endpoint{Target: "cds.test.", Port: 5300}
	for _, a := range addresses {
		one.Addresses = append(one.Addresses, netip.MustParseAddrPort(a))
	}
	return chain.Endpoints{Name: "_dsync.test.", Validated: true, All: []chain.Endpoint{one}}
}

// put lets a zone ask for the DS of a key.
func (x *registry) put(zone string, key byte) rr.Name {
	x.mu.Lock()
	defer x.mu.Unlock()
	origin, _ := rr.ParseName(zone)
	keys := [][]byte{{1, 1, 3, 13, key}}
	x.zones[origin] = asking{digest: digestOf(keys), cdnskey: keys}
	return origin
}

// set changes what the parent does.
func (x *registry) set(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f()
}

// take lets the parent do what a zone asks for.
func (x *registry) take(origin rr.Name) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ds[origin] = nil
	for _, key := range x.zones[origin].cdnskey {
		ds, _ := dnssec.DS(origin, key, dnssec.DigestSHA384)
		x.ds[origin] = append(x.ds[origin], ds)
	}
}

// heard returns the notices to the parent since the last call.
func (x *registry) heard() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	text := strings.Join(x.told, ", ")
	x.told = nil
	return text
}

// server runs a server beside the parent until the returned function is called.
func (x *registry) server(t *testing.T, id, folder string, log *lockedLines) (p *parents, end func()) {
	t.Helper()
	p = &parents{
		id: id, folder: folder, log: slog.New(slog.NewTextHandler(log, nil)), now: time.Now,
		sent:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sent"}, []string{"result"}),
		elapsed: func() time.Duration { return time.Since(x.began) },
		happened: func(e history.Event) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.history = append(x.history, id+": "+e.Text)
		},
		asks: func(context.Context) (map[rr.Name]asking, error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			return maps.Clone(x.zones), nil
		},
		tellers: func(context.Context) ([]string, error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			return slices.Clone(x.fleet), nil
		},
		ds: func(_ context.Context, origin rr.Name, _ []string, enough func([][]byte) bool) (
			[]dnssec.ParentDS, error,
		) {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.asked++
			enough(x.ds[origin])
			return []dnssec.ParentDS{{Server: "192.0.2.1", DS: x.ds[origin]}}, nil
		},
		find: func(context.Context, string) (chain.Endpoints, error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.found, x.err
		},
		send: func(ctx context.Context, origin rr.Name, to []netip.AddrPort) (bool, error) {
			x.mu.Lock()
			x.sends++
			x.most = max(x.most, x.sends)
			x.told = append(x.told, fmt.Sprintf("%s: %s at %v", id, rr.TrimDot(origin.String()), to))
			silent, refuse := x.silent, x.refuse
			x.mu.Unlock()
			defer func() {
				x.mu.Lock()
				x.sends--
				x.mu.Unlock()
			}()
			switch {
			case silent:
				select {
				case <-time.After(2 * time.Minute):
				case <-ctx.Done():
				}
				return false, errors.New("no answer")
			case refuse:
				return true, errors.New("answered with RCODE 5")
			}
			return true, nil
		},
	}
	p.init()
	if err := p.load(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.run(ctx) }()
	return p, func() { stop(); <-done }
}

// state returns what a server says about a zone's parent.
func state(p *parents, zone string) string {
	all := []admin.SignedZone{{Zone: zone}}
	p.says(all)
	if all[0].Parent == nil {
		return ""
	}
	return strings.TrimSuffix(all[0].Parent.State+": "+all[0].Parent.Error, ": ")
}

type lockedLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestParentIsToldOnce: a parent is notified of new CDS once, even across restarts, and not at all if its DS fits.
func TestParentIsToldOnce(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		x, log := newRegistry(), &lockedLines{}
		origin := x.put("a.test", 1)
		has := x.put("has.test", 1)
		x.take(has)
		p, end := x.server(t, "a", folder, log)
		time.Sleep(parentsSettle - time.Second)
		if got := x.heard(); got != "" {
			t.Errorf("the parent is told before all servers have the CDS: %s", got)
		}
		time.Sleep(parentsLook)
		if got := x.heard(); got != "a: a.test at [192.0.2.1:5300]" {
			t.Errorf("told: %s", got)
		}
		if got := state(p, "a.test") + ", " + state(p, "has.test"); got != "told, fits" {
			t.Errorf("the states are %s", got)
		}
		if !strings.Contains(log.String(), `msg="the parent was told of new CDS" zone=a.test endpoint=cds.test:5300 validated=true`) {
			t.Errorf("the log is %s", log)
		}
		time.Sleep(parentsLook) // until it is on disk
		for range 3 {
			end()
			time.Sleep(time.Hour)
			p, end = x.server(t, "a", folder, log)
			time.Sleep(6 * time.Hour)
		}
		if got := x.heard(); got != "" || state(p, "a.test") != "told" {
			t.Errorf("after a restart it is told again: %s; the state is %s", got, state(p, "a.test"))
		}
		x.take(origin)
		time.Sleep(24 * time.Hour)
		var asked int
		x.set(func() { asked = x.asked })
		time.Sleep(3 * 24 * time.Hour)
		if got := state(p, "a.test"); got != "fits" || x.asked != asked {
			t.Errorf("the state is %s, and a parent whose DS fits is asked %d times", got, x.asked-asked)
		}
		var got []string
		if x.set(func() { got = x.history }); !slices.Equal(got, []string{
			"a: the parent of a.test was told of new CDS, at cds.test:5300",
			"a: the parent of a.test has a DS that fits",
		}) {
			t.Errorf("the history is %q", got)
		}
		x.put("a.test", 2) // a roll
		time.Sleep(time.Minute)
		if got := x.heard(); got != "a: a.test at [192.0.2.1:5300]" {
			t.Errorf("of the next CDS it is told: %s", got)
		}
		x.set(func() { delete(x.zones, origin) })
		time.Sleep(parentsForget / 2)
		x.put("a.test", 2) // for a while nobody knew whether it is signed
		time.Sleep(time.Hour)
		if got := x.heard(); got != "" {
			t.Errorf("after a while without CDS it is told again: %s", got)
		}
		x.set(func() { delete(x.zones, origin) })
		time.Sleep(2 * parentsForget)
		end()
		b, err := os.ReadFile(filepath.Join(folder, parentsFile))
		if err != nil || strings.Contains(string(b), `"a.test"`) || !strings.Contains(string(b), `"has.test"`) {
			t.Errorf("kept is %s, %v", b, err)
		}
	})
}

// TestOneServerTells: of the servers that have the keys, one notifies the parent. Others do only if it does not, or if
// the parent does nothing. They do so minutes apart, three times in all.
func TestOneServerTells(t *testing.T) {
	fleet := []string{"a", "b", "c", "d", "e"}
	run := func(t *testing.T, alive []string, acts bool) (at []time.Duration, who map[string]bool) {
		x, log := newRegistry(), &lockedLines{}
		x.fleet = fleet
		origin := x.put("a.test", 1)
		for _, id := range alive {
			_, end := x.server(t, id, "", log)
			defer end()
		}
		who = map[string]bool{}
		for range 12 * 60 {
			time.Sleep(5 * time.Second)
			if got := x.heard(); got != "" {
				at = append(at, time.Since(x.began))
				for one := range strings.SplitSeq(got, ", ") {
					who[one[:1]] = true
				}
				if acts {
					x.take(origin)
				}
			}
		}
		return at, who
	}
	synctest.Test(t, func(t *testing.T) {
		at, who := run(t, fleet, true)
		if len(at) != 1 || len(who) != 1 {
			t.Errorf("told at %v by %v", at, who)
		}
		first := slices.Collect(maps.Keys(who))[0]
		at, who = run(t, fleet, false)
		if len(at) != 3 || len(who) != 3 || !who[first] ||
			at[1]-at[0] < tellerWait-parentsLook-parentsSettle {
			t.Errorf("a parent that does nothing is told at %v by %v", at, who)
		}
		var rest []string
		for _, id := range fleet {
			if id != first {
				rest = append(rest, id)
			}
		}
		at, who = run(t, rest, true)
		if len(at) != 1 || len(who) != 1 || at[0] < tellerWait {
			t.Errorf("without the first server it is told at %v by %v", at, who)
		}
	})
}

// TestParentThatFails: a failure is reported, and tried again ever more rarely. Zones below a parent that does not
// answer hold up no others.
func TestParentThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, log := newRegistry(), &lockedLines{}
		x.put("a.test", 1)
		usual := x.found
		p, end := x.server(t, "a", "", log)
		defer end()
		for _, one := range []struct {
			what  string
			found chain.Endpoints
			err   error
			want  string
		}{
			{"no DSYNC", chain.Endpoints{}, nil, "no endpoint"},
			{
				"no DSYNC that counts",
				chain.Endpoints{Name: "_dsync.test.", Doubts: []string{"no port"}},
				nil,
				"no endpoint: no port",
			},
			{
				"no resolver",
				chain.Endpoints{},
				errors.New("SERVFAIL"),
				"failed: DSYNC records cannot be looked up: SERVFAIL",
			},
			{
				"no address",
				chain.Endpoints{All: []chain.Endpoint{{Target: "x.", Port: 1}}, Doubts: []string{"x. has none"}},
				nil, "failed: the endpoint that it names has no address to send to: x. has none",
			},
			{
				"addresses of this host",
				endpoint("127.0.0.1:53", "0.0.0.0:53", "224.0.0.1:53", "255.255.255.255:53", "[fe80::1]:53",
					"[::1]:53"),
				nil, "failed: the endpoint that it names has no address to send to: ::1 is the address of no parent",
			},
		} {
			x.set(func() { x.found, x.err = one.found, one.err })
			p.reload()
			time.Sleep(time.Minute)
			if got := state(p, "a.test"); got != one.want {
				t.Errorf("%s: the state is %s, want %s", one.what, got, one.want)
			}
		}
		if got := x.heard(); got != "" {
			t.Errorf("told: %s", got)
		}
		x.set(func() { x.found, x.err, x.refuse = usual, nil, true })
		p.reload()
		time.Sleep(8 * 24 * time.Hour)
		tries := strings.Count(x.heard(), "a.test")
		if got := state(p, "a.test"); got != "failed: answered with RCODE 5" || tries < 10 || tries > 18 {
			t.Errorf("in 8 days %d tries; the state is %s", tries, got)
		}
		if n := strings.Count(log.String(), "RCODE 5"); n != 1 {
			t.Errorf("the log says %d times that the parent refuses", n)
		}
		x.set(func() { x.refuse = false })
		time.Sleep(25 * time.Hour)
		if got := x.heard(); strings.Count(got, "a.test") != 1 || state(p, "a.test") != "told" {
			t.Errorf("once it answers it is told %s; the state is %s", got, state(p, "a.test"))
		}

		x.set(func() { x.silent = true })
		for i := range 2000 {
			x.put(fmt.Sprintf("z%d.test", i), 1)
		}
		time.Sleep(5 * time.Minute)
		if n := strings.Count(log.String(), "not be told of new CDS"); n > 4*(mostWarned+1) {
			t.Errorf("2000 zones whose parent does not answer are %d lines in the log", n)
		}
		x.set(func() { x.silent, x.found = false, endpoint("10.0.0.1:1") })
		x.put("new.other", 1)
		time.Sleep(time.Minute)
		if got := x.heard(); !strings.Contains(got, "new.other at [10.0.0.1:1]") || x.most > parentsAtOnce {
			t.Errorf("%d notices at once; told: %s", x.most, got)
		}
	})
}

// TestParentsFileIsBad: a file that cannot be read is reported, and nothing in it counts.
func TestParentsFileIsBad(t *testing.T) {
	for text, want := range map[string]string{
		`{"format":2}`: "it has format 2", `{`: "unexpected end", ``: "unexpected end",
		`{"format":1,"zones":[{"zone":"..","digest":"","parent":{"state":"told"}},{"zone":"a.test","parent":{"state":"x"}}]}`: "",
	} {
		p := &parents{folder: t.TempDir()}
		p.init()
		if err := os.WriteFile(filepath.Join(p.folder, parentsFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := p.load()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || len(p.zones) > 0 {
			t.Errorf("%s: error %v, zones %v", text, err, p.zones)
		}
	}
}
