package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"leeward/cmd/leeward/screen"
	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/steer"
)

// printResources prints resources as -o asks. A table has a column for owners where any resource has one.
func (inv *invocation) printResources(output string, rs []zones.Resource, owners map[zones.Key]string) error {
	switch output {
	case "json":
		return document.WriteJSON(inv.out, rs)
	case "yaml":
		return document.WriteYAML(inv.out, rs)
	}
	inv.resources(rs, owners)
	return nil
}

// resources prints a table for each kind of resource.
func (inv *invocation) resources(rs []zones.Resource, owners map[zones.Key]string) {
	if len(rs) == 0 {
		fmt.Fprintln(inv.told, "There are no such resources.")
		return
	}
	byKind := map[zones.Kind][]zones.Resource{}
	for _, r := range rs {
		byKind[r.Key().Kind()] = append(byKind[r.Key().Kind()], r)
	}
	first := true
	for _, kind := range zones.Kinds {
		if len(byKind[kind]) == 0 {
			continue
		}
		if !first {
			inv.printf("\n")
		}
		first = false
		t := &screen.Table{}
		owned := slices.ContainsFunc(byKind[kind], func(r zones.Resource) bool { return owners[r.Key()] != "" })
		planned := slices.ContainsFunc(byKind[kind], func(r zones.Resource) bool { return shifted(r, inv.now()) != "" })
		inherits := slices.ContainsFunc(byKind[kind], func(r zones.Resource) bool {
			return len(zones.Inherited(r)) > 0
		})
		line := func(cells []string, inherited, plan, owner string) {
			if inherits {
				cells = append(cells, inherited)
			}
			if planned {
				cells = append(cells, plan)
			}
			if owned {
				cells = append(cells, owner)
			}
			t.AddTexts(cells...)
		}
		line(columns(kind), "FROM DEFAULTS", "PLANNED", "OWNER")
		for _, r := range byKind[kind] {
			line(cells(r, inv.now()), strings.Join(zones.Inherited(r), ","), shifted(r, inv.now()), owners[r.Key()])
		}
		inv.table(t)
	}
}

// shifted says what a policy's schedule does to its pools now and later; "" if it is over.
func shifted(r zones.Resource, now time.Time) string {
	p, ok := r.(*zones.Policy)
	if !ok {
		return ""
	}
	var texts []string
	for _, plan := range steer.PlansOf(p) {
		if text := plan.Words(now); text != "" {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, "; ")
}

// columns returns the headings of a kind's table.
func columns(kind zones.Kind) []string {
	switch kind {
	case zones.KindZone:
		return []string{"ZONE", "NAMESERVERS", "TTL"}
	case zones.KindRecord:
		return []string{"RECORD", "TTL", "DATA"}
	case zones.KindRegion:
		return []string{"REGION", "LATITUDE", "LONGITUDE"}
	case zones.KindMonitor:
		return []string{"MONITOR", "CHECK", "INTERVAL", "TIMEOUT", "FALL", "RISE", "QUORUM"}
	case zones.KindMap:
		return []string{"MAP", "PREFIXES"}
	case zones.KindDefaults:
		return []string{"DEFAULTS", "VALUES"}
	case zones.KindPool:
		return []string{"POOL", "REGION", "MONITOR", "MIN HEALTHY"}
	case zones.KindEndpoint:
		return []string{"ENDPOINT", "ADDRESSES", "WEIGHT"}
	case zones.KindPolicy:
		return []string{"POLICY", "TTL", "PICK", "ANSWERS", "RULES"}
	default:
		return []string{"OVERRIDE", "STATE", "UNTIL", "REASON"}
	}
}

// cells returns the cells of a resource under the headings of columns, as of now.
func cells(r zones.Resource, now time.Time) []string {
	dash := func(s string) string {
		if s == "" {
			return "-"
		}
		return s
	}
	degrees := func(f *float64) string {
		if f == nil {
			return "-"
		}
		return fmt.Sprint(*f)
	}
	switch r := r.(type) {
	case *zones.Zone:
		return []string{r.Origin, dash(strings.Join(r.Nameservers, ",")), screen.Span(r.TTL.Or(zones.DefaultTTL))}
	case *zones.Record:
		return []string{r.Key().Name(), dash(ttl(r.TTL)), strings.Join(r.Data, " | ")}
	case *zones.Region:
		return []string{r.Region, degrees(r.Latitude), degrees(r.Longitude)}
	case *zones.Monitor:
		return []string{
			r.Name, r.Check(), screen.Span(r.EffectiveInterval()), screen.Span(r.EffectiveTimeout()),
			fmt.Sprint(r.EffectiveFall()), fmt.Sprint(r.EffectiveRise()), r.Quorum.String(),
		}
	case *zones.Map:
		return []string{r.Map, fmt.Sprint(len(r.Prefixes))}
	case *zones.Defaults:
		return []string{string(r.For), strings.Join(zones.GivenValues(r), ", ")}
	case *zones.Pool:
		least := "-"
		if !r.MinHealthy.IsZero() {
			least = r.MinHealthy.String()
		}
		return []string{r.Pool, r.Region, dash(r.Monitor), least}
	case *zones.Endpoint:
		var addresses []string
		for _, a := range r.Addresses {
			addresses = append(addresses, a.String())
		}
		if r.Hostname != "" {
			addresses = append(addresses, r.Hostname)
		}
		return []string{r.ID(), dash(strings.Join(addresses, ",")), fmt.Sprint(r.EffectiveWeight())}
	case *zones.Policy:
		pick := r.Pick
		if pick == "" {
			pick = zones.PickWeighted
		}
		return []string{
			r.Name, screen.Span(r.TTL.Or(zones.DefaultPolicyTTL)), string(pick),
			fmt.Sprint(max(r.Answers, 1)), rules(r),
		}
	case *zones.Override:
		state, until := string(r.State), "-"
		if r.Drill {
			state = "drill"
		}
		if r.From != nil && now.Before(*r.From) {
			state += " from " + r.From.UTC().Format(time.RFC3339) + ", in " + screen.AboutBetween(now, *r.From)
		}
		if r.Until != nil {
			until = r.Until.UTC().Format(time.RFC3339)
			if !now.Before(*r.Until) {
				until += " (ended)"
			}
		}
		return []string{r.Target, state, until, dash(r.Reason)}
	}
	return []string{r.Key().Name()}
}

// rules abbreviates a policy's rules: "failover www-eu,www-us; nearest www-eu,www-us". A step that needs a part of its
// weight has that behind it: "failover stable+canary≥50%,us".
func rules(p *zones.Policy) string {
	var all []string
	for _, rule := range p.Rules {
		word, order := "nearest", slices.Clone(rule.Nearest)
		if len(rule.Failover) > 0 {
			word = "failover"
			for _, step := range rule.Failover {
				var names []string
				for _, w := range step.Pools {
					names = append(names, w.Pool)
				}
				text := strings.Join(names, "+")
				if step.AtLeast != 0 {
					text += "≥" + step.AtLeast.String()
				}
				order = append(order, text)
			}
		}
		text := word + " " + strings.Join(order, ",")
		if rule.Answer != "" {
			text = "answer " + string(rule.Answer)
		}
		if rule.When != nil {
			text = "when … " + text
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

func ttl(t zones.TTL) string {
	if t.IsZero() {
		return ""
	}
	return screen.Span(t.Or(0))
}
