//go:build linux

package capacity

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"leeward/integration/lab"
)

// steeredName is what all clients ask for.
const steeredName = "www.example.test"

// tickEvery is how often the model looks at the time. Everything depends on the time that has passed, so a late tick is
// no error.
const tickEvery = 50 * time.Millisecond

// closedLoop is a world being played. etcd, servers, queries and probes are real. Requests are in the model: clients
// hand theirs to the addresses in their resolver's answer, endpoints report the load of these requests in their answers
// to probes, and what servers conclude from that decides the next answers.
//
// One goroutine owns the model. The endpoints' HTTP handlers, the socket's reader and the readers of metrics leave
// their results for it to take at the next tick.
type closedLoop struct {
	t       testing.TB
	plan    *plan
	spill   bool
	regions []*lab.Region
	etcd    *lab.Member
	servers []*net.UDPAddr // their DNS

	demand    []line // requests a second, by region
	audiences []*audience
	balancers []*balancer
	byAddress map[netip.Addr]*balancer
	socket    *socket
	said      []*saidMetrics
	meter     *meter
	stalls    lab.Stalls
	began     time.Time // 0 s
	log       []string
	ends      []string // how each server ended, and its log
}

// play plays a world, with policies that spill or with static ones, and returns what was measured.
func play(t testing.TB, p *plan, spill bool) *closedLoop {
	return playWith(t, p, spill, func(*closedLoop) {})
}

// playWith is play with a function that begins with the world.
func playWith(t testing.TB, p *plan, spill bool, begin func(*closedLoop)) *closedLoop {
	l := &closedLoop{
		t: t, plan: p, spill: spill, regions: lab.NewRegions(), byAddress: map[netip.Addr]*balancer{},
		meter: &meter{lasts: p.lasts, regions: len(p.demand)},
	}
	l.build()
	begin(l)
	l.run()
	for _, r := range l.regions {
		_, status, err := r.Server.Get("/api/v1/status")
		l.ends = append(l.ends, fmt.Sprintf("%s (%v)\n\n%s", status, err, r.Server.Process.Out.String()))
	}
	return l
}

// note adds to the story of the run.
func (l *closedLoop) note(format string, args ...any) {
	l.log = append(l.log, fmt.Sprintf("%7.2f s  ", time.Since(l.began).Seconds())+fmt.Sprintf(format, args...))
}

// subnetOf is the network of the n-th subnet of a region's clients, and resolverOf the address of a resolver. Loopback
// accepts queries from all of 127.0.0.0/8, so each resolver has an address of its own.
func subnetOf(region, n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(1 + region), byte(n), 0}), 24)
}

func resolverOf(region, network, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(31 + region), byte(network), byte(1 + n)})
}

// build starts etcd, endpoints and servers, and lays out the resolvers.
func (l *closedLoop) build() {
	t, p := l.t, l.plan
	geodb := filepath.Join(t.TempDir(), "clients.mmdb")
	var places []lab.Place
	for r, region := range l.regions {
		for _, network := range []string{fmt.Sprintf("10.%d.0.0/16", 1+r), fmt.Sprintf("127.%d.0.0/16", 31+r)} {
			here := region.Client
			here.Network = network
			places = append(places, here)
		}
	}
	lab.WriteCityDatabase(t, geodb, places)

	port := lab.LoopbackPort(t)
	for r, region := range l.regions {
		l.demand = append(l.demand, level(p.demand[region.Name]))
		for n := range p.endpoints {
			address := netip.AddrFrom4([4]byte{127, byte(41 + r), 0, byte(1 + n)})
			b := newBalancer(t, p, r, fmt.Sprintf("%s/%d", region.Name, n+1),
				netip.AddrPortFrom(address, uint16(port)).String())
			l.balancers = append(l.balancers, b)
			l.byAddress[address] = b
		}
		l.layOut(r, region.Name)
	}

	l.etcd = lab.StartEtcd(t)
	lab.LeewardOK(t, l.documents(port), "apply", "--etcd", l.etcd.Client, "-f", "-")
	for _, region := range l.regions {
		region.Server = lab.NewServer(t, "server-"+region.Name, "--etcd", l.etcd.Client, "--region", region.Name,
			"--geodb",
			geodb, "--state", t.TempDir())
		region.Server.Start(t)
	}
	l.socket = newSocket(t)
	for _, region := range l.regions {
		region.Server.Ready(t)
		address, err := net.ResolveUDPAddr("udp", region.Server.DNS)
		if err != nil {
			t.Fatal(err)
		}
		l.servers = append(l.servers, address)
		l.said = append(l.said, followMetrics(t, region.Server))
	}
}

