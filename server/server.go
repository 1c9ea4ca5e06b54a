// Package server answers DNS queries on UDP and TCP from what is in memory.
//
// Configuration and health come in through one call, Publish: a State pairs a Snapshot with a View, and a query loads
// that one pointer. Reading and writing packets is kept apart from answering them: a packet loop (recvmmsg on linux, a
// net.UDPConn anywhere, a TCP connection) hands the bytes of a request and the client's address to a worker, and the
// worker appends the bytes of the response to a buffer that the loop owns. A worker has its own random generator,
// scratch and counts, so that answering allocates nothing, takes no lock and asks nobody.
//
// From a query's way in to its way out: bind.go opens the sockets, batch_linux.go, conn_udp.go and conn_tcp.go move
// bytes, connections.go bounds what TCP may cost, worker.go answers, chain.go follows the tree, steered.go asks the
// policy, additional.go brings addresses along, counts.go and pools.go count and metrics.go shows the counts. What
// takes longer than an answer out of memory leaves that way by special.go.
package server

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/rrl"
	"leeward/server/wire"
	"leeward/zones/steer"
)

// Options are a Server's settings. The zero value of a field stands for its default.
type Options struct {
	// Listen are the addresses to answer on, each for UDP and TCP: "192.0.2.1:53", "[2001:db8::1]:53", "0.0.0.0:53"
	// (all of IPv4), "[::]:53" (all of IPv6) or ":53" (all of both). Port 0 takes a free port, the same for UDP and
	// TCP.
	Listen []string

	// ID names this server among the servers of a zone; it is what NSID says where NSID is empty.
	ID string

	// NSID is what a query that asks for it is told (RFC 5001). ID if empty; where both are, the option is not
	// answered.
	NSID string

	// Chaos is what questions of class CH are told.
	Chaos Chaos

	// Workers is how many packet loops each listen address has. The number of cores if zero.
	Workers int

	// UDPSize is the largest response over UDP in octets, 512 to 4096. 1232 if zero.
	UDPSize int

	// Portable takes the packet loop that every system has where there is a faster one too.
	Portable bool

	// TCP bounds what connections may cost.
	TCP TCPLimits

	// RateLimit bounds the responses over UDP to one network. The zero value is no limit.
	RateLimit RateLimit

	// Drain is how long Serve waits on its way out for what is in flight. 5 s if zero.
	Drain time.Duration

	// Special answers what is not answered on the query path: NOTIFY, UPDATE, AXFR and IXFR. It runs in a bounded
	// number of goroutines and must end soon after its context, or after Write has failed. If nil, these are refused or
	// not implemented.
	Special func(ctx context.Context, x *Exchange)

	// Log is where starts, stops and faults go; nothing is logged for a query that goes well. Silent if nil.
	Log *slog.Logger

	// Registerer takes the server's metrics. None are registered if nil.
	Registerer prometheus.Registerer

	// Now is the clock by which the TTLs of endpoints' names run out. time.Now if nil.
	Now func() time.Time

	// Seed draws a seed for a worker's random generator. math/rand/v2's Uint64 if nil.
	Seed func() uint64
}

// Defaults of what Options leave out.
const (
	DefaultUDPSize = 1232 // octets: fits the IPv6 minimum MTU without fragments
	DefaultDrain   = 5 * time.Second
	MinUDPSize     = 512
	MaxUDPSize     = 4096
)

// Server answers queries on its listen addresses. Make one with New.
type Server struct {
	options Options
	log     *slog.Logger
	listen  []listenAddress
	nsid    []byte
	chaos   []chaosText

	state   atomic.Pointer[State]
	counts  *counts
	pools   poolNames
	asked   asking
	panics  panicLog
	limiter *rrl.Limiter                  // nil: responses are not limited
	cookies atomic.Pointer[cookieSecrets] // never nil
	special *specials                     // nil: Options.Special is
	start   time.Time                     // of the monotonic clock that workers look at
	seats   seats

	started  atomic.Bool
	stopping atomic.Bool // streams are to end
	last     atomic.Bool // they have, and datagrams are to end

	mu        sync.Mutex // guards what follows, which Start and Shutdown alone touch
	addresses []netip.AddrPort
	loops     []packetLoop
	tcp       []*acceptor
	table     *connections
	scratch   *scratchPool
	running   sync.WaitGroup
	done      chan struct{} // closed when every loop has ended and every socket is closed
	failed    chan error    // the first loop that ended without being told to
}

