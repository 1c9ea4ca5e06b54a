package chain

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A parent says in DSYNC records where it wants to be told that a zone below it has new CDS or CDNSKEY (RFC 9859).
const (
	TypeDSYNC    = 66
	SchemeNotify = 1 // by NOTIFY
)

// What finding an endpoint may cost, whatever DSYNC records others have.
const (
	mostLookups   = 6 // for DSYNC
	mostEndpoints = 3 // whose addresses are looked for; RFC 9859 section 3 allows one
	mostAddresses = 2 // of one endpoint and family
)

// DSYNC is the RDATA of a DSYNC record.
type DSYNC struct {
	Type   uint16 // of what is new: CDS
	Scheme uint8
	Port   uint16
	Target string // with the final dot
}

// ParseDSYNC reads RDATA.
func ParseDSYNC(data []byte) (d DSYNC, err error) {
	if len(data) < 6 {
		return d, errors.New("a DSYNC record is cut short")
	}
	for at := 5; at < len(data) && data[at] != 0; at += 1 + int(data[at]) { // UnpackDomainName would follow pointers
		if data[at] > 63 {
			return d, errors.New("the target of a DSYNC record is compressed, or no name")
		}
	}
	target, end, err := dns.UnpackDomainName(data, 5)
	if err != nil || end != len(data) {
		return d, errors.New("the target of a DSYNC record is no name")
	}
	d.Type, d.Scheme, d.Port = binary.BigEndian.Uint16(data), data[2], binary.BigEndian.Uint16(data[3:])
	d.Target = strings.ToLower(target)
	return d, nil
}

// Endpoint is where a parent is told.
type Endpoint struct {
	Target    string // with the final dot
	Port      uint16
	Addresses []netip.AddrPort
}

// Endpoints are where the parent of a zone receives notifications.
type Endpoints struct {
	Name      string // of the DSYNC records; "": the parent has none
	All       []Endpoint
	Validated bool     // the resolver has validated the DSYNC records
	Doubts    []string // what is wrong with them
}

// FindEndpoints finds where the parent of a zone wants to be told of new records of a type, as RFC 9859 section 4.1 has
// it. It asks resolvers. The first that answers counts.
func FindEndpoints(ctx context.Context, resolvers []netip.AddrPort, zone string, typ uint16) (
	found Endpoints, err error,
) {
	zone = strings.ToLower(dns.Fqdn(zone))
	labels := dns.Split(zone)
	if len(labels) == 0 {
		return found, nil // the root has no parent
	}
	parent := 1 // the parent is thought to begin at this label
	below := true
	for range mostLookups {
		name := dsyncName(zone, labels, parent, below)
		m := new(dns.Msg)
		if _, valid := dns.IsDomainName(name); valid {
			if m, err = resolve(ctx, resolvers, name, TypeDSYNC); err != nil {
				return found, err
			}
		} // else nothing can be there
		if has := slices.ContainsFunc(m.Answer, isDSYNC); has {
			found.Name, found.Validated = name, m.AuthenticatedData
			found.take(m.Answer, typ)
			found.locate(ctx, resolvers)
			return found, nil
		}
		if at := apexOf(m, name, zone, labels); at > parent {
			parent, below = at, true
			continue
		}
		if !below {
			return found, nil
		}
		below = false
	}
	return found, fmt.Errorf("the parent of %s is not found in %d lookups: each response has the SOA of another zone",
		zone, mostLookups)
}

// dsyncName returns where the DSYNC records are of a zone whose parent begins at the given label. below says that they
// are of the zone alone, and not of all zones of the parent.
func dsyncName(zone string, labels []int, parent int, below bool) string {
	child, rest := zone, ""
	if parent < len(labels) {
		child, rest = zone[:labels[parent]], zone[labels[parent]:]
	}
	if !below {
		child = ""
	}
	return child + "_dsync." + rest
}