// layOut lays out the resolvers of a region, and the clients behind them.
func (l *closedLoop) layOut(r int, name string) {
	network, subnet := 0, 0
	for _, kind := range l.plan.resolvers {
		if kind.region != name {
			continue
		}
		var sizes []float64
		sum := 0.0
		for range kind.number * max(1, kind.subnets) {
			size := 0.5 + rand.Float64()
			sizes = append(sizes, size)
			sum += size
		}
		for n := range kind.number {
			c := &cache{address: resolverOf(r, network, 0)}
			if kind.farm {
				c.address = resolverOf(r, network, n)
			} else {
				network++
			}
			for s := range max(1, kind.subnets) {
				a := &audience{
					region: r, cache: c, client: c.address,
					share: kind.share * sizes[n*max(1, kind.subnets)+s] / sum,
				}
				if kind.subnets > 0 {
					a.subnet = subnetOf(r, subnet)
					a.client = a.subnet.Addr().Next()
					subnet++
				}
				l.audiences = append(l.audiences, a)
			}
		}
		if kind.farm {
			network++
		}
	}
}

// documents are the resources of the world.
func (l *closedLoop) documents(port int) string {
	p := l.plan
	var b strings.Builder
	fmt.Fprintf(&b,
		"kind: Zone\nname: example.test\nnameservers: [ns1.example.test]\nhostmaster: hostmaster@example.test\n")
	fmt.Fprintf(&b, "---\nkind: Record\nname: example.test/ns1/A\ndata: [127.0.0.1]\n")
	fmt.Fprintf(&b,
		"---\nkind: Monitor\nname: web\nhttp: {port: %d, path: /healthz, body: ok}\ninterval: %v\ntimeout: %v\nfall: "+
			"%d\nrise: %d\nhold: 0s\n",
		port, p.every, p.timeout, p.fall, p.rise)
	if l.spill {
		fmt.Fprintf(&b, "load: %s\n", p.field)
	}
	var pools []string
	for _, r := range l.regions {
		pools = append(pools, "www-"+r.Name)
		fmt.Fprintf(&b, "---\nkind: Region\nname: %s\nlatitude: %v\nlongitude: %v\n", r.Name, r.Latitude, r.Longitude)
		fmt.Fprintf(&b, "---\nkind: Pool\nname: www-%s\nregion: %s\nmonitor: web\n", r.Name, r.Name)
		if l.spill {
			target, most := p.target, p.max
			if strings.HasSuffix(p.field, "_utilization") {
				target, most = p.target/p.max, 1
			}
			fmt.Fprintf(&b, "capacity: {target: %v, max: %v}\nramp: %v\n", target, most, p.ramp)
		}
	}
	for _, e := range l.balancers {
		host, _, _ := net.SplitHostPort(e.address)
		fmt.Fprintf(&b, "---\nkind: Endpoint\nname: www-%s\naddresses: [%s]\n", strings.Replace(e.name, "/", "/lb-", 1),
			host)
	}
	fmt.Fprintf(&b, "---\nkind: Policy\nname: %s\nttl: %v\npick: weighted\nanswers: 4\nrules: [{nearest: [%s]}]\n",
		steeredName, p.ttl, strings.Join(pools, ", "))
	if l.spill {
		fmt.Fprintf(&b, "spill: true\n")
	}
	return b.String()
}

// run plays the world from its warm-up to its end.
func (l *closedLoop) run() {
	defer l.stalls.Watch(func() (all []*lab.Process) {
		for _, r := range l.regions {
			if p := r.Server.Current.Load(); p != nil && p.Alive() {
				all = append(all, p)
			}
		}
		return all
	})()
	l.began = time.Now().Add(l.plan.warmUp)
	happens := l.plan.happens
	// Caches got their answers at any time within the last TTL.
	for _, a := range l.audiences {
		a.answer = &answer{
			expires:   -l.plan.warmUp + time.Duration(rand.Int64N(int64(l.plan.ttl))),
			balancers: l.homeOf(a.region),
		}
		a.kept, a.keptUntil = a.answer, -l.plan.warmUp+time.Duration(rand.Int64N(int64(l.plan.keeps)+1))
	}
	clock := time.NewTicker(tickEvery)
	defer clock.Stop()
	last := -l.plan.warmUp
	for range clock.C {
		now := time.Since(l.began)
		if now > l.plan.lasts {
			return
		}
		for len(happens) > 0 && happens[0].When <= now {
			for _, s := range happens[0].Steps {
				l.note("%s", s.Text)
				if err := s.Do(l, s.Args); err != nil {
					l.t.Fatalf("%s:%d: %s: %v", l.plan.name, s.Number, s.Text, err)
				}
			}
			happens = happens[1:]
		}
		if err := l.step(now, now-last); err != nil {
			l.t.Fatalf("%s at %v: %v", l.plan.name, now, err)
		}
		last = now
	}
}

