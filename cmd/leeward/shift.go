package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/screen"
	"leeward/health"
	"leeward/zones"
	"leeward/zones/steer"
	"leeward/zones/store"
)

func newShift(inv *invocation) *cobra.Command {
	var to []string
	var over, span time.Duration
	var at string
	var clear bool
	var f changeFlags
	cmd := &cobra.Command{
		Use:     "shift POLICY --to POOL=PERCENT…",
		Short:   "Move the weights of a policy's pools over time",
		GroupID: groupOperate,
		Args:    cobra.ExactArgs(1),
		Long: `Move the weights of a policy's pools to another level, evenly over a time, and
back at the end of --for. 100% is the weight as configured. Below 100% a pool
also keeps only this share of its own clients: a few percent keep a standby warm,
0% empties the pool. Above 100% its capacity counts as that much larger.

The shift is written into the policy's schedule, and servers carry it out by
themselves. A new shift removes those that are over; --clear removes all.`,
		Example: `  leeward shift www.example.test --to www-us=100% --over 1h
  leeward shift www.example.test --to www-us=150% --over 20m --at 22:00 --for 6h
  leeward shift www.example.test --to www-us=150%,www-eu=50% --over 20m
  leeward shift www.example.test --to www-new=5% --dry-run
  leeward shift www.example.test --clear`,
		RunE: func(cmd *cobra.Command, args []string) error {
			now := inv.now()
			from := now.Truncate(time.Second)
			switch given := cmd.Flags().Changed; {
			case clear && (len(to) > 0 || given("over") || given("at") || given("for")):
				return misused("--clear takes out all shifts; leave out --to, --over, --at and --for")
			case !clear && len(to) == 0:
				return misused("there is nothing to do: give --to POOL=PERCENT, or --clear")
			case given("for") && span < time.Second:
				return misused("--for %v: write 1s or more", span)
			case over < 0 || over%time.Second != 0:
				return misused("--over %v: write whole seconds, 0s or more", over)
			case span > 0 && 2*over > span:
				return misused("--over %s to get there and %[1]s to get back are longer than --for %s",
					screen.Span(over), screen.Span(span))
			case given("at"):
				var err error
				if from, err = parseWhen(at, now); err != nil {
					return err
				}
			}
			s := zones.Schedule{From: from.UTC(), Ramp: health.Duration(over), Weights: map[string]zones.Percent{}}
			if span > 0 {
				s.Until = s.From.Add(span).Truncate(time.Second)
			}
			for _, one := range to {
				pool, level, _ := strings.Cut(one, "=")
				var p zones.Percent
				if err := p.UnmarshalJSON(fmt.Appendf(nil, "%q", level)); err != nil || pool == "" {
					return misused("--to %q: write POOL=PERCENT, such as www-us=150%%", one)
				}
				if _, twice := s.Weights[pool]; twice {
					return misused("--to names %s twice", pool)
				}
				s.Weights[pool] = p
			}
			return inv.shift(cmd, args[0], s, f)
		},
	}
	inv.etcd.add(cmd.Flags())
	cmd.Flags().StringSliceVar(&to, "to", nil,
		"the level that a pool should reach, `POOL=PERCENT`; several with commas")
	cmd.Flags().DurationVar(&over, "over", 0, "move there, and back, evenly over this time (default: at once)")
	cmd.Flags().StringVar(&at, "at", "", "begin at `TIME` instead of now: "+whenHelp)
	cmd.Flags().DurationVar(&span, "for", 0, "how long, with both moves (default: for good)")
	cmd.Flags().BoolVar(&clear, "clear", false, "remove all shifts of the policy")
	f.add(cmd)
	inv.complete(cmd, func(n names, before []string) []string {
		if len(before) > 0 {
			return nil
		}
		return n.of(zones.KindPolicy)
	})
	return cmd
}

