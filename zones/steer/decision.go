package steer

import (
	"net/netip"

	"leeward/zones"
	"leeward/zones/rr"
)

// Family is the kind of address a query asks for.
type Family uint8

// The families.
const (
	V4   Family = iota // A
	V6                 // AAAA
	Name               // CNAME: the names of endpoints that are answered by name

	families = 3
)

// MaxAnswers is the most addresses that a decision has room for; of more (pick: all) it has the pool's own list.
const MaxAnswers = 64

// Decision is what a policy answers to one client: the addresses, and compactly why. The caller owns it and uses it
// again and again; Decide overwrites all of it and allocates nothing.
type Decision struct {
	Addresses []byte  // Count addresses of 4 (V4) or 16 (V6) bytes each, network byte order; aliases the Decision or the View
	Target    rr.Name // of Name: what the CNAME leads to; Count is 1 then
	Count     int
	Scope     uint8 // ECS scope: the shortest prefix of the client's address for which the whole decision is constant
	TTL       uint32
	Rule      int16 // index of the rule that held; -1: none did, and all pools were taken as listed
	Pool      int32 // index of the pool that answers; -1 where there is no address of this family at all
	FailOpen  bool  // nothing was healthy: answered as if all were
	Says      Says  // why Count is 0, where the policy says what is to be answered in place of addresses
	// Unresolved says why Count is 0: the rule's pools have endpoints by name whose addresses nobody has told yet.
	Unresolved bool

	space [MaxAnswers * 16]byte
}

// Says is what a rule or policy wants said in place of addresses.
type Says uint8

// What can be said.
const (
	SaysAddresses Says = iota // or that there are none of the family: NODATA
	SaysNoData
	SaysNXDomain
	SaysRefused
	SaysServFail
)

var says = map[zones.Answer]Says{
	zones.AnswerNoData: SaysNoData, zones.AnswerNXDomain: SaysNXDomain, zones.AnswerRefused: SaysRefused, zones.AnswerServFail: SaysServFail,
}

func (s Says) String() string {
	return [...]string{"the addresses that there are", "NODATA", "NXDOMAIN", "REFUSED", "SERVFAIL"}[s]
}

// Request is what is asked of a policy.
type Request struct {
	Client netip.Addr // the ECS address if given, else the resolver's
	// Resolver is who sent the query: where Client is a private address that nothing names, it is located in its place
	// (RFC 7871 section 10). The zero Addr: nobody is.
	Resolver netip.Addr
	Family   Family
	Random   uint64 // 64 uniform random bits, drawn by the caller for this query
	Now      int64  // see Moment: what is left of the TTLs of endpoints' names; not looked at unless View.Named
	Clock    int64  // Unix seconds of the wall clock: what is planned for then; not looked at unless Policy.Planned
}
