// Package zones is the model: the resources that operators keep, read strictly, checked, and kept in a Catalog that
// always has a last good version of each.
//
// Text comes in as documents (ReadDocuments: YAML, JSON), as values of etcd (Decode) or as master files
// (ReadMasterFile), and all ways hold a resource to the same rules: first those of one resource by itself, then, in the
// Catalog, those among resources. Each Problem says where, what, and what to do. A source (package store) hands over
// Batches of changes; the Catalog takes what is good, keeps the last good version of what is not, holds back what would
// empty a zone or a policy, and says in a Delta what has changed. Check is the same code without a server. From the
// Catalog, package snapshot makes what answers queries.
package zones

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"leeward/health"
)

// Kind is the kind of a resource as a document spells it, such as "Pool".
type Kind string

// The kinds of resources.
const (
	KindZone     Kind = "Zone"
	KindRecord   Kind = "Record"
	KindRegion   Kind = "Region"
	KindPool     Kind = "Pool"
	KindEndpoint Kind = "Endpoint"
	KindMonitor  Kind = "Monitor"
	KindPolicy   Kind = "Policy"
	KindMap      Kind = "Map"
	KindOverride Kind = "Override"
)

// Kinds lists all kinds, referred-to kinds before those that refer to them: putting resources in this order, or
// deleting them in the reverse one, never leaves a dangling reference.
var Kinds = [...]Kind{
	KindZone, KindRegion, KindMonitor, KindMap, KindPool, KindEndpoint, KindRecord, KindPolicy, KindOverride,
}

var folders = map[Kind]string{
	KindZone: "zones", KindRecord: "records", KindRegion: "regions", KindPool: "pools", KindEndpoint: "endpoints",
	KindMonitor: "monitors", KindPolicy: "policies", KindMap: "maps", KindOverride: "overrides",
}

// Key is where a resource lives below the prefix in etcd, such as "pools/www-eu" or "records/example.test/@/MX".
type Key string

// KeyOf returns the key of the resource of that kind and name. The name is not checked.
func KeyOf(kind Kind, name string) Key { return Key(folders[kind] + "/" + name) }

// Kind returns the kind that the key's first element stands for, or "" if it stands for none.
func (k Key) Kind() Kind {
	folder, _, ok := strings.Cut(string(k), "/")
	for _, kind := range Kinds {
		if ok && folders[kind] == folder {
			return kind
		}
	}
	return ""
}

// Name returns what follows the first element: the name that a document gives.
func (k Key) Name() string {
	_, name, _ := strings.Cut(string(k), "/")
	return name
}

// String spells the key as errors and tables show it: "Pool www-eu". A key of no kind is shown as it is.
func (k Key) String() string {
	kind := k.Kind()
	if kind == "" {
		return string(k)
	}
	return fmt.Sprintf("%s %s", kind, k.Name())
}

// Resource is one document: *Zone, *Record, *Region, *Pool, *Endpoint, *Monitor, *Policy, *Map or *Override.
// A resource never changes once it has been read; a change is a new one.
type Resource interface {
	Key() Key
}

// Zone is an origin that this server is authoritative for: its SOA and NS.
type Zone struct {
	Origin      string    `json:"-"`
	Nameservers []string  `json:"nameservers,omitempty"`
	Hostmaster  string    `json:"hostmaster,omitempty"` // as in the SOA's RNAME; "hostmaster@example.test" is accepted too
	TTL         TTL       `json:"ttl,omitzero"`         // of the NS, and the default of static records; DefaultTTL if none
	SOATTL      TTL       `json:"soaTTL,omitzero"`      // of the SOA, where it is another; TTL if none
	NegativeTTL TTL       `json:"negativeTTL,omitzero"` // the SOA's MINIMUM (RFC 2308); DefaultNegativeTTL if none
	Primary     string    `json:"primary,omitempty"`    // the SOA's MNAME; the first nameserver if empty
	Refresh     TTL       `json:"refresh,omitzero"`
	Retry       TTL       `json:"retry,omitzero"`
	Expire      TTL       `json:"expire,omitzero"`
	Order       Order     `json:"order,omitempty"` // of static address sets in responses; OrderRotate if empty
	DNSSEC      *DNSSEC   `json:"dnssec,omitempty"`
	Transfer    *Transfer `json:"transfer,omitempty"`
	Update      []Grant   `json:"update,omitempty"` // who may change records by dynamic update; nobody if empty

	// SerialOffset is added to the serial, modulo 2^32. A zone that came from elsewhere has secondaries that take no
	// lower serial than they have.
	SerialOffset uint32 `json:"serialOffset,omitempty"`

	Serial *uint32 `json:"-"` // of a master file, which 0 is as well; nil: the serial follows the revision
}

