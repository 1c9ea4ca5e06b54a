package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// handed is a zone as transferred: RDATA by owner and type, and original TTLs.
type handed struct {
	sets map[rr.Name]map[rr.Type][][]byte
	ttls map[rr.Name]map[rr.Type]uint32
}

func handedOf(z *Zone) (h handed, err error) {
	h = handed{map[rr.Name]map[rr.Type][][]byte{}, map[rr.Name]map[rr.Type]uint32{}}
	err = z.Each(func(name []byte, typ rr.Type, count int, wire []byte) bool {
		owner := rr.Name(name)
		if h.sets[owner] == nil {
			h.sets[owner], h.ttls[owner] = map[rr.Type][][]byte{}, map[rr.Type]uint32{}
		}
		for range count {
			size := recordHead + int(binary.BigEndian.Uint16(wire[recordHead-2:]))
			h.sets[owner][typ] = append(h.sets[owner][typ], bytes.Clone(wire[recordHead:size]))
			h.ttls[owner][typ] = binary.BigEndian.Uint32(wire[6:])
			wire = wire[size:]
		}
		return true
	})
	return h, err
}

// faults returns what is wrong with a zone that was transferred. One of the keys must sign all authoritative data, and
// nothing else. Denial must say what exists, and lead around once.
func (h handed) faults(apex rr.Name, nsec3 bool, dnskeys ...[]byte) (all []string) {
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	cutAbove := func(name rr.Name) bool {
		for n := name; n != apex; n = n.Parent() {
			if n != name && h.sets[n][rr.TypeNS] != nil {
				return true
			}
		}
		return false
	}
	links := 0
	for owner, sets := range h.sets {
		cut := owner != apex && sets[rr.TypeNS] != nil
		signed := map[rr.Type]int{}
		for _, rrsig := range sets[rr.TypeRRSIG] {
			typ := rr.Type(binary.BigEndian.Uint16(rrsig))
			signed[typ]++
			set := dnssec.Set{Owner: owner, Type: typ, TTL: h.ttls[owner][typ], Data: sets[typ]}
			var err error
			for _, dnskey := range dnskeys {
				if err = dnssec.Verify(set, rrsig, dnskey); err == nil {
					break
				}
			}
			if err != nil {
				say("%s %s: %v", owner, typ, err)
			}
		}
		for typ := range sets {
			own := !cutAbove(owner) && (!cut || typ == rr.TypeDS || typ == rr.TypeNSEC) && typ != rr.TypeRRSIG
			if want := map[bool]int{true: 1}[own]; signed[typ] != want {
				say("%s %s has %d signatures, not %d", owner, typ, signed[typ], want)
			}
		}
		if nsec3 || cutAbove(owner) {
			continue
		}
		if nsec := sets[rr.TypeNSEC]; nsec != nil {
			links++
			next, rest, err := rr.CutName(nsec[0])
			if err != nil || h.sets[next][rr.TypeNSEC] == nil {
				say("%s leads to %s, which has no NSEC", owner, next)
			}
			if want := h.bitmap(owner, apex); !bytes.Equal(rest, want) {
				say("%s has the bitmap %x, not %x", owner, rest, want)
			}
			if len(sets) == 2 { // with its signature
				say("%s has an NSEC and nothing else (RFC 4035 section 2.3)", owner)
			}
		} else {
			say("%s has no NSEC", owner)
		}
	}
	if nsec3 {
		all = append(all, h.hashed(apex, cutAbove)...)
	} else if len(all) == 0 {
		seen := 1
		for at := apex; seen <= links; seen++ {
			if at, _, _ = rr.CutName(h.sets[at][rr.TypeNSEC][0]); at == apex {
				break
			}
		}
		if seen != links {
			say("the chain has %d links, and %d records", seen, links)
		}
	}
	slices.Sort(all)
	return all
}

// bitmap returns the types that denial must list for a name.
func (h handed) bitmap(owner, apex rr.Name) []byte {
	sets := h.sets[owner]
	cut := owner != apex && sets[rr.TypeNS] != nil
	var types []rr.Type
	for typ := range sets {
		if !cut || typ == rr.TypeNS || typ == rr.TypeDS || typ == rr.TypeNSEC || typ == rr.TypeRRSIG {
			types = append(types, typ)
		}
	}
	return dnssec.AppendTypes(nil, types)
}

