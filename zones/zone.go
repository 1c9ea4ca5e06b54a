package zones

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"leeward/zones/rr"
)

func (f *faults) zone(z *Zone) {
	seen := make(map[string]bool)
	for i, ns := range z.Nameservers {
		at := Item("nameservers", i)
		f.host(at, ns)
		if seen[ns] {
			f.add(at, "%s is there twice; take one out", ns)
		}
		seen[ns] = true
	}
	if z.Primary != "" {
		f.host("primary", z.Primary)
	}
	if _, err := mailbox(z.Hostmaster); err != nil {
		f.add("hostmaster", "%v", err)
	}
	f.seconds("ttl", z.TTL)
	f.seconds("soaTTL", z.SOATTL)
	f.seconds("negativeTTL", z.NegativeTTL)
	f.seconds("refresh", z.Refresh)
	f.seconds("retry", z.Retry)
	f.seconds("expire", z.Expire)
	switch z.Order {
	case "", OrderRotate, OrderFixed:
	default:
		f.add("order", "%q is not an order of addresses; write rotate or fixed", z.Order)
	}
	f.transfer(z)
	f.update(z)
	f.signing(z)
	f.debug(z)
}

// signing checks the settings of signing, and that the zone can be signed.
func (f *faults) signing(z *Zone) {
	switch {
	case !z.Signed():
		if z.DNSSEC != nil {
			f.idle("dnssec.nsec3", z.DNSSEC.NSEC3)
			f.idle("dnssec.algorithm", z.DNSSEC.Algorithm != 0)
			f.idle("dnssec.foreign", len(z.DNSSEC.Foreign) > 0)
			f.idle("dnssec.keep", z.DNSSEC.Keep)
			f.idle("dnssec.withdraw", z.DNSSEC.Withdraw)
			f.idle("dnssec.roll", z.DNSSEC.Roll != nil)
			f.idle("dnssec.parent", len(z.DNSSEC.Parent) > 0)
			f.idle("dnssec.noNotify", z.DNSSEC.NoNotify)
		}
	case z.Lists(), z.Catalog():
		f.add("dnssec.enabled", "a catalog zone is read by its secondaries only, and not signed; take dnssec out")
	}
	if z.Signed() {
		f.foreign(z.DNSSEC.Foreign)
		if a := z.DNSSEC.Algorithm; a != 0 && a != 13 && a != 15 {
			f.add("dnssec.algorithm", "zones cannot be signed with %d here; write 13 (ECDSA) or 15 (Ed25519)", a)
		}
		f.rolling(z.DNSSEC)
		f.keeping(z)
	}
}

// keeping checks a zone that keeps its primary's signatures: it must have a primary, and must not set what the primary
// decides.
func (f *faults) keeping(z *Zone) {
	d := z.DNSSEC
	if !d.Keep {
		return
	}
	if !z.Secondary() {
		f.add("dnssec.keep", "the zone has no primary whose signatures it could keep; take it out, or set "+
			"transfer.primaries")
	}
	for _, one := range []struct {
		field string
		set   bool
		why   string
	}{
		{"nsec3", d.NSEC3, "the primary chooses NSEC or NSEC3"},
		{"algorithm", d.Algorithm != 0, "the zone is signed with the primary's algorithms"},
		{"foreign", len(d.Foreign) > 0, "the primary publishes all keys"},
		{"withdraw", d.Withdraw, "CDS and CDNSKEY are the primary's"},
		{"roll", d.Roll != nil, "a key that the primary has to publish cannot roll by itself"},
		{"parent", len(d.Parent) > 0, "the primary looks after the parent"},
		{"noNotify", d.NoNotify, "only the primary could tell the parent of its CDS"},
	} {
		if one.set {
			f.add("dnssec."+one.field, "it does nothing beside dnssec.keep, as %s; take one of them out", one.why)
		}
	}
}

// Keeps reports whether the zone keeps its primary's signatures.
func (z *Zone) Keeps() bool { return z.Signed() && z.DNSSEC.Keep && z.Secondary() }

