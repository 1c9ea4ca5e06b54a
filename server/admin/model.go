package admin

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"leeward/geo"
	"leeward/zones/steer"
)

// Status is what /api/v1/status answers and `leeward status` prints: what one server knows about itself, about the
// other vantages, and about everything that is steered. docs/admin.md describes its JSON. Fields are added, never
// renamed. Lists are sorted by name and never null.
type Status struct {
	Time time.Time `json:"time"`
	// the server that answers; empty if the status was read straight from a source
	Self      string       `json:"self,omitempty"`
	Headline  string       `json:"headline"` // the whole status in a few sentences, see Say
	Servers   []Server     `json:"servers"`
	Signers   []Server     `json:"signers,omitempty"` // each leeward sign
	Vantages  []Vantage    `json:"vantages"`
	Regions   []Region     `json:"regions"`
	Pools     []Pool       `json:"pools"`
	Endpoints []Endpoint   `json:"endpoints"`
	Overrides []Override   `json:"overrides"` // in force
	Planned   []Override   `json:"planned"`   // overrides that have not begun
	Shifts    []Shift      `json:"shifts"`    // scheduled changes of policies' pools, now and to come
	Problems  []Problem    `json:"problems"`
	Held      []Held       `json:"held"`
	Geo       []geo.Source `json:"geo"`

	Moves []Move `json:"moves"` // where the clients of regions go whose pools are out; by name of the region
	// policies that answer some clients as if all pools were healthy, because none is
	FailingOpen []string `json:"failingOpen"`
	// policies that answer some clients as whenAllDown says, because no pool is available to them
	Denied []Denied `json:"denied"`

	// What follows is about the server that answers.
	Failover   []Phase   `json:"failover,omitempty"` // how long failovers have taken since it started
	Watches    []Watch   `json:"watches,omitempty"`  // on etcd
	Database   *Database `json:"database,omitempty"` // of etcd
	StaleVotes int       `json:"staleVotes"`         // votes that are no longer fresh
	// addresses that no vantage has reported on for longer than detection takes
	Unwatched     int         `json:"unwatched"`
	StaleVerdicts int         `json:"staleVerdicts"` // addresses without any vote: their last verdicts stand
	Secondaries   []Secondary `json:"secondaries,omitempty"`
	Following     []Following `json:"following,omitempty"` // zones that live on other primaries
	Signing       *Signing    `json:"signing,omitempty"`   // nil: no zone has signatures
}

// Denied is a policy that has no pool for some clients and does not fail open.
type Denied struct {
	Policy string `json:"policy"`
	Says   string `json:"says"` // "NODATA" or "SERVFAIL"
}

// Server is one DNS server: this one, or another one as it last described itself.
type Server struct {
	ID       string    `json:"id"`
	Region   string    `json:"region"`
	Version  string    `json:"version"`
	Listen   []string  `json:"listen"`
	Admin    string    `json:"admin"`
	Started  time.Time `json:"started"`
	Revision int64     `json:"revision"` // of the snapshot that it answers from; 0: it has none yet
	// Published is when it last began to answer from a new revision.
	Published          time.Time `json:"published"`
	SnapshotAgeSeconds float64   `json:"snapshotAgeSeconds"` // since it was last known to be the newest
	Source             Source    `json:"source"`
	CopyError          string    `json:"copyError,omitempty"` // why its last good snapshot could not be written to disk
	Problems           int       `json:"problems"`
	Held               int       `json:"held"`
	// the first of the removals that it holds back; for this server, Status has all
	HeldFirst []Held `json:"heldFirst,omitempty"`
	// the first of its problems; Status also has those of other servers that this one does not have, see Elsewhere
	ProblemsFirst []Problem `json:"problemsFirst,omitempty"`

	Asked   *steer.Asked `json:"asked,omitempty"`   // which clients have asked it lately, for forecasts
	Rolls   []Roll       `json:"rolls,omitempty"`   // where it stands in the rolls of zones' keys that are under way
	NoProbe bool         `json:"noProbe,omitempty"` // it does not probe, so it is no vantage
	Signs   bool         `json:"signs,omitempty"`   // it is a `leeward sign`: it answers no queries
	NoKeys  bool         `json:"noKeys,omitempty"`  // it is an edge: a `leeward sign` signs for it
	Written *Written     `json:"written,omitempty"` // for a `leeward sign`: what it has written for other servers
	Fresh   bool         `json:"fresh"`             // it has been heard from within its own stale window
}

// Roll says where a server stands in the roll of a zone's keys. The server that carries the roll on reads it.
type Roll struct {
	Zone  string    `json:"zone"`
	Step  string    `json:"step"`            // that the server answers by
	Since time.Time `json:"since"`           // by its clock
	Due   string    `json:"due,omitempty"`   // the wait that is over by its clock
	Waits string    `json:"waits,omitempty"` // who or what holds the roll up, as far as it can tell
	Not   time.Time `json:"not,omitzero"`    // by its clock, the wait had not begun before this time
}

