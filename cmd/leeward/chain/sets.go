package chain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// unrouted is what is wrong with an address of a kind that this host has no way to: nothing to mend.
const unrouted = "this host has no way to its address"

// Text names a server.
func (s Server) Text() string {
	if s.Name == "" {
		return s.Address.String()
	}
	return s.Address.String() + " (" + strings.TrimSuffix(s.Name, ".") + ")"
}

// fail notes that a server does not answer.
func (s *Server) fail(err error) {
	if s.State, s.Wrong = Unreachable, err.Error(); noRoute(err) {
		s.Wrong = unrouted
	}
}

func tags(set []dns.RR) []uint16 {
	all := []uint16{}
	for _, r := range set {
		all = append(all, r.(*dns.DNSKEY).KeyTag())
	}
	slices.Sort(all)
	return all
}

func dsTags(set []*dns.DS) []uint16 {
	all := []uint16{}
	for _, d := range set {
		all = append(all, d.KeyTag)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// without returns what of every is not among some.
func without(every, some []uint16) (all []uint16) {
	for _, tag := range every {
		if !slices.Contains(some, tag) && !slices.Contains(all, tag) {
			all = append(all, tag)
		}
	}
	return all
}

// missing returns the tags of the DNSKEYs of every server that one response lacks.
func missing(every []dns.RR, m *dns.Msg, zone string) []uint16 {
	if m == nil {
		return nil
	}
	set, _ := pick(m.Answer, zone, dns.TypeDNSKEY)
	return without(tags(every), tags(set))
}

func dedup(keys []*dns.DNSKEY) (all []*dns.DNSKEY) {
	for _, k := range keys {
		if !slices.ContainsFunc(all, func(o *dns.DNSKEY) bool {
			return o.PublicKey == k.PublicKey && o.Flags == k.Flags && o.Algorithm == k.Algorithm
		}) {
			all = append(all, k)
		}
	}
	return all
}

// list writes tags for people.
func list(all []uint16) string {
	if len(all) == 0 {
		return "none"
	}
	return strings.Trim(fmt.Sprint(all), "[]")
}
