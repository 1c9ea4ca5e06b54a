package zones

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"leeward/health"
)

// The most that one list can have.
const (
	maxAddresses = 64   // of an endpoint
	maxNames     = 1000 // of pools or regions in one list
)

// maxWeight is the greatest weight of an endpoint, or of a pool in a step.
const maxWeight = 1_000_000

func (f *faults) region(r *Region) {
	degrees := func(field string, d *float64, most float64) {
		if d != nil && !(math.Abs(*d) <= most) {
			f.add(field, "%v is outside -%v to %v degrees", *d, most, most)
		}
	}
	degrees("latitude", r.Latitude, 90)
	degrees("longitude", r.Longitude, 180)
	switch {
	case r.Latitude != nil && r.Longitude == nil:
		f.add("longitude", "there is a latitude and no longitude; give both or neither")
	case r.Latitude == nil && r.Longitude != nil:
		f.add("latitude", "there is a longitude and no latitude; give both or neither")
	}
}

func (f *faults) pool(p *Pool) {
	if p.Region == "" {
		f.add("region", "a pool is in a region; name one")
	} else {
		f.reference("region", KindRegion, p.Region)
	}
	if p.Monitor != "" {
		f.reference("monitor", KindMonitor, p.Monitor)
	}
	if p.Ramp < 0 || p.Ramp.Std() > maxRamp {
		f.add("ramp", "%s is outside 0s to %s", p.Ramp, Duration(maxRamp))
	}
	f.capacity(p.Capacity)
}

// maxRamp is the longest that anything may take to grow.
const maxRamp = 24 * time.Hour

func (f *faults) capacity(c *Capacity) {
	if c == nil {
		return
	}
	switch {
	case !(c.Target > 0 && c.Target <= health.MaxLoad):
		f.add("capacity.target",
			"%g is outside 0 (not included) to %g; write what an endpoint is to carry, in the unit of its load",
			c.Target, health.MaxLoad)
	case c.Max != 0 && !(c.Max >= c.Target && c.Max <= health.MaxLoad):
		f.add("capacity.max",
			"%g is below the target of %g, or above %g; write the load at which an endpoint breaks, or leave it out",
			c.Max, c.Target, health.MaxLoad)
	}
}

// reference checks the spelling of a name that stands for another resource.
func (f *faults) reference(field string, kind Kind, name string) bool {
	if err := simpleName(kind, name); err != nil {
		f.add(field, "%v", err)
		return false
	}
	return true
}

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
			f.add(at, "%s is an IPv4 address in IPv6 clothes; write %s", a, a.Unmap())
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

func (f *faults) monitor(m *Monitor) { f.settings(m.Validate()) }

// settings takes over what the health of endpoints cannot be found out with.
func (f *faults) settings(errs []health.FieldError) {
	for _, e := range errs {
		f.add(e.Field, "%s", e.Message)
	}
}

func (f *faults) mapping(m *Map) {
	if len(m.Prefixes) == 0 {
		f.add("prefixes", "a map has at least one prefix or AS")
	}
	for _, source := range slices.Sorted(maps.Keys(m.Prefixes)) {
		at := "prefixes." + source
		if _, _, err := ParseSource(source); err != nil {
			f.add(at, "%v", err)
		}
		regions := m.Prefixes[source]
		switch {
		case len(regions) == 0:
			f.add(at, "no region is named; name at least one or take it out")
		case len(regions) > maxNames:
			f.add(at, "%d regions are more than %d; take some out", len(regions), maxNames)
			continue
		}
		for i, region := range regions {
			if f.reference(Item(at, i), KindRegion, region) && slices.Index(regions, region) < i {
				f.add(Item(at, i), "%s is there twice; take one out", region)
			}
		}
	}
}

// ParseSource reads what a Map has as a key: a prefix, or an AS such as "AS64500". The prefix is not valid where it is
// an AS, and the AS is 0 where it is a prefix.
func ParseSource(s string) (prefix netip.Prefix, asn uint32, err error) {
	if digits, ok := strings.CutPrefix(strings.ToUpper(s), "AS"); ok {
		n, err := strconv.ParseUint(digits, 10, 32)
		switch written := "AS" + strconv.FormatUint(n, 10); {
		case err != nil || n == 0:
			return netip.Prefix{}, 0, fmt.Errorf("%q is not an AS; write it as AS64500, AS1 to AS4294967295", s)
		case written != s:
			return netip.Prefix{}, 0, fmt.Errorf("%q is not how an AS is written here; write %s", s, written)
		}
		return netip.Prefix{}, uint32(n), nil
	}
	prefix, err = ParsePrefix(s)
	return prefix, 0, err
}

// ParsePrefix reads a prefix without host bits, in the one form that it has.
func ParsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
			return netip.Prefix{}, fmt.Errorf("%q is an address; write %s/%d", s, a, a.BitLen())
		}
		return netip.Prefix{}, fmt.Errorf("%q is not a prefix; write it as 192.0.2.0/24 or 2001:db8::/32", s)
	}
	switch {
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 prefix in IPv6 clothes; write it as IPv4", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has bits set beyond its length; write %s", s, p.Masked())
	case p.String() != s:
		return netip.Prefix{}, fmt.Errorf("%q is not how a prefix is written here; write %s", s, p)
	}
	return p, nil
}

// maxDrill is how long a drill may take.
const maxDrill = 24 * time.Hour

func (f *faults) override(o *Override) {
	switch o.State {
	case Drain, Up, Down:
	case "":
		f.add("state", "it says nothing; write drain, up or down")
	default:
		f.add("state", "%q is not a word of an override; write drain, up or down", o.State)
	}
	if o.From != nil && o.Until != nil && !o.Until.After(*o.From) {
		f.add("until", "%s is not after from, so it would never have an effect", o.Until.Format(time.RFC3339))
		return
	}
	switch ramp := o.Ramp.Std(); {
	case ramp == 0:
	case ramp < 0 || ramp > maxRamp || ramp%time.Second != 0:
		f.add("ramp", "%s is not a number of seconds from 0s to %s", o.Ramp, Duration(maxRamp))
	case o.State != Drain:
		f.add("ramp", "only a drain takes its time; leave it out")
	case strings.HasPrefix(o.Target, "endpoint/"):
		f.add("ramp", "an endpoint is drained at once; give a ramp to its pool or region, or leave it out")
	case o.From == nil:
		f.add("ramp", "it needs from: servers go by the clock")
	case o.Until != nil && 2*ramp > o.Until.Sub(*o.From):
		f.add("ramp", "%s to lose its clients and %[1]s to get them back are longer than the %s of the drain; make "+
			"the ramp shorter",
			o.Ramp, Duration(o.Until.Sub(*o.From)))
	}
	switch {
	case !o.Drill:
	case o.State != Drain:
		f.add("drill", "a drill is a drain; write state: drain")
	case o.From == nil || o.Until == nil:
		f.add("drill", "a drill must end by itself; write from and until")
	case o.Until.Sub(*o.From) > maxDrill:
		f.add("drill", "%s is longer than %s; a drain may be as long as you like", Duration(o.Until.Sub(*o.From)),
			Duration(maxDrill))
	}
}
