package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/zones/snapshot"
)

// wrong returns an error for a question that cannot be answered: 400.
func wrong(format string, args ...any) error {
	return &answer.BadQuestion{Message: fmt.Sprintf(format, args...)}
}

// explained is the form for an explanation, and the result.
type explained struct {
	Name, Type, Client string
	At                 string // as it was typed; "": now
	Past               bool   // the form can ask for a time in the past
	Types              []string
	Wrong              string // with the question
	Of                 *answer.Explanation
	Then               time.Time // the moment that was asked for; zero: now
	Query              string    // parameters that ask for the same moment later
	Command            string
}

// still reports that the page does not refresh by itself: the past does not change.
func (x *explained) still() bool { return x.At != "" }

// thenMost is how long an answer of the past may take.
const thenMost = 10 * time.Second

func (c *console) explain(r *http.Request, s *admin.Status) (string, any, error) {
	if _, err := pageOf(r, "name", "type", "client", "at"); err != nil {
		return "", nil, err
	}
	v := r.URL.Query()
	out := &explained{
		Name: v.Get("name"), Type: v.Get("type"), Client: v.Get("client"),
		At: strings.TrimSpace(v.Get("at")), Past: c.ExplainAt != nil,
		Types: []string{"A", "AAAA", "CNAME", "TXT", "MX", "NS", "SOA", "SRV", "CAA", "HTTPS"},
	}
	if out.Type == "" {
		out.Type = "A"
	}
	if !slices.Contains(out.Types, out.Type) {
		out.Types = append(out.Types, out.Type)
	}
	title := "Explain"
	if out.Name == "" && out.Client == "" {
		return title, out, nil
	}
	words := []string{"explain", out.Name, out.Type, "--client", out.Client}
	var e *answer.Explanation
	var err error
	if out.At == "" {
		e, err = c.Explain(out.Name, out.Type, out.Client)
	} else {
		e, err = c.explainThen(r, s, out)
		stamp := out.Then.UTC().Format(time.RFC3339Nano)
		words = append(words, "--at", stamp)
		v.Set("at", stamp)
		out.Query = v.Encode()
	}
	if busy := (*busyError)(nil); errors.As(err, &busy) {
		return "", nil, err
	}
	if err != nil {
		out.Wrong = err.Error()
		return title, out, nil
	}
	out.Of = e
	out.Command = c.ask(words...)
	return out.Name + " " + out.Type, out, nil
}

// explainThen asks about a time in the past. Making that moment again reads up to a day's history, so such requests
// take turns with simulations.
func (c *console) explainThen(r *http.Request, s *admin.Status, out *explained) (*answer.Explanation, error) {
	if c.ExplainAt == nil {
		return nil, wrong("This process keeps no record of past answers: leave the time out to ask about now.")
	}
	var err error
	if out.Then, err = admin.ReadPast("at", out.At, s.Time.UTC()); err != nil {
		return nil, err
	}
	leave, err := c.turn(r, c.turns.enter)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, stop := context.WithTimeoutCause(r.Context(), thenMost,
		fmt.Errorf("it was not worked out within %v; leeward explain --at waits for longer", thenMost))
	defer stop()
	e, err := c.ExplainAt(ctx, out.Then, out.Name, out.Type, out.Client)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return e, err
}

// problemList is what is wrong with resources, and what waits for an operator's decision.
type problemList struct {
	Cases []trouble
	Pager
	Held, Problems int
}

func (c *console) problemList(r *http.Request, s *admin.Status) (string, any, error) {
	from, err := pageOf(r)
	if err != nil {
		return "", nil, err
	}
	out := &problemList{Pager: pager(from, len(s.Held)+len(s.Problems)), Held: len(s.Held), Problems: len(s.Problems)}
	part := *s
	begin, end := min(out.From, len(s.Problems)), min(out.To, len(s.Problems))
	part.Problems = s.Problems[begin:end]
	part.Held = s.Held[max(0, out.From-len(s.Problems)):max(0, out.To-len(s.Problems))]
	out.Cases = append(c.problems(&part, perPage), c.held(&part, perPage)...)
	return "Problems and held changes", out, nil
}

// zoneList lists the zones.
type zoneList struct {
	Rows []zoneRow
	Pager
	Secondaries []admin.Secondary
	Time        time.Time
	Signed      bool // any of the rows is
}

type zoneRow struct {
	Zone          string
	Serial        uint32
	Names         int
	State, Words  string
	Allow, Notify string
	Signed        *signedRow // nil: it is not signed
}

// signedRow says until when a zone's signatures hold, which keys it has, and how it stands with the parent.
type signedRow struct{ State, Words, Keys, Parent string }

// signed makes the row of a signed zone.
func signed(z *admin.SignedZone, now time.Time) *signedRow {
	row := &signedRow{State: "up", Words: "hold"}
	switch {
	case !z.Well():
		row.State, row.Words = "note", z.Words(now)
	case z.Expires != nil:
		row.Words = "hold for " + admin.Age(z.Expires.Sub(now).Seconds())
	}
	var keys []string
	for _, k := range z.Keys {
		keys = append(keys, fmt.Sprintf("%d %s", k.Tag, k.State))
	}
	if row.Keys = listed(keys, 4); z.Parent != nil {
		row.Parent = z.Parent.Words(now)
	}
	return row
}

