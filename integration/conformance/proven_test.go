//go:build linux

package conformance

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// validator checks responses by RFC 4035 section 5 and RFC 5155 section 8, in a plain form. It knows the keys of zones,
// and nothing of their content.
type validator struct {
	keys map[string]*dns.DNSKEY // by origin
	also map[string]*dns.DNSKEY // by origin: others who sign in a zone
	open []string               // origins of unsigned zones below these

	rolled map[string][]*dns.DNSKEY // by origin: of a zone whose keys roll, those in its DNSKEY set
	renew  func()                   // if set, it is called before each question, to fetch newer sets
	now    time.Time
}

// zoneOf returns the closest zone with a key at or above a name, "" if there is none or a zone without one is closer.
func (v *validator) zoneOf(name string) string {
	for at, end := 0, false; !end; at, end = dns.NextLabel(name, at) {
		if slices.Contains(v.open, strings.ToLower(name[at:])) {
			return ""
		}
		if _, is := v.keys[strings.ToLower(name[at:])]; is {
			return strings.ToLower(name[at:])
		}
	}
	return ""
}

type rrsetKey struct {
	owner string
	typ   uint16
}

func keyOf(r dns.RR) rrsetKey { return rrsetKey{strings.ToLower(r.Header().Name), r.Header().Rrtype} }

// rrsets are the RRsets of a section, with their signatures.
type rrsets struct {
	order []rrsetKey
	sets  map[rrsetKey][]dns.RR
	sigs  map[rrsetKey][]*dns.RRSIG
}

func setsOf(section []dns.RR) rrsets {
	s := rrsets{sets: map[rrsetKey][]dns.RR{}, sigs: map[rrsetKey][]*dns.RRSIG{}}
	for _, r := range section {
		switch r := r.(type) {
		case *dns.OPT:
		case *dns.RRSIG:
			k := rrsetKey{strings.ToLower(r.Hdr.Name), r.TypeCovered}
			s.sigs[k] = append(s.sigs[k], r)
		default:
			k := keyOf(r)
			if s.sets[k] == nil {
				s.order = append(s.order, k)
			}
			s.sets[k] = append(s.sets[k], r)
		}
	}
	return s
}

// holds checks a set's only signature, and returns the owner's number of labels in it.
func (v *validator) holds(set []dns.RR, sigs []*dns.RRSIG, zone string) (labels int, err error) {
	if keys := v.rolled[zone]; keys != nil {
		return v.holdsByAny(set, sigs, zone, keys)
	}
	if len(sigs) != 1 {
		return 0, fmt.Errorf("%d signatures", len(sigs))
	}
	s := sigs[0]
	if !strings.EqualFold(s.SignerName, zone) {
		return 0, fmt.Errorf("signed by %s and not by %s", s.SignerName, zone)
	}
	key := v.keys[zone]
	if k := v.also[zone]; k != nil && k.KeyTag() == s.KeyTag {
		key = k
	}
	if err := s.Verify(key, set); err != nil {
		return 0, err
	}
	if !s.ValidityPeriod(v.now) {
		return 0, errors.New("not valid now")
	}
	for _, r := range set {
		if r.Header().Ttl != s.Hdr.Ttl || r.Header().Ttl > s.OrigTtl {
			return 0, fmt.Errorf("TTL %d, of its signature %d, originally %d", r.Header().Ttl, s.Hdr.Ttl, s.OrigTtl)
		}
	}
	return int(s.Labels), nil
}