// Phase is how long one phase of failovers, or of the ways back, has taken on this server since it started, by address.
type Phase struct {
	Phase        string  `json:"phase"` // "detect", "agree" or "publish", see docs/admin.md
	To           string  `json:"to"`    // "down" or "up"
	Count        int     `json:"count"`
	LastSeconds  float64 `json:"lastSeconds"`
	MeanSeconds  float64 `json:"meanSeconds"`
	WorstSeconds float64 `json:"worstSeconds"`
}

// Database is the size of etcd's database, and what is wrong with it.
type Database struct {
	Bytes      int64  `json:"bytes"`      // size of the largest member's file
	UsedBytes  int64  `json:"usedBytes"`  // in use; etcd reuses the rest
	QuotaBytes int64  `json:"quotaBytes"` // size at which etcd takes no more writes
	Problem    string `json:"problem,omitempty"`
}

// Watch is a watch on etcd, and the time since it last said something, if only that nothing has changed.
type Watch struct {
	Watch      string  `json:"watch"` // "resources" or "reports"
	LagSeconds float64 `json:"lagSeconds"`
}

// Source is where a server's configuration comes from, and whether the server follows it.
type Source struct {
	Kind  string    `json:"kind"`  // "etcd" or "files"
	State string    `json:"state"` // "starting", "saved copy", "syncing", "following", "cut off", "history changed"
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"`
}

// Vantage is a process that probes: a server or `leeward probe`.
type Vantage struct {
	ID     string `json:"id"`
	Region string `json:"region"`
	Server bool   `json:"server"`
	Fresh  bool   `json:"fresh"`
	Blind  bool   `json:"blind"` // it alone sees most of unrelated endpoints down, so it abstains

	// BlindTo lists the families, "IPv4" and "IPv6", to which it is blind. Empty: if it is blind, then to all.
	BlindTo []string `json:"blindTo,omitempty"`

	Reason     string  `json:"reason,omitempty"`
	Reports    int     `json:"reports"`
	AgeSeconds float64 `json:"ageSeconds"` // since it last moved
}

// Region is a failure domain, and a summary of what is in it.
type Region struct {
	Region string `json:"region"`
	// where it is, in degrees north and east; nil: not configured
	Latitude  *float64 `json:"latitude,omitempty"`
	Longitude *float64 `json:"longitude,omitempty"`
	Override  string   `json:"override,omitempty"` // "drain", "up" or "down"
	Available int      `json:"available"`          // pools that answer for at least one family
	Pools     int      `json:"pools"`
	Healthy   int      `json:"healthy"` // endpoints
	Endpoints int      `json:"endpoints"`
}

// Pool is one pool as the answers see it now.
type Pool struct {
	Pool     string             `json:"pool"`
	Region   string             `json:"region"`
	Monitor  string             `json:"monitor,omitempty"`
	Override string             `json:"override,omitempty"`
	IPv4     steer.FamilyStatus `json:"ipv4"` // as answers to A see it
	IPv6     steer.FamilyStatus `json:"ipv6"` // as answers to AAAA see it
	// as answers by CNAME see it; absent if no endpoint has a hostname
	Names   steer.FamilyStatus `json:"names,omitzero"`
	Healthy int                `json:"healthy"` // endpoints that have a healthy address
	Total   int                `json:"total"`

	// LoadStatus compares what it carries with what it can carry; nil if neither is known.
	*steer.LoadStatus
}

// Endpoint is one endpoint with the verdicts on its addresses.
type Endpoint struct {
	Endpoint string    `json:"endpoint"` // "pool/endpoint"
	Pool     string    `json:"pool"`
	Region   string    `json:"region"`
	Monitor  string    `json:"monitor,omitempty"` // empty: nobody checks it, and it counts as up
	Weight   int       `json:"weight"`
	Override string    `json:"override,omitempty"`
	Hostname *Hostname `json:"hostname,omitempty"` // set if it is given by a hostname instead of addresses
	// The addresses of a hostname are those that this server has found: each server resolves it by itself.
	Addresses []Address `json:"addresses"`
}

// Hostname is the name that an endpoint is given by, and how it resolves.
type Hostname struct {
	Name       string     `json:"name"`
	Flatten    bool       `json:"flatten,omitempty"`
	Told       *time.Time `json:"told,omitempty"` // when it was last resolved
	TTLSeconds float64    `json:"ttlSeconds"`     // what is left of its TTL
	// why the last attempt to resolve it failed; its last addresses stay in use
	Error        string     `json:"error,omitempty"`
	FailingSince *time.Time `json:"failingSince,omitempty"` // since when Error persists
	// its name servers have long said that it has no address, so it counts as down
	Gone bool `json:"gone,omitempty"`
}

// Address is one address of an endpoint. Probes check addresses, and verdicts are on addresses.
type Address struct {
	Address netip.Addr `json:"address"`
	Verdict string     `json:"verdict"` // "up", "down" or "unknown"
	Since   *time.Time `json:"since,omitempty"`
	Up      int        `json:"up"` // votes that counted
	Down    int        `json:"down"`
	Fresh   int        `json:"fresh"`
	Why     string     `json:"why,omitempty"`
	Chosen  []string   `json:"chosen,omitempty"` // the vantages chosen to probe it
	Votes   []Vote     `json:"votes"`
}