// Order is how the addresses of a static set come in responses.
type Order string

// The orders.
const (
	OrderRotate Order = "rotate" // each response begins with another one, by lot
	OrderFixed  Order = "fixed"  // as they are written
)

// DNSSEC are a zone's signing settings.
type DNSSEC struct {
	Enabled bool `json:"enabled,omitempty"`
}

// Record is one static RRset.
type Record struct {
	Origin string   `json:"-"`
	Owner  string   `json:"-"`            // relative to Origin; "@" is the apex
	Type   string   `json:"-"`            // "A", "MX", "TYPE65280"
	TTL    TTL      `json:"ttl,omitzero"` // the zone's if none; 0 is that no cache keeps it
	Data   []string `json:"data"`         // RDATA in presentation form (RFC 1035 5.1), relative names are relative to Origin
}

// Region is a failure domain with a place on the map.
type Region struct {
	Region    string   `json:"-"`
	Latitude  *float64 `json:"latitude,omitempty"`  // degrees, -90 to 90
	Longitude *float64 `json:"longitude,omitempty"` // degrees, -180 to 180
}

// Pool is endpoints of one region that do the same work.
type Pool struct {
	Pool       string    `json:"-"`
	Region     string    `json:"region"`
	Monitor    string    `json:"monitor,omitempty"`
	MinHealthy Share     `json:"minHealthy,omitzero"`
	Ramp       Duration  `json:"ramp,omitempty"`     // how long a new or recovered endpoint takes to grow to its weight and target
	Capacity   *Capacity `json:"capacity,omitempty"` // of each endpoint that names none
}

// Capacity is what an endpoint can hold, in the unit its load is reported in.
type Capacity struct {
	Target float64 `json:"target,omitempty"` // what it is to carry; what is offered beyond it is passed on where a policy spills
	Max    float64 `json:"max,omitempty"`    // the load at which it breaks, for alerts and forecasts; 0: nobody says
}

// Endpoint is one load balancer or server.
type Endpoint struct {
	Pool      string         `json:"-"`
	Endpoint  string         `json:"-"`
	Addresses []netip.Addr   `json:"addresses,omitempty"`
	Hostname  string         `json:"hostname,omitempty"` // in place of Addresses: lower case, no final dot
	Flatten   bool           `json:"flatten,omitempty"`  // answer with the addresses that Hostname has now, not with a CNAME
	Host      string         `json:"host,omitempty"`     // that checks ask it for, ahead of its monitor's; no final dot
	Headers   health.Headers `json:"headers,omitempty"`  // that http and https checks send to it, beside its monitor's
	Weight    *int           `json:"weight,omitempty"`   // 0 to 1,000,000; DefaultWeight if nil; 0: only when no other is left
	Capacity  *Capacity      `json:"capacity,omitempty"` // the pool's if nil
}

// Monitor is how endpoints are checked.
type Monitor struct {
	Name string `json:"-"`
	health.Monitor
}

