package steer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"leeward/geo"
	"leeward/health"
	"leeward/zones"
)

// Explanation says step by step why a client gets an answer. The evaluator that the server answers from makes it.
type Explanation struct {
	Name       string       `json:"name"`
	Type       string       `json:"type"` // "A", "AAAA", or "CNAME" if endpoints are answered by name
	Client     string       `json:"client"`
	Location   *Location    `json:"location,omitempty"` // nil: the policy does not ask for it
	Rule       int          `json:"rule"`               // from 0; -1: none holds
	When       string       `json:"when"`
	MapRegions []string     `json:"mapRegions,omitempty"` // regions that the map puts first
	Steps      []PoolStep   `json:"steps"`                // pools in the order in which they were tried
	Pool       string       `json:"pool"`
	Region     string       `json:"region"`
	FailOpen   bool         `json:"failOpen"`
	Pick       string       `json:"pick"`
	Candidates []Candidate  `json:"candidates"`           // every address of the pool of this family
	Addresses  []netip.Addr `json:"addresses"`            // the answer, or one random example of it
	Target     string       `json:"target,omitempty"`     // the CNAME's target, or one random example of it
	Unresolved bool         `json:"unresolved,omitempty"` // no endpoint's hostname has been resolved yet
	Says       Says         `json:"-"`                    // what is answered instead of addresses
	TTL        uint32       `json:"ttl"`
	Scope      uint8        `json:"scope"` // ECS scope prefix length
	Text       []string     `json:"text"`  // the same as sentences
}

// Location is where the client is.
type Location struct {
	Continent   string   `json:"continent,omitempty"`
	Country     string   `json:"country,omitempty"`
	Subdivision string   `json:"subdivision,omitempty"`
	Latitude    *float64 `json:"latitude,omitempty"`
	Longitude   *float64 `json:"longitude,omitempty"`
	ASN         uint32   `json:"asn,omitempty"`
	Deeper      string   `json:"deeper,omitempty"`     // subdivisions of further levels, separated by spaces
	Registered  bool     `json:"registered,omitempty"` // the country is where the network is registered
	Told        geo.Told `json:"told,omitzero"`        // which databases know it
	Inner       string   `json:"inner,omitempty"`      // the IPv4 address embedded in the client's, which was located
}

// PoolStep is one pool that was tried.
type PoolStep struct {
	Pool     string   `json:"pool"`
	Region   string   `json:"region"`
	Weight   uint64   `json:"weight"`
	Distance *float64 `json:"distance,omitempty"` // km from the client, before bias; `nearest` only
	Result   string   `json:"result"`             // "available", "drained", "no healthy endpoint" …
	Healthy  int      `json:"healthy"`
	Keep     *float64 `json:"keep,omitempty"` // share of its clients that it keeps; nil: all
	Total    int      `json:"total"`
}

// Candidate is one address of the pool that answers.
type Candidate struct {
	Endpoint string     `json:"endpoint"`
	Hostname string     `json:"hostname,omitempty"` // if the endpoint is given by one
	Address  netip.Addr `json:"address"`
	Weight   uint64     `json:"weight"`
	State    string     `json:"state"`
	Share    float64    `json:"share"` // of first picks, 0 to 1
	Override zones.Word `json:"override,omitempty"`
}

// Explain decides as Decide does, and says why.
func (p *Policy) Explain(v *View, req *Request) Explanation {
	t := &trace{policy: p}
	t.out = Explanation{
		Name: p.Name, Type: [...]string{"A", "AAAA", "CNAME"}[req.Family], Client: req.Client.String(),
		Pick:  string(p.Pick),
		Steps: []PoolStep{}, Candidates: []Candidate{}, Addresses: []netip.Addr{}, Text: []string{},
	}
	t.say("%s %s for %s", p.Name, t.out.Type, req.Client)
	var d Decision
	p.decide(v, req, &d, t)
	t.out.FailOpen, t.out.TTL, t.out.Scope, t.out.Rule = d.FailOpen, d.Bound, d.Scope, int(d.Rule)
	if t.out.Says = d.Says; d.Says != SaysAddresses {
		t.say("the policy says what is answered: %s, ECS scope /%d", d.Says, d.Scope)
		return t.out
	}
	if d.Unresolved {
		t.out.Unresolved = true
		t.say("no name of the pools' endpoints has been resolved yet")
		return t.out
	}
	if d.Count == 0 {
		t.say("no pool has an address of this family: an empty answer (NODATA)")
		return t.out
	}
	if req.Family == Name {
		t.out.Target = d.Target().String()
		pool, l := v.at(d.Pool, Name)
		t.names(v.pools[d.Pool], pool, l, d.FailOpen)
		t.say("answer: CNAME %s, TTL %d, ECS scope /%d", t.out.Target, d.Bound, d.Scope)
		return t.out
	}
	for i := range d.Count {
		size := len(d.Data) / d.Count
		a, _ := netip.AddrFromSlice(d.Data[i*size : (i+1)*size])
		t.out.Addresses = append(t.out.Addresses, a)
	}
	pool, l := v.at(d.Pool, req.Family)
	t.candidates(v.pools[d.Pool], pool, l, req, d.FailOpen)
	t.say("answer: %s, TTL %d, ECS scope /%d", joined(t.out.Addresses), d.Bound, d.Scope)
	return t.out
}

