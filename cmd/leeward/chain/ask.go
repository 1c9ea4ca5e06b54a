package chain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// What a walk may cost: a tree that others made cannot have it go on for ever.
const (
	questionLimit = 5 * time.Second // one question to one server
	walkLimit     = 90 * time.Second
	maxQuestions  = 2000 // of one walk
	maxServers    = 32   // of one zone
	maxHosts      = 13   // of one zone, whose addresses are looked for
	maxDepth      = 5    // a name server whose address is below another name server's, and so on
	maxReferrals  = 40   // on the way to one address
)

var errBudget = fmt.Errorf("the walk ends after %d questions: the delegations lead nowhere", maxQuestions)

// ask puts one question to a server over TCP, with the DO bit, and without asking for recursion.
func (w *walker) ask(ctx context.Context, server netip.Addr, name string, typ uint16) (*dns.Msg, error) {
	if w.questions.Add(1) > maxQuestions {
		return nil, errBudget
	}
	m, err := exchange(ctx, netip.AddrPortFrom(server, w.port), plain(name, typ), questionLimit)
	if err != nil {
		return nil, err
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, refused(m, name, typ)
	}
	return m, nil
}

// refused says that a response has no answer, and what to do.
func refused(m *dns.Msg, name string, typ uint16) error {
	todo := "look at its log"
	switch m.Rcode {
	case dns.RcodeRefused, dns.RcodeNotAuth:
		todo = "it does not serve the zone, or not to this host: name a server of the zone that has the name, or " +
			"look at who may ask"
	case dns.RcodeNameError:
		todo = "see that the name is right, and delegated there"
	}
	return fmt.Errorf("it answers %s %s with %s; %s", name, dns.Type(typ), dns.RcodeToString[m.Rcode], todo)
}

// failed says why a server has not answered over TCP, and what to do. It wraps err.
func failed(err error, limit time.Duration) error {
	var wait net.Error
	for _, x := range []struct {
		is   bool
		says string
	}{
		{errors.Is(err, context.Canceled), "it was not waited for"},
		{errors.Is(err, syscall.ECONNREFUSED), "it takes no connections over TCP (connection refused); see that it " +
			"runs, and listens there over TCP too"},
		{noRoute(err), "this host has no way there; name an address that it can reach"},
		{errors.Is(err, syscall.EHOSTUNREACH), "it cannot be reached (no route to host); see that its host is up"},
		{errors.Is(err, io.ErrUnexpectedEOF), "it ended the TCP connection in the middle of its answer; look at its " +
			"log"},
		{errors.Is(err, io.EOF), closed},
		{errors.Is(err, syscall.ECONNRESET), closed},
		{errors.Is(err, syscall.EPIPE), closed},
		{
			errors.As(err, &wait) && wait.Timeout() || errors.Is(err, context.DeadlineExceeded),
			fmt.Sprintf("there is no answer over TCP within %v; see that it is up, and that no firewall keeps TCP away",
				limit),
		},
	} {
		if x.is {
			return &failure{x.says, err}
		}
	}
	return &failure{
		fmt.Sprintf("its answer over TCP is no DNS message that can be read (%v); see what listens there", err),
		err,
	}
}

const closed = "it ended the TCP connection without an answer; see who may ask it over TCP, or look at its log"

// failure is an error in words for people.
type failure struct {
	says string
	err  error
}

func (f *failure) Error() string { return f.says }
func (f *failure) Unwrap() error { return f.err }

// plain returns a query for authoritative servers, with the DO bit, that asks for no recursion.
func plain(name string, typ uint16) *dns.Msg {
	q := new(dns.Msg).SetQuestion(name, typ)
	q.RecursionDesired = false
	return q.SetEdns0(1232, true)
}

