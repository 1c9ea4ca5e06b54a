package chain

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// algorithms are those that resolvers validate; of others, a zone counts as unsigned (RFC 4035 section 5.2).
var algorithms = []uint8{
	dns.RSASHA1, dns.RSASHA1NSEC3SHA1, dns.RSASHA256, dns.RSASHA512, dns.ECDSAP256SHA256, dns.ECDSAP384SHA384,
	dns.ED25519,
}

// maxVerified is how many signatures are verified of one set: many keys of one tag are made to cost (CVE-2023-50387).
const maxVerified = 16

// usable leaves of a DS set what a resolver goes by: known algorithms and digests, and SHA-1 only where there is
// nothing better (RFC 4509 section 3).
func usable(set []*dns.DS) []*dns.DS {
	known := func(digests ...uint8) (all []*dns.DS) {
		for _, d := range set {
			if slices.Contains(algorithms, d.Algorithm) && slices.Contains(digests, d.DigestType) {
				all = append(all, d)
			}
		}
		return all
	}
	if better := known(dns.SHA256, dns.SHA384); len(better) > 0 {
		return better
	}
	return known(dns.SHA1)
}

// pick returns the RRset of a name and type in a section, and its signatures.
func pick(section []dns.RR, name string, typ uint16) (set []dns.RR, sigs []*dns.RRSIG) {
	for _, r := range section {
		if !strings.EqualFold(r.Header().Name, name) {
			continue
		}
		if s, ok := r.(*dns.RRSIG); ok && s.TypeCovered == typ {
			sigs = append(sigs, s)
		} else if r.Header().Rrtype == typ {
			set = append(set, r)
		}
	}
	return set, sigs
}

// verify checks that one of the signatures over a set holds now, by one of the keys of a zone. The error is of the
// signature that came nearest.
func verify(zone string, set []dns.RR, sigs []*dns.RRSIG, keys []*dns.DNSKEY, now time.Time) error {
	what := dns.TypeToString[set[0].Header().Rrtype]
	if len(sigs) == 0 {
		return fmt.Errorf("%s has no RRSIG", what)
	}
	err := fmt.Errorf("no RRSIG of %s is by a DNSKEY that is trusted (it is by key %d)", what, sigs[0].KeyTag)
	tries := 0
	for _, s := range sigs {
		for _, k := range keys {
			if k.KeyTag() != s.KeyTag || k.Algorithm != s.Algorithm || k.Flags&dns.ZONE == 0 ||
				k.Flags&dns.REVOKE != 0 || !strings.EqualFold(s.SignerName, zone) {
				continue
			}
			if tries++; tries > maxVerified {
				return err
			}
			wrong := s.Verify(k, set)
			switch at := uint32(now.Unix()); {
			case wrong != nil:
				err = fmt.Errorf("the RRSIG of %s by key %d does not verify", what, s.KeyTag)
			case int32(s.Expiration-at) < 0:
				err = fmt.Errorf("the RRSIG of %s by key %d expired at %s", what, s.KeyTag, stamp(s.Expiration, now))
			case int32(at-s.Inception) < 0:
				err = fmt.Errorf("the RRSIG of %s by key %d holds only from %s", what, s.KeyTag,
					stamp(s.Inception, now))
			default:
				return nil
			}
		}
	}
	return err
}

