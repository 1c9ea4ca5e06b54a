package bench

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"leeward/server/wire"
)

const (
	batchSize = 64
	patience  = 20 * time.Millisecond // a query that leaves so long after it was due is tardy: this machine is too slow
	buffer    = 4 << 20               // octets, of each socket in each direction
	ids       = 1 << 16
)

// port is a socket with the queries that are under way on it. The sender writes waiting, the receiver takes from it.
type port struct {
	conn    *net.UDPConn
	packets batcher
	next    uint16 // ID of the next query

	// waiting has for each ID when its query left (nanoseconds from the start, in the upper 40 bits) and its number. 0:
	// none is under way.
	waiting [ids]atomic.Uint64

	// These are the receiver's until it has ended.
	took                    []uint32 // nanoseconds of each answer
	late, wrong, cut, stray uint64
	rcodes                  [16]uint64
}

// batcher moves several datagrams with one system call, if the system can.
type batcher interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error) // the Message of both families is one type
	WriteBatch(ms []ipv4.Message, flags int) (int, error)
}

// numberBits is enough for the number of a query. It leaves 40 bits for its time, which are 18 minutes.
const numberBits = 24

func dial(server netip.AddrPort) (*port, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(buffer) // as large as the system allows
	_ = conn.SetWriteBuffer(buffer)
	p := &port{conn: conn, packets: ipv4.NewPacketConn(conn)}
	if server.Addr().Is6() && !server.Addr().Is4In6() {
		p.packets = ipv6.NewPacketConn(conn)
	}
	return p, nil
}

// load sends queries at a rate for one step, waits for the last answers, and counts.
func load(ctx context.Context, s Settings, queries []query, rate float64, seed uint64) (Step, error) {
	ports := make([]*port, s.Sockets)
	defer func() {
		for _, p := range ports {
			if p != nil {
				p.conn.Close()
			}
		}
	}()
	for i := range ports {
		var err error
		if ports[i], err = dial(s.Server); err != nil {
			return Step{}, err
		}
	}
	start := time.Now()
	var receivers sync.WaitGroup
	for _, p := range ports {
		receivers.Go(func() { p.receive(start, s, queries) })
	}
	senders := min(max(runtime.GOMAXPROCS(0)/2, 1), len(ports))
	totals := make([]sent, senders)
	var sending sync.WaitGroup
	for i := range senders {
		var mine []*port
		for j := i; j < len(ports); j += senders {
			mine = append(mine, ports[j])
		}
		sending.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			totals[i] = send(ctx, start, s.Step, rate/float64(senders), mine, queries, random)
		})
	}
	sending.Wait()
	elapsed := time.Since(start)
	awaitLast(ctx, ports, s.Timeout)
	for _, p := range ports {
		p.conn.SetReadDeadline(time.Unix(1, 0))
	}
	receivers.Wait()
	if err := ctx.Err(); err != nil {
		return Step{}, err
	}

	step := Step{Asked: rate, Seconds: elapsed.Seconds(), Rcodes: map[string]uint64{}}
	var tardy, overdue uint64
	for _, t := range totals {
		step.Sent += t.queries
		tardy += t.tardy
		overdue += t.overdue
	}
	var took []uint32
	for _, p := range ports {
		took = append(took, p.took...)
		step.Late += p.late
		step.Wrong += p.wrong
		step.Cut += p.cut
		for i, n := range p.rcodes {
			if n > 0 {
				step.Rcodes[cmp.Or(wire.RcodeName(uint16(i)), fmt.Sprintf("RCODE%d", i))] += n
			}
		}
	}
	step.Answered = uint64(len(took))
	step.Lost = step.Sent - min(step.Answered, step.Sent)
	step.Behind = tardy*20 > step.Sent || overdue*20 > step.Sent
	slices.Sort(took)
	step.P50, step.P99, step.P999, step.Max = quantile(took, 0.5), quantile(took, 0.99), quantile(took,
		0.999), quantile(took, 1)
	return step, nil
}

// quantile returns a quantile of sorted nanoseconds, in seconds.
func quantile(sorted []uint32, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]) / 1e9
}

