package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/control"
	"leeward/cmd/leeward/screen"
	"leeward/zones"
	"leeward/zones/store"
)

func newDrain(inv *invocation) *cobra.Command {
	var span, over time.Duration
	var at, reason, output string
	var f changeFlags
	cmd := &cobra.Command{
		Use: "drain region/REGION|pool/POOL|endpoint/POOL/ENDPOINT", Short: "Take a region, a pool or an endpoint " +
			"out of answers",
		GroupID: groupOperate, Args: cobra.ExactArgs(1),
		Long: `Take a region, a pool or an endpoint out of the answers, whatever its health,
until you restore it or --for is over. With --at the drain begins at that time by
itself; leeward status shows it until then, and leeward restore cancels it.

Drain first shows what the other pools would carry, and how near that is to their
capacity if loads are measured. It needs --force if a pool would be above its
max, or if the clients of a policy or of one of its rules would have no other
pool.`,
		Example: `  leeward drain region/eu-west --for 1h --reason "network maintenance"
  leeward drain region/eu-west --at 22:00 --for 1h    # tonight, local time
  leeward drain region/eu-west --over 5m              # bit by bit
  leeward drain pool/www-eu --at 2026-12-24T08:00:00+01:00
  leeward drain pool/www-eu --dry-run
  leeward drain endpoint/www-eu/lb-1`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("for") && span < time.Second {
				return misused("--for %v: write 1s or more", span)
			}
			target, err := parseTarget(args[0])
			if err != nil {
				return err
			}
			if over < 0 || over%time.Second != 0 {
				return misused("--over %v: write whole seconds, 0s or more", over)
			}
			if over > 0 && strings.HasPrefix(target, "endpoint/") {
				return misused("--over: an endpoint is drained at once; drain its pool, or leave --over out")
			}
			if span > 0 && 2*over > span {
				return misused("--over %s to lose its clients and %[1]s to get them back are longer than --for %s",
					screen.Span(over), screen.Span(span))
			}
			var from time.Time // zero: as it is written
			if cmd.Flags().Changed("at") {
				if from, err = parseWhen(at, inv.now()); err != nil {
					return err
				}
			}
			o := &zones.Override{Target: target, State: zones.Drain, Reason: reason, Ramp: zones.Duration(over)}
			set := func() {
				begin := from
				if begin.IsZero() {
					begin = inv.now()
				}
				if !from.IsZero() || over > 0 {
					begin = begin.UTC().Truncate(time.Second)
					o.From = &begin
				}
				if span > 0 {
					end := begin.Add(span).UTC().Truncate(time.Second)
					o.Until = &end
				}
			}
			set()
			f.output = "json"
			return inv.drain(cmd.Context(), o, set, f, output == "table")
		},
	}
	inv.etcd.add(cmd.Flags())
	cmd.Flags().DurationVar(&span, "for", 0, "how long (default: until it is restored)")
	cmd.Flags().DurationVar(&over, "over", 0,
		"move its clients away, and later back, evenly over this time (default: at once)")
	cmd.Flags().StringVar(&at, "at", "", "begin at `TIME` instead of now: "+whenHelp)
	cmd.Flags().StringVar(&reason, "reason", "", "the reason, for others to read")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only show what the other pools would carry")
	cmd.Flags().BoolVar(&f.force, "force", false,
		"go on even if clients have no other pool, or a pool would be above its max")
	addOutput(cmd, &output, "table", "json")
	inv.complete(cmd, targets)
	return cmd
}

// parseTarget checks the target of an override: "region/eu-west".
func parseTarget(s string) (string, error) {
	kind, name, ok := strings.Cut(s, "/")
	parts := strings.Count(name, "/") + 1
	switch {
	case ok && name != "" && parts == 1 && (kind == "region" || kind == "pool"),
		ok && parts == 2 && kind == "endpoint" && !strings.HasPrefix(name, "/") && !strings.HasSuffix(name, "/"):
		return s, nil
	}
	return "", misused("%q is no target; write region/REGION, pool/POOL or endpoint/POOL/ENDPOINT", s)
}

// subject returns the key of a target.
func subject(target string) zones.Key {
	word, name, _ := strings.Cut(target, "/")
	switch word {
	case "region":
		return zones.KeyOf(zones.KindRegion, name)
	case "pool":
		return zones.KeyOf(zones.KindPool, name)
	}
	return zones.KeyOf(zones.KindEndpoint, name)
}