func (c *console) zoneList(r *http.Request, s *admin.Status) (string, any, error) {
	from, err := pageOf(r)
	if err != nil {
		return "", nil, err
	}
	out := &zoneList{Time: s.Time, Secondaries: s.Secondaries[:min(len(s.Secondaries), perPage)]}
	var all []*snapshot.Zone
	if state := c.State(); state != nil {
		state.Snapshot.EachZone(func(z *snapshot.Zone) bool {
			all = append(all, z)
			return true
		})
	}
	slices.SortFunc(all, func(a, b *snapshot.Zone) int {
		return strings.Compare(a.Origin().String(),
			b.Origin().String())
	})
	out.Pager = pager(from, len(all))
	follows := map[string]*admin.Following{}
	for i := range s.Following {
		follows[s.Following[i].Zone] = &s.Following[i]
	}
	signs := map[string]*admin.SignedZone{}
	if s.Signing != nil {
		for i := range s.Signing.List {
			signs[s.Signing.List[i].Zone] = &s.Signing.List[i]
		}
	}
	for _, z := range all[out.From:out.To] {
		name := strings.TrimSuffix(z.Origin().String(), ".")
		row := zoneRow{Zone: name, Serial: z.Serial(), Names: z.Names(), State: "up", Words: "lives here"}
		if x := signs[name]; x != nil {
			row.Signed, out.Signed = signed(x, s.Time), true
		}
		if x := follows[name]; x != nil {
			row.Words = "from " + listed(x.Primaries, 3) + ": " + x.State
			if x.Expires != nil {
				row.Words += ", expires " + x.Expires.UTC().Format("2006-01-02 15:04 UTC")
			}
			if x.State != "current" {
				row.State = "part"
			}
			if x.State == "expired" {
				row.State = "out"
			}
			if x.Error != "" {
				row.Words += "; " + x.Error
			}
		}
		if t := z.Transfer(); t != nil {
			row.Allow, row.Notify = listed(t.Allow, 5), listed(t.Notify, 5)
		}
		out.Rows = append(out.Rows, row)
	}
	return "Zones and transfers", out, nil
}

// fleet lists the servers and vantages.
type fleet struct {
	Servers  []serverRow
	Vantages []vantageRow
}

type serverRow struct {
	admin.Server
	State, Words, Link string
}

type vantageRow struct {
	admin.Vantage
	State, Words string
}

func (c *console) fleet(r *http.Request, s *admin.Status) (string, any, error) {
	if _, err := pageOf(r); err != nil {
		return "", nil, err
	}
	out := &fleet{}
	for _, v := range slices.Concat(s.Servers, s.Signers) {
		row := serverRow{Server: v, State: "up", Words: v.Source.State, Link: c.other(v.Admin)}
		if v.ID == c.ID {
			row.Link = "/"
		}
		switch {
		case !v.Fresh:
			row.State, row.Words = "out", "not heard of"
		case v.Source.State != "following":
			row.State, row.Words = "part", v.Source.State+" since "+since(v.Source.Since, s.Time)
		case v.CopyError != "":
			row.State, row.Words = "part", "following; the copy on disk is not kept: "+v.CopyError
		case v.Written.Trouble() != "":
			row.State, row.Words = "part", "signs for others; "+v.Written.Trouble()
		case v.Signs:
			row.Words = "signs for others, " + row.Words
		}
		out.Servers = append(out.Servers, row)
	}
	for _, v := range s.Vantages {
		row := vantageRow{Vantage: v, State: "up", Words: "votes"}
		switch {
		case !v.Fresh:
			row.State, row.Words = "out", "stale: moved "+admin.Age(v.AgeSeconds)+" ago"
		case v.Blind:
			row.State, row.Words = "part", "blind, abstains"
			if len(v.BlindTo) > 0 {
				row.Words = "blind to " + listed(v.BlindTo, 2) + ", abstains there"
			}
		}
		out.Vantages = append(out.Vantages, row)
	}
	return "Servers and vantages", out, nil
}

// poolList lists all pools.
type poolList struct {
	Query string
	Rows  poolTable
	Pager
}

func (c *console) poolList(r *http.Request, s *admin.Status) (string, any, error) {
	from, err := pageOf(r, "q")
	if err != nil {
		return "", nil, err
	}
	out := &poolList{Query: strings.TrimSpace(r.URL.Query().Get("q"))}
	pools := s.Pools
	if q := out.Query; q != "" {
		has := func(p *admin.Pool) bool { return strings.Contains(p.Pool, q) || strings.Contains(p.Region, q) }
		if address, err := netip.ParseAddr(q); err == nil {
			of := poolsWith(s, address.Unmap())
			has = func(p *admin.Pool) bool { return of[p.Pool] }
		}
		pools = slices.DeleteFunc(slices.Clone(pools), func(p admin.Pool) bool { return !has(&p) })
	}
	out.Pager = pager(from, len(pools))
	out.Pager.Query = out.Query
	out.Rows = poolRows(pools[out.From:out.To], c.shares(s))
	return "Pools", out, nil
}

// poolsWith returns the pools that have an endpoint with this address.
func poolsWith(s *admin.Status, address netip.Addr) map[string]bool {
	of := map[string]bool{}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		if slices.ContainsFunc(e.Addresses, func(a admin.Address) bool { return a.Address == address }) {
			of[e.Pool] = true
		}
	}
	return of
}