// exchange asks a server over TCP.
func exchange(ctx context.Context, server netip.AddrPort, q *dns.Msg, limit time.Duration) (*dns.Msg, error) {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	c := dns.Client{Net: "tcp", Timeout: limit}
	m, _, err := c.ExchangeContext(ctx, q, server.String())
	if err != nil {
		return nil, failed(err, limit)
	}
	if m.Truncated {
		return nil, errors.New("its answer is cut short (TC) though it comes over TCP, so it is not used; see what " +
			"is between here and the server, or look at its log")
	}
	if len(m.Question) != 1 || m.Question[0].Qtype != q.Question[0].Qtype ||
		!strings.EqualFold(m.Question[0].Name, q.Question[0].Name) {
		return nil, errors.New("it answers another question than was asked; see what listens there")
	}
	return m, nil
}

// noRoute tells an address that this host cannot reach at all: IPv6 without IPv6, say.
func noRoute(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// referral returns the name servers of the delegation of a name that a response tells.
func referral(m *dns.Msg, below, name string) (cut string, hosts []string) {
	for _, r := range slices.Concat(m.Answer, m.Ns) {
		ns, ok := r.(*dns.NS)
		owner := strings.ToLower(r.Header().Name)
		if !ok || owner == below || !dns.IsSubDomain(below, owner) || !dns.IsSubDomain(owner, name) {
			continue
		}
		if cut == "" {
			cut = owner
		}
		if host := strings.ToLower(ns.Ns); owner == cut && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return cut, hosts
}

// glue returns the addresses of a host that a response has.
func glue(m *dns.Msg, host string) (all []netip.Addr) {
	for _, r := range slices.Concat(m.Answer, m.Extra) {
		if !strings.EqualFold(r.Header().Name, host) {
			continue
		}
		if a := addressIn(r); a.IsValid() && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// addressIn returns the address that a record has. It is not valid if it has none.
func addressIn(r dns.RR) (a netip.Addr) {
	switch r := r.(type) {
	case *dns.A:
		a, _ = netip.AddrFromSlice(r.A)
	case *dns.AAAA:
		a, _ = netip.AddrFromSlice(r.AAAA)
	}
	return a.Unmap()
}

// servers returns the addresses of name servers: those that come with the delegation, and those of the tree for hosts
// without.
func (w *walker) servers(ctx context.Context, told []*dns.Msg, hosts []string, depth int) (
	all []Server, lost []string,
) {
	if len(hosts) > maxHosts {
		lost = append(lost, fmt.Sprintf("there are %d name servers: only the first %d are asked", len(hosts), maxHosts))
		hosts = hosts[:maxHosts]
	}
	for _, host := range hosts {
		var found []netip.Addr
		for _, m := range told {
			found = append(found, glue(m, host)...)
		}
		if len(found) == 0 {
			found = w.address(ctx, host, depth+1)
		}
		if len(found) == 0 {
			lost = append(lost, fmt.Sprintf("name server %s has no address that is found", host))
		}
		for _, a := range found {
			known := slices.ContainsFunc(all, func(s Server) bool { return s.Address == a })
			if !known && len(all) < maxServers {
				all = append(all, Server{Name: host, Address: a})
			}
		}
	}
	return all, lost
}

// address looks for the addresses of a host from the root on. Nothing is validated: a wrong address leads to answers
// that do not validate.
func (w *walker) address(ctx context.Context, host string, depth int) (all []netip.Addr) {
	if depth > maxDepth {
		return nil
	}
	if known, ok := w.addresses[host]; ok {
		return known
	}
	w.addresses[host] = nil // who asks for it on the way to it goes in a circle
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
		zone, servers := ".", w.roots
		for range maxReferrals {
			m := w.first(ctx, servers, host, typ)
			if m == nil {
				break
			}
			if m.Authoritative {
				all = append(all, glue(&dns.Msg{MsgHdr: m.MsgHdr, Answer: m.Answer}, host)...)
				break
			}
			cut, hosts := referral(m, zone, host)
			if cut == "" {
				break
			}
			zone = cut
			servers, _ = w.servers(ctx, []*dns.Msg{m}, hosts, depth)
		}
	}
	w.addresses[host] = all
	return all
}

// first returns what the first server answers that does.
func (w *walker) first(ctx context.Context, servers []Server, name string, typ uint16) *dns.Msg {
	for _, s := range servers {
		if m, err := w.ask(ctx, s.Address, name, typ); err == nil {
			return m
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}