// packetLoop moves datagrams between one socket and a worker: a batchLoop on linux, a plainLoop anywhere.
type packetLoop interface {
	run() error // reads, answers and writes until told to stop and what is in flight has been answered
	wake()      // tells run to look whether it should stop; called from another goroutine
	close()     // called once, after run has ended

	overflows() uint64 // datagrams that the system had no room for; called from another goroutine, after close too
}

// New returns a Server that does not listen yet. It fails for a listen address that cannot be read, a size out of
// range, or metrics that are registered already.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Workers == 0 {
		o.Workers = runtime.NumCPU()
	}
	if o.Workers < 0 || o.Workers > 1024 {
		return nil, fmt.Errorf("workers: %d is out of range; give 1 to 1024, or 0 for one a core", o.Workers)
	}
	if o.UDPSize == 0 {
		o.UDPSize = DefaultUDPSize
	}
	if o.UDPSize < MinUDPSize || o.UDPSize > MaxUDPSize {
		return nil, fmt.Errorf("UDP size: %d octets is out of range; give %d to %d", o.UDPSize, MinUDPSize, MaxUDPSize)
	}
	if o.Drain == 0 {
		o.Drain = DefaultDrain
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Seed == nil {
		o.Seed = rand.Uint64
	}
	if o.NSID == "" {
		o.NSID = o.ID
	}
	if len(o.NSID) > 128 {
		return nil, fmt.Errorf("NSID: %d octets are too many to fit beside an answer; give at most 128", len(o.NSID))
	}
	o.TCP = o.TCP.orDefaults()
	if len(o.Listen) == 0 {
		return nil, errors.New("listen: no address; give at least one, such as 127.0.0.1:5300")
	}
	s := &Server{
		options: o,
		log:     o.Log,
		nsid:    []byte(o.NSID),
		chaos:   o.Chaos.texts(),
		counts:  new(counts),
		start:   time.Now(),
		done:    make(chan struct{}),
		failed:  make(chan error, 1),
		asked:   asking{orders: map[string]*steer.AskedOrder{}},
	}
	for _, text := range o.Listen {
		a, err := readListen(text)
		if err != nil {
			return nil, err
		}
		s.listen = append(s.listen, a)
	}
	var err error
	if s.limiter, err = newLimiter(o.RateLimit); err != nil {
		return nil, err
	}
	var secret wire.CookieSecret
	_, _ = cryptorand.Read(secret[:]) // it never fails
	s.cookies.Store(&cookieSecrets{secret})
	s.table = newConnections(o.TCP)
	if o.Special != nil {
		s.special = newSpecials(s)
	}
	s.scratch = newScratchPool(s)
	if o.Registerer != nil {
		if err := o.Registerer.Register(&collector{server: s}); err != nil {
			return nil, fmt.Errorf("metrics of the DNS server: %w; give each server a registry of its own", err)
		}
	}
	return s, nil
}

// Publish makes every query from now on answer from the state: one that is received after Publish has returned never
// sees what was before. The state must not change afterwards. Until the first Publish, and after one that lacks its
// Snapshot or its View, queries are told SERVFAIL.
func (s *Server) Publish(state State) {
	if state.Snapshot == nil || state.View == nil {
		s.state.Store(nil)
		return
	}
	s.pools.name(state.Snapshot.Program(), s.counts)
	s.state.Store(&state)
}

// Bind binds all listen addresses. Where one cannot be bound none is, and the error says which. What comes in waits in
// the system's buffers until Start, which a server that is about to have its first State can so answer.
func (s *Server) Bind() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bindAll()
}

