//go:build linux

package abuse

import (
	"context"
	order "encoding/binary"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"leeward/integration/lab"
)

// abuse gives the tests of this file the size of the figures in docs/measurements.md: see `make abuse`. Without it they
// are small enough for every run.
var abuse = flag.Bool("abuse", false, "abuse the server at full size")

// abused is the size of an attack.
func abused(small, full int) int {
	if *abuse {
		return full
	}
	return small
}

// siege is a server, an attacker that can send from any address, and somebody else who only wants answers.
type siege struct {
	yard             *lab.Yard
	server           *lab.Server
	attacker, honest *lab.Host
}

const siegeZone = `kind: Zone
name: example.test
nameservers: [ns1.example.test]
hostmaster: hostmaster@example.test
---
kind: Record
name: example.test/ns1/A
data: [192.0.2.53]
---
kind: Record
name: example.test/www/A
data: [192.0.2.80]
---
kind: Record
name: example.test/*.wild/A
data: [192.0.2.81]
---
kind: Record
name: example.test/alias/CNAME
data: [www.example.test.]
---
kind: Record
name: example.test/sub/NS
data: [ns1.sub.example.test.]
---
kind: Record
name: example.test/ns1.sub/A
data: [192.0.2.54]
---
kind: Record
name: example.test/text/TXT
data: ['"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"', '"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"']
`

func newSiege(t *testing.T, args ...string) *siege {
	t.Helper()
	return newSiegeOf(t, siegeZone, args...)
}

// newSiegeOf is newSiege with other documents.
func newSiegeOf(t *testing.T, documents string, args ...string) *siege {
	t.Helper()
	x := &siege{yard: lab.NewYard(t)}
	town := x.yard.Host(t, "town", netip.MustParsePrefix("10.77.0.1/24"))
	x.attacker = x.yard.Host(t, "attacker", netip.MustParsePrefix("10.77.0.2/24"))
	x.honest = x.yard.Host(t, "honest", netip.MustParsePrefix("10.77.0.3/24"))
	lab.Must(t, town, "sh", "-c",
		"for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done; ip route add default via 10.77.0.2")
	lab.Must(t, x.attacker, "ip", "route", "add", "local", "10.66.0.0/16", "dev", "lo")
	lab.Must(t, x.attacker, "sh", "-c", "echo '1024 65000' > /proc/sys/net/ipv4/ip_local_port_range")
	dir := t.TempDir()
	lab.Write(t, filepath.Join(dir, "all.yaml"), documents)
	x.server = lab.ServerAt(town, "town", "10.77.0.1:53", "127.0.0.1:8053", append([]string{
		"--listen", "10.77.0.1:53", "--files", dir,
	}, args...)...)
	x.server.Start(t)
	x.server.Ready(t)
	return x
}

// bystander asks over UDP and TCP for as long as the siege lasts. Like a resolver, it asks again: over UDP after a
// second, over TCP if the connection was closed (RFC 7766 section 6.2.4). A connection that says nothing may be closed
// once others have filled the table.
type bystander struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	took   map[string][]time.Duration // by network
	again  map[string]int
	failed []string
}

func (x *siege) bystander(t *testing.T) *bystander {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b := &bystander{cancel: cancel, took: map[string][]time.Duration{}, again: map[string]int{}}
	for _, network := range []string{"udp", "tcp"} {
		b.wg.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				begin := time.Now()
				var m *dns.Msg
				var err error
				tries := 0
				for tries = 1; tries <= 3; tries++ {
					var c net.Conn
					if c, err = x.honest.Dial(net.Dialer{Timeout: 5 * time.Second}, network, x.server.DNS); err == nil {
						m, err = lab.Exchange(c, lab.Question{Name: "www.example.test", Qtype: dns.TypeA}.Message(),
							time.Second)
						c.Close()
					}
					if err == nil {
						break
					}
				}
				b.mu.Lock()
				b.took[network] = append(b.took[network], time.Since(begin))
				b.again[network] += min(tries, 3) - 1
				if err != nil {
					b.failed = append(b.failed, network+": "+err.Error())
				} else if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 {
					b.failed = append(b.failed, fmt.Sprintf("%s: %v", network, lab.VerdictOf(m)))
				}
				b.mu.Unlock()
				select {
				case <-ctx.Done():
				case <-tick.C:
				}
			}
		})
	}
	return b
}

