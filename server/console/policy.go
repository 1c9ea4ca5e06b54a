package console

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/zones"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// names are the policies of a snapshot in the order of their names. They are sorted once for each snapshot.
type names struct {
	mu   sync.Mutex
	of   *snapshot.Snapshot
	list []*steer.Policy
}

func (n *names) sorted(s *answer.State) []*steer.Policy {
	if s == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of != s.Snapshot {
		n.of, n.list = s.Snapshot, nil
		s.Snapshot.Policies(func(p *steer.Policy) bool {
			n.list = append(n.list, p)
			return true
		})
		slices.SortFunc(n.list, func(a, b *steer.Policy) int { return strings.Compare(a.Name, b.Name) })
	}
	return n.list
}

// mostUsing is how many policies the screen of a target names.
const mostUsing = 30

// using returns links to the policies that name one of the pools, and how many more there are.
func (c *console) using(pools []admin.Pool) (links []link, more int) {
	state := c.State()
	if state == nil {
		return nil, 0
	}
	number := map[int32]bool{}
	for _, p := range state.View.Pools() {
		if slices.ContainsFunc(pools, func(o admin.Pool) bool { return o.Pool == p.Pool }) {
			number[p.Number] = true
		}
	}
	for _, p := range c.names.sorted(state) {
		if !slices.ContainsFunc(p.Pools(), func(n int32) bool { return number[n] }) {
			continue
		}
		if len(links) < mostUsing {
			links = append(links, link{To: "/policy/" + p.Name, Text: p.Name})
		} else {
			more++
		}
	}
	return links, more
}

// policies is the screen that lists the policies.
type policies struct {
	Query string
	Rows  []policyRow
	Pager
}

type policyRow struct{ Name, State, Words, Pools string }

func (c *console) policies(r *http.Request, s *admin.Status) (string, any, error) {
	from, err := pageOf(r, "q")
	if err != nil {
		return "", nil, err
	}
	state := c.State()
	out := &policies{Query: strings.ToLower(strings.TrimSpace(r.URL.Query().Get("q")))}
	all := c.names.sorted(state)
	if out.Query != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(p *steer.Policy) bool {
			return !strings.Contains(p.Name,
				out.Query)
		})
	}
	out.Pager = pager(from, len(all))
	out.Pager.Query = out.Query
	for _, p := range all[out.From:out.To] {
		row := policyRow{Name: p.Name}
		row.State, row.Words = c.policyState(state, s, p)
		row.Pools = listed(poolNames(state, p.Pools()), 5)
		out.Rows = append(out.Rows, row)
	}
	return "Policies", out, nil
}

func poolNames(state *answer.State, numbers []int32) (names []string) {
	for _, n := range numbers {
		if p := state.View.Pool(n); p != nil {
			names = append(names, p.Name)
		}
	}
	return names
}

// policyState returns the state of a policy, as a shape and in words.
func (c *console) policyState(state *answer.State, s *admin.Status, p *steer.Policy) (shape, words string) {
	if slices.Contains(s.FailingOpen, p.Name) {
		return "out", "fails open for some clients"
	}
	for _, d := range s.Denied {
		if d.Policy == p.Name {
			return "out", "says " + d.Says + " to some clients"
		}
	}
	for _, w := range ways(state, p) {
		if w.Moved {
			return "part", "some clients are answered from further down their order"
		}
	}
	return "up", "every client has its first choice"
}

// policyScreen is the screen of one policy.
type policyScreen struct {
	Name, State, Words string
	Headline           string // about its pools only
	Rules              []ruleWords
	Ways               []way
	Facts              []fact
	Shifts             []admin.Shift
	Pools              poolTable
	Answers            []answeredBy
	Explain            string // the command that explains an answer
}

func (x *policyScreen) means() (all []meaning) {
	for _, f := range x.Facts {
		all = append(all, meaning{f.Name, f.Explanation})
	}
	return all
}

type ruleWords struct {
	When, Then string
	Share      portion // of the policy's answers
}

type fact struct{ Name, Text, Explanation string }

// way is one order of pools that clients of a policy may have. It says who answers when all is well, and who answers
// now.
type way struct {
	Family    string
	Well, Now string
	Moved     bool
}

