package admin

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"leeward/geo"
	"leeward/zones/steer"
)

// Status is what /api/v1/status answers and `leeward status` prints: what one server knows of itself, of the other
// vantages and of everything that is steered. Its JSON is described in docs/admin.md; fields are added, never renamed.
// Lists are sorted by name and never null.
type Status struct {
	Time time.Time `json:"time"`
	// the server that answers; empty when it was read straight from a source
	Self      string       `json:"self,omitempty"`
	Headline  string       `json:"headline"` // all of it in a sentence or a few, see Say
	Servers   []Server     `json:"servers"`
	Signers   []Server     `json:"signers,omitempty"` // each leeward sign
	Vantages  []Vantage    `json:"vantages"`
	Regions   []Region     `json:"regions"`
	Pools     []Pool       `json:"pools"`
	Endpoints []Endpoint   `json:"endpoints"`
	Overrides []Override   `json:"overrides"` // in force
	Planned   []Override   `json:"planned"`   // overrides that have not begun
	Shifts    []Shift      `json:"shifts"`    // of policies' pools, now and to come
	Problems  []Problem    `json:"problems"`
	Held      []Held       `json:"held"`
	Geo       []geo.Source `json:"geo"`

	Moves []Move `json:"moves"` // of regions whose pools are out, by name
	// policies of which some clients are answered as if all were healthy, as none is
	FailingOpen []string `json:"failingOpen"`
	// policies of which some clients are answered as whenAllDown says, as no pool is available to them
	Denied []Denied `json:"denied"`

	// Of the server that answers.
	Failover   []Phase   `json:"failover,omitempty"` // how long failovers took since it started
	Watches    []Watch   `json:"watches,omitempty"`  // on etcd
	Database   *Database `json:"database,omitempty"` // of etcd
	StaleVotes int       `json:"staleVotes"`         // votes that are no longer fresh
	// addresses of which no vantage has told for longer than finding out takes
	Unwatched     int         `json:"unwatched"`
	StaleVerdicts int         `json:"staleVerdicts"` // addresses on which no vote is: the last ones stand
	Secondaries   []Secondary `json:"secondaries,omitempty"`
	Following     []Following `json:"following,omitempty"` // zones that live on other primaries
	Signing       *Signing    `json:"signing,omitempty"`   // nil: no zone is signed
}

// Denied is a policy that has no pool for some clients and does not fail open.
type Denied struct {
	Policy string `json:"policy"`
	Says   string `json:"says"` // "NODATA" or "SERVFAIL"
}

// Server is one DNS server: itself, or another as it last wrote of itself.
type Server struct {
	ID       string    `json:"id"`
	Region   string    `json:"region"`
	Version  string    `json:"version"`
	Listen   []string  `json:"listen"`
	Admin    string    `json:"admin"`
	Started  time.Time `json:"started"`
	Revision int64     `json:"revision"` // of the snapshot that it answers from; 0: none yet
	// Published is when the answers last took a new revision.
	Published          time.Time `json:"published"`
	SnapshotAgeSeconds float64   `json:"snapshotAgeSeconds"` // since it was last known to be the newest
	Source             Source    `json:"source"`
	CopyError          string    `json:"copyError,omitempty"` // why its last good snapshot could not be kept on disk
	Problems           int       `json:"problems"`
	Held               int       `json:"held"`
	// the first of what it holds back; of this server Status has all
	HeldFirst []Held       `json:"heldFirst,omitempty"`
	Asked     *steer.Asked `json:"asked,omitempty"`   // which clients it was asked by lately, for forecasts
	Rolls     []Roll       `json:"rolls,omitempty"`   // what it does of the rolls of zones' keys that are under way
	NoProbe   bool         `json:"noProbe,omitempty"` // it probes nothing and is no vantage
	Signs     bool         `json:"signs,omitempty"`   // it is a leeward sign: it answers nothing
	Written   *Written     `json:"written,omitempty"` // of a leeward sign: what others have of it
	Fresh     bool         `json:"fresh"`             // it has been heard of within its own stale window
}

