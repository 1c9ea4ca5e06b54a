package zones

import (
	"time"

	"leeward/zones/rr"
)

// maxSeconds is the greatest TTL, and the greatest of the SOA's times (RFC 2181 section 8).
const maxSeconds = 1<<31 - 1

// MostSet is the most octets that an RRset can have to fit into one message: its RDATA, and what surrounds each record.
const MostSet = 64000

// MostAddresses is the most addresses of that width, 4 or 16 octets, that an RRset can have to fit into one message.
func MostAddresses(width int) int { return MostSet / (12 + width) }

// seconds checks a time that is sent as whole seconds.
func (f *faults) seconds(field string, d TTL) {
	switch s := d.Or(0); {
	case s == 0:
	case s < 0 || s%time.Second != 0:
		f.add(field, "%s is not whole seconds; write %s", d, max(time.Second, s.Round(time.Second)))
	case s > maxSeconds*time.Second:
		f.add(field, "%s is more than %d s, the most that DNS has (RFC 2181)", d, maxSeconds)
	}
}

func (f *faults) record(r *Record) {
	origin, err := rr.ParseName(r.Origin)
	if err != nil {
		f.add("", "%v", err)
		return
	}
	t, err := rr.ParseType(r.Type)
	if err != nil {
		f.add("", "%v", err)
		return
	}
	f.seconds("ttl", r.TTL)
	switch {
	case t == rr.TypeSOA:
		f.add("", "the SOA belongs to the Zone: set primary, hostmaster, refresh, retry, expire and negativeTTL there")
		return
	case t == rr.TypeNS && r.Owner == "@":
		f.add("", "the NS records of the apex belong to the Zone: list them in its nameservers")
		return
	case t == rr.TypeCNAME && r.Owner == "@":
		f.add("", "a CNAME cannot be at the apex, beside the SOA and NS (RFC 1034 3.6.2); a Policy named %s answers "+
			"with addresses there", r.Origin)
		return
	case t == rr.TypeRRSIG || t == rr.TypeNSEC || t == rr.TypeNSEC3 || !t.Storable():
		f.add("", "records of type %s cannot be given; they are made, or exist in queries only", t)
		return
	case len(r.Data) == 0:
		f.add("data", "there is no data; give at least one value or delete the record")
		return
	case len(r.Data) > 1 && (t == rr.TypeCNAME || t == rr.TypeDNAME):
		f.add("data[1]", "a name can have only one %s (RFC 2181 10.1); to balance over several, make a Policy", t)
		return
	}
	size := 0
	var seen map[string]int
	if len(r.Data) > 1 {
		seen = make(map[string]int, len(r.Data))
	}
	for i, text := range r.Data {
		data, err := rr.ParseData(t, text, origin)
		if err != nil {
			f.add(Item("data", i), "%v", err)
			continue
		}
		size += len(data) + 12
		if seen == nil {
			continue
		}
		if before, ok := seen[string(data)]; ok {
			f.add(Item("data", i), "the same as %s; take one out", Item("data", before))
		}
		seen[string(data)] = i
	}
	if size > MostSet {
		f.add("data", "%d octets do not fit into one message of 64 KiB; take some of the values out", size)
	}
}

// Set returns the record in wire form. Its TTL is 0 if the record has none of its own.
func (r *Record) Set() (rr.Set, error) {
	origin, err := rr.ParseName(r.Origin)
	if err != nil {
		return rr.Set{}, err
	}
	set := rr.Set{TTL: uint32(r.TTL.Or(0) / time.Second), Data: make([][]byte, len(r.Data))}
	if set.Owner, err = rr.ParseRelative(r.Owner, origin); err != nil {
		return rr.Set{}, err
	}
	if set.Type, err = rr.ParseType(r.Type); err != nil {
		return rr.Set{}, err
	}
	for i, text := range r.Data {
		if set.Data[i], err = rr.ParseData(set.Type, text, origin); err != nil {
			return rr.Set{}, err
		}
	}
	return set, nil
}
