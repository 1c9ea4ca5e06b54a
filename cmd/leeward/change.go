package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/control"
	"leeward/cmd/leeward/process"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
	"leeward/zones/etcd"
	"leeward/zones/store"
)

// changeFlags are those of every verb that writes resources.
type changeFlags struct {
	dryRun, force bool
	output        string
	wait          time.Duration // for servers; 0: not
	question      string        // what is asked before anything is written; "": nothing
	simulate      bool          // where clients would go is worked out first
}

func (f *changeFlags) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.wait, "wait", 0,
		"wait until all servers answer with the change, `TIME` at most, and say which do (30s without a value)")
	cmd.Flags().Lookup("wait").NoOptDefVal = "30s"
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what would change, and write nothing")
	cmd.Flags().BoolVar(&f.force, "force", false,
		"go on even if a policy loses its last answer, much is pruned, or something has another owner")
	addOutput(cmd, &f.output, "table", "json")
}

// proposal is what a verb wants the resources to become.
type proposal struct {
	docs      []zones.Document // all resources afterwards; those from files know their positions
	onPurpose string
	leases    map[zones.Key]time.Duration
	gone      []zones.Key // to be deleted although their values cannot be read
	pruned    pruning     // what --prune deletes of all this
	claim     *claim      // who owns what is written; nil: nobody
}

// change is how every verb writes: list what there is, propose, show the difference, validate the result, commit. If
// somebody else wrote meanwhile, it begins again.
//
//	list ─▶ propose ─▶ diff ─▶ validate ─▶ simulate ─▶ owners ─▶ prune? ─▶ commit ─▶ wait
//	  ▲                                                                      │
//	  └──────────────────────────── conflict ────────────────────────────────┘
func (inv *invocation) change(ctx context.Context, f changeFlags, propose func(*store.Listing) (proposal,
	error),
) error {
	if f.wait < 0 || f.wait > 0 && f.dryRun {
		return misused("--wait %v: it is more than 0, and a dry run has nothing to wait for", f.wait)
	}
	e, err := inv.dial()
	if err != nil {
		return err
	}
	defer e.Close()
	var observer *process.Observer
	if f.simulate {
		if observer, err = inv.settled(ctx); err != nil {
			return err
		}
		defer observer.Close()
	}
	var shown string
	var asked bool // whether the operator has agreed to what is shown
	var last outcome
	newest := int64(0) // revision of a resource; etcd's own grows with every heartbeat
	plan := func(base *store.Listing) (store.Plan, error) {
		for _, c := range base.Changes {
			newest = max(newest, c.Revision)
		}
		p, err := propose(base)
		if err != nil {
			return store.Plan{}, err
		}
		edits, unchanged := zones.Diff(base.Resources(), zones.Resources(p.docs))
		last = outcome{
			edits: edits, gone: p.gone, unchanged: unchanged, dryRun: f.dryRun, claim: p.claim,
			follow: zones.Follow(base.Resources(), zones.Resources(p.docs)),
		}
		if f.output == "table" {
			text, err := last.diff(inv.colour(inv.out))
			if err != nil {
				return store.Plan{}, err
			}
			if shown != "" && shown != text {
				inv.printf("Somebody else has changed resources in the meantime. This remains to be done:\n")
			}
			if shown != text {
				inv.printf("%s", text)
			}
			asked = asked && shown == text
			shown = text
		} else if shown == "" { // JSON comes last; what is deleted is said before that
			for _, k := range p.pruned.keys {
				fmt.Fprintf(inv.told, "- %s\n", k)
			}
			shown = "said"
		}
		if err := inv.validate(base, p, f.force); err != nil {
			return store.Plan{}, err
		}
		if f.simulate {
			foretold := inv.preview(ctx, observer, control.Question{Change: afterwards(p.docs)}, f.output == "table")
			last.forecast = foretold.forecast()
			if err := foretold.refused(f.force); err != nil {
				return store.Plan{}, err
			}
		}
		if err := p.claim.allow(inv, f.force); err != nil {
			return store.Plan{}, err
		}
		if !asked {
			if err := p.pruned.allow(inv, base, f); err != nil {
				return store.Plan{}, err
			}
			if f.question != "" && !f.dryRun && len(edits) > 0 {
				if !terminal(inv.in) {
					return store.Plan{}, errors.New("nothing was written: there is nobody to ask; add --yes")
				}
				if err := inv.confirm(f.question); err != nil {
					return store.Plan{}, err
				}
			}
			asked = true
		}
		for _, k := range p.gone {
			edits = append(edits, zones.Edit{Key: k})
		}
		plan := store.Plan{
			Edits: edits, OnPurpose: p.onPurpose, By: inv.who(), Leases: p.leases, Progress: inv.progress("Writing"),
		}
		if p.claim != nil {
			plan.Owners = p.claim.marks
		}
		return plan, nil
	}
	if f.dryRun {
		if last.revision, err = dryRun(ctx, e, plan); err != nil {
			return err
		}
		return inv.conclude(f, last)
	}
	done, err := e.Change(ctx, plan)
	if err != nil {
		if errors.Is(err, etcd.ErrConflict) {
			err = fmt.Errorf("%w; run it again", err)
		}
		return err
	}
	last.revision = done.Revision
	last.written = len(done.Keys)
	if f.wait > 0 {
		newest = max(newest, done.Resources) // servers do not read marks of owners
		if last.serving, err = inv.served(ctx, newest, f.wait); err != nil {
			return fmt.Errorf("written at revision %d, but nobody knows who serves it: %w", done.Revision, err)
		}
	}
	return inv.conclude(f, last)
}

