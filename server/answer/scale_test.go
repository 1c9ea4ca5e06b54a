package answer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/health"
	"leeward/server/wire"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// estate is a zone with so many static names, and so many policies with a pool each. A server publishes it, and a
// worker's batch asks for all of them in random order.
type estate struct {
	server   *Responder
	worker   *Worker
	catalog  *catalog.Catalog
	builder  *snapshot.Builder
	view     *steer.View
	revision int64
	pools    int

	requests [][]byte
	at       int
	out      []byte
}

func newEstate(tb testing.TB, names, pools int) *estate {
	tb.Helper()
	s, err := New(Options{RateLimit: RateLimit{Rate: 100_000_000}})
	if err != nil {
		tb.Fatal(err)
	}
	e := &estate{
		server: s, catalog: catalog.New(time.Now), builder: snapshot.NewBuilder(time.Now), pools: pools,
		out: make([]byte, 0, wire.UDPSize),
	}
	rs := []zones.Resource{
		&zones.Zone{Origin: "example.test", Nameservers: []string{"ns1.example.net"}}, &zones.Region{Region: "here"},
	}
	for i := range names {
		rs = append(rs, &zones.Record{
			Origin: "example.test", Owner: fmt.Sprintf("host-%d", i), Type: "A",
			Data: []string{"192.0.2.1"},
		})
	}
	for i := range pools {
		pool := fmt.Sprintf("pool-%d", i)
		rs = append(rs, &zones.Pool{Pool: pool, Region: "here"}, &zones.Policy{
			Name:  fmt.Sprintf("www-%d.example.test", i),
			Rules: []zones.Rule{{Failover: []zones.Step{{Pools: []zones.WeightedPool{{Pool: pool, Weight: 1}}}}}},
		})
		for k := range 4 {
			rs = append(rs, e.endpoint(i, k, 0))
		}
	}
	batch := zones.Batch{Full: true}
	for _, r := range rs {
		batch.Changes = append(batch.Changes, zones.Change{Key: r.Key(), Resource: r, Revision: 1})
	}
	e.publish(tb, batch)
	random := rand.New(rand.NewPCG(1, 2))
	for range 1 << 15 {
		name, most := "host", names
		if pools > 0 {
			name, most = "www", pools
		}
		m := new(dns.Msg).SetQuestion(fmt.Sprintf("%s-%d.example.test.", name, random.IntN(most)), dns.TypeA)
		m.SetEdns0(1232, false)
		request, err := m.Pack()
		if err != nil {
			tb.Fatal(err)
		}
		e.requests = append(e.requests, request)
	}
	e.worker = s.newWorker(udp)
	return e
}

func (e *estate) endpoint(pool, k, turn int) *zones.Endpoint {
	return &zones.Endpoint{
		Pool: fmt.Sprintf("pool-%d", pool), Endpoint: fmt.Sprintf("lb-%d", k),
		Addresses: []netip.Addr{
			netip.AddrFrom4([4]byte{10 + byte(turn%2), byte(pool >> 8), byte(pool), byte(k + 1)}),
		},
	}
}

func (e *estate) publish(tb testing.TB, batch zones.Batch) {
	e.revision++
	batch.Revision = e.revision
	shot, problems := e.builder.Update(e.catalog, e.catalog.Apply(batch), nil)
	if err := problems.Err(); err != nil {
		tb.Error(err)
	}
	e.view = steer.NewView(shot.Program(), steer.Sight{State: func(health.Target) health.State {
		return health.Up
	}}, e.view)
	e.server.Publish(State{Snapshot: shot, View: e.view})
}

func (e *estate) request(i int) ([]byte, netip.Addr) {
	return e.requests[(e.at+i)%len(e.requests)], netip.AddrFrom4([4]byte{192, 0, 2, 1})
}

// answer answers the next 64 requests as a packet loop does, without the system calls, and returns how many had an
// answer.
func (e *estate) answer() (answered int) {
	w := e.worker
	w.Look()
	w.Ahead(mostAhead, e.request)
	for i := range mostAhead {
		request, client := e.request(i)
		if response, _ := w.Respond(request, client, false, e.out); len(response) > 12 &&
			binary.BigEndian.Uint16(response[6:]) > 0 {
			answered++
		}
	}
	w.Flush()
	e.at += mostAhead
	return answered
}

func TestBatchAllocatesNothing(t *testing.T) {
	for _, c := range [][2]int{{1000, 0}, {0, 100}} {
		e := newEstate(t, c[0], c[1])
		if n := testing.AllocsPerRun(100, func() {
			if e.answer() != mostAhead {
				t.Fatal("not answered")
			}
		}); n != 0 {
			t.Errorf("%d names, %d pools: %v allocations a batch", c[0], c[1], n)
		}
	}
}

// BenchmarkScale is what a query costs without the system calls, in batches of 64: with few and many names, with few
// and many pools, and while a thousand changes a second are published one by one.
func BenchmarkScale(b *testing.B) {
	for _, c := range []struct{ names, pools, changes int }{
		{10_000, 0, 0}, {1_000_000, 0, 0}, {0, 10, 0}, {0, 10_000, 0}, {0, 1000, 0}, {0, 1000, 1000},
	} {
		b.Run(fmt.Sprintf("names=%d/pools=%d/changes=%d", c.names, c.pools, c.changes), func(b *testing.B) {
			e := newEstate(b, c.names, c.pools)
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				if c.changes == 0 {
					return
				}
				tick := time.NewTicker(time.Second / time.Duration(c.changes))
				defer tick.Stop()
				for turn := 0; ; turn++ {
					select {
					case <-stop:
						return
					case <-tick.C:
						r := e.endpoint(turn%e.pools, turn%4, turn/e.pools+1)
						e.publish(b, zones.Batch{Changes: []zones.Change{{
							Key: r.Key(), Resource: r,
							Revision: e.revision + 1,
						}}})
					}
				}
			}()
			queries := 0
			b.ResetTimer()
			for b.Loop() {
				if e.answer() != mostAhead {
					b.Fatal("not answered")
				}
				queries += mostAhead
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(queries), "ns/query")
			close(stop)
			<-done
		})
	}
}