// Roll is what a server does of the roll of a zone's keys, for the server that carries the roll on.
type Roll struct {
	Zone  string    `json:"zone"`
	Step  string    `json:"step"`            // that it does
	Since time.Time `json:"since"`           // by its clock
	Due   string    `json:"due,omitempty"`   // the wait that is over by its clock
	Waits string    `json:"waits,omitempty"` // who or what holds the roll up, as it finds
	Not   time.Time `json:"not,omitzero"`    // until when, by its clock, the wait had not begun
}

// Phase is how long one part of failovers, or of the ways back, took on this server since it started, an address each.
type Phase struct {
	Phase        string  `json:"phase"` // "detect", "agree" or "publish", see docs/admin.md
	To           string  `json:"to"`    // "down" or "up"
	Count        int     `json:"count"`
	LastSeconds  float64 `json:"lastSeconds"`
	MeanSeconds  float64 `json:"meanSeconds"`
	WorstSeconds float64 `json:"worstSeconds"`
}

// Database is how large etcd's is, and what is wrong with it.
type Database struct {
	Bytes      int64  `json:"bytes"`      // of the largest member's file
	UsedBytes  int64  `json:"usedBytes"`  // of these; the rest is used again
	QuotaBytes int64  `json:"quotaBytes"` // at which etcd takes no more writes
	Problem    string `json:"problem,omitempty"`
}

// Watch is a watch on etcd, and how long ago it last said something, be it that nothing has changed.
type Watch struct {
	Watch      string  `json:"watch"` // "resources" or "reports"
	LagSeconds float64 `json:"lagSeconds"`
}

// Source is where a server's configuration comes from, and how it stands with it.
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
	Blind  bool   `json:"blind"` // it sees most of unrelated endpoints down alone, and abstains

	// BlindTo are the families to which alone it is blind: "IPv4", "IPv6"; none: it is for all.
	BlindTo []string `json:"blindTo,omitempty"`

	Reason     string  `json:"reason,omitempty"`
	Reports    int     `json:"reports"`
	AgeSeconds float64 `json:"ageSeconds"` // since it last moved
}

// Region is a failure domain and what of it can be named.
type Region struct {
	Region string `json:"region"`
	// where it is, in degrees north and east; nil: nobody says
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
	// as answers by CNAME see it; only where an endpoint has a hostname
	Names   steer.FamilyStatus `json:"names,omitzero"`
	Healthy int                `json:"healthy"` // endpoints that have a healthy address
	Total   int                `json:"total"`

	// LoadStatus is what it carries against what it can; nil where nobody says either.
	*steer.LoadStatus
}

// Endpoint is one endpoint with the verdict of each of its addresses.
type Endpoint struct {
	Endpoint string    `json:"endpoint"` // "pool/endpoint"
	Pool     string    `json:"pool"`
	Region   string    `json:"region"`
	Monitor  string    `json:"monitor,omitempty"` // empty: it counts as up
	Weight   int       `json:"weight"`
	Override string    `json:"override,omitempty"`
	Hostname *Hostname `json:"hostname,omitempty"` // that it is given by, in place of addresses
	// of a hostname: what it stands for here, each server looks by itself
	Addresses []Address `json:"addresses"`
}

// Hostname is the name that an endpoint is given by, and how it resolves.
type Hostname struct {
	Name       string     `json:"name"`
	Flatten    bool       `json:"flatten,omitempty"`
	Told       *time.Time `json:"told,omitempty"` // when it was resolved last
	TTLSeconds float64    `json:"ttlSeconds"`     // what is left of its TTL
	// why it could not be resolved when that was tried last; its last addresses stay
	Error        string     `json:"error,omitempty"`
	FailingSince *time.Time `json:"failingSince,omitempty"` // of Error
	// authorities have said for long that it has no address: it counts as down
	Gone bool `json:"gone,omitempty"`
}

// Address is one address of an endpoint: what is probed and judged.
type Address struct {
	Address netip.Addr `json:"address"`
	Verdict string     `json:"verdict"` // "up", "down" or "unknown"
	Since   *time.Time `json:"since,omitempty"`
	Up      int        `json:"up"` // votes that counted
	Down    int        `json:"down"`
	Fresh   int        `json:"fresh"`
	Why     string     `json:"why,omitempty"`
	Chosen  []string   `json:"chosen,omitempty"` // the vantages that are to probe it
	Votes   []Vote     `json:"votes"`
}