// algorithmsOf returns the algorithms of DS or DNSKEY records that resolvers know, in order.
func algorithmsOf[T *dns.DS | *dns.DNSKEY](set []T) (all []uint8) {
	for _, r := range set {
		a := uint8(0)
		switch r := any(r).(type) {
		case *dns.DS:
			a = r.Algorithm
		case *dns.DNSKEY:
			a = r.Algorithm
		}
		if slices.Contains(algorithms, a) && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	slices.Sort(all)
	return all
}

// unsignedBy says that a set lacks signatures of an algorithm that it should have them of (RFC 4035 section 2.2), ""
// if it has all. Resolvers should do with one (RFC 6840 section 5.11), and some do not.
func unsignedBy(want []uint8, sigs []*dns.RRSIG, what, by string) string {
	for _, a := range want {
		if !slices.ContainsFunc(sigs, func(s *dns.RRSIG) bool { return s.Algorithm == a }) {
			return fmt.Sprintf("%s has no RRSIG of algorithm %s, which a %s is of, and some resolvers want one of each",
				what, dns.AlgorithmToString[a], by)
		}
	}
	return ""
}

// stamp is a time of a signature, which counts seconds modulo 2^32 (RFC 4034 section 3.1.5).
func stamp(at uint32, now time.Time) string {
	return now.Add(time.Duration(int32(at-uint32(now.Unix()))) * time.Second).UTC().Format("2006-01-02 15:04:05Z")
}

// trusted checks a DNSKEY set against the DS set of its parent: a key that a DS names has to sign it.
func trusted(zone string, set []dns.RR, sigs []*dns.RRSIG, ds []*dns.DS, now time.Time) error {
	if len(set) == 0 {
		return errors.New("it has no DNSKEY, and the parent has a DS")
	}
	var entry []*dns.DNSKEY
	for _, r := range set {
		k := r.(*dns.DNSKEY)
		for _, d := range ds {
			if k.KeyTag() != d.KeyTag || k.Algorithm != d.Algorithm {
				continue
			}
			if made := k.ToDS(d.DigestType); made != nil && strings.EqualFold(made.Digest, d.Digest) {
				entry = append(entry, k)
				break
			}
		}
	}
	if len(entry) == 0 {
		return fmt.Errorf("none of its DNSKEYs (%s) is that of a DS (%s)", list(tags(set)), list(dsTags(ds)))
	}
	return verify(zone, set, sigs, entry, now)
}

// mostIterations is how many additional iterations of a hash are worked out, each of which costs the validator time
// (CVE-2023-50868). Resolvers take a proof with more than 50 to 150 for none, and what is below for insecure; they may
// do so with any (RFC 9276 section 3.2).
const mostIterations = 150

// proven checks that a response proves that a delegation has no DS (RFC 4035 section 5.2, RFC 5155 section 8.6 and
// 8.9). why is what makes it insecure.
func proven(zone, name string, m *dns.Msg, keys []*dns.DNSKEY, now time.Time) (why string, err error) {
	why = "it has no DS of " + name + ", and proves it"
	var hashed []*dns.NSEC3
	tries := 0
	wrong := errors.New("it has no DS, and no NSEC or NSEC3 that proves it")
	cut := func(types []uint16) bool {
		return slices.Contains(types, dns.TypeNS) && !slices.Contains(types, dns.TypeSOA) &&
			!slices.Contains(types, dns.TypeDS)
	}
	for _, r := range m.Ns {
		typ, owner := r.Header().Rrtype, r.Header().Name
		if typ != dns.TypeNSEC && typ != dns.TypeNSEC3 {
			continue
		}
		if tries++; tries > maxVerified {
			break
		}
		set, sigs := pick(m.Ns, owner, typ)
		if err := verify(zone, set, sigs, keys, now); err != nil {
			wrong = fmt.Errorf("it has no DS, and what should prove it does not: %w", err)
			continue
		}
		switch n := r.(type) {
		case *dns.NSEC:
			if strings.EqualFold(owner, name) && cut(n.TypeBitMap) {
				return why, nil
			}
		case *dns.NSEC3:
			if n.Iterations > mostIterations {
				// Its signature holds, and nobody looks further.
				return fmt.Sprintf("it has no DS of %s, and an NSEC3 with %d iterations: resolvers take 50 to 150 at "+
					"the most, and RFC 9276 asks for 0", name, n.Iterations), nil
			}
			if n.Match(name) {
				if cut(n.TypeBitMap) {
					return why, nil
				}
				continue
			}
			hashed = append(hashed, n)
		}
	}
	for next := name; next != zone && next != "."; next = parentOf(next) {
		encloser := parentOf(next)
		if !slices.ContainsFunc(hashed, func(n *dns.NSEC3) bool { return n.Match(encloser) }) {
			continue
		}
		if slices.ContainsFunc(hashed, func(n *dns.NSEC3) bool { return n.Flags&1 != 0 && n.Cover(next) }) {
			return why, nil
		}
		break
	}
	return "", wrong
}

func parentOf(name string) string {
	if i, end := dns.NextLabel(name, 0); !end {
		return name[i:]
	}
	return "."
}