// holdsByAny is holds for keys that roll: each signature of a known key must be valid, and there must be one of each
// algorithm (RFC 4035 section 2.2).
func (v *validator) holdsByAny(set []dns.RR, sigs []*dns.RRSIG, zone string, keys []*dns.DNSKEY) (
	labels int, err error,
) {
	lacking := map[uint8]bool{}
	for _, key := range keys {
		lacking[key.Algorithm] = true
	}
	for _, s := range sigs {
		for _, key := range keys {
			if key.KeyTag() != s.KeyTag || key.Algorithm != s.Algorithm {
				continue
			}
			by := validator{keys: map[string]*dns.DNSKEY{zone: key}, now: v.now}
			if labels, err = by.holds(set, []*dns.RRSIG{s}, zone); err != nil {
				return 0, err
			}
			delete(lacking, s.Algorithm)
		}
	}
	if len(lacking) > 0 {
		return 0, fmt.Errorf("no signature by a key of the algorithms %v", slices.Sorted(maps.Keys(lacking)))
	}
	return labels, nil
}

func labelsOfName(name string) int {
	n := dns.CountLabel(name)
	if strings.HasPrefix(name, "*.") {
		n--
	}
	return n
}

// check returns why a validating resolver could not accept a response.
func (v *validator) check(q dns.Question, r *dns.Msg) error {
	answer, authority, additional := setsOf(r.Answer), setsOf(r.Ns), setsOf(r.Extra)
	referral := !r.Authoritative && r.Rcode == dns.RcodeSuccess && len(r.Answer) == 0
	var expanded []rrsetKey
	closest := map[rrsetKey]int{}
	var dnames []string
	for i, section := range []rrsets{answer, authority, additional} {
		name := []string{"answer", "authority", "additional"}[i]
		for k := range section.sigs {
			if section.sets[k] == nil && q.Qtype != dns.TypeRRSIG {
				return fmt.Errorf("%s: a signature of %v without it", name, k)
			}
		}
		for _, k := range section.order {
			zone := v.zoneOf(k.owner)
			if k.typ == dns.TypeDS || k.typ == dns.TypeNSEC && atCut(section.sets[k][0].(*dns.NSEC)) {
				zone = v.zoneOf(parentOf(k.owner))
			}
			set, sigs := section.sets[k], section.sigs[k]
			cut := i == 1 && k.typ == dns.TypeNS && referral
			if zone == "" || cut || i == 2 && referral && len(sigs) == 0 {
				if len(sigs) > 0 {
					return fmt.Errorf("%s: %v is signed", name, k)
				}
				continue
			}
			if k.typ == dns.TypeCNAME && len(sigs) == 0 && i == 0 && below(k.owner, dnames) {
				continue // made of a DNAME
			}
			if k.typ == dns.TypeDNAME {
				dnames = append(dnames, k.owner)
			}
			labels, err := v.holds(set, sigs, zone)
			if err != nil {
				return fmt.Errorf("%s: %s %s: %w", name, k.owner, dns.TypeToString[k.typ], err)
			}
			if labels < labelsOfName(k.owner) {
				if i != 0 {
					return fmt.Errorf("%s: %v is of a wildcard", name, k)
				}
				expanded = append(expanded, k)
				closest[k] = labels
			}
		}
	}
	if r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeNameError {
		return fmt.Errorf("rcode %s", dns.RcodeToString[r.Rcode])
	}
	for _, k := range expanded {
		p := v.proofs(authority, v.zoneOf(k.owner))
		if !p.covers(suffix(k.owner, closest[k]+1)) && !p.covers(k.owner) {
			return fmt.Errorf("%s is of a wildcard, and nothing proves that it is not there by itself", k.owner)
		}
	}

	name := strings.ToLower(q.Name)
	for range 20 {
		if answer.sets[rrsetKey{name, q.Qtype}] != nil || len(answer.sets) > 0 && q.Qtype == dns.TypeANY ||
			q.Qtype == dns.TypeRRSIG && len(answer.sigs) > 0 {
			return nil
		}
		cname := answer.sets[rrsetKey{name, dns.TypeCNAME}]
		if cname == nil {
			break
		}
		name = strings.ToLower(cname[0].(*dns.CNAME).Target)
	}
	zone := v.zoneOf(name)
	if q.Qtype == dns.TypeDS && name != "." {
		if above := v.zoneOf(parentOf(name)); above != "" {
			zone = above
		}
	}
	if zone == "" {
		return nil
	}
	p := v.proofs(authority, zone)
	switch {
	case r.Rcode == dns.RcodeNameError:
		return p.nameError(name)
	case referral:
		for k := range authority.sets {
			if k.typ == dns.TypeNS {
				if authority.sets[rrsetKey{k.owner, dns.TypeDS}] != nil {
					return nil
				}
				return p.noData(k.owner, dns.TypeDS)
			}
		}
		return errors.New("a referral without NS")
	case len(authority.sets) == 0 && len(r.Answer) > 0:
		return nil // whoever asks for the rest of the chain checks it
	}
	for k := range authority.sets {
		if k.typ == dns.TypeSOA {
			return p.noData(name, q.Qtype)
		}
	}
	if len(r.Answer) > 0 {
		return nil
	}
	return errors.New("no data, and no SOA")
}

