// Package chain walks the chain of trust of a zone from the root down, as a resolver that validates does, but asks
// every server on the way: what one server has and another lacks is what breaks a zone for some.
package chain

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// The states of a zone as a resolver sees it (RFC 4033 section 5), and one more: no server answers.
const (
	Secure      = "secure"
	Insecure    = "insecure"
	Bogus       = "bogus"
	Unreachable = "unreachable"
)

// Server is one server of a zone, and what it has.
type Server struct {
	Name    string     `json:"name,omitempty"`
	Address netip.Addr `json:"address"`
	Tags    []uint16   `json:"tags"`            // of DS records at a server of the parent, of DNSKEYs at one of the zone
	State   string     `json:"state"`           // of what it has
	Wrong   string     `json:"wrong,omitempty"` // why it is not secure
}

// Step is one zone of the chain.
type Step struct {
	Zone   string   `json:"zone"`
	State  string   `json:"state"`
	Parent []Server `json:"parent"`  // the servers of the parent, with the tags of the DS that they have of Zone
	Own    []Server `json:"servers"` // the servers of Zone, with the tags of their DNSKEYs
}

// Result is what a walk has found.
type Result struct {
	State string   `json:"state"` // of the origin
	Where string   `json:"where"` // the zone that State was decided at
	Why   string   `json:"why"`
	Steps []Step   `json:"steps"`
	Wrong []string `json:"-"` // each thing to mend; none: all is well
}

// Walk walks from the servers of the root, at the port that all servers are asked at, to a zone, and trusts the DS
// records of the anchor. It ends within 90 s.
func Walk(ctx context.Context, origin string, roots []netip.Addr, port uint16, anchor []*dns.DS, now time.Time) Result {
	ctx, stop := context.WithTimeout(ctx, walkLimit)
	defer stop()
	w := &walker{
		port: port, now: now, origin: dns.CanonicalName(origin), addresses: map[string][]netip.Addr{},
		result: Result{State: Secure, Where: ".", Wrong: []string{}},
	}
	for _, a := range roots[:min(len(roots), maxServers)] {
		w.roots = append(w.roots, Server{Address: a})
	}
	w.walk(ctx, anchor)
	return w.result
}

type walker struct {
	port      uint16
	now       time.Time
	origin    string
	roots     []Server
	addresses map[string][]netip.Addr
	questions atomic.Int64
	result    Result
}

// all asks all servers at once. An error of each is in place of its response.
func (w *walker) all(ctx context.Context, servers []Server, name string, typ uint16) ([]*dns.Msg, []error) {
	responses, errs := make([]*dns.Msg, len(servers)), make([]error, len(servers))
	var group sync.WaitGroup
	for i, s := range servers {
		group.Go(func() { responses[i], errs[i] = w.ask(ctx, s.Address, name, typ) })
	}
	group.Wait()
	return responses, errs
}

func (w *walker) wrong(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(w.result.Wrong, text) {
		w.result.Wrong = append(w.result.Wrong, text)
	}
}

// turn notes where the chain is no longer secure. What comes below does not change it.
func (w *walker) turn(state, zone, why string) {
	if state != Secure && w.result.State == Secure {
		w.result.State, w.result.Where, w.result.Why = state, zone, why
		w.wrong("%s: %s", zone, why)
	}
}

func (w *walker) walk(ctx context.Context, anchor []*dns.DS) {
	zone, servers, trust := ".", w.roots, [][]*dns.DS{anchor}
	var parent []Server
	for {
		keys, own := w.keys(ctx, zone, servers, trust)
		step := Step{Zone: zone, Parent: parent, Own: own}
		if zone == w.origin && w.result.State != Unreachable {
			w.data(ctx, zone, own, keys)
		}
		step.State = w.result.State
		w.result.Steps = append(w.result.Steps, step)
		if zone == w.origin {
			if w.result.State == Secure {
				w.result.Where = zone
			}
			return
		}
		cut, told, hosts := w.cut(ctx, zone, servers)
		if cut == "" {
			return
		}
		parent, trust = w.delegation(ctx, zone, cut, servers, keys)
		var lost []string
		servers, lost = w.servers(ctx, told, hosts, 0)
		for _, text := range lost {
			w.wrong("%s: %s", cut, text)
		}
		if len(servers) == 0 {
			w.unreachable(cut, "none of its name servers has an address")
			return
		}
		zone = cut
	}
}