func (c *console) policy(r *http.Request, s *admin.Status) (string, any, error) {
	if _, err := pageOf(r); err != nil {
		return "", nil, err
	}
	name := strings.ToLower(strings.TrimSuffix(r.PathValue("name"), "."))
	state := c.State()
	var p *steer.Policy
	if state != nil {
		p = state.Snapshot.Policy(name)
	}
	if p == nil {
		return "", nil, &missing{fmt.Sprintf("There is no policy %q in service.", name)}
	}
	out := &policyScreen{Name: name, Ways: ways(state, p), Explain: c.ask("explain", name, "A", "--client",
		"192.0.2.1")}
	out.State, out.Words = c.policyState(state, s, p)
	if of, err := s.Narrow(name, poolNames(state, p.Pools())); err == nil {
		out.Headline, out.Shifts, out.Pools = of.Headline, of.Shifts, poolRows(of.Pools, nil)
	}
	source := p.Source()
	var rules map[int]portion
	out.Answers, rules = c.answersOf(s, name, poolNames(state, p.Pools()))
	for i := range source.Rules {
		rule := &source.Rules[i]
		out.Rules = append(out.Rules, ruleWords{steer.WhenWords(rule.When), ruleText(rule), rules[i]})
	}
	out.Facts = policyFacts(source, p)
	return name, out, nil
}

func policyFacts(source *zones.Policy, p *steer.Policy) []fact {
	pick := map[zones.Pick]string{
		zones.PickSticky: "by weight, the same for the same client's network", zones.PickAll: "all of them",
	}[source.Pick]
	if pick == "" {
		pick = "by weight, drawn for each query"
		if p.ByLoads() {
			pick = "by what they carry"
		}
	}
	down := "clients are answered as if all were healthy (fail open)"
	if says := p.WhenAllDown(); says != steer.SaysAddresses {
		down = "clients get " + says.String()
	}
	facts := []fact{
		{"TTL", fmt.Sprintf("%d s", p.TTL), "How long resolvers may keep an answer, and so how long clients may " +
			"stay after a failover."},
		{"Endpoints", fmt.Sprintf("at most %d a response, %s", p.Answers, pick), "How addresses are chosen within " +
			"the pool that answers."},
		{"With no pool", down, "The answer if no pool of a client's order is available " +
			"(whenAllDown)."},
	}
	if p.Spills() {
		facts = append(facts, fact{
			"When full", "a pool passes on what it has no capacity for",
			"spill: to the next pool in the client's order.",
		})
	}
	if source.Map != "" {
		facts = append(facts, fact{"Map", source.Map, "Its preferences come before the order of the rules."})
	}
	return facts
}

// ruleText says what a rule does.
func ruleText(r *zones.Rule) string {
	switch {
	case r.Answer != "":
		return "get " + strings.ToUpper(string(r.Answer))
	case len(r.Nearest) > 0:
		text := "go to the nearest of " + listed(r.Nearest, 40)
		for _, pool := range slices.Sorted(maps.Keys(r.Bias)) {
			by := int(r.Bias[pool])
			nearer := "nearer"
			if by < 0 {
				by, nearer = -by, "farther"
			}
			text += fmt.Sprintf("; %s counts as %d %% %s", pool, by, nearer)
		}
		return text
	}
	var steps []string
	for _, s := range r.Failover {
		var pools []string
		for _, p := range s.Pools {
			if len(s.Pools) > 1 {
				pools = append(pools, fmt.Sprintf("%s (weight %d)", p.Pool, p.Weight))
			} else {
				pools = append(pools, p.Pool)
			}
		}
		text := listed(pools, 40)
		if s.AtLeast > 0 {
			text += fmt.Sprintf(", if %v of the weight is available", s.AtLeast)
		}
		steps = append(steps, text)
	}
	return "go to " + strings.Join(steps, "; else to ")
}

// ways returns who answers, for each order of pools and each family of addresses.
func ways(state *answer.State, p *steer.Policy) (all []way) {
	for f, family := range []string{"A", "AAAA", "CNAME"} {
		for _, w := range p.Ways(state.View, steer.Family(f)) {
			x := way{Family: family, Well: listed(poolNames(state, w.Well), 5), Now: listed(poolNames(state, w.Now), 5)}
			x.Moved = w.Open || !slices.Equal(w.Well, w.Now)
			switch says := p.WhenAllDown(); {
			case w.Open && says == steer.SaysAddresses:
				x.Now += ", as if healthy"
			case w.Open:
				x.Now = says.String()
			}
			all = append(all, x)
		}
	}
	return all
}