// check ends it. Every query must have been answered.
func (b *bystander) check(t *testing.T, during string) {
	t.Helper()
	b.cancel()
	b.wg.Wait()
	for _, network := range []string{"udp", "tcp"} {
		took := b.took[network]
		if len(took)+b.again[network] < 10 {
			t.Errorf("%s: others have asked only %d times over %s", during, len(took)+b.again[network], network)
			continue
		}
		slices.Sort(took)
		t.Logf("%s: others over %s: %d queries, p50 %v, p99 %v, max %v", during, network, len(took),
			took[len(took)/2].Round(10*time.Microsecond),
			took[len(took)*99/100].Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond))
	}
	t.Logf("%s: asked again: %v; not answered: %d", during, b.again, len(b.failed))
	if n := b.again["tcp"]; n > len(b.took["tcp"])/100 {
		t.Errorf("%s: others were thrown out %d times", during, n)
	}
	if len(b.failed) > 0 {
		t.Errorf("%s: others were not answered %d times, first: %s", during, len(b.failed), b.failed[0])
	}
}

// footprint is the resources that a server holds.
type footprint struct {
	rss, most                     float64 // MiB
	goroutines, files, connection float64
}

func (x *siege) footprint(t *testing.T) (f footprint) {
	t.Helper()
	f.rss, f.most = lab.RSS(t, x.server.Process)
	f.goroutines = x.server.Metric(t, "go_goroutines", "")
	f.files = x.server.Metric(t, "process_open_fds", "")
	f.connection = x.server.Metric(t, "leeward_tcp_connections", "")
	return f
}

// recovered waits until the server holds no more than before: no connection, goroutine or file more, and memory within
// a quarter and 24 MiB, which the runtime keeps for later.
func (x *siege) recovered(t *testing.T, during string, before footprint) {
	t.Helper()
	var now footprint
	lab.Until(t, 3*time.Minute, "the server is as it was before", func() error {
		now = x.footprint(t)
		switch {
		case now.connection > 0:
			return fmt.Errorf("%v connections are open", now.connection)
		case now.goroutines > before.goroutines+5 || now.files > before.files+5:
			return fmt.Errorf("%v goroutines and %v files, before %v and %v", now.goroutines, now.files,
				before.goroutines,
				before.files)
		case !lab.Race && now.rss > before.rss*1.25+24: // the detector keeps memory of its own
			return fmt.Errorf("%.0f MiB, before %.0f MiB", now.rss, before.rss)
		}
		return nil
	})
	t.Logf("%s: memory before %.0f MiB, at its most %.0f MiB, after %.0f MiB; goroutines %v, %v; files %v, %v", during,
		before.rss, now.most, now.rss,
		before.goroutines, now.goroutines, before.files, now.files)
	if n := x.server.Metric(t, "leeward_dns_dropped_total", `"panic"`); n > 0 || !x.server.Process.Alive() {
		t.Errorf("%s: %v panics", during, n)
	}
}

// connect opens a connection from one of the attacker's many addresses.
func (x *siege) connect(n int) (net.Conn, error) {
	from := netip.AddrFrom4([4]byte{10, 66, byte(n % 240), byte(1 + n/240%200)})
	return x.attacker.Dial(net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}, "tcp",
		"10.77.0.1:53")
}

