package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/server/history"
	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/store"
)

func newDiff(inv *invocation) *cobra.Command {
	var f adminFlags
	var output string
	cmd := &cobra.Command{
		Use: "diff A [B]", Short: "Show what changed between two revisions of the resources", GroupID: groupOperate,
		Args: cobra.RangeArgs(1, 2),
		Long: `Diff asks a server what changed after revision A, up to revision B or the newest,
and prints it field by field. "leeward history change" lists the revisions. Values
that may be secrets are hidden.`,
		Example: `  leeward diff 52 60
  leeward diff 52
  leeward diff 52 60 -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var bounds [2]int64
			for i, text := range args {
				var err error
				if bounds[i], err = parseRevision(text); err != nil {
					return err
				}
			}
			if len(args) == 2 && bounds[1] <= bounds[0] {
				return misused("revision %d is not after %d; give the earlier one first", bounds[1], bounds[0])
			}
			r, err := f.revisions(cmd.Context(), bounds[0], bounds[1])
			if err != nil {
				return err
			}
			if output == "json" {
				return writeJSON(inv.out, r)
			}
			edits, err := between(r)
			if err != nil {
				return err
			}
			for _, gap := range r.Gaps {
				fmt.Fprintf(inv.told, "Changes are missing, %s.\n", gap)
			}
			if r.Oldest == 0 || bounds[0] != 0 && bounds[0]+1 < r.Oldest {
				fmt.Fprintf(inv.told, "What changed before revision %d is not in the history of %s.\n",
					r.Oldest, r.Server)
			}
			return document.PrintDiff(inv.page, edits, 0, inv.colour(inv.out))
		},
	}
	f.add(cmd.Flags())
	addOutput(cmd, &output, "table", "json")
	return cmd
}

func parseRevision(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, misused("%q is not a revision: write a number such as 52; leeward history change lists them", text)
	}
	return n, nil
}

// revisions asks a server what changed.
func (f *adminFlags) revisions(ctx context.Context, from, to int64) (*history.Revisions, error) {
	query := url.Values{"from": {strconv.FormatInt(from, 10)}}
	if to != 0 {
		query.Set("to", strconv.FormatInt(to, 10))
	}
	var r history.Revisions
	return &r, f.get(ctx, "/api/v1/changes", query, &r)
}

// between returns what leads from the state before all changes to that after them.
func between(r *history.Revisions) ([]zones.Edit, error) {
	first, last := map[zones.Key]json.RawMessage{}, map[zones.Key]json.RawMessage{}
	for i := range r.Changes {
		c := &r.Changes[i]
		key := zones.Key(c.Resource)
		if _, seen := first[key]; !seen {
			first[key] = c.Was
		}
		last[key] = c.Is
	}
	var old, new []zones.Resource
	for key, was := range first {
		for value, into := range map[*json.RawMessage]*[]zones.Resource{&was: &old, ptr(last[key]): &new} {
			resource, err := decoded(key, *value)
			if err != nil {
				return nil, err
			}
			if resource != nil {
				*into = append(*into, resource)
			}
		}
	}
	edits, _ := zones.Diff(old, new)
	return edits, nil
}

func ptr(v json.RawMessage) *json.RawMessage { return &v }

// decoded reads a value of the history; there may be none.
func decoded(key zones.Key, value json.RawMessage) (zones.Resource, error) {
	if len(value) == 0 || string(value) == "null" {
		return nil, nil
	}
	r, err := document.Decode(key, value)
	if err != nil {
		return nil, fmt.Errorf("the history has a version of %s that this leeward does not read: %w", key, err)
	}
	return r, nil
}

func newUndo(inv *invocation) *cobra.Command {
	var f changeFlags
	var from adminFlags
	var yes bool
	cmd := &cobra.Command{
		Use: "undo REVISION", Short: "Undo a change of resources",
		GroupID: groupOperate, Args: cobra.ExactArgs(1),
		Long: `Undo reverses what changed at one revision. It asks a server's history what the
resources were before, shows the reverse change, asks you, and writes it to etcd
in one transaction. It refuses if one of the resources has changed since, and says
at which revision. "leeward history change" lists the revisions.

Only resources can be undone, not votes and verdicts. If your servers read a
folder, undo the change there.`,
		Example: `  leeward undo 52
  leeward undo 52 --dry-run
  leeward undo 52 --yes --wait
  leeward undo 52 --admin http://10.0.0.1:8053 --admin-token-file token`,
		RunE: func(cmd *cobra.Command, args []string) error {
			revision, err := parseRevision(args[0])
			if err != nil {
				return err
			}
			if revision == 0 {
				return misused("there is no revision 0; leeward history change lists the revisions")
			}
			r, err := from.revisions(cmd.Context(), revision-1, 0)
			if err != nil {
				return err
			}
			u, err := inverse(r, revision)
			if err != nil {
				return err
			}
			if !yes {
				f.question = fmt.Sprintf("Undo revision %d?", revision)
			}
			return inv.change(cmd.Context(), f, u.propose)
		},
	}
	inv.etcd.add(cmd.Flags())
	from.add(cmd.Flags())
	f.add(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// undo is a change that is to be taken back.
type undo struct {
	revision int64
	changes  []history.Revised
	since    map[string]int64 // by resource: the revision of the last change since
}

// inverse finds a change in the history.
func inverse(r *history.Revisions, revision int64) (*undo, error) {
	u := &undo{revision: revision, since: map[string]int64{}}
	for _, c := range r.Changes {
		if c.Revision == revision {
			u.changes = append(u.changes, c)
		} else {
			u.since[c.Resource] = max(u.since[c.Resource], c.Revision)
		}
	}
	switch {
	case len(u.changes) > 0:
		return u, nil
	case r.Oldest == 0:
		return nil, fmt.Errorf("the history of %s has no change of resources; ask another server with --admin",
			r.Server)
	case revision < r.Oldest:
		return nil, fmt.Errorf("the history of %s begins with revision %d; ask another server with --admin", r.Server,
			r.Oldest)
	}
	text := fmt.Sprintf("the history of %s has no change at revision %d", r.Server, revision)
	if len(r.Gaps) > 0 {
		text += " (changes are missing, " + strings.Join(r.Gaps, "; ") + ")"
	}
	return nil, errors.New(text + "; leeward history change lists those that it has")
}

// propose puts back what was there, where what the change made is still there.
func (u *undo) propose(base *store.Listing) (p proposal, err error) {
	there := map[zones.Key]zones.Change{}
	for _, c := range base.Changes {
		there[c.Key] = c
	}
	back := map[zones.Key]zones.Resource{}
	var refused []error
	for i := range u.changes {
		c := &u.changes[i]
		key := zones.Key(c.Resource)
		now := there[key]
		then, err := decoded(key, c.Is)
		if err != nil {
			return p, err
		}
		was, err := decoded(key, c.Was)
		if err != nil {
			return p, err
		}
		switch {
		case undone(now, was, then) && !u.still(now, then):
			continue // it was written, and etcd's answer was lost; or somebody else took it back
		case !u.still(now, then) && u.since[c.Resource] != 0:
			refused = append(refused, fmt.Errorf(
				"%s was changed since, at revision %d; undo that first, or see it with: leeward diff %d",
				key, u.since[c.Resource], u.revision))
			continue
		case !u.still(now, then):
			refused = append(refused, fmt.Errorf("%s is not as revision %d made it", key, u.revision))
			continue
		}
		if was != nil {
			if was, err = zones.Reveal(was, then, now.Resource); err != nil {
				refused = append(refused, err)
			}
		} else {
			p.onPurpose = "undo"
		}
		if o, is := was.(*zones.Override); is && o.Until != nil { // etcd deletes it when it is over
			left := time.Until(*o.Until)
			if left <= 0 {
				refused = append(refused,
					fmt.Errorf("%s would have ended at %s", key, o.Until.UTC().Format(time.RFC3339)))
			}
			if p.leases == nil {
				p.leases = map[zones.Key]time.Duration{}
			}
			p.leases[key] = max(left, time.Second)
		}
		back[key] = was
	}
	if len(refused) > 0 {
		return p, fmt.Errorf("nothing was written: %w", errors.Join(refused...))
	}
	var rs []zones.Resource
	for _, c := range base.Changes {
		if _, changes := back[c.Key]; !changes && c.Err == nil {
			rs = append(rs, c.Resource)
		}
	}
	for _, r := range back {
		if r != nil {
			rs = append(rs, r)
		}
	}
	p.docs = zones.Documents(rs...)
	return p, nil
}

// undone reports whether a resource is as it was before the change made then of it.
func undone(now zones.Change, was, then zones.Resource) bool {
	if was == nil || now.Resource == nil {
		return was == nil && now.Resource == nil && now.Err == nil
	}
	was, err := zones.Reveal(was, then, now.Resource)
	if err != nil {
		return false
	}
	a, errA := zones.Encode(now.Resource)
	b, errB := zones.Encode(was)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// still reports whether a resource is as the change made it: the same version or, where it has no secret that the
// history does not know, the same text.
func (u *undo) still(now zones.Change, then zones.Resource) bool {
	switch {
	case then == nil || now.Resource == nil:
		return then == nil && now.Resource == nil && now.Err == nil
	case now.Revision == u.revision:
		return true
	case zones.HasHidden(then):
		return false
	}
	a, errA := zones.Encode(now.Resource)
	b, errB := zones.Encode(then)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}
