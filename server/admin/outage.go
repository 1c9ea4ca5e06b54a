package admin

import "slices"

// Outage is a region or a pool that is not in the answers, because of its health or an operator's override.
type Outage struct {
	Target string // as an override names it: "region/us-east", "pool/www-us"
	Name   string
	// Why says how, since when and by whose votes: "out since 02:14 UTC (3 of 3 vantages: connection refused)", or
	// "drained until 03:00 UTC (kernel)".
	Why   string
	Meant bool     // an operator took it out
	To    []string // regions that its clients go to, most first; for a pool, clients of its whole region
}

// Outages returns the regions that are out, then the pools that are out in other regions, both sorted by name. It uses
// the words of the headline.
func (s *Status) Outages() (all []Outage) {
	h := headline{Status: s}
	to := func(region string) []string {
		for _, m := range s.Moves {
			if m.From == region {
				return m.To
			}
		}
		return nil
	}
	regions, pools := s.out()
	for i, c := range h.causes("region", regions) {
		target := "region/" + regions[i]
		all = append(all, Outage{
			Target: target, Name: regions[i], To: to(regions[i]), Meant: c.meant != "", Why: c.words(s.Time),
		})
	}
	names := make([]string, len(pools))
	for i, p := range pools {
		names[i] = p.Pool
	}
	for i, c := range h.causes("pool", names) {
		all = append(all, Outage{
			Target: "pool/" + names[i], Name: names[i], To: to(pools[i].Region), Meant: c.meant != "",
			Why: c.words(s.Time),
		})
	}
	return all
}

// out returns the regions of which no pool answers, and the pools of other regions that do not answer.
func (s *Status) out() (regions []string, pools []*Pool) {
	for _, r := range s.Regions {
		if r.Pools > 0 && r.Available == 0 {
			regions = append(regions, r.Region)
		}
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		any := p.IPv4.Total+p.IPv6.Total+p.Names.Total > 0
		if any && !p.IPv4.Available && !p.IPv6.Available && !p.Names.Available && !slices.Contains(regions, p.Region) {
			pools = append(pools, p)
		}
	}
	return regions, pools
}
