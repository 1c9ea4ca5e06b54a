package answer

import (
	"cmp"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"leeward/server/wire"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// Counts says how much was asked and answered since the Responder was made, and recently. Every number is exact: a
// query is counted before its response is sent. The lists are sorted by the most recent counts, then by the totals,
// largest first. Fields are added, but never removed, and never change their meaning.
type Counts struct {
	Server  string     `json:"server,omitempty"`
	Since   time.Time  `json:"since"`   // when the Responder was made
	At      time.Time  `json:"at"`      // when the numbers were taken
	Windows [2]float64 `json:"windows"` // seconds: how far lastMinute and lastFiveMinutes go back

	Queries   Count          `json:"queries"`   // received, of any kind
	Steered   Count          `json:"steered"`   // those answered by a policy
	FailOpen  Count          `json:"failOpen"`  // steered as if all endpoints were healthy, because none was
	Types     []TypeCount    `json:"types"`     // Queries by QTYPE
	Rcodes    []RcodeCount   `json:"rcodes"`    // responses
	Pools     []PoolCount    `json:"pools"`     // answers with addresses or names of the pool
	Policies  []PolicyCount  `json:"policies"`  // Steered by policy, its rules, and their pools
	Countries []CountryCount `json:"countries"` // Steered by the client's country; empty unless these are counted

	// Uncounted is the part of Steered that no policy's row has. There was no room for the policy's cells; or the
	// policy is gone, and there was no room for its name.
	Uncounted Count `json:"uncounted"`
	Left      struct {
		Policies int `json:"policies"`
		Pools    int `json:"pools"`
	} `json:"left"` // number of rows that the lists leave out
}

// Count is a number, and how much of it is recent.
type Count struct {
	Total           uint64 `json:"total"`
	LastMinute      uint64 `json:"lastMinute"`      // within Windows[0]
	LastFiveMinutes uint64 `json:"lastFiveMinutes"` // within Windows[1]
}

func (c *Count) add(o Count) {
	c.Total += o.Total
	c.LastMinute += o.LastMinute
	c.LastFiveMinutes += o.LastFiveMinutes
}

// TypeCount counts queries for a type.
type TypeCount struct {
	Type string `json:"type"` // "other": types without a row; "none": requests whose question cannot be read
	Count
}

// RcodeCount counts responses.
type RcodeCount struct {
	Rcode string `json:"rcode"`
	Count
}

// PoolCount counts answers with a pool.
type PoolCount struct {
	Pool string `json:"pool"` // "", only in a rule: answers without a pool, such as NODATA
	Count
}

// PolicyCount counts answers by a policy.
type PolicyCount struct {
	Policy string `json:"policy"`
	Count
	FailOpen Count       `json:"failOpen"`
	Rules    []RuleCount `json:"rules"`
}

// RuleCount counts answers by a rule. A rule that has changed has one row for each condition that it had.
type RuleCount struct {
	Rule int    `json:"rule"` // from 0; -1: no rule matched
	When string `json:"when"` // its condition in words, cut to 200 octets
	Count
	Pools []PoolCount `json:"pools"`
}

// CountryCount counts the clients of a country.
type CountryCount struct {
	Country string `json:"country"` // ISO 3166-1; "": not known
	Count
}

const (
	sampleEvery = 15 * time.Second
	samplesKept = 21 // five minutes of them, and one

	mostWhen = 200 // octets of a condition
)

// sample is what had been counted at one time, as far as differences need it.
type sample struct {
	at     time.Time
	cells  []uint32
	tally  tally
	places countrySums
}

// reading is everything that has been counted up to now, and up to two earlier times.
type reading struct {
	now    time.Time
	tally  tally
	cells  []uint64
	places countrySums
	minute *sample
	five   *sample
	sheets []*sheet           // the owners of the cells
	past   map[pastKey]uint64 // counts of closed sheets
}

// sample records what has been counted, and closes sheets that nobody adds to any more.
func (r *Responder) sample(now time.Time) {
	l := &r.ledger
	l.reading.Lock()
	defer l.reading.Unlock()
	_, next := l.current()
	s := sample{at: now, cells: make([]uint32, next), tally: r.counts.sum(), places: r.counts.byCountry()}
	for i, n := range r.counts.ofCells(next) {
		s.cells[i] = uint32(n)
	}
	copy(l.samples[1:], l.samples[:])
	l.samples[0] = s
	l.close(now, r.counts)
}

// youngest returns the youngest sample that has at least this age. If there is none, it returns the oldest, or an empty
// one while there are still fewer samples than a ledger holds: the server is younger than that age.
func (l *ledger) youngest(now time.Time, age time.Duration, start time.Time) *sample {
	found := &sample{at: start}
	for i := range l.samples {
		s := &l.samples[i]
		if s.at.IsZero() {
			return &sample{at: start} // the server is younger than that
		}
		if found = s; now.Sub(s.at) >= age {
			break
		}
	}
	return found
}

func (x *reading) counter(i int) Count {
	n := x.tally[i]
	return Count{n, n - x.minute.tally[i], n - x.five.tally[i]}
}

// cell returns the count of a cell. total is the part of it that belongs to the present owner.
func (x *reading) cell(i uint32, total uint64) Count {
	return Count{total, lately(x.cells[i], x.minute, i, total), lately(x.cells[i], x.five, i, total)}
}

func lately(sum uint64, before *sample, i uint32, total uint64) uint64 {
	if int(i) >= len(before.cells) {
		return total // the owner is younger
	}
	return uint64(uint32(sum) - before.cells[i])
}

// Counts returns what has been counted. of is a policy or a pool, and limits the lists to its rows; "" lists all. most
// bounds each list of policies and pools.
func (r *Responder) Counts(of string, most int) *Counts { return r.count(&book{of: of}, most) }

// PoolCounts is Counts("", most) without the list of policies. What it costs does not grow with their rules.
func (r *Responder) PoolCounts(most int) *Counts { return r.count(&book{poolsOnly: true}, most) }

// PolicyCounts is Counts("", most) without the conditions of rules, in a fraction of the time.
func (r *Responder) PolicyCounts(most int) *Counts { return r.count(&book{wordless: true}, most) }

func (r *Responder) count(b *book, most int) *Counts {
	x := r.read()
	out := &Counts{
		Server: r.options.ID, Since: r.made, At: x.now,
		Windows: [2]float64{x.now.Sub(x.minute.at).Seconds(), x.now.Sub(x.five.at).Seconds()},
		Steered: x.counter(steered), FailOpen: x.counter(failOpen), Uncounted: x.cell(0, x.cells[0]),
		Types: []TypeCount{}, Rcodes: []RcodeCount{}, Pools: []PoolCount{}, Policies: []PolicyCount{},
		Countries: []CountryCount{},
	}
	for i := queries; i < responses; i++ {
		out.Queries.add(x.counter(i))
	}
	for row := range mostTypes {
		if n := x.counter(types + row); n.Total > 0 {
			out.Types = append(out.Types, TypeCount{typeName(row), n})
		}
	}
	for code := range responseCodes {
		if n := x.counter(responses + code); n.Total > 0 {
			out.Rcodes = append(out.Rcodes, RcodeCount{wire.RcodeName(uint16(code)), n})
		}
	}
	for i, n := range x.places {
		if n > 0 {
			out.Countries = append(out.Countries,
				CountryCount{snapshot.CountryCode(uint16(i)), Count{n, n - x.minute.places[i], n - x.five.places[i]}})
		}
	}
	slices.SortStableFunc(out.Countries, func(a, b CountryCount) int { return a.order(b.Count) })
	slices.SortStableFunc(out.Types, func(a, b TypeCount) int { return a.order(b.Count) })
	slices.SortStableFunc(out.Rcodes, func(a, b RcodeCount) int { return a.order(b.Count) })
	b.out, b.policies, b.pools = out, map[string]*PolicyCount{}, map[string]*PoolCount{}
	for _, s := range x.sheets {
		if !b.wants(s.policy) {
			continue
		}
		s.each(!b.poolsOnly && !b.wordless, func(key pastKey, number uint32) {
			at := s.base + number
			b.enter(key, x.cell(at, s.total(x.cells[at], number)))
		})
	}
	for key, n := range x.past {
		b.enter(key, Count{Total: n})
	}
	b.close(most)
	return out
}

// read copies what has been counted. So nobody who samples or closes sheets waits for what is made of the copy.
func (r *Responder) read() *reading {
	l := &r.ledger
	l.reading.Lock()
	defer l.reading.Unlock()
	sheets, next := l.current()
	x := &reading{
		now: r.options.Now(), tally: r.counts.sum(), cells: r.counts.ofCells(max(next, 1)),
		places: r.counts.byCountry(), sheets: sheets, past: maps.Clone(l.past),
	}
	minute, five := *l.youngest(x.now, time.Minute, r.made), *l.youngest(x.now, 5*time.Minute, r.made)
	x.minute, x.five = &minute, &five
	return x
}

// order sorts the largest counts first.
func (c Count) order(o Count) int {
	return cmp.Or(cmp.Compare(o.LastMinute, c.LastMinute), cmp.Compare(o.LastFiveMinutes, c.LastFiveMinutes),
		cmp.Compare(o.Total, c.Total))
}

// book gathers rows that several sheets may have counted.
type book struct {
	out       *Counts
	of        string
	poolsOnly bool // policies have no rows
	wordless  bool // rules have no conditions
	policies  map[string]*PolicyCount
	pools     map[string]*PoolCount
}

// wants reports whether a policy's cells may be in a row.
func (b *book) wants(p *steer.Policy) bool { return b.of == "" || b.of == p.Name || p.CountsPool(b.of) }

func (b *book) enter(key pastKey, n Count) {
	switch {
	case key.policy == "" && key.rule != ruleFailOpen:
		b.out.Uncounted.add(n)
		return
	case key.policy == "":
		return // what failed open is counted in all
	}
	all := b.of == "" || b.of == key.policy
	if key.pool != "" && (all || b.of == key.pool) {
		p := b.pools[key.pool]
		if p == nil {
			p = &PoolCount{Pool: key.pool}
			b.pools[key.pool] = p
		}
		p.add(n)
	}
	if b.poolsOnly || !all && b.of != key.pool {
		return
	}
	p := b.policies[key.policy]
	if p == nil {
		p = &PolicyCount{Policy: key.policy}
		b.policies[key.policy] = p
	}
	if key.rule == ruleFailOpen {
		p.FailOpen.add(n)
		return
	}
	p.add(n)
	if len(key.when) > mostWhen {
		cut := mostWhen
		for !utf8.RuneStart(key.when[cut]) {
			cut--
		}
		key.when = key.when[:cut] + "…"
	}
	rule := slices.IndexFunc(p.Rules, func(r RuleCount) bool { return r.Rule == key.rule && r.When == key.when })
	if rule < 0 {
		rule = len(p.Rules)
		p.Rules = append(p.Rules, RuleCount{Rule: key.rule, When: key.when})
	}
	to := &p.Rules[rule]
	to.add(n)
	pool := slices.IndexFunc(to.Pools, func(p PoolCount) bool { return p.Pool == key.pool })
	if pool < 0 {
		pool = len(to.Pools)
		to.Pools = append(to.Pools, PoolCount{Pool: key.pool})
	}
	to.Pools[pool].add(n)
}

// close sorts the rows, and keeps the first most of them.
func (b *book) close(most int) {
	for _, p := range b.policies {
		p.Rules = slices.DeleteFunc(p.Rules, func(r RuleCount) bool { return r.Rule < 0 && r.Total == 0 })
		for i := range p.Rules {
			p.Rules[i].Pools = slices.DeleteFunc(p.Rules[i].Pools, func(p PoolCount) bool {
				return p.Pool == "" && p.Total == 0
			})
		}
		slices.SortFunc(p.Rules, func(x, y RuleCount) int {
			return cmp.Or(cmp.Compare(uint(x.Rule), uint(y.Rule)), cmp.Compare(x.When, y.When))
		})
		b.out.Policies = append(b.out.Policies, *p)
	}
	for _, p := range b.pools {
		b.out.Pools = append(b.out.Pools, *p)
	}
	slices.SortFunc(b.out.Policies, func(x, y PolicyCount) int {
		return cmp.Or(x.order(y.Count), cmp.Compare(x.Policy, y.Policy))
	})
	slices.SortFunc(b.out.Pools, func(x, y PoolCount) int {
		return cmp.Or(x.order(y.Count), cmp.Compare(x.Pool, y.Pool))
	})
	if left := len(b.out.Policies) - most; left > 0 {
		b.out.Policies, b.out.Left.Policies = b.out.Policies[:most], left
	}
	if left := len(b.out.Pools) - most; left > 0 {
		b.out.Pools, b.out.Left.Pools = b.out.Pools[:most], left
	}
}

// AnswersByPool returns how many queries each pool has answered since the server was made.
func (r *Responder) AnswersByPool() map[string]uint64 {
	answers := map[string]uint64{}
	for _, p := range r.PoolCounts(mostCells).Pools {
		answers[p.Pool] = p.Total
	}
	return answers
}