// rolling checks which keys roll by themselves, and which servers of the parent they ask.
func (f *faults) rolling(d *DNSSEC) {
	if d.Roll != nil {
		if *d.Roll == (Rolling{}) {
			f.add("dnssec.roll", "it names no key that rolls; give zsk or ksk, or take it out")
		}
		for _, one := range []struct {
			field string
			age   Duration
		}{{"zsk", d.Roll.ZSK}, {"ksk", d.Roll.KSK}} {
			if one.age != 0 && one.age.Std() < 24*time.Hour {
				f.add("dnssec.roll."+one.field, "%v is less than a day, and a roll takes longer; write 24h or more",
					one.age)
			}
		}
	}
	if len(d.Parent) > mostParents {
		f.add("dnssec.parent", "there are %d addresses, and %d is the most", len(d.Parent), mostParents)
	}
	for i, text := range d.Parent {
		_, port := netip.ParseAddrPort(text)
		if _, err := netip.ParseAddr(text); err != nil && port != nil {
			f.add(Item("dnssec.parent", i), "%q is not an address; write one such as 192.0.2.1 or 192.0.2.1:5300", text)
		}
	}
}

// mostParents is how many addresses of the parent's servers a zone may name.
const mostParents = 32

// idle refuses a setting of a zone that is not signed.
func (f *faults) idle(field string, set bool) {
	if set {
		f.add(field, "the zone is not signed, so it does nothing; set dnssec.enabled too, or take it out")
	}
}

// mostForeign is how many keys of others a zone may have.
const mostForeign = 16

// foreign checks the keys of others who sign the zone.
func (f *faults) foreign(all []string) {
	if len(all) > mostForeign {
		f.add("dnssec.foreign", "there are %d keys, and %d is the most", len(all), mostForeign)
		return
	}
	for i, text := range all {
		field := Item("dnssec.foreign", i)
		data, err := rr.ParseData(rr.TypeDNSKEY, text, rr.Root)
		switch {
		case err != nil:
			f.add(field, "%v; write the data of a DNSKEY record: flags, 3, algorithm, public key", err)
		case len(data) < 5 || data[2] != 3 || data[0]&1 == 0 || data[1]&0x80 != 0:
			f.add(field, "it is not a key that signs zones; its flags are 256 or 257, its protocol is 3")
		}
	}
}

// Signed reports whether the zone is to be signed.
func (z *Zone) Signed() bool { return z.DNSSEC != nil && z.DNSSEC.Enabled }

// host checks the name of a nameserver.
func (f *faults) host(field, name string) {
	n, err := ParseName(name)
	switch {
	case err != nil:
		f.add(field, "%v", err)
	case n == rr.Root || n.IsWildcard():
		f.add(field, "%s cannot be the name of a nameserver", name)
	}
}

// mailbox turns a hostmaster, written as a mail address or as the SOA has it, into the SOA's RNAME (RFC 1035 section
// 8): the local part is one label, its dots escaped.
func mailbox(s string) (string, error) {
	local, domain, isMail := strings.Cut(s, "@")
	if s == "" {
		return "", nil
	}
	if isMail {
		if local == "" || domain == "" || strings.Contains(domain, "@") || strings.Contains(local, `\`) {
			return "", fmt.Errorf("%q is not a mail address; write it as hostmaster@example.test", s)
		}
		s = strings.ReplaceAll(local, ".", `\.`) + "." + domain
	}
	n, err := rr.ParseName(s)
	if err != nil {
		return "", err
	}
	return n.String(), nil
}

// RName returns the SOA's RNAME without the final dot: the hostmaster, or hostmaster.<origin> if the zone names none.
func (z *Zone) RName() string {
	if name, err := mailbox(z.Hostmaster); err == nil && name != "" {
		return name
	}
	return FullName("hostmaster", z.Origin)
}

// SOATime returns the TTL of the SOA.
func (z *Zone) SOATime() time.Duration { return z.SOATTL.Or(z.TTL.Or(DefaultTTL)) }

// MName returns the SOA's MNAME: the primary, else the first name server, else the origin.
func (z *Zone) MName() string {
	switch {
	case z.Primary != "":
		return z.Primary
	case len(z.Nameservers) > 0:
		return z.Nameservers[0]
	}
	return z.Origin
}
