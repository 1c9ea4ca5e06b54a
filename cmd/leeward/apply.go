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
	cmd := &cobra.Command{
		Use: "apply -f FILE|DIR|-", Short: "Write resources into etcd", GroupID: groupResources, Args: cobra.NoArgs,
		Long: `Write resources into etcd: shows what changes, validates what the result would be together with all that is there
already, and writes one transaction where it can (some thousand changes). What would leave a policy without an answer is
refused unless --force is given.

With --prune what the resources do not name is deleted, except overrides. What goes is shown first, and a terminal is
asked. A zone, a policy that is answering, or more than a tenth of all goes only with --force.`,
		Example: `  leeward apply -f resources/ --dry-run
  leeward apply -f resources/ --prune      # and delete what the folder does not name
  leeward get policy www.example.test -o yaml | sed 's/ttl: .*/ttl: 10s/' | leeward apply -f -`,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
				return applied(base, docs, prune), nil
			})
		},
	}
	inv.etcd.add(cmd.Flags())
	input.add(cmd)
	f.add(cmd)
	cmd.Flags().BoolVar(&prune, "prune", false, "delete what the applied resources do not name, except overrides")
	return cmd
}

// applied lays documents over what there is. With prune, only overrides stay beside them.
func applied(base *store.Listing, docs []zones.Document, prune bool) proposal {
	named := make(map[zones.Key]bool, len(docs))
	for _, d := range docs {
		named[d.Resource.Key()] = true
	}
	p := proposal{docs: docs[:len(docs):len(docs)]}
	for _, c := range base.Changes {
		if kind := c.Key.Kind(); kind != zones.KindOverride && kind != "" {
			p.pruned.of++
		}
		switch {
		case named[c.Key]:
		case prune && c.Key.Kind() != zones.KindOverride && c.Key.Kind() != "":
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