// atCut reports whether a record belongs to the zone above a cut.
func atCut(n *dns.NSEC) bool { return has(n.TypeBitMap, dns.TypeNS) && !has(n.TypeBitMap, dns.TypeSOA) }

func parentOf(name string) string {
	if at, end := dns.NextLabel(name, 0); !end {
		return name[at:]
	}
	return "."
}

func below(name string, owners []string) bool {
	for _, o := range owners {
		if o != name && dns.IsSubDomain(o, name) {
			return true
		}
	}
	return false
}

// suffix returns the last labels of a name.
func suffix(name string, labels int) string {
	for dns.CountLabel(name) > labels {
		name = parentOf(name)
	}
	return name
}

// proofs are the records of denial of one zone.
type proofs struct {
	zone  string
	nsec  []*dns.NSEC
	nsec3 []*dns.NSEC3
}

func (v *validator) proofs(authority rrsets, zone string) (p proofs) {
	p.zone = zone
	for _, k := range authority.order {
		for _, r := range authority.sets[k] {
			switch r := r.(type) {
			case *dns.NSEC:
				of := v.zoneOf(r.Hdr.Name)
				if atCut(r) {
					of = v.zoneOf(parentOf(r.Hdr.Name))
				}
				if of == zone {
					p.nsec = append(p.nsec, r)
				}
			case *dns.NSEC3:
				if v.zoneOf(parentOf(r.Hdr.Name)) == zone {
					p.nsec3 = append(p.nsec3, r)
				}
			}
		}
	}
	return p
}

// wireLabels returns a name's labels as octets, in lower case.
func wireLabels(name string) (labels []string) {
	b := make([]byte, 256)
	end, err := dns.PackDomainName(strings.ToLower(name), b, 0, nil, false)
	if err != nil {
		panic(err)
	}
	for at := 0; at < end-1; at += int(b[at]) + 1 {
		labels = append(labels, string(b[at+1:at+1+int(b[at])]))
	}
	return labels
}

// compareNames orders names as RFC 4034 section 6.1 does.
func compareNames(a, b string) int {
	x, y := wireLabels(a), wireLabels(b)
	for i := 1; i <= min(len(x), len(y)); i++ {
		if c := strings.Compare(x[len(x)-i], y[len(y)-i]); c != 0 {
			return c
		}
	}
	return len(x) - len(y)
}

func coveredBy(n *dns.NSEC, name string) bool {
	after, before := compareNames(n.Hdr.Name, name) < 0, compareNames(name, n.NextDomain) < 0
	if compareNames(n.Hdr.Name, n.NextDomain) >= 0 { // the last
		return after || before
	}
	return after && before
}

// covers reports whether the proofs say that a name does not exist.
func (p proofs) covers(name string) bool {
	for _, n := range p.nsec {
		if coveredBy(n, name) && !dns.IsSubDomain(name, strings.ToLower(n.NextDomain)) {
			return true
		}
	}
	for _, n := range p.nsec3 {
		if n.Cover(name) && !n.Match(name) { // for the library, a record that matches covers too
			return true
		}
	}
	return false
}

