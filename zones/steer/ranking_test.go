package steer

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"

	"leeward/geo"
	"leeward/zones"
)

// The scope of `nearest` is that of the pools that were used: prefixes are joined if these agree, whatever comes after.
func TestNearestScopeIsThatOfTheAnswer(t *testing.T) {
	var networks []geo.Network
	for i, at := range []float64{1, -1, 59, 61} { // longitudes of four networks of a /10 each
		networks = append(networks, geo.Network{
			Prefix:   netip.PrefixFrom(netip.AddrFrom4([4]byte{8, byte(i << 6)}), 10),
			Location: geo.Location{Country: "DE", Latitude: 0.1, Longitude: at, HasPoint: true},
		})
	}
	table, err := geo.Compile(networks)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		regions: map[string]*zones.Region{}, members: map[string][]*zones.Endpoint{},
		words: map[string]zones.Word{},
	}
	for i, lon := range []float64{0, 20, -20, 60} {
		name := fmt.Sprint("r", i)
		w.regions[name] = at(0, lon)
		w.pools = append(w.pools, &zones.Pool{Pool: name, Region: name, Monitor: "web"})
		w.members[name] = []*zones.Endpoint{{
			Pool: name, Endpoint: "lb",
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})},
		}}
	}
	p := compile(t, table, w, &zones.Policy{
		Name:  "www.example.test",
		Rules: []zones.Rule{{Nearest: []string{"r0", "r1", "r2", "r3"}}},
	})
	for _, c := range []struct {
		client string
		down   []string
		pool   int32
		scope  uint8
	}{
		{"8.1.2.3", nil, 0, 9}, // the second network is near the same region, and next to others
		{"8.65.2.3", nil, 0, 9},
		{"8.130.2.3", nil, 3, 9},
		{"8.200.2.3", nil, 3, 9},
		{"8.1.2.3", []string{"r0/lb"}, 1, 10},
		{"8.65.2.3", []string{"r0/lb"}, 2, 10},
		{"8.200.2.3", []string{"r0/lb"}, 3, 9},
		{"8.1.2.3", []string{"r0/lb", "r1/lb", "r2/lb"}, 3, 10},
	} {
		var d Decision
		p.Decide(NewView(w.program(), Sight{State: down(c.down...)}, nil),
			&Request{Client: netip.MustParseAddr(c.client)}, &d)
		if d.Pool != c.pool || d.Scope != c.scope {
			t.Errorf("%s without %v: pool %d, scope /%d; want %d, /%d", c.client, c.down, d.Pool, d.Scope, c.pool,
				c.scope)
		}
	}
}

// BenchmarkNearest measures a dozen regions over a database named by LEEWARD_CITY: what a decision costs, and the mean
// scope of clients spread evenly over the database's networks, by the head of the order and by the whole order.
func BenchmarkNearest(b *testing.B) {
	file := os.Getenv("LEEWARD_CITY")
	if file == "" {
		b.Skip("LEEWARD_CITY names no database")
	}
	table, err := geo.Open([]string{file}, slog.Default())
	if err != nil {
		b.Fatal(err)
	}
	w := &world{
		regions: map[string]*zones.Region{}, members: map[string][]*zones.Endpoint{},
		words: map[string]zones.Word{},
	}
	var nearest []string
	for i, at := range [][2]float64{
		{39, -77},
		{41, -83},
		{37, -122},
		{46, -120},
		{-23, -47},
		{53, -6},
		{50, 9},
		{60, 18},
		{35, 140},
		{1, 104},
		{-34, 151},
		{19, 73},
	} {
		name := fmt.Sprint("r", i)
		w.regions[name] = &zones.Region{Latitude: &at[0], Longitude: &at[1]}
		w.pools = append(w.pools, &zones.Pool{Pool: name, Region: name, Monitor: "web"})
		w.members[name] = []*zones.Endpoint{{
			Pool: name, Endpoint: "lb",
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})},
		}}
		nearest = append(nearest, name)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var clients [1 << 14]netip.Addr
	for i := range clients {
		for {
			leaf := uint32(rng.IntN(table.V4Leaves()))
			if table.Locations()[table.LocationOf(leaf)].HasPoint {
				clients[i] = table.Start(leaf)
				break
			}
		}
	}
	for _, c := range []struct {
		name  string
		down  []string
		whole bool
	}{
		{"head", nil, false},
		{"whole", nil, true},
		{"head, one region out", []string{"r6/lb"}, false},
		{"whole, one region out", []string{"r6/lb"}, true},
	} {
		p := compile(b, table, w, &zones.Policy{Name: "www.example.test", Rules: []zones.Rule{{Nearest: nearest}}})
		if c.whole {
			p.rules[0].rank.heads = [2]*outcomes{}
		}
		v := NewView(w.program(), Sight{State: down(c.down...)}, nil)
		b.Run(c.name, func(b *testing.B) {
			d, req := new(Decision), new(Request)
			bits, n := 0, 0
			for b.Loop() {
				req.Client = clients[n&(len(clients)-1)]
				p.Decide(v, req, d)
				bits += int(d.Scope)
				n++
			}
			b.ReportMetric(float64(bits)/float64(n), "bits")
		})
	}
}
