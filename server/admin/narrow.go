package admin

import (
	"fmt"
	"slices"
	"strings"

	"leeward/server/answer"
)

// Narrow returns the part of a status that concerns one target: a region, a pool, an endpoint ("www-eu/lb-1"), a
// server, a vantage, a transferred zone, or a steered name, whose pools the caller passes. If things of several kinds
// have the same name, all of them are meant; "region/eu-west", "pool/www-eu" and "endpoint/www-eu/lb-1" mean only one.
// The headline is that of what is left.
func (s *Status) Narrow(target string, pools []string) (*Status, error) {
	kind, name := "", target
	for _, k := range []string{"region", "pool", "endpoint"} {
		if rest, ok := strings.CutPrefix(target, k+"/"); ok {
			kind, name = k, rest
		}
	}
	is := func(k string) bool { return kind == "" || kind == k }
	out := &Status{
		Time: s.Time, Self: s.Self, Servers: []Server{}, Vantages: []Vantage{}, Regions: []Region{}, Pools: []Pool{},
		Endpoints: []Endpoint{}, Overrides: []Override{}, Planned: []Override{}, Shifts: []Shift{},
		Problems: []Problem{},
		Held:     []Held{}, Geo: nil, Moves: []Move{}, FailingOpen: []string{},
		Denied: []Denied{},
	}
	region := is("region") && slices.ContainsFunc(s.Regions, func(r Region) bool { return r.Region == name })
	endpoint := is("endpoint") && slices.ContainsFunc(s.Endpoints, func(e Endpoint) bool { return e.Endpoint == name })
	parent, _, _ := strings.Cut(name, "/")
	regions, has, ends := map[string]bool{}, map[string]bool{}, map[string]bool{}
	if region {
		regions[name] = true
	}
	for _, p := range s.Pools {
		if region && p.Region == name || is("pool") && p.Pool == name || endpoint && p.Pool == parent || kind == "" &&
			slices.Contains(pools, p.Pool) {
			out.Pools = append(out.Pools, p)
			has[p.Pool], regions[p.Region] = true, true
		}
	}
	for _, e := range s.Endpoints {
		if has[e.Pool] && (!endpoint || e.Endpoint == name || e.Pool != parent) {
			out.Endpoints = append(out.Endpoints, e)
			ends[e.Endpoint] = true
		}
	}
	for _, r := range s.Regions {
		if regions[r.Region] {
			out.Regions = append(out.Regions, r)
		}
	}
	for _, v := range s.Servers {
		if region && v.Region == name || kind == "" && v.ID == name {
			out.Servers = append(out.Servers, v)
		}
	}
	for _, v := range s.Vantages {
		if region && v.Region == name || kind == "" && v.ID == name {
			out.Vantages = append(out.Vantages, v)
		}
	}
	concerns := func(key string) bool { // key is a resource's key or an override's target
		k, n, _ := strings.Cut(key, "/")
		switch strings.TrimSuffix(k, "s") {
		case "region":
			return regions[n]
		case "pool":
			return has[n]
		case "endpoint":
			return ends[n]
		case "override":
			return false
		}
		return kind == "" && (n == name || strings.HasPrefix(n, name+"/"))
	}
	of := func(os []Override) []Override {
		return slices.DeleteFunc(slices.Clone(os), func(o Override) bool { return !concerns(o.Target) })
	}
	out.Overrides, out.Planned = append(out.Overrides, of(s.Overrides)...), append(out.Planned, of(s.Planned)...)
	for _, p := range s.Problems {
		if target, ok := strings.CutPrefix(p.Resource, "overrides/"); concerns(p.Resource) || ok && concerns(target) {
			out.Problems = append(out.Problems, p)
		}
	}
	for _, h := range s.Held {
		if concerns(h.Resource) {
			out.Held = append(out.Held, h)
		}
	}
	for _, x := range s.Shifts {
		if has[x.Pool] && (len(pools) == 0 || x.Policy == name) {
			out.Shifts = append(out.Shifts, x)
		}
	}
	for _, m := range s.Moves {
		if regions[m.From] {
			out.Moves = append(out.Moves, m)
		}
	}
	if kind == "" {
		for _, x := range s.Secondaries {
			if x.Zone == name {
				out.Secondaries = append(out.Secondaries, x)
			}
		}
		for _, x := range s.Following {
			if x.Zone == name {
				out.Following = append(out.Following, x)
			}
		}
		if s.Signing != nil {
			for _, z := range s.Signing.List {
				if z.Zone == name {
					out.Signing = &Signing{KeptError: s.Signing.KeptError}
					out.Signing.Add(z)
				}
			}
		}
		if slices.Contains(s.FailingOpen, name) {
			out.FailingOpen = []string{name}
		}
		for _, d := range s.Denied {
			if d.Policy == name {
				out.Denied = append(out.Denied, d)
			}
		}
	}
	if len(out.Regions)+len(out.Pools)+len(out.Servers)+len(out.Vantages)+len(out.Secondaries)+len(out.Following)+
		len(out.FailingOpen)+len(out.Denied) == 0 && out.Signing == nil {
		return nil, &answer.BadQuestion{Message: fmt.Sprintf("there is no region, pool, endpoint, server, vantage, "+
			"transferred or signed zone or steered name %q; "+
			"leeward status -o wide lists them", target)}
	}
	out.Headline = out.Say()
	if len(out.Pools) == 0 { // the target has no pools, so the headline must not speak of them
		h := headline{Status: out}
		h.expiry()
		if h.ailing(); len(h.sentences) == 0 && len(out.Servers) > 0 {
			h.add("%s follows its source.", out.Servers[0].ID)
		}
		out.Headline = strings.Join(h.sentences, " ")
	}
	return out, nil
}