// homeOf returns a region's endpoints, at most four, for the answers from before.
func (l *closedLoop) homeOf(region int) []*balancer {
	mine := slices.DeleteFunc(slices.Clone(l.balancers), func(b *balancer) bool { return b.region != region })
	return mine[:min(4, len(mine))]
}

// step moves the model from the last tick to now.
func (l *closedLoop) step(now, dt time.Duration) error {
	if err := l.take(now); err != nil {
		return err
	}
	if err := l.renew(now); err != nil {
		return err
	}
	k := tick{at: now}
	for range l.regions {
		k.demand, k.load, k.target, k.most = append(k.demand, 0), append(k.load, 0), append(k.target, 0), append(k.most,
			0)
		k.home, k.kept, k.offered, k.up = append(k.home, 0), append(k.kept, math.NaN()), append(k.offered, math.NaN()),
			append(k.up, 0)
	}
	for r := range l.regions {
		k.demand[r] = l.demand[r].at(now)
	}
	lost, away := l.request(&k)
	seconds, counts := dt.Seconds(), l.meter.counts(now)
	for _, b := range l.balancers {
		holds := b.holds(now)
		k.load[b.region] += b.arrives
		k.most[b.region] += holds
		k.target[b.region] += holds * l.plan.target / l.plan.max
		if b.up() {
			k.up[b.region]++
			if counts && b.arrives > holds {
				l.meter.excess += (b.arrives - holds) * seconds
				l.meter.crowded += b.arrives * seconds
			}
		}
		arrives := b.arrives
		broke, err := b.step(now, dt)
		if err != nil {
			return err
		}
		if broke {
			l.note("endpoint %s breaks: %.0f requests a second come and it holds %.0f", b.name, arrives, holds)
			if counts {
				l.meter.broken++
				l.meter.breaks = append(l.meter.breaks, fmt.Sprintf("%s at %.1f s", b.name, now.Seconds()))
			}
		}
	}
	for r := range l.regions {
		k.kept[r], k.offered[r] = agreed(l.said, "www-"+l.regions[r].Name)
	}
	k.lost, k.silent = lost, l.meter.unanswered
	if counts {
		asked := total(k.demand)
		l.meter.requests += asked * seconds
		l.meter.lost += lost * seconds
		l.meter.detour += max(0, away-asked*optimum(k.demand, k.target)) * seconds
	}
	l.meter.ticks = append(l.meter.ticks, k)
	return nil
}

// request hands the clients' requests to the endpoints in their answers. What an endpoint loses is decided by the tick
// before.
func (l *closedLoop) request(k *tick) (lost, away float64) {
	for _, b := range l.balancers {
		b.arrives = 0
	}
	var refuses, attempts [16]float64
	for _, a := range l.audiences {
		rate := k.demand[a.region] * a.share
		for _, part := range []struct {
			of   *answer
			rate float64
		}{{a.answer, rate * (1 - l.plan.late)}, {a.kept, rate * l.plan.late}} {
			if part.rate == 0 {
				continue
			}
			told := part.of.balancers[:min(len(part.of.balancers), len(refuses))]
			for i, b := range told {
				refuses[i] = 1
				if b.up() {
					refuses[i] = 0
				}
			}
			lost += part.rate * visits(refuses[:len(told)], attempts[:len(told)])
			for i, b := range told {
				rate := part.rate * attempts[i]
				if !b.up() {
					continue
				}
				b.arrives += rate
				lost += rate * b.loses
				if b.region != a.region {
					away += rate * (1 - b.loses)
				}
			}
		}
		k.home[a.region] += a.share * a.answer.share(a.region)
	}
	return lost, away
}

// processorTime is how much processor time this process has had.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