// apexOf returns the label of a zone at which its parent begins, as the SOA of a negative response says; 0: it says
// nothing. _dsync below the parent may be a zone of its own.
func apexOf(m *dns.Msg, name, zone string, labels []int) int {
	for _, r := range m.Ns {
		apex := strings.ToLower(r.Header().Name)
		if r.Header().Rrtype != dns.TypeSOA || !dns.IsSubDomain(apex, name) {
			continue
		}
		for i, at := range labels {
			if zone[at:] == apex {
				return i
			}
		}
		if apex == "." {
			return len(labels)
		}
	}
	return 0
}

// typeName returns the mnemonic of a type.
func typeName(typ uint16) string {
	if typ == TypeDSYNC {
		return "DSYNC"
	}
	return dns.Type(typ).String()
}

func isDSYNC(r dns.RR) bool { return r.Header().Rrtype == TypeDSYNC }

// take takes the endpoints out of an answer: those for the type that are told by NOTIFY. A parent must have one (RFC
// 9859 section 3). Of several, which are sorted, the first ones are taken.
func (e *Endpoints) take(answer []dns.RR, typ uint16) {
	var all [][]byte
	for _, r := range answer {
		if !isDSYNC(r) {
			continue
		}
		if data, err := rdata(r); err == nil {
			all = append(all, data)
		}
	}
	slices.SortFunc(all, bytes.Compare)
	all = slices.CompactFunc(all, bytes.Equal)
	more := 0
	for _, data := range all {
		d, err := ParseDSYNC(data)
		switch {
		case err != nil:
			e.doubt(err.Error())
		case d.Type != typ || d.Scheme != SchemeNotify:
		case d.Port == 0 || d.Target == ".":
			e.doubt("a DSYNC record has no port or no target")
		case len(e.All) == mostEndpoints:
			more++
		default:
			e.All = append(e.All, Endpoint{Target: d.Target, Port: d.Port})
		}
	}
	if more > 0 {
		e.doubt(fmt.Sprintf("the parent has %d DSYNC records where one is allowed: the first %d are used",
			more+mostEndpoints, mostEndpoints))
	}
}

// doubt notes something that is wrong, once.
func (e *Endpoints) doubt(text string) {
	if !slices.Contains(e.Doubts, text) {
		e.Doubts = append(e.Doubts, text)
	}
}

// locate finds the addresses of the endpoints.
func (e *Endpoints) locate(ctx context.Context, resolvers []netip.AddrPort) {
	for i := range e.All {
		one := &e.All[i]
		var failed error
		for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA} {
			m, err := resolve(ctx, resolvers, one.Target, typ)
			if err != nil {
				failed = err
				continue
			}
			some := 0
			for _, r := range m.Answer { // the resolver has followed aliases
				at := netip.AddrPortFrom(addressIn(r), one.Port)
				if at.IsValid() && some < mostAddresses && !slices.Contains(one.Addresses, at) {
					one.Addresses, some = append(one.Addresses, at), some+1
				}
			}
		}
		switch {
		case len(one.Addresses) > 0:
		case failed != nil:
			e.doubt(fmt.Sprintf("the addresses of %s are not found: %v", one.Target, failed))
		default:
			e.doubt(one.Target + " has no address")
		}
	}
}

// resolve asks resolvers in turn. The first that can tell counts.
func resolve(ctx context.Context, resolvers []netip.AddrPort, name string, typ uint16) (m *dns.Msg, err error) {
	err = errors.New("there is no resolver to ask")
	for _, r := range resolvers {
		q := new(dns.Msg).SetQuestion(name, typ)
		q.AuthenticatedData = true // asks for the AD flag (RFC 6840 section 5.7)
		q.SetEdns0(1232, false)
		m, e := exchange(ctx, r, q, questionLimit)
		switch {
		case e != nil:
		case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
			e = fmt.Errorf("it answers %s %s with %s", name, typeName(typ), dns.RcodeToString[m.Rcode])
		case !m.RecursionAvailable && len(m.Answer) == 0 && !m.Authoritative:
			e = errors.New("it does not resolve for others (no recursion)")
		default:
			return m, nil
		}
		if err = fmt.Errorf("resolver %s: %w", r, e); ctx.Err() != nil {
			break
		}
	}
	return nil, err
}