// unreachable notes a zone that nobody answers for. Nothing else about it is known.
func (w *walker) unreachable(zone, why string) {
	if w.result.State == Secure || w.result.State == Insecure {
		w.result.State, w.result.Where, w.result.Why = Unreachable, zone, why
	}
	w.wrong("%s: %s", zone, why)
}

// keys asks all servers of a zone for its DNSKEYs, and returns those that hold with a DS set of the parent.
func (w *walker) keys(ctx context.Context, zone string, servers []Server, trust [][]*dns.DS) (
	keys []*dns.DNSKEY, own []Server,
) {
	own = slices.Clone(servers)
	responses, errs := w.all(ctx, servers, zone, dns.TypeDNSKEY)
	signed := w.result.State == Secure
	var every []dns.RR
	unsigned := make([]string, len(own))
	for i, m := range responses {
		s := &own[i]
		if s.Tags = []uint16{}; errs[i] != nil {
			s.fail(errs[i])
			continue
		}
		if !m.Authoritative {
			s.State, s.Wrong = Unreachable, "it is not authoritative for "+zone
			continue
		}
		set, sigs := pick(m.Answer, zone, dns.TypeDNSKEY)
		s.Tags, s.State = tags(set), Insecure
		every = append(every, set...)
		if !signed {
			continue
		}
		s.State = Bogus
		for _, ds := range trust {
			err := trusted(zone, set, sigs, ds, w.now)
			if err == nil {
				s.State, unsigned[i] = Secure, unsignedBy(algorithmsOf(ds), sigs, "DNSKEY", "DS")
				for _, r := range set {
					keys = append(keys, r.(*dns.DNSKEY))
				}
			} else if s.Wrong == "" {
				s.Wrong = err.Error()
			}
		}
	}
	keys = dedup(keys)
	w.judge(zone, zone, own, "give it the same zone as the others")
	for i := range own {
		if lacks := missing(every, responses[i], zone); signed && own[i].State == Secure && len(lacks) > 0 {
			own[i].Wrong = fmt.Sprintf("it lacks DNSKEY %s, which others have", list(lacks))
			w.wrong("server %s of %s: %s: give it the same zone as the others", own[i].Text(), zone, own[i].Wrong)
		} else if own[i].State == Secure && unsigned[i] != "" {
			own[i].Wrong = unsigned[i]
			w.wrong("server %s of %s: %s: sign by it too, or have the parent take that DS out", own[i].Text(), zone,
				own[i].Wrong)
		}
	}
	return keys, own
}

// judge turns the walk by the best that a server has, and says which servers have less.
func (w *walker) judge(zone, at string, servers []Server, then string) {
	best := Unreachable
	for _, state := range []string{Bogus, Insecure, Secure} {
		if slices.ContainsFunc(servers, func(s Server) bool { return s.State == state }) {
			best = state
		}
	}
	why := ""
	for _, s := range servers {
		switch {
		case s.State == best && why == "":
			why = s.Wrong
		case s.State == Unreachable && best != Unreachable:
			if s.Wrong != unrouted && zone == w.origin { // those above have others to take their place
				w.wrong("server %s of %s does not answer: %s", s.Text(), at, s.Wrong)
			}
		}
		if s.State != Unreachable && s.Wrong != "" && (s.State != best || best == Secure) {
			w.wrong("server %s of %s: %s: %s", s.Text(), at, s.Wrong, then)
		}
	}
	if best == Unreachable {
		w.unreachable(at, "none of its servers answers: "+why)
		return
	}
	w.turn(best, zone, why)
}