// String returns the explanation as lines of text.
func (e Explanation) String() string { return strings.Join(e.Text, "\n") + "\n" }

// trace records a decision while it is made. A nil trace records nothing.
type trace struct {
	policy *Policy
	out    Explanation
	rank   []uint8
	tried  map[string]bool
}

func (t *trace) say(format string, args ...any) {
	t.out.Text = append(t.out.Text, fmt.Sprintf(format, args...))
}

func (t *trace) located(c *client) {
	if t == nil {
		return
	}
	l := c.table.Locations()[c.location]
	out := &Location{
		Continent: l.Continent, Country: l.Country, Subdivision: l.Subdivision, Deeper: l.Deeper,
		Registered: l.Registered,
		Told:       c.table.Told(c.location),
	}
	place := []string{}
	for _, s := range []string{l.Continent, l.Country, l.Subdivision, l.Deeper} {
		if s != "" {
			place = append(place, s)
		}
	}
	if l.Registered {
		place = append(place, "by registration")
	}
	if l.HasPoint {
		out.Latitude, out.Longitude = &l.Latitude, &l.Longitude
		place = append(place, fmt.Sprintf("near %.1f, %.1f", l.Latitude, l.Longitude))
	}
	if c.table.ASNLeaves() > 0 {
		at := c.addr
		if c.system.resolver {
			at = c.resolver
		}
		if out.ASN, _ = c.table.ASNOf(at); out.ASN != 0 {
			place = append(place, fmt.Sprintf("AS%d", out.ASN))
		}
	}
	t.out.Location = out
	if c.resolver.IsValid() {
		t.say("%s is a private address: where nothing names it, the resolver %s stands for it", c.addr, c.resolver)
	}
	if len(place) == 0 {
		place = []string{"unknown"}
	}
	within := ""
	if inner, at := geo.Inner(c.addr); at > 0 {
		out.Inner = inner.String()
		within = fmt.Sprintf(" (as %s, which its address has within)", inner)
	}
	t.say("client is located: %s%s", strings.Join(place, ", "), within)
	if told := toldText(out.Told); told != "" {
		t.say("  %s", told)
	}
}

// toldText says which file told what. It leaves out the built-in table, which is used only without such files.
func toldText(told geo.Told) string {
	var parts []string
	for _, file := range []string{told.Country, told.Subdivision, told.Point} {
		if file == "" || file == geo.BuiltIn {
			continue
		}
		var what []string
		for name, by := range map[string]string{
			"country": told.Country, "subdivision": told.Subdivision,
			"point": told.Point,
		} {
			if by == file {
				what = append(what, name)
			}
		}
		slices.Sort(what)
		if part := strings.Join(what, ", ") + " from " + file; !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "; ")
}

func (t *trace) rule(n int) {
	if t == nil {
		return
	}
	rules := t.policy.source.Rules
	earlier := n
	if n < 0 {
		earlier = len(rules)
	}
	for i := range min(earlier, mostRules) {
		t.say("rule %d of %d does not hold (%s): the client is in none of these", i+1, len(rules),
			WhenWords(rules[i].When))
	}
	if earlier > mostRules {
		t.say("nor do the %d rules after it", earlier-mostRules)
	}
	if n < 0 {
		t.out.When = "no rule holds: all pools as listed"
		t.say("%s", t.out.When)
		return
	}
	r := rules[n]
	t.out.When = WhenWords(r.When)
	kind := "failover"
	if r.Answer != "" {
		kind = "answer: " + string(r.Answer)
	}
	if len(r.Nearest) > 0 {
		kind = "nearest"
	}
	t.say("rule %d of %d holds (%s): %s", n+1, len(rules), t.out.When, kind)
}

// mostRules is how many rules that do not hold are listed one by one.
const mostRules = 20

// WhenWords says which clients a condition holds for; nil: every client.
func WhenWords(w *zones.When) string {
	if w == nil {
		return "every client"
	}
	var parts []string
	add := func(name string, n int, list any) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %v", name, list))
		}
	}
	add("continents", len(w.Continents), w.Continents)
	add("countries", len(w.Countries), w.Countries)
	add("subdivisions", len(w.Subdivisions), w.Subdivisions)
	add("asns", len(w.ASNs), w.ASNs)
	add("prefixes", len(w.Prefixes), w.Prefixes)
	return "when " + strings.Join(parts, ", ")
}

func (t *trace) order(order []uint8) {
	if t != nil {
		t.rank = order
	}
}

func (t *trace) mapped(regions []int32) {
	if t == nil {
		return
	}
	for _, n := range regions {
		t.out.MapRegions = append(t.out.MapRegions, t.policy.front.names[n])
	}
	if len(regions) > 0 {
		t.say("map %s puts %s first", t.policy.source.Map, strings.Join(t.out.MapRegions, ", "))
	}
}

