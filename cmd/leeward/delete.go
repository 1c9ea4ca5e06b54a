package main

import (
	"strings"

	"github.com/spf13/cobra"

	"leeward/zones"
	"leeward/zones/store"
)

func newDelete(inv *invocation) *cobra.Command {
	var input inputFlags
	var f changeFlags
	var recursive bool
	cmd := &cobra.Command{
		Use: "delete KIND NAME… | KIND/NAME… | -f FILE|DIR|-", Short: "Delete resources", GroupID: groupResources,
		Long: `Delete resources from etcd. Servers do not hold this back, because you mean it. What
other resources still refer to is not deleted. A change that leaves a policy
without an answer needs --force.`,
		Example: `  leeward delete endpoint www-eu/lb-1
  leeward delete policy/www.example.test pool/www-eu --recursive
  leeward delete -f old.yaml --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, keys, err := parseKeys(args)
			if err != nil {
				return err
			}
			named := len(args) > 0
			switch {
			case named && len(input.files) > 0:
				return misused("give names or -f, not both")
			case named && len(keys) == 0:
				return misused("name what to delete: leeward delete %s NAME…", strings.ToLower(args[0]))
			case !named && len(input.files) == 0:
				return misused("name what to delete: KIND NAME…, KIND/NAME… or -f FILE")
			case !named:
				docs, problems, err := input.read(inv)
				if err != nil {
					return err
				}
				if err := problems.Err(); err != nil {
					return err
				}
				for _, d := range docs {
					keys = append(keys, d.Resource.Key())
				}
			}
			seen := false
			return inv.change(cmd.Context(), f, func(base *store.Listing) (proposal, error) {
				p, missing := without(base, keys, recursive)
				if named && len(missing) > 0 && !seen {
					return proposal{}, absent(missing)
				}
				seen = true // if a name is missing at a later attempt, an earlier one deleted it
				return p, nil
			})
		},
	}
	inv.etcd.add(cmd.Flags())
	input.add(cmd)
	f.add(cmd)
	cmd.Flags().BoolVar(&recursive, "recursive", false,
		"also delete what is in it: a zone's records and policies, a pool's endpoints, and their overrides")
	inv.complete(cmd, keys)
	return cmd
}

// without returns what is left without the keys, and which of the keys are not there.
func without(base *store.Listing, keys []zones.Key, recursive bool) (p proposal, missing []zones.Key) {
	out := make(map[zones.Key]bool, len(keys))
	for _, k := range keys {
		out[k] = false
	}
	p.onPurpose = "delete"
	origins := map[string]bool{}
	for _, c := range base.Changes {
		if c.Key.Kind() == zones.KindZone {
			origins[c.Key.Name()] = true
		}
	}
	goes := func(k zones.Key, named map[zones.Key]bool) bool {
		if k.Kind() == zones.KindPolicy {
			_, going := named[zones.KeyOf(zones.KindZone, closest(k.Name(), origins))]
			return going
		}
		return within(k, named)
	}
	for _, c := range base.Changes {
		_, named := out[c.Key]
		if named {
			out[c.Key] = true
		}
		switch {
		case (named || recursive && goes(c.Key, out)) && c.Err != nil:
			p.gone = append(p.gone, c.Key)
		case named || recursive && goes(c.Key, out):
		case c.Err == nil:
			p.docs = append(p.docs, zones.Document{Resource: c.Resource})
		}
	}
	for _, k := range keys {
		if !out[k] {
			missing = append(missing, k)
		}
	}
	return p, missing
}

// within reports whether a resource belongs to one of those named: a record to its zone, an endpoint to its pool, an
// override to its target.
func within(k zones.Key, named map[zones.Key]bool) bool {
	holder, _, _ := strings.Cut(k.Name(), "/")
	has := func(kind zones.Kind, name string) bool {
		_, ok := named[zones.KeyOf(kind, name)]
		return ok
	}
	switch k.Kind() {
	case zones.KindRecord:
		return has(zones.KindZone, holder)
	case zones.KindEndpoint:
		return has(zones.KindPool, holder)
	case zones.KindOverride:
		_, target, _ := strings.Cut(k.Name(), "/")
		pool, _, _ := strings.Cut(target, "/")
		switch holder {
		case "region":
			return has(zones.KindRegion, target)
		case "pool":
			return has(zones.KindPool, target)
		case "endpoint":
			return has(zones.KindEndpoint, target) || has(zones.KindPool, pool)
		}
	}
	return false
}