// cut finds the next delegation on the way to the origin, label by label, as servers may be those of the zone below
// too.
func (w *walker) cut(ctx context.Context, zone string, servers []Server) (cut string, told []*dns.Msg, hosts []string) {
	labels := dns.SplitDomainName(w.origin)
	for n := dns.CountLabel(zone) + 1; n <= len(labels); n++ {
		name := dns.Fqdn(strings.Join(labels[len(labels)-n:], "."))
		responses, errs := w.all(ctx, servers, name, dns.TypeNS)
		var without []Server
		for i, m := range responses {
			if errs[i] != nil {
				continue // keys or delegation says so
			}
			at, found := referral(m, zone, name)
			if at == "" {
				without = append(without, servers[i])
				continue
			}
			cut, told = at, append(told, m)
			for _, host := range found {
				if !slices.Contains(hosts, host) {
					hosts = append(hosts, host)
				}
			}
		}
		if cut != "" {
			for _, s := range without {
				w.wrong("server %s of %s has no delegation of %s, which others have", s.Text(), zone, cut)
			}
			return cut, told, hosts
		}
		if len(without) == 0 {
			w.unreachable(zone, "none of its servers says where "+name+" is delegated to")
			return "", nil, nil
		}
	}
	w.unreachable(zone, "it has no delegation of "+w.origin+": no such zone is reached from the root")
	return "", nil, nil
}

// delegation asks all servers of a zone for the DS of a delegation, and returns the sets that hold.
func (w *walker) delegation(ctx context.Context, zone, cut string, servers []Server, keys []*dns.DNSKEY) (
	parent []Server, trust [][]*dns.DS,
) {
	parent = slices.Clone(servers)
	signed := w.result.State == Secure
	var every []uint16
	responses, errs := w.all(ctx, servers, cut, dns.TypeDS)
	for i, m := range responses {
		s := &parent[i]
		if s.Tags = []uint16{}; errs[i] != nil {
			s.fail(errs[i])
			continue
		}
		set, sigs := pick(m.Answer, cut, dns.TypeDS)
		ds := []*dns.DS{}
		for _, r := range set {
			ds = append(ds, r.(*dns.DS))
		}
		s.Tags, s.State = dsTags(ds), Insecure
		if !signed {
			continue
		}
		every = append(every, s.Tags...)
		var err error
		if len(set) == 0 {
			s.Wrong, err = proven(zone, cut, m, keys, w.now)
		} else if err = verify(zone, set, sigs, keys, w.now); err == nil {
			if usable := usable(ds); len(usable) > 0 {
				s.State, trust = Secure, append(trust, usable)
			} else {
				s.Wrong = "its DS of " + cut + " have algorithms or digests that resolvers do not know"
			}
		}
		if err != nil {
			s.State, s.Wrong = Bogus, err.Error()
		}
	}
	w.judge(cut, zone, parent, "have the parent's operator bring it to what the others have")
	for i := range parent {
		if lacks := without(every, parent[i].Tags); parent[i].State == Secure && len(lacks) > 0 {
			parent[i].Wrong = fmt.Sprintf("it lacks DS %s of %s, which others have", list(lacks), cut)
			w.wrong("server %s of %s: %s: wait until they are the same", parent[i].Text(), zone, parent[i].Wrong)
		}
	}
	return parent, trust
}

// data checks that each server's SOA is signed by the zone's keys, as one that is to answer for all data.
func (w *walker) data(ctx context.Context, zone string, own []Server, keys []*dns.DNSKEY) {
	if w.result.State != Secure {
		return
	}
	var rest []Server
	responses, errs := w.all(ctx, own, zone, dns.TypeSOA)
	for i, m := range responses {
		s := &own[i]
		if errs[i] != nil || s.State != Secure {
			continue
		}
		err := errors.New("it has no SOA")
		if set, sigs := pick(m.Answer, zone, dns.TypeSOA); len(set) > 0 {
			if err = verify(zone, set, sigs, keys, w.now); err == nil && s.Wrong == "" {
				if s.Wrong = unsignedBy(algorithmsOf(keys), sigs, "SOA", "DNSKEY"); s.Wrong != "" {
					w.wrong("server %s of %s: %s: sign by it too, or take that DNSKEY out", s.Text(), zone, s.Wrong)
				}
			}
		}
		now := Server{Name: s.Name, Address: s.Address, State: Secure}
		if err != nil {
			now.State, now.Wrong = Bogus, err.Error()
			s.State, s.Wrong = Bogus, err.Error()
		}
		rest = append(rest, now)
	}
	if len(rest) > 0 {
		w.judge(zone, zone, rest, "see that it is given new signatures")
	}
}