// bindAll is Bind with the mutex held.
func (s *Server) bindAll() error {
	if len(s.addresses) > 0 {
		return nil
	}
	for _, a := range s.listen {
		if err := s.bind(a); err != nil {
			for _, l := range s.loops {
				l.close()
			}
			for _, t := range s.tcp {
				t.close()
			}
			s.loops, s.tcp, s.addresses = nil, nil, nil
			return err
		}
	}
	return nil
}

// seat gives the runtime the Ps that packet loops may keep, beside those for everybody else: TCP, the control loop, the
// collector. Of two addresses a processor all loops may be busy; of more, some wait as everybody does. The kernel
// shares out the processors.
func (s *Server) seat() {
	seats := min(len(s.loops), 2*s.options.Workers)
	others := max(2, s.options.Workers/2)
	if runtime.GOMAXPROCS(0) < seats+others {
		runtime.GOMAXPROCS(seats + others)
	}
	s.seats.free.Store(int32(seats))
}

// Start binds, unless Bind has, and begins to answer. A Server starts once.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started.Load() {
		return errors.New("the server was started before; make a new one")
	}
	if err := s.bindAll(); err != nil {
		return err
	}
	s.seat()
	s.started.Store(true)
	for _, l := range s.loops {
		s.running.Go(func() { s.fail(l.run()) })
	}
	counting, stop := context.WithCancel(context.Background())
	var counted sync.WaitGroup
	counted.Go(func() { s.followAsked(counting) })
	var streams sync.WaitGroup
	for _, t := range s.tcp {
		streams.Go(func() { s.fail(t.run()) })
	}
	loops, tcp := s.loops, s.tcp
	go func() {
		// Streams take a while to end. A datagram that came meanwhile to a socket that nobody reads any more would have
		// no answer and no ICMP error either, and its resolver would wait: so datagrams are answered until the last.
		streams.Wait()
		s.last.Store(true)
		for _, l := range loops {
			l.wake()
		}
		s.running.Wait()
		stop()
		counted.Wait()
		// Sockets are closed here and nowhere else: a loop that closed its own could be woken by a number that has
		// become another file's.
		for _, l := range loops {
			l.close()
		}
		for _, t := range tcp {
			t.close()
		}
		if s.special != nil {
			s.special.cut()
		}
		close(s.done)
	}()
	for _, a := range s.addresses {
		s.log.Info("listening", "address", a, "workers", s.options.Workers)
	}
	return nil
}

// fail keeps the first error of a loop for Serve.
func (s *Server) fail(err error) {
	if err == nil {
		return
	}
	s.log.Error("a socket failed", "error", err)
	select {
	case s.failed <- err:
	default:
	}
}

// Serve starts the server unless Start has done so, answers until the context ends, and then drains for at most
// Options.Drain. It returns nil when the context ended it, and otherwise why a socket failed.
func (s *Server) Serve(ctx context.Context) error {
	if !s.started.Load() {
		if err := s.Start(); err != nil {
			return err
		}
	}
	var failure error
	select {
	case <-ctx.Done():
	case <-s.done:
	case failure = <-s.failed:
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.Drain)
	defer cancel()
	return errors.Join(failure, s.Shutdown(drain))
}

// Shutdown takes in no more streams and lets those that there are end, then stops reading datagrams, answers what has
// been received, closes all sockets and returns nil. When the context ends first, what is left is cut off and the error
// says so.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.started.Load() {
		return nil
	}
	s.mu.Lock()
	if !s.stopping.Load() {
		s.stopping.Store(true)
		for _, t := range s.tcp {
			t.wake()
		}
		s.table.wake()
	}
	s.mu.Unlock()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	if s.special != nil {
		s.special.cut()
	}
	left := s.table.cut()
	<-s.done
	if left == 0 {
		return nil
	}
	return fmt.Errorf("shutdown: %d TCP connections were cut off before they were answered: %w", left, context.Cause(ctx))
}

// Addrs returns what Start has bound, in the order of Options.Listen: each is UDP and TCP. ":53" gives two.
func (s *Server) Addrs() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]netip.AddrPort(nil), s.addresses...)
}