// types returns the types of a name. known is false if nothing is proven about it. An empty non-terminal is proven to
// have none.
func (p proofs) types(name string) (types []uint16, known bool) {
	for _, n := range p.nsec {
		if strings.EqualFold(n.Hdr.Name, name) {
			return n.TypeBitMap, true
		}
		if coveredBy(n, name) && dns.IsSubDomain(name, strings.ToLower(n.NextDomain)) {
			return nil, true
		}
	}
	for _, n := range p.nsec3 {
		if n.Match(name) {
			return n.TypeBitMap, true
		}
	}
	return nil, false
}

// encloser returns the proven closest encloser of a name that does not exist.
func (p proofs) encloser(name string) (string, error) {
	for _, n := range p.nsec {
		if !coveredBy(n, name) {
			continue
		}
		labels := max(dns.CompareDomainName(n.Hdr.Name, name), dns.CompareDomainName(n.NextDomain, name))
		return suffix(name, labels), nil
	}
	for at := name; dns.IsSubDomain(p.zone, parentOf(at)); at = parentOf(at) {
		if types, known := p.types(parentOf(at)); len(p.nsec3) > 0 && known {
			if !p.covers(at) {
				return "", fmt.Errorf("nothing covers %s", at)
			}
			if has(types, dns.TypeDNAME) || has(types, dns.TypeNS) && !has(types, dns.TypeSOA) {
				return "", fmt.Errorf("the closest encloser %s is a cut or has a DNAME", parentOf(at))
			}
			return parentOf(at), nil
		}
	}
	return "", fmt.Errorf("nothing proves a closest encloser of %s", name)
}

// optsOut reports whether the record that covers a name has the Opt-Out flag.
func (p proofs) optsOut(name string) bool {
	for _, n := range p.nsec3 {
		if n.Flags&1 != 0 && n.Cover(name) && !n.Match(name) {
			return true
		}
	}
	return false
}

func (p proofs) nameError(name string) error {
	if !p.covers(name) && len(p.nsec) > 0 {
		return fmt.Errorf("nothing covers %s", name)
	}
	encloser, err := p.encloser(name)
	if err != nil {
		return err
	}
	if star := "*." + encloser; !p.covers(star) {
		return fmt.Errorf("nothing covers %s", star)
	}
	return nil
}

func (p proofs) noData(name string, qtype uint16) error {
	types, known := p.types(name)
	if !known {
		encloser, err := p.encloser(name)
		if err != nil {
			return err
		}
		if p.optsOut(suffix(name, dns.CountLabel(encloser)+1)) {
			return nil // there may be an unsigned delegation, or what leads to one (RFC 5155 section 6)
		}
		if types, known = p.types("*." + encloser); !known {
			return fmt.Errorf("nothing proves what *.%s has", encloser)
		}
	}
	switch {
	case has(types, qtype) && qtype != dns.TypeANY:
		return fmt.Errorf("%s has %s by its bitmap", name, dns.TypeToString[qtype])
	case has(types, dns.TypeCNAME) && qtype != dns.TypeRRSIG: // if NSEC is denied, so NSEC is not what proves it
		return fmt.Errorf("%s has a CNAME by its bitmap", name)
	case has(types, dns.TypeNS) && !has(types, dns.TypeSOA) && qtype != dns.TypeDS:
		return fmt.Errorf("%s is a cut by its bitmap", name)
	case qtype == dns.TypeDS && has(types, dns.TypeSOA) && name != p.zone:
		return fmt.Errorf("the DS of %s is denied by itself", name)
	}
	return nil
}

func has(types []uint16, t uint16) bool {
	for _, x := range types {
		if x == t {
			return true
		}
	}
	return false
}