func (t *trace) pool(w *walk, m *member, pool *Pool, l *lineup) {
	if t == nil || pool == nil || t.tried[fmt.Sprint(pool.Name, w.open)] {
		return
	}
	if t.tried == nil {
		t.tried = map[string]bool{}
	}
	t.tried[fmt.Sprint(pool.Name, w.open)] = true
	if w.open != shut {
		return
	}
	s := PoolStep{
		Pool: pool.Name, Region: pool.Region, Weight: m.weight, Result: l.why.String(), Healthy: l.healthy,
		Total: l.total,
	}
	far := ""
	if t.rank != nil && t.out.Location != nil && t.out.Location.Latitude != nil {
		if at := t.policy.points[pool.Region]; at.Known {
			km := geo.Distance(*t.out.Location.Latitude, *t.out.Location.Longitude, at.Latitude, at.Longitude)
			s.Distance = &km
			far = fmt.Sprintf(", %.0f km away", km)
		}
	}
	t.out.Steps = append(t.out.Steps, s)
	t.say("  pool %s (region %s%s): %s, %d of %d endpoints healthy", pool.Name, pool.Region, far, s.Result, l.healthy,
		l.total)
}

// kept records which share of its clients a pool keeps, and whether this client is among them.
func (t *trace) kept(w *walk, pool *Pool, keep, at float64) {
	if t == nil {
		return
	}
	b := &w.view.pools[pool.Number].burden
	why := ""
	if b.limited && b.known && b.offered > b.target {
		why = fmt.Sprintf(": %.4g of %.4g", b.offered, b.target)
	}
	if w.rule.crowd.plans != nil {
		if level := w.policy.Level(pool.Number, w.now); level < 1 {
			why += fmt.Sprintf(", %.0f %% is planned", level*100)
		}
	}
	if leaving := pool.leaving; leaving != nil {
		why += fmt.Sprintf(", its drain leaves it %.0f %%", leaving.level(w.now)*100)
	}
	if b.warmth < 1 {
		why += fmt.Sprintf(", it is %.0f %% warm", b.warmth*100)
	}
	yours := "this one stays"
	if at >= keep {
		yours = "this one goes on"
	}
	t.say("  pool %s keeps %.0f %% of its clients (%s); %s", pool.Name, keep*100, strings.TrimLeft(why, ":, "), yours)
	for i := range t.out.Steps {
		if s := &t.out.Steps[i]; s.Pool == pool.Name {
			share := keep // a copy: taking the parameter's address would allocate it in queries too
			s.Keep = &share
		}
	}
}

func (t *trace) exhausted(open openness) {
	if t == nil {
		return
	}
	if open == shut && t.policy.allDown != SaysAddresses {
		t.say("no pool is available")
	} else if open == shut {
		t.say("no pool is available: fail open, as if all were healthy")
	}
}

func (t *trace) chosen(pool *Pool, d *Decision, candidates *table) {
	if t == nil {
		return
	}
	t.out.Pool, t.out.Region = pool.Name, pool.Region
	t.say("pool %s answers: %d candidates, pick %s, %d of them in the answer", pool.Name, candidates.len(),
		t.policy.Pick, d.Count)
}

// drawnFrom returns the table that an answer of the pool is drawn from, and the sum of its weights. open is set if the
// policy fails open.
func (l *lineup) drawnFrom(pool *Pool, f Family, open bool) (tb *table, sum uint64) {
	if tb = l.table; open || tb == nil {
		tb = pool.fallback[f]
	}
	for _, w := range tb.weights {
		sum += w
	}
	return tb, sum
}

// candidates lists every address of the pool with its share.
func (t *trace) candidates(d *duty, pool *Pool, l *lineup, req *Request, open bool) {
	f, now := req.Family, req.Now
	tb, sum := l.drawnFrom(pool, f, open)
	at := 0
	for i := range pool.endpoints {
		e := &pool.endpoints[i]
		for k := range e.addrs {
			for _, a := range e.addrs[k] {
				state := d.states[at]
				at++
				if Family(k) != f {
					continue
				}
				c := Candidate{
					Endpoint: e.id, Hostname: e.host(), Address: a, Weight: e.weight, State: state.String(),
					Override: e.word,
				}
				for n := range tb.weights {
					if slices.Equal(tb.addr(uint32(n)), a.AsSlice()) {
						c.Share = float64(tb.weights[n]) / float64(sum)
					}
				}
				t.out.Candidates = append(t.out.Candidates, c)
				note := ""
				if c.Hostname != "" {
					note = " (of " + c.Hostname + e.resolved.left(now) + ")"
				}
				if state == health.Unknown {
					note += " (counts as up)"
				}
				if e.word != "" {
					note += fmt.Sprintf(", override %s", e.word)
				}
				t.say("  %s %s: %s%s, weight %d, share %.0f %%", e.id, a, state, note, e.weight, c.Share*100)
			}
		}
	}
}

func joined(addrs []netip.Addr) string {
	var s []string
	for _, a := range addrs {
		s = append(s, a.String())
	}
	return strings.Join(s, ", ")
}
