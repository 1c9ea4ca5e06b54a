package snapshot

import "leeward/zones/steer"

// Set is a run of resource records with one owner in wire form, ready to be copied. Wire holds for each record its
// owner (two zero octets, to be overwritten with a compression pointer to the owner), TYPE, CLASS, TTL, RDLENGTH and
// RDATA (RFC 1035 section 4.1.3). Names in RDATA are not compressed, and in the operator's case.
type Set struct {
	Wire  []byte
	Count int
	Owner int // offset of the owner within the looked-up name, of which the owner is a suffix
}

// Outcome says how a look-up ended.
type Outcome uint8

// The outcomes.
const (
	Refused   Outcome = iota // the name is in no zone of ours
	Positive                 // Answer holds the RRset(s)
	Steered                  // Policy answers; Family is set
	Alias                    // Answer holds a CNAME, and Target its target (RFC 1034 section 4.3.2 step 3a)
	Referral                 // Authority holds the NS of the cut; Glue has their addresses; not authoritative
	NoData                   // Negative has the SOA
	NameError                // NXDOMAIN; Negative has the SOA
	Redirect                 // Answer holds a DNAME above the name; Target is the new name (RFC 6672 section 3.2)
	TooLong                  // the same, but the new name would exceed 255 octets: YXDOMAIN, and no Target
	Unready                  // the zone lives on another primary, and nothing has been transferred yet
	Outdated                 // the zone lives on another primary, and what was transferred has expired
	Unusable                 // the zone is configured here, but it cannot be used and never could
	Missed                   // there is an RRset that answers the question, but it cannot be read and never could
)

// ZoneHash returns the hash of the zone's apex. The outcome must not be Refused.
func (a *Answer) ZoneHash() uint64 { return a.in.hash }

// Fixed reports whether the zone's addresses are answered in the order in which they are written.
func (a *Answer) Fixed() bool { return a.in.fixed }

// HashOf returns the hash of another name in the same zone.
func (a *Answer) HashOf(name []byte) uint64 { return a.in.tree.hash(name) }

// Answer is what the tree has for one question. The caller owns it and may reuse it. Its slices alias the snapshot, and
// are valid as long as the caller holds that.
type Answer struct {
	Outcome   Outcome
	Answer    Set
	Authority Set
	Target    []byte // where to go on: wire form, lower case; in the Answer's own space, until the next Lookup
	// Policy and Family are set if the outcome is Steered. With NoData, Policy is set if its rules may say that the
	// name does not exist.
	Policy *steer.Policy
	Family steer.Family
	Alone  bool // Steered: the name has nothing else, so the answer may be a CNAME
	// Hash is the hash of the looked-up name, whatever its case; 0 if the name is in no zone of ours.
	Hash uint64
	Zone int // offset of the zone's apex within the looked-up name
	// Encloser is the offset of the closest encloser if a wildcard answers (RFC 4592 section 3.3.1); 0 if the name
	// exists.
	Encloser int

	in          *zone  // the zone that answers
	source      []byte // see Source
	star, lower []byte // scratch: the wildcard's name; a name from RDATA
}