// Vote is what one vantage says about one address.
type Vote struct {
	Vantage string `json:"vantage"`
	State   string `json:"state"`
	Fresh   bool   `json:"fresh"`
	Blind   bool   `json:"blind"`
	Counted bool   `json:"counted"` // it counted towards the verdict
	Reason  string `json:"reason,omitempty"`
	// Held is until when the address stays down although it has come up, because it went down not long ago (`hold` of
	// its monitor).
	Held       *time.Time `json:"held,omitempty"`
	AgeSeconds float64    `json:"ageSeconds"` // since this report was last known to be true
}

// Override is an operator's override, in force or planned.
type Override struct {
	Target string     `json:"target"` // "region/eu-west", "pool/www-eu", "endpoint/www-eu/lb-1"
	State  string     `json:"state"`
	From   *time.Time `json:"from,omitempty"`
	Until  *time.Time `json:"until,omitempty"`
	Reason string     `json:"reason,omitempty"`
	// for a gradual drain, the share of its clients that the target still has; nil: the drain is not gradual
	Level *float64 `json:"level,omitempty"`
	Drill bool     `json:"drill,omitempty"`
}

// Shift is what a policy's schedule says about one of its pools, if its level is not 100 % now or will not be.
type Shift struct {
	Policy string     `json:"policy"`
	Pool   string     `json:"pool"`
	Level  float64    `json:"level"`          // factor for its weight and target now; 1: as configured
	Next   *time.Time `json:"next,omitempty"` // start or end of its next move
	Text   string     `json:"text"`           // the whole schedule in words, in UTC
}

// Secondary is a name server that this server notifies when a zone changes (NOTIFY, RFC 1996).
type Secondary struct {
	Zone    string    `json:"zone"`
	Server  string    `json:"server"` // as written in the zone's transfer.notify
	Serial  uint32    `json:"serial"` // the last serial that it was notified of
	Since   time.Time `json:"since"`
	Pending bool      `json:"pending,omitempty"` // it has not answered yet
	Error   string    `json:"error,omitempty"`   // why it could not be notified
}

// Following is a zone that lives on another primary, as this server has it from there.
type Following struct {
	Zone      string   `json:"zone"`
	Primaries []string `json:"primaries"` // as written in the zone's transfer.primaries
	// "current", "failing" (the last attempt brought nothing), "expired" or "waiting" (for the first transfer)
	State string `json:"state"`
	// the primary's serial; the zone's own is the sum of this and the serial of what is laid over the zone
	Serial     uint32     `json:"serial,omitempty"`
	Records    int        `json:"records"`        // number of RRsets that the primary has
	From       string     `json:"from,omitempty"` // the primary that last answered
	Checked    *time.Time `json:"checked,omitempty"`
	Since      *time.Time `json:"since,omitempty"` // when it came to this serial
	Next       *time.Time `json:"next,omitempty"`  // when it is next refreshed, unless a NOTIFY comes first
	Expires    *time.Time `json:"expires,omitempty"`
	Refreshing bool       `json:"refreshing,omitempty"`
	Error      string     `json:"error,omitempty"` // why the last attempt brought nothing
}

// Problem says what is wrong with the newest version of a resource, and what is in service instead.
type Problem struct {
	Resource string `json:"resource"` // its key: "pools/www-eu"
	// InService is InServiceNewest if there is nothing better to fall back on: a new policy that names a missing pool
	// has its other pools; a policy whose monitor has become slower has its TTL.
	InService string `json:"inService"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Field     string `json:"field,omitempty"`
	Revision  int64  `json:"revision,omitempty"`
	Message   string `json:"message"`
}

// What is in service while a Problem lasts.
const (
	InServiceNewest = "newest"    // this version, as far as it can be served
	InServiceOlder  = "last good" // the version before
	InServiceNone   = "nothing"   // no version of the resource can be served
)

// Held is a removal that the guard holds back until somebody accepts it.
type Held struct {
	Resource string `json:"resource"`
	Why      string `json:"why"`
	Revision int64  `json:"revision"`
}

// Knows reports whether the region is configured. It is also true if region is "", or if regions are not used.
func (s *Status) Knows(region string) bool {
	return region == "" || len(s.Regions) == 0 || slices.ContainsFunc(s.Regions, func(r Region) bool {
		return r.Region == region
	})
}

// AddServer inserts a server into the list by name, and marks the vantage that it is. A server that only signs goes
// among the signers.
func (s *Status) AddServer(v Server) {
	all := &s.Servers
	if v.Signs {
		all = &s.Signers
	}
	at, there := slices.BinarySearchFunc(*all, v.ID, func(o Server, id string) int {
		return strings.Compare(o.ID, id)
	})
	if there {
		(*all)[at] = v
	} else {
		*all = slices.Insert(*all, at, v)
	}
	for i := range s.Vantages {
		if s.Vantages[i].ID == v.ID && !v.NoProbe {
			s.Vantages[i].Server, s.Vantages[i].Region = true, v.Region
		}
	}
}