// shift adds a shift to a policy's schedule. A shift without weights takes out all.
func (inv *invocation) shift(cmd *cobra.Command, policy string, s zones.Schedule, f changeFlags) error {
	now := inv.now()
	shown := ""
	return inv.change(cmd.Context(), f, func(base *store.Listing) (proposal, error) {
		key := zones.KeyOf(zones.KindPolicy, strings.TrimSuffix(strings.ToLower(policy), "."))
		var out proposal
		var after *zones.Policy
		for _, c := range base.Changes {
			if c.Err != nil {
				if c.Key == key {
					return proposal{}, fmt.Errorf("%s cannot be read: %w; apply a correct one first", key, c.Err)
				}
				continue
			}
			d := zones.Document{Resource: c.Resource}
			if c.Key == key {
				p := *c.Resource.(*zones.Policy)
				if err := belong(&p, s); err != nil {
					return proposal{}, err
				}
				p.Schedule = reschedule(p.Schedule, s, now)
				after, d.Resource = &p, &p
			}
			out.docs = append(out.docs, d)
		}
		if after == nil {
			return proposal{}, absent([]zones.Key{key})
		}
		if len(s.Weights) > 0 { // --clear must be able to remove what is wrong
			for _, p := range zones.Validate(after) {
				if !p.Warning && strings.HasPrefix(p.Field, "schedule") {
					return proposal{}, fmt.Errorf("nothing was written: %s: %s", p.Field, p.Message)
				}
			}
		}
		if text := forecast(after, now, inv.page.Columns()); f.output == "table" && text != shown {
			inv.printf("%s", text)
			shown = text
		}
		return out, nil
	})
}

// belong refuses a shift of a pool that the policy does not have.
func belong(p *zones.Policy, s zones.Schedule) error {
	pools := p.PoolNames()
	for _, pool := range slices.Sorted(maps.Keys(s.Weights)) {
		if !slices.Contains(pools, pool) {
			return fmt.Errorf("nothing was written: %s has no pool %s; its pools are %s", p.Name, pool,
				strings.Join(slices.Compact(slices.Sorted(slices.Values(pools))), ", "))
		}
	}
	return nil
}

// reschedule returns a schedule with one more shift and without those that no longer matter: shifts that have ended,
// and shifts for good that a later one for good has replaced. A shift without weights takes out all.
func reschedule(old []zones.Schedule, s zones.Schedule, now time.Time) (all []zones.Schedule) {
	if len(s.Weights) == 0 {
		return nil
	}
	old = append(slices.Clone(old), s)
	for i, o := range old {
		if !o.Until.IsZero() && !now.Before(o.Until) {
			continue
		}
		left := maps.Clone(o.Weights)
		maps.DeleteFunc(left, func(pool string, _ zones.Percent) bool {
			return slices.ContainsFunc(old[i+1:], func(l zones.Schedule) bool {
				return replaces(l, o, pool, now,
					true)
			}) ||
				slices.ContainsFunc(old[:i], func(l zones.Schedule) bool { return replaces(l, o, pool, now, false) })
		})
		if len(left) > 0 {
			o.Weights = left
			all = append(all, o)
		}
	}
	return all
}

// replaces reports whether shift l of a pool has replaced o for good by now. If both begin at the same time, the later
// one in the schedule counts: after says whether that is l.
func replaces(l, o zones.Schedule, pool string, now time.Time, after bool) bool {
	_, same := l.Weights[pool]
	later := l.From.After(o.From) || after && l.From.Equal(o.From)
	return same && later && l.Until.IsZero() && !now.Before(l.From.Add(l.Ramp.Std()))
}

// forecast returns a table, so many columns wide, of the levels of a policy's pools now and at each step to come.
func forecast(p *zones.Policy, now time.Time, columns int) string {
	plans := steer.PlansOf(p)
	if len(plans) == 0 {
		return fmt.Sprintf("All pools of %s are at 100 %% of their weights.\n", p.Name)
	}
	times := []time.Time{now}
	heads := []string{"TIME"}
	for i := range plans {
		heads = append(heads, plans[i].Pool)
		for _, s := range plans[i].Steps(now) {
			if just := s.At.Add(-time.Second); s.From != s.Level && just.After(now) { // a jump: show both sides of it
				times = append(times, just)
			}
			times = append(times, s.At)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	times = slices.CompactFunc(times, time.Time.Equal)
	var b strings.Builder
	fmt.Fprintf(&b, "Levels of %s, moving evenly in between:\n", p.Name)
	t := &screen.Table{Heads: heads}
	for i, at := range times {
		cells := []string{"now"}
		if i > 0 {
			cells[0] = spoken(at, now)
		}
		for k := range plans {
			cells = append(cells, steer.Percent(plans[k].Level(at)))
		}
		t.AddTexts(cells...)
	}
	t.Write(screen.NewPageOf(&b, columns), false)
	return b.String()
}
