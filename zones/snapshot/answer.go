package snapshot

import "leeward/zones/steer"

// Set is a run of resource records with one owner in wire form, ready to be copied. Wire holds for each record its
// owner (two zero bytes, to be overwritten with a compression pointer to the owner), TYPE, CLASS, TTL, RDLENGTH and
// RDATA (RFC 1035 4.1.3), names in RDATA uncompressed and lower case as written by the operator.
type Set struct {
	Wire  []byte
	Count int
	Owner int // offset of the owner within the name that was looked up; the owner is a suffix of it
}

// Outcome says how a look-up ended.
type Outcome uint8

// The outcomes.
const (
	Refused   Outcome = iota // no zone of ours
	Positive                 // Answer holds the RRset(s)
	Steered                  // Policy answers; Family is set
	Alias                    // Answer holds a CNAME; Target is where to go on (RFC 1034 4.3.2 step 3a)
	Referral                 // Authority holds the NS of the cut; Glue has their addresses; not authoritative
	NoData                   // Negative has the SOA
	NameError                // NXDOMAIN; Negative has the SOA
	Redirect                 // Answer holds a DNAME above the name; Target is what it makes of it (RFC 6672 section 3.2)
	TooLong                  // the same, but the name would be longer than 255 octets: YXDOMAIN, and no Target
	Unready                  // the zone lives on another primary, and nothing has been transferred yet
	Outdated                 // the zone lives on another primary, and what was transferred has expired
	Unusable                 // the zone is configured here, and nothing of what is configured can be used, nor ever could
	Missed                   // something is there that the question is about, and it cannot be read, nor ever could
)

// ZoneHash is Hash of the zone's apex, of any outcome but Refused.
func (a *Answer) ZoneHash() uint64 { return a.in.hash }

// Fixed reports whether the zone's addresses are to come in the order in which they are written.
func (a *Answer) Fixed() bool { return a.in.fixed }

// HashOf returns what Hash would be of another name.
func (a *Answer) HashOf(name []byte) uint64 { return a.in.tree.hash(name) }

// Answer is what the tree has for one question. The caller owns it and uses it again and again; its slices alias the
// snapshot and are valid as long as that is held.
type Answer struct {
	Outcome   Outcome
	Answer    Set
	Authority Set
	Target    []byte // wire form, lower case: where to go on; in the Answer's own space, until the next Lookup
	// Policy and Family are set when Steered. Of NoData, Policy is one to whose rules the name may not exist at all for
	// a client.
	Policy *steer.Policy
	Family steer.Family
	Alone  bool // Steered: nothing else is at the name, so that a CNAME could be
	// Hash is that of the name that was looked up, whatever its case; 0 where it is in no zone of ours.
	Hash uint64
	Zone int // offset of the zone's apex within the looked-up name
	// Encloser is, where a wildcard answers, the offset of the name that it is below (RFC 4592 3.3.1); 0 where the name
	// exists.
	Encloser int

	in          *zone  // that answers
	star, lower []byte // scratch: the wildcard's name; a name out of RDATA
}
