package zones

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"leeward/health"
)

const (
	maxAddresses = 64        // of an endpoint
	maxWeight    = 1_000_000 // of an endpoint, or of a pool in a step
)

func (f *faults) endpoint(e *Endpoint) {
	f.hostname(e)
	f.settings(health.CheckHost("host", e.Host))
	f.settings(health.CheckHeaders("headers", e.Headers))
	f.capacity(e.Capacity)
	if len(e.Addresses) > maxAddresses {
		f.add("addresses", "%d addresses are more than %d; make several endpoints of them", len(e.Addresses),
			maxAddresses)
		return
	}
	for i, a := range e.Addresses {
		at := Item("addresses", i)
		switch {
		case !a.IsValid():
			f.add(at, "not an address")
		case a.Is4In6():
			f.add(at, "%s is an IPv4 address written as IPv6; write %s", a, a.Unmap())
		case a.Zone() != "":
			f.add(at, "%s has a zone, which no client could use; write %s", a, a.WithZone(""))
		case a.IsUnspecified():
			f.add(at, "%s is no address that clients could reach; give the endpoint's own", a)
		case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			f.add(at, "%s is a multicast or broadcast address; give the endpoint's own", a)
		case a.Is6() && a.IsLinkLocalUnicast():
			f.add(at, "%s is link local (RFC 4291 2.5.6): it holds on one link, and clients are on others; give a "+
				"global address", a)
		case slices.Index(e.Addresses, a) < i:
			f.add(at, "%s is there twice; take one out", a)
		}
	}
	if e.Weight != nil && (*e.Weight < 0 || *e.Weight > maxWeight) {
		f.add("weight", "%d is outside 0 to %d", *e.Weight, maxWeight)
	}
}

// hostname checks that an endpoint has either addresses or a hostname, and how the hostname is spelled.
func (f *faults) hostname(e *Endpoint) {
	switch {
	case e.Hostname != "" && len(e.Addresses) > 0:
		f.add("hostname", "there are addresses too; an endpoint has one of the two, take one out or make it two "+
			"endpoints")
	case e.Hostname != "":
		if err := checkHostname(e.Hostname); err != nil {
			f.add("hostname", "%v", err)
		}
	case len(e.Addresses) == 0:
		f.add("addresses", "an endpoint has at least one address or a hostname; give one, or delete the endpoint")
	}
	if e.Flatten && e.Hostname == "" {
		f.add("flatten", "it is about a hostname, and there is none; take it out")
	}
}

// checkHostname checks an endpoint's hostname: letters, digits, hyphens, and the underscores that clouds use (RFC 1123
// section 2.1).
func checkHostname(s string) error {
	if _, err := netip.ParseAddr(s); err == nil {
		return fmt.Errorf("%s is an address; write addresses: [%s]", s, s)
	}
	if _, err := ParseName(s); err != nil {
		return err
	}
	if s == "." {
		return errors.New("the root is not the name of an endpoint")
	}
	for _, label := range strings.Split(s, ".") {
		for _, c := range []byte(label) {
			if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' {
				continue
			}
			return fmt.Errorf("%q is not a hostname: a hostname is made of a-z, 0-9, - and _", s)
		}
	}
	return nil
}
