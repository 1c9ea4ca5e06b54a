package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"leeward/zones"
	"leeward/zones/store"
)

func newApply(inv *invocation) *cobra.Command {
	var input inputFlags
	var f changeFlags
	var prune bool
	var owner string
	cmd := &cobra.Command{
		Use: "apply -f FILE|DIR|-", Short: "Write resources into etcd", GroupID: groupResources, Args: input.only,
		Long: `Write resources into etcd. Apply shows what changes and checks the result
together with everything that is in etcd already. Up to some thousand changes
are written in one transaction. A change that leaves a policy without an answer
needs --force.

With --owner the resources are marked as one set. --prune deletes what is in the
set in etcd but not in the files; without --owner, the set is all that has no
owner. It never deletes what other owners have, records of dynamic updates,
imported records, or overrides. Changing another owner's resource needs --force.

Apply shows what --prune would delete, and asks on a terminal. Deleting a zone,
a policy that is answering, or more than a tenth of the set needs --force.`,
		Example: `  leeward apply -f resources/ --dry-run
  leeward apply -f resources/ --prune      # and delete what it does not name
  leeward apply -f resources/ --dry-run --simulate
  leeward apply -f team-a/ --owner team-a --prune
  leeward get policy www.example.test -o yaml |
      sed 's/ttl: .*/ttl: 10s/' | leeward apply -f -`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOwner(owner, cmd.Flags().Changed("owner")); err != nil {
				return err
			}
			docs, problems, err := input.read(inv)
			if err != nil {
				return err
			}
			if wrong := problems.Errors(); len(wrong) > 0 {
				inv.complain(wrong)
				return fmt.Errorf("nothing was written: %s in what was read; see above", count(len(wrong), "problem"))
			}
			inv.complain(problems.Warnings())
			docs = stored(docs)
			return inv.change(cmd.Context(), f, func(base *store.Listing) (proposal, error) {
				return applied(base, docs, owner, prune), nil
			})
		},
	}
	inv.etcd.add(cmd.Flags())
	input.add(cmd)
	f.add(cmd)
	cmd.Flags().BoolVar(&f.simulate, "simulate", false,
		"first show where clients would go; refuse a change that takes a pool above its max")
	cmd.Flags().BoolVar(&prune, "prune", false,
		"delete what the owner has in etcd but not in the files; never overrides")
	cmd.Flags().StringVar(&owner, "owner", "", "the `NAME` of the set that these resources belong to (default: none)")
	return cmd
}

// applied returns what there is with the documents laid over it, which become the owner's. With prune, what else the
// owner has is deleted, except overrides.
func applied(base *store.Listing, docs []zones.Document, owner string, prune bool) proposal {
	named := make(map[zones.Key]zones.Resource, len(docs))
	for _, d := range docs {
		named[d.Resource.Key()] = d.Resource
	}
	p := proposal{docs: docs[:len(docs):len(docs)], claim: newClaim(base, owner)}
	for _, d := range docs {
		p.claim.absent(d.Resource.Key())
	}
	for _, c := range base.Changes {
		kind, mine := c.Key.Kind(), base.Owners[c.Key] == owner
		if mine && kind != zones.KindOverride && kind != "" {
			p.pruned.of++
		}
		switch {
		case named[c.Key] != nil:
			p.claim.there(c, named[c.Key])
		case prune && mine && kind != zones.KindOverride && kind != "":
			p.onPurpose = "apply --prune"
			p.pruned.keys = append(p.pruned.keys, c.Key)
			if c.Err != nil {
				p.gone = append(p.gone, c.Key)
			}
		case c.Err == nil:
			p.docs = append(p.docs, zones.Document{Resource: c.Resource})
		}
	}
	return p
}