// Vote is what one vantage says of one address.
type Vote struct {
	Vantage string `json:"vantage"`
	State   string `json:"state"`
	Fresh   bool   `json:"fresh"`
	Blind   bool   `json:"blind"`
	Counted bool   `json:"counted"` // it is one of the votes that made the verdict
	Reason  string `json:"reason,omitempty"`
	// Held is until when the address stays down although it has come up, as it turned down not long ago (`hold` of its
	// monitor).
	Held       *time.Time `json:"held,omitempty"`
	AgeSeconds float64    `json:"ageSeconds"` // since this report was last known to be true
}

// Override is an operator's word, in force or planned.
type Override struct {
	Target string     `json:"target"` // "region/eu-west", "pool/www-eu", "endpoint/www-eu/lb-1"
	State  string     `json:"state"`
	From   *time.Time `json:"from,omitempty"`
	Until  *time.Time `json:"until,omitempty"`
	Reason string     `json:"reason,omitempty"`
	// of a drain that takes its time: how much of its clients the target has yet; nil: none
	Level *float64 `json:"level,omitempty"`
	Drill bool     `json:"drill,omitempty"`
}

// Shift is what a policy's schedule says of one of its pools: where its level differs from 100 %, or will.
type Shift struct {
	Policy string     `json:"policy"`
	Pool   string     `json:"pool"`
	Level  float64    `json:"level"`          // that its weight and target are multiplied by now; 1 is as configured
	Next   *time.Time `json:"next,omitempty"` // when it begins or ends to move next
	Text   string     `json:"text"`           // all of it in words, in UTC
}

// Secondary is a name server that a server tells when a zone changes (NOTIFY).
type Secondary struct {
	Zone    string    `json:"zone"`
	Server  string    `json:"server"` // as the zone's transfer.notify has it
	Serial  uint32    `json:"serial"` // that it was told last
	Since   time.Time `json:"since"`
	Pending bool      `json:"pending,omitempty"` // it has not answered yet
	Error   string    `json:"error,omitempty"`   // why it could not be told
}

// Following is a zone that lives on another primary, as the server has it from there.
type Following struct {
	Zone      string   `json:"zone"`
	Primaries []string `json:"primaries"` // as the zone's transfer.primaries has them
	// "current", "failing" (the last try brought nothing), "expired" or "waiting" (for the first transfer)
	State string `json:"state"`
	// the primary's; the zone's own is the sum of that and the one of what is laid over it
	Serial     uint32     `json:"serial,omitempty"`
	Records    int        `json:"records"`        // RRsets that the primary has
	From       string     `json:"from,omitempty"` // the primary that was heard of last
	Checked    *time.Time `json:"checked,omitempty"`
	Since      *time.Time `json:"since,omitempty"` // of the serial
	Next       *time.Time `json:"next,omitempty"`  // when it is refreshed, unless a NOTIFY comes before
	Expires    *time.Time `json:"expires,omitempty"`
	Refreshing bool       `json:"refreshing,omitempty"`
	Error      string     `json:"error,omitempty"` // why the last try brought nothing
}

// Problem is what is wrong with the newest version of a resource, and what is in service meanwhile.
type Problem struct {
	Resource string `json:"resource"` // its key: "pools/www-eu"
	// InService is InServiceNewest where nothing better has been there: a new policy that names a missing pool has its
	// other pools, a policy whose monitor has got slower has its TTL.
	InService string `json:"inService"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Field     string `json:"field,omitempty"`
	Revision  int64  `json:"revision,omitempty"`
	Message   string `json:"message"`
}

// What a Problem leaves in service.
const (
	InServiceNewest = "newest"    // this version, as far as it goes
	InServiceOlder  = "last good" // the version before
	InServiceNone   = "nothing"   // the resource has no version that could be
)

// Held is a removal that the guard holds back until somebody accepts it.
type Held struct {
	Resource string `json:"resource"`
	Why      string `json:"why"`
	Revision int64  `json:"revision"`
}

// Knows reports whether a region is there, or none is said, or regions are not used.
func (s *Status) Knows(region string) bool {
	return region == "" || len(s.Regions) == 0 || slices.ContainsFunc(s.Regions, func(r Region) bool {
		return r.Region == region
	})
}

// AddServer puts a server in its place by name, and marks the vantage that it is. One that only signs goes among the
// signers.
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
