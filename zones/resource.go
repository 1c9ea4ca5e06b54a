// Package zones is the model: the resources that operators keep, and what each must be by itself (Validate).
//
// Package document reads and writes them as text. A source (packages store and folder) hands Batches of changes to
// package catalog, which checks resources against each other and keeps the last good version of each. A Problem says
// where something is wrong, what, and what to do. References and Relations say who refers to whom.
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
	KindDefaults Kind = "Defaults"
)

// Kinds lists all kinds; a kind comes after those that it refers to. Putting resources in this order, or deleting them
// in the reverse order, never leaves a dangling reference.
var Kinds = [...]Kind{
	KindZone, KindRegion, KindMonitor, KindMap, KindDefaults, KindPool, KindEndpoint, KindRecord, KindPolicy,
	KindOverride,
}

var folders = map[Kind]string{
	KindZone: "zones", KindRecord: "records", KindRegion: "regions", KindPool: "pools", KindEndpoint: "endpoints",
	KindMonitor: "monitors", KindPolicy: "policies", KindMap: "maps", KindOverride: "overrides",
	KindDefaults: "defaults",
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

// String returns the key as errors and tables show it: "Pool www-eu". A key of no kind is returned as it is.
func (k Key) String() string {
	kind := k.Kind()
	if kind == "" {
		return string(k)
	}
	return fmt.Sprintf("%s %s", kind, k.Name())
}

// Resource is one document: *Zone, *Record, *Region, *Pool, *Endpoint, *Monitor, *Policy, *Map, *Override or *Defaults.
// A resource never changes once it has been read; a change is a new one.
type Resource interface {
	Key() Key
}

// Zone is an origin that Leeward is authoritative for: its SOA and NS records, and who may transfer or update it.
type Zone struct {
	Origin string `json:"-"`

	// The names of the zone's name servers: its NS records. In a folder, they may come from the zone's master file.
	Nameservers []string `json:"nameservers,omitempty" example:"[ns1.example.test, ns2.example.test]"`
	// Who is responsible for the zone, for the SOA: a mail address, or the name that the SOA has for it.
	Hostmaster string `json:"hostmaster,omitempty" default:"hostmaster.ORIGIN" example:"hostmaster@example.test"`
	// The TTL of the NS records, and of static records that give none.
	TTL TTL `json:"ttl,omitzero" default:"300s" range:"0s to 2147483647s" example:"1h"`
	// The TTL of the SOA record.
	SOATTL TTL `json:"soaTTL,omitzero" default:"ttl" range:"0s to 2147483647s" example:"1h"`
	// How long resolvers keep a negative answer: the SOA's MINIMUM (RFC 2308).
	NegativeTTL TTL `json:"negativeTTL,omitzero" default:"30s" range:"0s to 2147483647s" example:"60s"`
	// The SOA's MNAME.
	Primary string `json:"primary,omitempty" default:"the first name server" example:"ns1.example.test"`
	// How often secondaries ask for a new serial: the SOA's REFRESH.
	Refresh TTL `json:"refresh,omitzero" default:"1h" range:"0s to 2147483647s" example:"30m"`
	// How soon a secondary asks again after a failure: the SOA's RETRY.
	Retry TTL `json:"retry,omitzero" default:"15m" range:"0s to 2147483647s" example:"5m"`
	// How long a secondary serves the zone without hearing from a primary: the SOA's EXPIRE.
	Expire TTL `json:"expire,omitzero" default:"336h" range:"0s to 2147483647s" example:"168h"`
	// The order of the addresses of a static record set: in turn, or as they are written.
	Order Order `json:"order,omitempty" default:"rotate" range:"rotate | fixed" example:"fixed"`
	// Signing settings (DNSSEC). The zone is not signed if they are left out.
	DNSSEC *DNSSEC `json:"dnssec,omitempty"`
	// Zone transfers: who may take the zone, who is told of changes, and where the zone comes from.
	Transfer *Transfer `json:"transfer,omitempty"`
	// Who may change records by dynamic update (RFC 2136). Nobody may if it is left out.
	Update []Grant `json:"update,omitempty" range:"at most 1000"`
	// Who may ask the debug name _leeward.ORIGIN for TXT: an address or prefix, "key NAME", or both in one text, which
	// then must both hold. Without it there is no debug name.
	Debug []string `json:"debug,omitempty" range:"at most 100" example:"[192.0.2.53, key ops]"`

	// A number that is added to the serial, modulo 2^32. A zone that came from elsewhere needs it: its secondaries
	// take no serial that is lower than theirs.
	SerialOffset uint32 `json:"serialOffset,omitempty" default:"0" range:"0 to 4294967295" example:"2026112800"`

	Serial *uint32 `json:"-"` // of a master file, 0 too; nil: the serial follows the revision
}

// Order is how the addresses of a static set come in responses.
type Order string

// The orders.
const (
	OrderRotate Order = "rotate" // each response begins with a random one
	OrderFixed  Order = "fixed"  // as they are written
)

// DNSSEC are a zone's signing settings.
type DNSSEC struct {
	// Whether the zone is signed, with keys from the server's folder of keys.
	Enabled bool `json:"enabled,omitempty" default:"false" example:"true"`
	// Whether NSEC3 records (RFC 5155), which hash names, prove what does not exist. Without it, NSEC records do.
	NSEC3 bool `json:"nsec3,omitempty" default:"false" example:"true"`
	// The algorithm of the zone's keys: 13 is ECDSA on P-256, 15 Ed25519. Servers roll keys in etcd that are of another
	// algorithm. Of keys in files it is the algorithm of the first, which a server makes.
	Algorithm int `json:"algorithm,omitempty" default:"that of the keys" range:"13 or 15" example:"15"`
	// DNSKEY records of others who sign the zone with keys of their own (RFC 8901), as a master file has their data.
	Foreign []string `json:"foreign,omitempty" range:"at most 16" example:"[\"256 3 15 AQID\"]"`
	// For a zone of a primary: what is as the primary has it keeps the primary's signatures, and only the rest is
	// signed here. The primary must publish the DNSKEY of this server's key.
	Keep bool `json:"keep,omitempty" default:"false" example:"true"`
	// Whether CDS and CDNSKEY ask the parent to delete its DS (RFC 8078). Set it before you stop signing the zone.
	Withdraw bool `json:"withdraw,omitempty" default:"false" example:"true"`
	// Which keys roll by themselves, and how old they get. Keys in etcd only. Nothing rolls if it is left out.
	Roll *Rolling `json:"roll,omitempty"`
	// Addresses of all servers of the parent zone, which servers ask for the zone's DS. If left out, the NS of the
	// parent name them.
	Parent []string `json:"parent,omitempty" range:"at most 32" default:"found by its NS" example:"[192.0.2.1]"`
	// Whether the parent is left to find new CDS by itself. Otherwise a server sends it NOTIFY (RFC 9859), if it says
	// by DSYNC records where to.
	NoNotify bool `json:"noNotify,omitempty" default:"false" example:"true"`
}

// Rolling says how old a zone's keys get before others take their place.
type Rolling struct {
	// The age at which the key that signs the zone's data (ZSK) is rolled. It does nothing in a zone without one.
	ZSK Duration `json:"zsk,omitzero" default:"never" range:"24h or more" example:"90d"`
	// The age at which the key that the parent's DS is for (KSK, or a CSK) is rolled. The parent must take CDS.
	KSK Duration `json:"ksk,omitzero" default:"never" range:"24h or more" example:"365d"`
}

// Record is one static RRset: all records of one type at one name.
type Record struct {
	Origin string `json:"-"`
	Owner  string `json:"-"` // relative to Origin; "@" is the apex
	Type   string `json:"-"` // "A", "MX", "TYPE65280"

	// How long resolvers may keep the records. With 0s they keep none.
	TTL TTL `json:"ttl,omitzero" default:"the zone's ttl" range:"0s to 2147483647s" example:"1h"`
	// The data of each record as a master file has it (RFC 1035 section 5.1). Names without a final dot are relative to
	// the zone.
	Data []string `json:"data" example:"[\"10 mail.example.test.\"]"`
}

// Region is a failure domain: a place that can be drained as a whole.
type Region struct {
	Region string `json:"-"`

	// Where the region is, in degrees north. nearest rules go by it. Give both or neither.
	Latitude *float64 `json:"latitude,omitempty" range:"-90 to 90" example:"53.3"`
	// Where the region is, in degrees east. Give both or neither.
	Longitude *float64 `json:"longitude,omitempty" range:"-180 to 180" example:"-6.3"`
}

// Pool is endpoints of one region that do the same work.
type Pool struct {
	Pool        string `json:"-"`
	Inheritance `json:"-"`

	// The region that the pool is in.
	Region string `json:"region" example:"eu-west"`
	// The monitor that checks the pool's endpoints. Without one, they count as up.
	Monitor string `json:"monitor,omitempty" inherit:"yes" example:"web"`
	// How much of the pool must be healthy for it to be available: a share of the weight, or a number of endpoints.
	MinHealthy Share `json:"minHealthy,omitzero" inherit:"yes" default:"any" example:"50%"`
	// How long a new or recovered endpoint takes to grow to its weight and its target.
	Ramp Duration `json:"ramp,omitempty" inherit:"yes" default:"0s" range:"0s to 24h" example:"2m"`
	// The capacity of each endpoint that names none.
	Capacity *Capacity `json:"capacity,omitempty"`
}

// Capacity is what an endpoint can hold, in the unit in which its load is reported.
type Capacity struct {
	// The load that the endpoint should carry. A policy with spill passes on what is beyond it.
	Target float64 `json:"target,omitempty" range:"above 0, at most 1e12" example:"800"`
	// The load at which the endpoint breaks, for alerts and forecasts. Not below target.
	Max float64 `json:"max,omitempty" range:"above 0, at most 1e12" example:"1000"`
}

// Endpoint is one load balancer or server of a pool.
type Endpoint struct {
	Pool     string `json:"-"`
	Endpoint string `json:"-"`

	// The addresses that clients are sent to. Each is checked by itself.
	Addresses []netip.Addr `json:"addresses,omitempty" range:"at most 64" example:"[192.0.2.10, \"2001:db8::10\"]"`
	// A name in place of addresses, for a balancer that has nothing else.
	Hostname string `json:"hostname,omitempty" example:"lb-1.cloud.example"`
	// Answer with the addresses that hostname has now, in place of a CNAME.
	Flatten bool `json:"flatten,omitempty" default:"false" example:"true"`
	// The host that checks ask this endpoint for. It comes before the monitor's.
	Host string `json:"host,omitempty" default:"the monitor's host" example:"tenant-7.example.test"`
	// Headers that http and https checks send to this endpoint, beside the monitor's.
	Headers health.Headers `json:"headers,omitempty" range:"at most 32" example:"{X-Shard: b}"`
	// The endpoint's share of the pool's clients. 0 is for last resort: it answers when no other is left.
	Weight *int `json:"weight,omitempty" default:"100" range:"0 to 1000000" example:"50"`
	// What the endpoint can hold.
	Capacity *Capacity `json:"capacity,omitempty" default:"the pool's capacity"`
}

// Monitor is how endpoints are checked.
type Monitor struct {
	Name        string `json:"-"`
	Inheritance `json:"-"`
	health.Monitor
}

// Policy is one steered DNS name, and the rules that choose among pools.
type Policy struct {
	Name        string `json:"-"` // fqdn, lower case, no final dot
	Inheritance `json:"-"`

	// How long resolvers may keep the answer.
	TTL Duration `json:"ttl,omitempty" inherit:"yes" default:"30s" range:"1s to 2147483647s" example:"20s"`
	// A map whose preferences come before the order of the rules.
	Map string `json:"map,omitempty" inherit:"yes" example:"offices"`
	// The first rule that holds for the client gives the order of pools.
	Rules []Rule `json:"rules" range:"1 to 1000"`
	// How addresses are chosen within the pool: by weight at random, by weight and the client's prefix, all, or by
	// load.
	Pick Pick `json:"pick,omitempty" inherit:"yes" default:"weighted" range:"weighted | sticky | all | least-load" example:"sticky"`
	// What is answered when no pool is available. "answer" answers as if all were healthy (fail open).
	WhenAllDown Answer `json:"whenAllDown,omitempty" inherit:"yes" default:"answer" range:"answer | nodata | servfail" example:"nodata"`
	// The most addresses in one answer.
	Answers int `json:"answers,omitempty" inherit:"yes" default:"1" range:"1 to 32" example:"2"`
	// Whether a pool passes on the clients that it has no capacity for, to the next pool in their order.
	Spill bool `json:"spill,omitempty" inherit:"yes" default:"false" example:"true"`
	// Answer with addresses in place of CNAMEs, for all endpoints that have a hostname.
	Flatten bool `json:"flatten,omitempty" inherit:"yes" default:"false" example:"true"`
	// Planned shifts of load between pools.
	Schedule []Schedule `json:"schedule,omitempty" range:"at most 1000"`
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

// Answer is what is answered in place of addresses.
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
	// Which clients the rule is for. Without it, the rule holds for every client.
	When *When `json:"when,omitempty"`
	// Pools in order: the first step that is available answers. A step is a pool, or several pools with weights.
	Failover []Step `json:"failover,omitempty" example:"[{www-us: 95, www-us-canary: 5}, www-eu]"`
	// Pools by their regions' distance from the client.
	Nearest []string `json:"nearest,omitempty" range:"at most 250" example:"[www-eu, www-us]"`
	// Makes a pool's region look nearer (positive) or farther (negative) than it is.
	Bias map[string]Percent `json:"bias,omitempty" range:"-99% to 99%" example:"{www-us: 20%}"`
	// What these clients are told in place of addresses.
	Answer Answer `json:"answer,omitempty" range:"nodata | refused | nxdomain" example:"nodata"`
}

// When holds for a client that is in any of its lists.
type When struct {
	// Continents, by their two letters.
	Continents []string `json:"continents,omitempty" range:"AF | AN | AS | EU | NA | OC | SA" example:"[EU, AF]"`
	// Countries, by their two letters (ISO 3166-1).
	Countries []string `json:"countries,omitempty" example:"[US, CA]"`
	// States and provinces (ISO 3166-2).
	Subdivisions []string `json:"subdivisions,omitempty" example:"[US-CA]"`
	// Autonomous systems, by number.
	ASNs []uint32 `json:"asns,omitempty" range:"1 to 4294967295" example:"[64500]"`
	// Prefixes of client addresses.
	Prefixes []netip.Prefix `json:"prefixes,omitempty" example:"[203.0.113.0/24]"`
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
	Weight int // 0 to 1,000,000; 1 if the document gives only a name
}

// Schedule is a planned shift. Between From and Until, pools have other weights and targets, and a pool below 100 %
// keeps no more of its clients than that.
type Schedule struct {
	// When the shift begins.
	From time.Time `json:"from" example:"2026-11-27T00:00:00Z"`
	// When it is over. Without it, the shift stays.
	Until time.Time `json:"until,omitzero" example:"2026-11-28T00:00:00Z"`
	// How long the shift takes to reach its level after from, and to go back before until.
	Ramp Duration `json:"ramp,omitempty" default:"0s" range:"0s to 24h" example:"30m"`
	// The level of each pool, as a share of its usual weight and target.
	Weights map[string]Percent `json:"weights,omitempty" range:"0% to 1000%" example:"{www-us: 150%}"`
}

// Map is the operator's own preferences, which come before the geo database.
type Map struct {
	Map string `json:"-"`

	// Client prefixes or autonomous systems, each with its regions in order of preference. The longest prefix counts.
	Prefixes map[string][]string `json:"prefixes" example:"{198.51.100.0/24: [us-east], AS64500: [eu-west, us-east]}"`
}

// Override is an operator's decision in place of a verdict. Its name is its target: region/eu-west, pool/www-eu or
// endpoint/www-eu/lb-1.
type Override struct {
	Target string `json:"-"`

	// What the operator decides: out of the answers, up, or down.
	State Word `json:"state" range:"drain | up | down" example:"drain"`
	// When the override begins.
	From *time.Time `json:"from,omitempty" default:"at once" example:"2026-11-27T00:00:00Z"`
	// When it ends.
	Until *time.Time `json:"until,omitempty" default:"never" example:"2026-11-28T00:00:00Z"`
	// How long a drained region or pool takes to lose its clients after from, and to get them back before until.
	Ramp Duration `json:"ramp,omitempty" default:"0s" range:"0s to 24h" example:"5m"`
	// Whether servers give up the drain by themselves if it does harm.
	Drill bool `json:"drill,omitempty" default:"false" example:"true"`
	// Why, for people.
	Reason string `json:"reason,omitempty" example:"replacing the router"`
}

// Covers reports whether a target includes a pool as a whole: the pool itself, or its region. An endpoint never does.
func Covers(target string, p *Pool) bool {
	return target == "pool/"+p.Pool || target == "region/"+p.Region
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

// EffectiveWeight returns the endpoint's weight, or DefaultWeight if it names none.
func (e *Endpoint) EffectiveWeight() int {
	if e.Weight == nil {
		return DefaultWeight
	}
	return *e.Weight
}

// ID returns the endpoint's name in health: "pool/endpoint".
func (e *Endpoint) ID() string { return e.Pool + "/" + e.Endpoint }