// hashed is faults for NSEC3 records. Each record leads to the next by hash. Each name with authority has one, even an
// empty non-terminal, and no other has types.
func (h handed) hashed(apex rr.Name, hidden func(rr.Name) bool) (all []string) {
	want := map[rr.Name][]byte{}
	for owner, sets := range h.sets {
		if sets[rr.TypeNSEC3] != nil || hidden(owner) {
			continue
		}
		for n := owner; ; n = n.Parent() {
			hash := dnssec.Hash([]byte(n))
			want[rr.Name(dnssec.AppendHashed(nil, hash[:]))+apex] = h.bitmap(n, apex)
			if n == apex {
				break
			}
		}
	}
	var owners []rr.Name
	for owner, sets := range h.sets {
		if sets[rr.TypeNSEC3] != nil {
			owners = append(owners, owner)
		}
	}
	slices.Sort(owners)
	for i, owner := range owners {
		data := h.sets[owner][rr.TypeNSEC3][0]
		next := rr.Name(dnssec.AppendHashed(nil, data[6:6+dnssec.HashSize])) + apex
		if next != owners[(i+1)%len(owners)] {
			all = append(all, fmt.Sprintf("%s leads to %s", owner, next))
		}
		if types := data[6+dnssec.HashSize:]; !bytes.Equal(types, want[owner]) {
			all = append(all, fmt.Sprintf("%s has the bitmap %x, not %x", owner, types, want[owner]))
		}
		delete(want, owner)
	}
	for owner := range want {
		all = append(all, fmt.Sprintf("%s has no record", owner))
	}
	return all
}

// TestSerialTurns: a signed zone with secondaries gets another serial in each epoch, and when a key does something new
// in between. The serial never falls, and is the same wherever the keys are.
func TestSerialTurns(t *testing.T) {
	k := signedKey(t)
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	roll := now.Add(30 * time.Minute)
	second := signedKey(t)
	keys := func() *dnssec.Keys {
		all, err := dnssec.NewKeys(k.Origin(), dnssec.TimedKey{Key: k},
			dnssec.TimedKey{Key: second, Times: dnssec.Times{Publish: roll, Activate: roll.Add(240 * time.Hour)}})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	z := &zones.Zone{
		Origin: "example.test", Nameservers: []string{"ns.example.net"}, DNSSEC: &zones.DNSSEC{Enabled: true},
		Transfer: &zones.Transfer{Notify: []string{"192.0.2.53"}},
	}
	begin := func() (*catalog.Catalog, *Builder) {
		c, b := catalog.New(clock), NewBuilder(clock)
		b.Keyed("example.test", keys(), nil)
		b.Update(c, c.Apply(zones.Batch{Revision: 7, Full: true, Changes: []zones.Change{
			{Key: z.Key(), Resource: z, Revision: 7},
		}}), nil)
		return c, b
	}
	c, b := begin()
	last := b.last.Zone(k.Origin()).Serial()
	for range 24 * 4 {
		now = now.Add(15 * time.Minute)
		signer := b.signers["example.test"]
		epoch := signer.Now().Epoch
		if signer.Prepare(now) != nil {
			if _, err := b.last.Prepare(k.Origin()); err != nil {
				t.Fatal(err)
			}
			signer.Turn()
			b.Turned("example.test")
		}
		s, problems := b.Update(c, catalog.Delta{}, nil)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		serial := s.Zone(k.Origin()).Serial()
		moves := b.signers["example.test"].Now().Epoch != epoch || now.Equal(roll)
		if moves == (serial == last) || int32(serial-last) < 0 {
			t.Errorf("%v: the serial was %d and is %d", now, last, serial)
		}
		last = serial
		if _, fresh := begin(); fresh.last.Zone(k.Origin()).Serial() != serial {
			t.Errorf("%v: a server that starts has another serial than %d", now, serial)
		}
	}
}