// dryRun makes a plan without carrying it out. It returns the revision that the plan is for.
func dryRun(ctx context.Context, e *store.Store, plan func(*store.Listing) (store.Plan, error)) (int64, error) {
	base, err := e.List(ctx)
	if err != nil {
		return 0, err
	}
	_, err = plan(base)
	return base.Revision, err
}

// outcome is what a change has done or, in a dry run, would do.
type outcome struct {
	edits     []zones.Edit
	follow    []zones.Edit // of what inherits other values, and stays as it is written
	gone      []zones.Key
	unchanged int
	revision  int64
	written   int
	dryRun    bool
	claim     *claim
	serving   *serving // nil: without --wait

	forecast *control.Forecast // nil: without --simulate, or no load is measured
}

func (o outcome) diff(colour bool) (string, error) {
	var b strings.Builder
	if err := document.PrintDiff(&b, o.edits, o.unchanged, colour); err != nil {
		return "", err
	}
	printFollow(&b, o.follow)
	for _, k := range o.gone {
		fmt.Fprintf(&b, "- %s (its value cannot be read)\n", k)
	}
	if o.claim != nil && o.claim.nobody > 0 {
		fmt.Fprintf(&b, "%s, which belonged to nobody, to %s\n", count(o.claim.nobody, "resource goes", "resources go"),
			o.claim.owner)
	}
	return b.String(), nil
}

// mostFollow is how many resources that a Defaults changes are named.
const mostFollow = 10

// printFollow says which resources change because a Defaults does.
func printFollow(w io.Writer, follow []zones.Edit) {
	by := map[zones.Kind][]string{}
	for _, e := range follow {
		by[e.Key.Kind()] = append(by[e.Key.Kind()], e.Key.Name())
	}
	for _, kind := range zones.Kinds {
		names := by[kind]
		if n := len(names); n > mostFollow {
			names = append(names[:mostFollow:mostFollow], fmt.Sprintf("and %d more", n-mostFollow))
		}
		if len(names) > 0 {
			fmt.Fprintf(w, "Defaults %s changes %s of that kind: %s\n", kind, count(len(by[kind]), "resource"),
				strings.Join(names, ", "))
		}
	}
}

func (inv *invocation) conclude(f changeFlags, o outcome) error {
	if f.output == "json" {
		if err := o.json(inv.out); err != nil {
			return err
		}
		return o.serving.err()
	}
	switch {
	case o.dryRun && len(o.edits)+len(o.gone)+o.claim.size() > 0:
		inv.printf("Nothing is written: this was a dry run.\n")
	case o.dryRun, o.written == 0:
		inv.printf("Nothing to do, revision %d.\n", o.revision)
	default:
		inv.printf("Done, revision %d.\n", o.revision)
	}
	o.serving.print(inv)
	return o.serving.err()
}

func (o outcome) json(w io.Writer) error {
	type line struct {
		Kind   zones.Kind `json:"kind"`
		Name   string     `json:"name"`
		Change string     `json:"change"` // added, changed or deleted
	}
	out := struct {
		Revision  int64  `json:"revision"`
		DryRun    bool   `json:"dryRun"`
		Unchanged int    `json:"unchanged"`
		Changes   []line `json:"changes"`
		Inherited []line `json:"inherited,omitempty"` // what a Defaults changes
		*serving

		Forecast *control.Forecast `json:"forecast,omitempty"`
	}{o.revision, o.dryRun, o.unchanged, []line{}, nil, o.serving, o.forecast}
	for _, e := range o.follow {
		out.Inherited = append(out.Inherited, line{e.Key.Kind(), e.Key.Name(), "changed"})
	}
	for _, e := range o.edits {
		l := line{e.Key.Kind(), e.Key.Name(), "changed"}
		switch {
		case e.Old == nil:
			l.Change = "added"
		case e.New == nil:
			l.Change = "deleted"
		}
		out.Changes = append(out.Changes, l)
	}
	for _, k := range o.gone {
		out.Changes = append(out.Changes, line{k.Kind(), k.Name(), "deleted"})
	}
	return writeJSON(w, out)
}

// validate refuses a result with new problems, or with problems of the very documents that are being applied. Old
// problems of other resources do not stand in the way.
func (inv *invocation) validate(base *store.Listing, p proposal, force bool) error {
	unread := base.Problems()
	after := catalog.Check(p.docs, unread...)
	before := catalog.Check(zones.Documents(base.Resources()...), unread...)
	applied := map[zones.Key]bool{}
	for _, d := range p.docs {
		if d.File != "" {
			applied[d.Resource.Key()] = true
		}
	}
	fresh := map[zones.Problem]bool{}
	for _, q := range after.Beyond(before) {
		fresh[q] = true
	}
	var refused, unanswered, warnings zones.Problems
	for _, q := range after {
		switch {
		case !fresh[q] && !applied[q.Key]:
		case q.Code == zones.CodeNoAnswer:
			unanswered = append(unanswered, q)
		case q.Warning:
			warnings = append(warnings, q)
		default:
			refused = append(refused, q)
		}
	}
	inv.complain(warnings)
	inv.complain(refused)
	inv.complain(unanswered)
	switch {
	case len(refused) > 0:
		return fmt.Errorf("nothing was written: %s in the result; see above", count(len(refused), "problem"))
	case len(unanswered) > 0 && !force:
		return fmt.Errorf("nothing was written: %s without an answer; give it endpoints, or add --force",
			count(len(unanswered), "policy would be left", "policies would be left"))
	}
	return nil
}

// count writes a number and its noun. The plural is the noun and an s, unless it is given.
func count(n int, noun string, plural ...string) string {
	if n != 1 {
		if len(plural) > 0 {
			noun = plural[0]
		} else {
			noun += "s"
		}
	}
	return fmt.Sprintf("%d %s", n, noun)
}