// TestAbuseByConnections fills the server with clients that say nothing, that say something very slowly, or that do not
// read the answers.
func TestAbuseByConnections(t *testing.T) {
	x := newSiege(t)
	idle, slow, deaf := abused(1500, 10_000), abused(150, 1000), abused(20, 100)
	x.honestly(t)
	before := x.footprint(t)
	others := x.bystander(t)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for n := range idle {
		c, err := x.connect(n)
		if err != nil {
			t.Fatalf("connection %d: %v", n, err)
		}
		conns = append(conns, c)
	}
	if n := x.server.Metric(t, "leeward_tcp_connections", ""); n > 1024 {
		t.Errorf("%v connections are open, 1024 may be", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(abused(5, 30))*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	query, _ := lab.Question{Name: "text.example.test", Qtype: dns.TypeTXT}.Message().Pack()
	query = append(order.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	again := func(n int, speak func(net.Conn) error) { // connects again whenever it is thrown out
		wg.Go(func() {
			for ctx.Err() == nil {
				c, err := x.connect(n)
				if err != nil {
					continue
				}
				stop := context.AfterFunc(ctx, func() { c.Close() })
				for err == nil {
					err = speak(c)
				}
				stop()
				c.Close()
			}
		})
	}
	for n := range slow {
		at := 0
		again(n, func(c net.Conn) error { // an octet now and then
			_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); err != nil && !os.IsTimeout(err) {
				return err
			}
			_, err := c.Write(query[at%len(query) : at%len(query)+1])
			at++
			return err
		})
	}
	flood := []byte(strings.Repeat(string(query), 200))
	for n := range deaf {
		again(n, func(c net.Conn) error { // endless queries, and nobody reads
			_ = c.SetWriteDeadline(time.Now().Add(8 * time.Second))
			_, err := c.Write(flood)
			return err
		})
	}
	wg.Wait()
	others.check(t, fmt.Sprintf("%d idle, %d slow and %d deaf TCP clients", idle, slow, deaf))
	for _, c := range conns {
		c.Close()
	}
	conns = nil
	for _, reason := range []string{"evicted", "idle", "slow", "refused", "client"} {
		t.Logf("closed, %s: %v", reason, x.server.Metric(t, "leeward_tcp_connections_closed_total", `"`+reason+`"`))
	}
	if x.server.Metric(t, "leeward_tcp_connections_closed_total", `"evicted"`) == 0 {
		t.Error("no connection made room for another")
	}
	x.recovered(t, "connections", before)
}

// inquiries returns a message of every kind that TCP takes: opcodes and types, signed by a stranger or not.
func inquiries(t *testing.T) (all map[string][]byte) {
	t.Helper()
	all = map[string][]byte{}
	for opcode := range 16 {
		for _, kind := range []uint16{dns.TypeA, dns.TypeSOA, dns.TypeTXT, dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR} {
			for _, signed := range []bool{false, true} {
				if opcode != dns.OpcodeQuery && kind != dns.TypeSOA { // all others are alike
					continue
				}
				m := lab.Question{Name: "example.test", Qtype: kind}.Message()
				m.Opcode = opcode
				b, err := m.Pack()
				if signed {
					m.SetTsig("stranger.", dns.HmacSHA256, 300, time.Now().Unix())
					b, _, err = dns.TsigGenerate(m, "c2VjcmV0", "", false)
				}
				if err != nil {
					t.Fatal(err)
				}
				all[fmt.Sprintf("opcode %d %s signed %v", opcode, dns.TypeToString[kind], signed)] = b
			}
		}
	}
	return all
}

// TestAbuseByTheDeaf fills the server with clients that ask without end and do not read. They come from 17 addresses,
// each with as many connections as it may have, and send one kind of message at a time, then all of them at once.
func TestAbuseByTheDeaf(t *testing.T) {
	if lab.Race {
		t.Skip("a thousand connections that never pause leave a binary with the race detector no time for others: it " +
			"runs without, by .ci/run")
	}
	x := newSiege(t)
	all := inquiries(t)
	kinds := []string{"all kinds", "opcode 0 AXFR signed false"}
	if *abuse {
		kinds = append(kinds, slices.Sorted(maps.Keys(all))...)
	}
	names := slices.Sorted(maps.Keys(all))
	x.honestly(t)
	before := x.footprint(t)
	for _, kind := range kinds {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for n := range 17 * 64 {
			name := kind
			if all[name] == nil {
				name = names[n%len(names)]
			}
			flood := append(order.BigEndian.AppendUint16(nil, uint16(len(all[name]))), all[name]...)
			flood = []byte(strings.Repeat(string(flood), 500))
			wg.Go(func() {
				for ctx.Err() == nil {
					c, err := x.connect(n % 17)
					if err != nil {
						continue
					}
					stop := context.AfterFunc(ctx, func() { c.Close() })
					_ = c.(*net.TCPConn).SetReadBuffer(4096)
					for err == nil {
						_, err = c.Write(flood)
					}
					stop()
					c.Close()
				}
			})
		}
		lab.Until(t, 30*time.Second, "the table is full", func() error {
			if n := x.server.Metric(t, "leeward_tcp_connections", ""); n < 900 {
				return fmt.Errorf("%v connections", n)
			}
			return nil
		})
		others := x.bystander(t)
		transfers, answered := 0, 0
		for end := time.Now().Add(time.Duration(abused(4, 10)) * time.Second); time.Now().Before(end); transfers++ {
			if x.refused(all["opcode 0 AXFR signed false"]) == nil {
				answered++
			}
		}
		others.check(t, kind)
		t.Logf("%s: %d of %d others' transfers are answered, with REFUSED", kind, answered, transfers)
		if answered < transfers || transfers == 0 {
			t.Errorf("%s: %d of %d others' transfers are not answered", kind, transfers-answered, transfers)
		}
		cancel()
		wg.Wait()
	}
	x.recovered(t, "the deaf", before)
}

// refused asks over TCP, three times at most, and waits for any response.
func (x *siege) refused(message []byte) (err error) {
	for range 3 {
		var c net.Conn
		if c, err = x.honest.Dial(net.Dialer{Timeout: 5 * time.Second}, "tcp", x.server.DNS); err != nil {
			continue
		}
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err = c.Write(append(order.BigEndian.AppendUint16(nil, uint16(len(message))), message...)); err == nil {
			_, err = (&dns.Conn{Conn: c}).ReadMsg()
		}
		c.Close()
		if err == nil {
			return nil
		}
	}
	return err
}

// honestly warms the server up with some queries, so that what follows is compared with a server in use.
func (x *siege) honestly(t *testing.T) {
	t.Helper()
	for range 200 {
		for _, network := range []string{"udp", "tcp"} {
			if _, err := lab.Ask(x.honest, x.server.DNS, lab.Question{
				Name: "www.example.test", Qtype: dns.TypeA,
				Network: network,
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// forger sends datagrams from addresses that are not its own.
type forger struct {
	fd     int
	packet []byte
}

func (x *siege) forger(t *testing.T) *forger {
	t.Helper()
	f := &forger{}
	if err := x.attacker.Do(func() (err error) {
		f.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(f.fd) })
	return f
}

// send sends the message to the server as if from that address. The kernel fills in the IP checksum; UDP over IPv4
// needs none.
func (f *forger) send(from [4]byte, port uint16, message []byte) error {
	to := [4]byte{10, 77, 0, 1}
	p := append(f.packet[:0], 0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0)
	p = append(append(p, from[:]...), to[:]...)
	p = order.BigEndian.AppendUint16(p, port)
	p = order.BigEndian.AppendUint16(p, 53)
	p = order.BigEndian.AppendUint16(p, uint16(8+len(message)))
	p = append(append(p, 0, 0), message...)
	f.packet = p
	for {
		err := unix.Sendto(f.fd, p, 0, &unix.SockaddrInet4{Addr: to})
		switch err {
		case unix.ENOBUFS, unix.EAGAIN, unix.EINTR:
			continue
		}
		return err
	}
}

// flood sends for two seconds, or 20 at full size, and returns how many were sent within how many seconds.
func (f *forger) flood(t *testing.T, from func() [4]byte, message func() []byte) (sent int, took float64) {
	t.Helper()
	begin := time.Now()
	// Some thousands a second are enough for every run. More than a server with the race detector can answer would
	// only show that the kernel drops what nobody reads, whoever sent it.
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for limit := time.Duration(abused(2, 20)) * time.Second; time.Since(begin) < limit; {
		for range abused(8, 64) {
			if err := f.send(from(), uint16(1024+rand.Uint32N(60000)), message()); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		if !*abuse {
			<-pace.C
		}
	}
	return sent, time.Since(begin).Seconds()
}

// everywhere returns a random address.
func everywhere() (a [4]byte) {
	order.BigEndian.PutUint32(a[:], 0x14000000+rand.Uint32N(0x28000000))
	return a
}

// victim returns an address of one /24.
func victim() [4]byte { return [4]byte{198, 51, 100, byte(rand.Uint32())} }

// counter reads a statistic of the attacker's cable.
func counter(t *testing.T, h *lab.Host, name string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(strings.TrimSpace(lab.Must(t, h, "cat", "/sys/class/net/cable/statistics/"+name)), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestAbuseByForgers floods the server with queries that seem to come from a victim's network, and then from
// everywhere.
func TestAbuseByForgers(t *testing.T) {
	x := newSiege(t)
	x.honestly(t)
	before := x.footprint(t)
	query := func(name string, qtype uint16) []byte {
		b, _ := lab.Question{Name: name, Qtype: qtype}.Message().Pack()
		return b
	}
	random := rand.New(rand.NewPCG(7, 7))
	label := func() string { return strconv.FormatUint(random.Uint64(), 36) }
	attacks := []struct {
		name    string
		limited bool
		from    func() [4]byte
		message func() []byte
	}{
		{
			"one name, from one /24", true, victim,
			func() []byte { return query("text.example.test", dns.TypeTXT) },
		},
		{
			"random names, from one /24", true, victim,
			func() []byte { return query(label()+".example.test", dns.TypeA) },
		},
		{
			"names of a wildcard, from one /24", true, victim,
			func() []byte { return query(label()+".wild.example.test", dns.TypeA) },
		},
		{
			"one name, from everywhere", false, everywhere,
			func() []byte { return query("text.example.test", dns.TypeTXT) },
		},
	}
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			f := x.forger(t)
			others := x.bystander(t)
			sentBytes, gotBytes := counter(t, x.attacker, "tx_bytes"), counter(t, x.attacker,
				"rx_bytes")
			drops, slips := x.server.Metric(t, "leeward_rrl_responses_total", `"dropped"`),
				x.server.Metric(t, "leeward_rrl_responses_total", `"slipped"`)
			queries, lost := x.server.Metric(t, "leeward_dns_queries_total", ""),
				x.server.Metric(t, "leeward_udp_receive_overflows_total", "")
			message := a.message
			if !strings.Contains(a.name, "names") {
				fixed := a.message()
				message = func() []byte { return fixed }
			}
			sentPackets, took := f.flood(t, a.from, message)
			others.check(t, a.name)
			out, in := counter(t, x.attacker, "tx_bytes")-sentBytes, counter(t, x.attacker, "rx_bytes")-gotBytes
			drops, slips = x.server.Metric(t, "leeward_rrl_responses_total", `"dropped"`)-drops,
				x.server.Metric(t, "leeward_rrl_responses_total", `"slipped"`)-slips
			t.Logf("| %s | %.0f/s sent | %.0f/s answered or limited | %.0f/s dropped | %.0f/s truncated | %.2f "+
				"octets out for one in | %.0f lost by the kernel | %.0f of %.0f buckets |",
				a.name, float64(sentPackets)/took, (x.server.Metric(t, "leeward_dns_queries_total", "")-queries)/took,
				drops/took,
				slips/took, in/out,
				x.server.Metric(t, "leeward_udp_receive_overflows_total", "")-lost,
				x.server.Metric(t, "leeward_rrl_buckets_in_use", ""), x.server.Metric(t, "leeward_rrl_buckets", ""))
			if a.limited && (drops == 0 || slips == 0 || in > out) {
				t.Errorf("%.0f dropped, %.0f truncated, %.2f octets for one: the victim is flooded", drops, slips,
					in/out)
			}
		})
	}
	x.recovered(t, "forged addresses", before)
}

// mutate turns a message into something that is nearly one.
func mutate(random *rand.Rand, m []byte) []byte {
	m = append([]byte(nil), m...)
	for range 1 + random.IntN(4) {
		if len(m) == 0 {
			return m
		}
		at := random.IntN(len(m))
		switch random.IntN(8) {
		case 0:
			m[at] ^= 1 << random.IntN(8)
		case 1:
			m[at] = byte(random.Uint32())
		case 2:
			m[at] = []byte{0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff}[random.IntN(8)]
		case 3:
			m = m[:at]
		case 4:
			m = slices.Insert(m, at, m[at:at+random.IntN(min(len(m)-at, 64))]...)
		case 5:
			m = slices.Delete(m, at, at+random.IntN(min(len(m)-at, 16)))
		case 6: // the counts of the header
			if len(m) >= 12 {
				m[4+random.IntN(8)] = byte(random.IntN(4))
			}
		case 7: // the length of a record or an option
			if at+1 < len(m) {
				order.BigEndian.PutUint16(m[at:], uint16(random.IntN(48)))
			}
		}
	}
	return m
}

// TestAbuseByMutants sends messages that are broken in every way, over UDP and some over TCP. Each must be dealt with.
func TestAbuseByMutants(t *testing.T) {
	x := newSiege(t, "--rrl", "1000000")
	x.honestly(t)
	before := x.footprint(t)
	others := x.bystander(t)
	random := rand.New(rand.NewPCG(3, 9))
	var seeds [][]byte
	for _, name := range []string{
		"www.example.test", "alias.example.test", "a.wild.example.test", "x.sub.example.test",
		"nope.example.test", "elsewhere.invalid",
	} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeANY, dns.TypeSOA, dns.TypeAXFR} {
			m := lab.Question{Name: name, Qtype: qtype, Client: netip.MustParsePrefix("203.0.113.0/24")}.Message()
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID},
				&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"})
			b, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			m.Extra = nil
			plain, _ := m.Pack()
			update := new(dns.Msg)
			update.SetUpdate("example.test.")
			update.Insert([]dns.RR{&dns.A{Hdr: dns.RR_Header{
				Name: dns.Fqdn(name), Rrtype: dns.TypeA, Class: dns.ClassINET,
				Ttl: 30,
			}, A: net.IPv4(192, 0, 2, 1)}})
			update.SetTsig("key.", dns.HmacSHA256, 300, 1_800_000_000)
			signed, _, err := dns.TsigGenerate(update, "c2VjcmV0", "", false)
			if err != nil {
				t.Fatal(err)
			}
			seeds = append(seeds, b, plain, signed)
		}
	}
	total, chunk := abused(100_000, 10_000_000), 4000
	handled := func() float64 {
		return x.server.Metric(t, "leeward_dns_queries_total", `"udp"`) +
			x.server.Metric(t, "leeward_dns_dropped_total", `"short"`) +
			x.server.Metric(t, "leeward_udp_receive_overflows_total", "")
	}
	var streamed atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { // over TCP, a few each on many connections
		random := rand.New(rand.NewPCG(4, 2))
		for n := 0; ctx.Err() == nil; n++ {
			c, err := x.connect(n)
			if err != nil {
				continue
			}
			var stream []byte
			for range 20 {
				m := mutate(random, seeds[random.IntN(len(seeds))])
				stream = append(order.BigEndian.AppendUint16(stream, uint16(len(m))), m...)
				streamed.Add(1)
			}
			_ = c.SetDeadline(time.Now().Add(time.Second))
			_, _ = c.Write(stream)
			_ = c.(*net.TCPConn).CloseWrite()
			buffer := make([]byte, 4096)
			for err == nil {
				_, err = c.Read(buffer)
			}
			c.Close()
		}
	})
	f := x.forger(t)
	begin := time.Now()
	start := handled()
	for sent := 0; sent < total; {
		for range min(chunk, total-sent) {
			a := [4]byte{203, 0, byte(random.Uint32()), byte(random.Uint32())}
			if err := f.send(a, uint16(1024+random.Uint32N(60000)),
				mutate(random, seeds[random.IntN(len(seeds))])); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		// the bystander's queries are counted with them
		lab.Until(t, time.Minute, "all datagrams are dealt with", func() error {
			if n := handled() - start; n < float64(sent) {
				return fmt.Errorf("%.0f of %d", n, sent)
			}
			return nil
		})
	}
	took := time.Since(begin)
	cancel()
	wg.Wait()
	others.check(t, fmt.Sprintf("%d mutants", total))
	t.Logf("mutants: %d over UDP and %d over TCP in %v", total, streamed.Load(), took.Round(time.Millisecond))
	x.recovered(t, "mutants", before)
}

// TestCookieSecretFile: servers with one file accept each other's cookies, and read it again at SIGHUP.
func TestCookieSecretFile(t *testing.T) {
	dir := t.TempDir()
	lab.Write(t, filepath.Join(dir, "all.yaml"), siegeZone)
	file := filepath.Join(t.TempDir(), "secrets")
	const one, two = "e5e973e5a6b2a43f48e7dc849e37bfcf", "445536bcd2513298075a5d379663c962"
	lab.Write(t, file, one+"\n")
	a := lab.Serve(t, "a", "--files", dir, "--cookie-secret-file", file)
	b := lab.Serve(t, "b", "--files", dir, "--cookie-secret-file", file)
	cookie := func(s *lab.Server, send string) string {
		t.Helper()
		m := lab.Question{Name: "www.example.test", Qtype: dns.TypeA}.Message()
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: send}}
		c, err := net.Dial("udp", s.DNS)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r, err := lab.Exchange(c, m, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range r.IsEdns0().Option {
			if o, ok := o.(*dns.EDNS0_COOKIE); ok {
				return o.Cookie
			}
		}
		t.Fatalf("no cookie in\n%s", r)
		return ""
	}
	// A valid and fresh cookie comes back unchanged.
	got := cookie(a, "0102030405060708")
	if again := cookie(b, got); again != got {
		t.Errorf("b has not accepted a's cookie %s: %s", got, again)
	}
	lab.Write(t, file, two+"\n"+one+"\n")
	a.Process.Signal(t, syscall.SIGHUP)
	lab.Until(t, 10*time.Second, "a makes cookies with the new secret", func() error {
		if cookie(a, got) == got {
			return fmt.Errorf("still the old one")
		}
		return nil
	})
	if n := a.Metric(t, "leeward_dns_cookie_queries_total", `"invalid"`); n != 0 {
		t.Errorf("a has refused %v cookies made with the secret before", n)
	}
	if fresh := cookie(a, got); cookie(b, fresh) == fresh {
		t.Error("b, which has not read the file again, has accepted a cookie of the new secret")
	}
	if o := lab.Leeward(t, "", "serve", "--files", dir, "--listen", "127.0.0.1:0", "--admin", "",
		"--cookie-secret-file",
		filepath.Join(dir, "none")); o.Code == 0 || !strings.Contains(o.Stderr, "cookie secrets") {
		t.Errorf("a file that is not there: %v", o)
	}
}
