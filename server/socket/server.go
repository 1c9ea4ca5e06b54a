// Package socket moves the bytes of requests and responses between the network and the Workers of package answer. It
// does not look at what a message says.
//
//	UDP, linux     recvmmsg ─▶ batch ─▶ Worker.Respond, one by one ─▶ replies ─▶ sendmmsg
//	UDP, anywhere  one datagram a system call
//	TCP            acceptor ─▶ connections (which one gives way) ─▶ connection ─▶ Worker.Respond
//	later          requests that Respond does not answer: in a goroutine (UDP), or in the connection's own (TCP)
//
// bind.go opens sockets. batch_linux.go and replies_linux.go move datagrams on linux, conn_udp.go on all systems.
// conn_tcp.go serves a connection, and connections.go bounds the cost of all of them. later.go runs requests that take
// time.
package socket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leeward/server/answer"
	"leeward/server/wire"
)

// Options are a Server's settings. The zero value of a field stands for its default.
type Options struct {
	// Listen are the addresses to answer on, each for UDP and TCP: "192.0.2.1:53", "[2001:db8::1]:53", "0.0.0.0:53"
	// (all of IPv4), "[::]:53" (all of IPv6) or ":53" (all of both). Port 0 takes a free port, the same for UDP and
	// TCP.
	Listen []string

	// Workers is how many packet loops each listen address has. The number of cores if zero.
	Workers int

	// Portable takes the packet loop that works on every system, even if there is a faster one.
	Portable bool

	// TCP bounds the cost of connections.
	TCP TCPLimits

	// Drain is how long Serve waits at its end for requests in flight. 5 s if zero.
	Drain time.Duration

	// Log gets starts, stops and faults; a query that is answered logs nothing. Silent if nil.
	Log *slog.Logger

	// Registerer gets the server's metrics. If it is nil, none are registered.
	Registerer prometheus.Registerer
}

// DefaultDrain is Options.Drain where that is zero.
const DefaultDrain = 5 * time.Second

// Server answers requests on its listen addresses. Make one with New.
type Server struct {
	options Options
	log     *slog.Logger
	listen  []listenAddress
	answers *answer.Responder
	udp     *answer.Transport
	tcp     *streams
	later   *later
	seats   seats

	started  atomic.Bool
	stopping atomic.Bool // streams should end
	last     atomic.Bool // streams have ended, and packet loops should end

	mu        sync.Mutex // guards the fields below, which only Start and Shutdown use
	addresses []netip.AddrPort
	loops     []packetLoop
	acceptors []*acceptor
	table     *connections
	running   sync.WaitGroup
	done      chan struct{} // closed when every loop has ended and every socket is closed
	failed    chan error    // the first loop that ended without being told to
}

// packetLoop moves datagrams between one socket and a Worker: a batchLoop on linux, a plainLoop anywhere.
type packetLoop interface {
	run() error // reads, answers and writes until it is told to stop and has answered what is in flight
	wake()      // makes run check whether it should stop; called from another goroutine
	close()     // called once, after run has ended

	overflows() uint64 // datagrams that the system had no room for; called from another goroutine, after close too
}

// New returns a Server that serves the Responder's answers. It does not listen yet. New fails if a listen address
// cannot be read, if the number of workers is out of range, or if the metrics are already registered.
func New(o Options, answers *answer.Responder) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Workers == 0 {
		o.Workers = runtime.NumCPU()
	}
	if o.Workers < 0 || o.Workers > 1024 {
		return nil, fmt.Errorf("workers: %d is out of range; give 1 to 1024, or 0 for one a core", o.Workers)
	}
	if o.Drain == 0 {
		o.Drain = DefaultDrain
	}
	o.TCP = o.TCP.orDefaults()
	if len(o.Listen) == 0 {
		return nil, errors.New("listen: no address; give at least one, such as 127.0.0.1:5300")
	}
	s := &Server{
		options: o, log: o.Log, answers: answers, table: newConnections(o.TCP), done: make(chan struct{}),
		failed: make(chan error, 1),
		udp:    answers.Over(answer.Transport{Name: "udp", Size: wire.UDPSize}),
	}
	s.tcp = s.newStreams(answer.Transport{Name: "tcp", Stream: true, Size: wire.MaxMessage, Idle: o.TCP.Idle})
	for _, text := range o.Listen {
		a, err := readListen(text)
		if err != nil {
			return nil, err
		}
		s.listen = append(s.listen, a)
	}
	s.later = newLater(s)
	if o.Registerer != nil {
		if err := o.Registerer.Register(&collector{server: s}); err != nil {
			return nil, fmt.Errorf("metrics of the DNS sockets: %w; give each server a registry of its own", err)
		}
	}
	return s, nil
}

// Bind binds all listen addresses. If one cannot be bound, none is, and the error says which. Requests then wait in the
// system's buffers until Start. So a server that will soon have its first State can answer them.
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
			for _, t := range s.acceptors {
				t.close()
			}
			s.loops, s.acceptors, s.addresses = nil, nil, nil
			return err
		}
	}
	return nil
}

// seat gives the runtime Ps for packet loops to keep, in addition to those for TCP, the control loop and the collector.
// They are enough for two busy loops a processor. If there are more loops, some wait like other goroutines. The kernel
// shares out the processors.
func (s *Server) seat() {
	seats := min(len(s.loops), 2*s.options.Workers)
	others := max(2, s.options.Workers/2)
	if runtime.GOMAXPROCS(0) < seats+others {
		runtime.GOMAXPROCS(seats + others)
	}
	s.seats.free.Store(int32(seats))
}

// Start binds, unless Bind has already, and begins to answer. A Server starts only once.
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
	counted.Go(func() { s.answers.Run(counting) })
	var streams sync.WaitGroup
	for _, t := range s.acceptors {
		streams.Go(func() { s.fail(t.run()) })
	}
	loops, acceptors := s.loops, s.acceptors
	go func() {
		// Streams take a while to end. If nobody read the datagram sockets during that time, a datagram would get
		// neither an answer nor an ICMP error, and its resolver would wait. So datagrams are answered until the streams
		// have ended.
		streams.Wait()
		s.last.Store(true)
		for _, l := range loops {
			l.wake()
		}
		s.running.Wait()
		stop()
		counted.Wait()
		// Sockets are closed only here. If a loop closed its own, wake could hit a descriptor number that belongs to
		// another file by then.
		for _, l := range loops {
			l.close()
		}
		for _, t := range acceptors {
			t.close()
		}
		s.later.cut()
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
// Options.Drain. It returns nil if the context ended it, and otherwise the error of the socket that failed.
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

// Shutdown takes in no more streams and lets the open ones end. Then it stops reading datagrams, answers those that
// were received, closes all sockets and returns nil. If the context ends first, Shutdown cuts off the remaining
// connections and returns an error.
func (s *Server) Shutdown(ctx context.Context) error {
	if !s.started.Load() {
		return nil
	}
	s.mu.Lock()
	if !s.stopping.Load() {
		s.stopping.Store(true)
		for _, t := range s.acceptors {
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
	s.later.cut()
	left := s.table.cut()
	<-s.done
	if left == 0 {
		return nil
	}
	return fmt.Errorf("shutdown: %d TCP connections were cut off before they were answered: %w", left,
		context.Cause(ctx))
}

// Addrs returns the addresses that Start has bound, in the order of Options.Listen. Each is for UDP and TCP. ":53"
// gives two.
func (s *Server) Addrs() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]netip.AddrPort(nil), s.addresses...)
}