// sent is what a sender counts.
type sent struct {
	queries uint64
	tardy   uint64 // queries that left later than they should have, by more than patience
	overdue uint64 // queries that were not sent before the step ended
}

// send sends queries when they are due, until the step ends. Each burst leaves from the next port.
func send(ctx context.Context, start time.Time, limit time.Duration, rate float64, ports []*port, queries []query,
	random *rand.Rand,
) (t sent) {
	batch := make([]ipv4.Message, batchSize)
	space := make([][512]byte, batchSize)
	for i := range batch {
		batch[i].Buffers = [][]byte{nil}
	}
	gap := float64(time.Second) / rate
	at := random.IntN(len(queries))
	due := random.ExpFloat64() * gap // nanoseconds from the start
	for turn := 0; ctx.Err() == nil; turn++ {
		now := float64(time.Since(start))
		if now >= float64(limit) {
			for ; due < float64(limit); due += random.ExpFloat64() * gap {
				t.overdue++
			}
			return t
		}
		if due > now {
			time.Sleep(time.Duration(min(due, float64(limit)) - now))
			continue
		}
		p := ports[turn%len(ports)]
		n := 0
		for ; n < batchSize && due <= now; n++ {
			if now-due > float64(patience) {
				t.tardy++
			}
			due += random.ExpFloat64() * gap
			q := queries[at]
			m := append(space[n][:0], q.message...)
			binary.BigEndian.PutUint16(m, p.next)
			batch[n].Buffers[0] = m
			// Every query of a batch has the time before the system call, which is thus part of the answer's time.
			p.waiting[p.next].Store(uint64(now)<<numberBits | uint64(at))
			p.next++
			at = (at + 1) % len(queries)
		}
		t.queries += uint64(n)
		for left := batch[:n]; len(left) > 0; {
			k, err := p.packets.WriteBatch(left, 0)
			if err != nil || k <= 0 { // nobody listens (ICMP), or there is no room: the first one is lost
				k = 1
			}
			left = left[k:]
		}
	}
	return t
}

// receive takes answers until the port's read deadline passes.
func (p *port) receive(start time.Time, s Settings, queries []query) {
	batch := make([]ipv4.Message, batchSize)
	space := make([][payload + 64]byte, batchSize)
	for i := range batch {
		batch[i].Buffers = [][]byte{space[i][:]}
	}
	for {
		n, err := p.packets.ReadBatch(batch, 0)
		if err != nil {
			var wait net.Error
			if errors.As(err, &wait) && wait.Timeout() || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // nobody listens (ICMP): one answer less
		}
		now := uint64(time.Since(start))
		for i := range n {
			p.take(space[i][:batch[i].N], now, s, queries)
		}
	}
}

// take counts one datagram.
func (p *port) take(r []byte, now uint64, s Settings, queries []query) {
	if len(r) < headerSize {
		p.stray++
		return
	}
	w := p.waiting[binary.BigEndian.Uint16(r)].Swap(0)
	if w == 0 { // a second answer, or one after the timeout
		p.stray++
		return
	}
	took := now - w>>numberBits
	if took > uint64(s.Timeout) {
		return
	}
	p.took = append(p.took, uint32(took))
	if took > uint64(s.Late) {
		p.late++
	}
	rcode := r[3] & 0x0f
	p.rcodes[rcode]++
	if r[2]&0x02 != 0 {
		p.cut++
	}
	if !answers(queries[w&(1<<numberBits-1)], r) || rcode == rcodeServFail || rcode == rcodeRefused {
		p.wrong++
	}
}

// awaitLast waits until no query is under way, at most for the timeout.
func awaitLast(ctx context.Context, ports []*port, timeout time.Duration) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(timeout); time.Now().Before(end); {
		if !slices.ContainsFunc(ports, (*port).underWay) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// underWay reports whether a query has no answer yet.
func (p *port) underWay() bool {
	for i := range p.waiting {
		if p.waiting[i].Load() != 0 {
			return true
		}
	}
	return false
}