// Policy is one steered DNS name and the rules that choose among pools.
type Policy struct {
	Name  string   `json:"-"` // fqdn, lower case, no final dot
	TTL   Duration `json:"ttl,omitempty"`
	Map   string   `json:"map,omitempty"`
	Rules []Rule   `json:"rules"`
	Pick  Pick     `json:"pick,omitempty"`

	// WhenAllDown is what is said where no pool of the order is available: AnswerPools, if empty, as if all were
	// healthy (fail open).
	WhenAllDown Answer `json:"whenAllDown,omitempty"`

	Answers  int        `json:"answers,omitempty"`  // addresses per answer, 1 to 32; 1 if zero
	Spill    bool       `json:"spill,omitempty"`    // a pool passes on what it cannot hold, to the next in the client's order
	Flatten  bool       `json:"flatten,omitempty"`  // as Endpoint.Flatten, of all its endpoints
	Schedule []Schedule `json:"schedule,omitempty"` // planned shifts
}

// Pick is how addresses are chosen within the pool.
type Pick string

// The ways to pick.
const (
	PickWeighted  Pick = "weighted"
	PickSticky    Pick = "sticky"
	PickAll       Pick = "all"
	PickLeastLoad Pick = "least-load" // as sticky does, with weights that loads move
)

// Answer is what is said in place of addresses.
type Answer string

// The answers: a Rule's Answer is AnswerNoData, AnswerRefused or AnswerNXDomain, a Policy's WhenAllDown AnswerPools,
// AnswerNoData or AnswerServFail.
const (
	AnswerPools    Answer = "answer"
	AnswerNoData   Answer = "nodata"
	AnswerRefused  Answer = "refused"
	AnswerNXDomain Answer = "nxdomain"
	AnswerServFail Answer = "servfail"
)

// Rule gives an order of pools to the clients that its When holds for, or says that there is nothing for them: exactly
// one of Failover, Nearest and Answer.
type Rule struct {
	When     *When              `json:"when,omitempty"` // nil: holds for every client
	Failover []Step             `json:"failover,omitempty"`
	Nearest  []string           `json:"nearest,omitempty"`
	Bias     map[string]Percent `json:"bias,omitempty"` // by pool of Nearest; -99% to 99%
	Answer   Answer             `json:"answer,omitempty"`
}

// When holds for a client that any of its lists names.
type When struct {
	Continents   []string       `json:"continents,omitempty"`   // "EU"
	Countries    []string       `json:"countries,omitempty"`    // ISO 3166-1 alpha-2
	Subdivisions []string       `json:"subdivisions,omitempty"` // ISO 3166-2, "US-CA"
	ASNs         []uint32       `json:"asns,omitempty"`
	Prefixes     []netip.Prefix `json:"prefixes,omitempty"`
}

// Step is one place in a failover order: a pool, or several with weights. In a document it is a string or a map.
type Step struct {
	Pools []WeightedPool // sorted by name

	// AtLeast is how much of the weight of the step's pools must be available, 1 to 100 %, for it not to be passed
	// over; 0: any.
	AtLeast Percent
}

// WeightedPool is a pool's share of a step.
type WeightedPool struct {
	Pool   string
	Weight int // 0 to 1,000,000; 1 where the document gives only a name
}

// Schedule is a planned shift: between From and Until the weights and targets of pools are other ones, and a pool below
// 100 % keeps no more of its clients than that.
type Schedule struct {
	From    time.Time          `json:"from"`              // with its time zone
	Until   time.Time          `json:"until,omitzero"`    // zero: for good
	Ramp    Duration           `json:"ramp,omitempty"`    // how long it takes from From on, and again before Until; 0: it is at once
	Weights map[string]Percent `json:"weights,omitempty"` // by pool, 0 % to 1000 % of what it has otherwise
}

// Map is the operator's own preferences, ahead of the geo database.
type Map struct {
	Map      string              `json:"-"`
	Prefixes map[string][]string `json:"prefixes"` // CIDR or "AS64500" → regions, in order of preference
}

