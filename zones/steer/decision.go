package steer

import (
	"net/netip"

	"leeward/zones"
	"leeward/zones/rr"
)

// Family is the kind of record that a query asks for.
type Family uint8

// The families.
const (
	V4   Family = iota // A
	V6                 // AAAA
	Name               // CNAME: the hostnames of endpoints

	families = 3
)

// MaxAnswers is how many addresses a Decision has room for. A larger answer (pick: all) refers to the pool's own list.
const MaxAnswers = 64

// Decision is a policy's answer to one client: an RRset, and in short why. The caller owns it and may reuse it: Decide
// overwrites all of it and allocates nothing.
//
// Type, TTL and the set of Data name the RRset, and so the signature that belongs to it. The order of Data is the order
// in which it is served, and Bound is for how long. A signature depends on neither (RFC 4034 section 6.3).
type Decision struct {
	Type     rr.Type // A, AAAA or CNAME, by the Family that the request asks for
	TTL      uint32  // seconds; the policy's
	Data     []byte  // the RDATA of Count records of equal size, back to back; it aliases the Decision or the View
	Count    int
	Bound    uint32 // seconds; the TTL to serve: TTL, or less where a hostname must be looked up sooner
	Scope    uint8  // ECS scope: the shortest prefix of the client's address for which the whole decision is the same
	Rule     int16  // index of the rule that holds; -1: none does, and all pools were tried as listed
	Pool     int32  // index of the pool that answers; -1: no pool has an address of this family
	FailOpen bool   // no pool was available, so the answer is as if all were healthy
	Says     Says   // what the policy answers instead of addresses; Count is 0 then
	// Unresolved says why Count is 0: the rule's pools have endpoints by hostname that have not been resolved yet.
	Unresolved bool

	space [MaxAnswers * 16]byte
}

// Target returns the target of a CNAME, and "" for other types.
func (d *Decision) Target() rr.Name {
	if d.Type != rr.TypeCNAME {
		return ""
	}
	return rr.Name(d.Data)
}

// types are the RR types of the families.
var types = [families]rr.Type{rr.TypeA, rr.TypeAAAA, rr.TypeCNAME}

// Says is what a rule or a policy answers instead of addresses.
type Says uint8

// The answers.
const (
	SaysAddresses Says = iota // addresses, or NODATA if there are none of the family
	SaysNoData
	SaysNXDomain
	SaysRefused
	SaysServFail
)

var says = map[zones.Answer]Says{
	zones.AnswerNoData: SaysNoData, zones.AnswerNXDomain: SaysNXDomain, zones.AnswerRefused: SaysRefused,
	zones.AnswerServFail: SaysServFail,
}

func (s Says) String() string {
	return [...]string{"the addresses", "NODATA", "NXDOMAIN", "REFUSED", "SERVFAIL"}[s]
}

// Request is one question to a policy.
type Request struct {
	Client netip.Addr // the ECS address if given, else the resolver's
	// Resolver is the sender of the query. If Client is a private address that no database places, the resolver's
	// location is used (RFC 7871 section 10). The zero Addr: no resolver.
	Resolver netip.Addr
	Family   Family
	Random   uint64 // 64 uniform random bits, drawn by the caller for this query
	Now      int64  // as Moment returns it, for the TTLs of endpoints' hostnames; used only if View.Named
	Clock    int64  // Unix seconds of the wall clock, for schedules; used only if Policy.Planned
}