// drain previews a drain and writes it. set sets the times that are counted from the moment of writing.
func (inv *invocation) drain(ctx context.Context, o *zones.Override, set func(), f changeFlags, show bool) error {
	target := o.Target
	e, err := inv.dial()
	if err != nil {
		return err
	}
	defer e.Close()
	if _, err := e.List(ctx, zones.KindRegion); err != nil {
		return err // at once and with the reason, not after the observer's patience
	}
	observer, err := inv.settled(ctx)
	if err != nil {
		return err
	}
	defer observer.Close()
	status, err := observer.Status(ctx)
	if err != nil {
		return err
	}
	shown := false
	var foretold *preview
	plan := func(base *store.Listing) (store.Plan, error) {
		if _, missing := selected(base.Changes, []zones.Key{subject(target)}); len(missing) > 0 {
			return store.Plan{}, absent(missing)
		}
		loads := carry(base.Resources(), o, status, inv.now())
		if show && !shown {
			inv.loads(target, loads)
			shown = true
		}
		var alone []string
		for _, l := range loads {
			if l.left == 0 {
				alone = append(alone, l.policy)
			}
		}
		if foretold == nil {
			q := control.Question{Down: []string{target}, Word: zones.Drain}
			if o.From != nil {
				q.At = *o.From
			}
			foretold = inv.preview(ctx, observer, q, show)
		}
		if len(alone) > 0 && !f.force {
			return store.Plan{}, fmt.Errorf("nothing was written: without %s, %s would have no healthy endpoint in "+
				"another pool; "+
				"restore or add one, or use --force (answers will be as if nothing were drained)",
				target, strings.Join(alone, ", "))
		}
		if err := foretold.refused(f.force); err != nil {
			return store.Plan{}, err
		}
		set()
		p := store.Plan{By: inv.who(), Edits: []zones.Edit{{Key: o.Key(), New: o}}}
		for _, c := range base.Changes {
			if c.Key == o.Key() {
				p.Edits[0].Old = c.Resource
			}
		}
		if was, ok := p.Edits[0].Old.(*zones.Override); ok && !f.force {
			if err := inv.supersedes(o, was); err != nil {
				return store.Plan{}, err
			}
		}
		if o.Until != nil { // etcd deletes it when it is over
			p.Leases = map[zones.Key]time.Duration{o.Key(): max(o.Until.Sub(inv.now()), time.Second)}
		}
		return p, nil
	}
	last := outcome{edits: []zones.Edit{{Key: o.Key(), New: o}}, dryRun: f.dryRun}
	if f.dryRun {
		if last.revision, err = dryRun(ctx, e, plan); err != nil {
			return err
		}
	} else {
		done, err := e.Change(ctx, plan)
		if err != nil {
			return err
		}
		last.revision = done.Revision
	}
	last.forecast = foretold.forecast()
	switch {
	case !show:
		return last.json(inv.out)
	case f.dryRun:
		inv.printf("Nothing was written: this was a dry run.\n")
	case o.From != nil && o.From.After(inv.now()):
		inv.printf("Drain of %s is planned %s, revision %d.\nTo take it back: leeward restore %s\n",
			target, ahead(o.From, o.Until, inv.now()), last.revision, target)
	case o.Until != nil:
		inv.printf("%s is drained until %s, revision %d. Before that: leeward restore %s\n", target,
			o.Until.Format(time.RFC3339), last.revision, target)
	default:
		inv.printf("%s is drained, revision %d. To take it back: leeward restore %s\n", target, last.revision, target)
	}
	return nil
}

// supersedes refuses a drain that begins later if it would end another override of the target now: a target has one
// override, so that the new one replaces the old at once.
func (inv *invocation) supersedes(o, was *zones.Override) error {
	now := inv.now()
	if o.From == nil || was.Until != nil && !now.Before(*was.Until) {
		return nil
	}
	if was.From != nil && now.Before(*was.From) {
		if was.Until == nil || o.From.Before(*was.Until) {
			return nil // one plan replaces another
		}
		return fmt.Errorf("nothing was written: %s of %s is planned %s already, and a target has one override; "+
			"leeward restore %s takes it back, --force replaces it", was.State, o.Target, ahead(was.From, was.Until,
			now), o.Target)
	}
	return fmt.Errorf("nothing was written: %s has the override %s now, which this one would end at once; "+
		"leeward restore %s first, or --force", o.Target, was.State, o.Target)
}