// Override is an operator's word over a verdict. Its target is what follows "overrides/" in its key:
// "region/eu-west", "pool/www-eu" or "endpoint/www-eu/lb-1".
type Override struct {
	Target string     `json:"-"`
	State  Word       `json:"state"`
	From   *time.Time `json:"from,omitempty"`  // it has no effect before then
	Until  *time.Time `json:"until,omitempty"` // nor from then on
	// Ramp is how long a drained region or pool takes to lose its clients, from From on, and again before Until to get
	// them back; 0: it is at once.
	Ramp   Duration `json:"ramp,omitempty"`
	Drill  bool     `json:"drill,omitempty"` // a drain that servers give up by themselves where it does harm
	Reason string   `json:"reason,omitempty"`
}

// Covers reports whether a target is a pool as a whole: the pool itself, or its region. An endpoint's covers none.
func Covers(target string, p *Pool) bool {
	return target == "pool/"+p.Pool || target == "region/"+p.Region
}

// Level is how much of its clients the override leaves to its target at a time: 1 is all, 0 none. It is between the two
// only while a drain's Ramp lasts.
func (o *Override) Level(at time.Time) float64 {
	if o.From != nil && at.Before(*o.From) || o.Until != nil && !at.Before(*o.Until) {
		return 1
	}
	if o.State != Drain {
		return 0
	}
	level := 0.
	if ramp := o.Ramp.Std(); ramp > 0 && o.From != nil {
		level = max(level, 1-at.Sub(*o.From).Seconds()/ramp.Seconds())
		if o.Until != nil {
			level = max(level, 1-o.Until.Sub(at).Seconds()/ramp.Seconds())
		}
	}
	return level
}

// Next returns when an override begins, has taken all clients, begins to give them back or ends: the first of these
// after a time; zero: nothing comes.
func (o *Override) Next(after time.Time) (next time.Time) {
	ramp := o.Ramp.Std()
	var turns []time.Time
	if o.From != nil {
		turns = append(turns, *o.From, o.From.Add(ramp))
	}
	if o.Until != nil {
		turns = append(turns, o.Until.Add(-ramp), *o.Until)
	}
	for _, at := range turns {
		if at.After(after) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// Word is what an override says.
type Word string

// The words of an override.
const (
	Drain Word = "drain" // take it out of answers, whatever its health
	Up    Word = "up"
	Down  Word = "down"
)

// Defaults of what a document leaves out.
const (
	DefaultTTL         = 300 * time.Second // static records
	DefaultNegativeTTL = 30 * time.Second
	DefaultPolicyTTL   = 30 * time.Second
	DefaultRefresh     = time.Hour
	DefaultRetry       = 15 * time.Minute
	DefaultExpire      = 14 * 24 * time.Hour
	DefaultWeight      = 100
)

func (z *Zone) Key() Key     { return KeyOf(KindZone, z.Origin) }
func (r *Record) Key() Key   { return KeyOf(KindRecord, r.Origin+"/"+r.Owner+"/"+r.Type) }
func (r *Region) Key() Key   { return KeyOf(KindRegion, r.Region) }
func (p *Pool) Key() Key     { return KeyOf(KindPool, p.Pool) }
func (e *Endpoint) Key() Key { return KeyOf(KindEndpoint, e.Pool+"/"+e.Endpoint) }
func (m *Monitor) Key() Key  { return KeyOf(KindMonitor, m.Name) }
func (p *Policy) Key() Key   { return KeyOf(KindPolicy, p.Name) }
func (m *Map) Key() Key      { return KeyOf(KindMap, m.Map) }
func (o *Override) Key() Key { return KeyOf(KindOverride, o.Target) }

// EffectiveWeight returns the endpoint's weight, DefaultWeight if it names none.
func (e *Endpoint) EffectiveWeight() int {
	if e.Weight == nil {
		return DefaultWeight
	}
	return *e.Weight
}

// ID returns the endpoint's name in health: "pool/endpoint".
func (e *Endpoint) ID() string { return e.Pool + "/" + e.Endpoint }
