package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"leeward/zones"
	"leeward/zones/store"
)

func newGet(inv *invocation) *cobra.Command {
	var output, owner string
	var effective bool
	cmd := &cobra.Command{
		Use: "get [KIND [NAME…]]", Short: "Print resources", GroupID: groupResources,
		Long: `Print resources from etcd: all of them, those of a kind, or those that you name.
A pool's name also selects its endpoints, and an origin its records. Apply can
read the YAML and the JSON.

JSON and YAML are the documents as they were written. With --effective, YAML also
has the values that come from a Defaults, each with a comment that names it. A
table always has them; its last column says which they are.`,
		Example: `  leeward get
  leeward get pools
  leeward get endpoint www-eu            # all endpoints of the pool
  leeward get record example.test/@/MX -o yaml
  leeward get records --owner update     # what dynamic updates have made
  leeward get policy/www.example.test pool/www-eu -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, keys, err := parseKeys(args)
			if err != nil {
				return err
			}
			var kinds []zones.Kind
			if kind != "" {
				kinds = append(kinds, kind)
			}
			for _, k := range keys {
				kinds = append(kinds, k.Kind())
			}
			if effective && output != "yaml" {
				return misused("--effective goes with -o yaml")
			}
			asked := distinct(kinds)
			if len(asked) > 0 { // what they inherit
				kinds = append(kinds, zones.KindDefaults)
			}
			e, err := inv.dial()
			if err != nil {
				return err
			}
			defer e.Close()
			l, err := e.List(cmd.Context(), distinct(kinds)...)
			if err != nil {
				return err
			}
			given := defaultsOf(l)
			l.Changes = slices.DeleteFunc(l.Changes, func(c zones.Change) bool {
				return len(asked) > 0 && !slices.Contains(asked, c.Key.Kind())
			})
			if cmd.Flags().Changed("owner") {
				l.Changes = slices.DeleteFunc(l.Changes, func(c zones.Change) bool { return l.Owners[c.Key] != owner })
			}
			found, missing := selected(l.Changes, keys)
			var rs []zones.Resource
			for _, c := range found {
				if c.Err != nil {
					fmt.Fprintf(inv.told, "%s at revision %d cannot be read: %v\n", c.Key, c.Revision, c.Err)
					continue
				}
				r := c.Resource
				if d := given[c.Key.Kind()]; d != nil && (effective || output == "table") {
					r = zones.Inherit(r, d)
				}
				rs = append(rs, r)
			}
			if len(missing) > 0 {
				return absent(missing)
			}
			return inv.printResources(output, rs, l.Owners)
		},
	}
	inv.etcd.add(cmd.Flags())
	addOutput(cmd, &output, "table", "json", "yaml")
	cmd.Flags().StringVar(&owner, "owner", "", "only what the owner `NAME` has; if empty, only what has no owner")
	cmd.Flags().BoolVar(&effective, "effective", false, "with -o yaml: add the values that come from Defaults")
	inv.complete(cmd, keys)
	return cmd
}

// defaultsOf returns the Defaults in a listing, by the kind that each is for.
func defaultsOf(l *store.Listing) map[zones.Kind]*zones.Defaults {
	given := map[zones.Kind]*zones.Defaults{}
	for _, c := range l.Changes {
		if d, is := c.Resource.(*zones.Defaults); is {
			given[d.For] = d
		}
	}
	return given
}

// distinct returns each kind once.
func distinct(kinds []zones.Kind) []zones.Kind {
	var some []zones.Kind
	for _, kind := range zones.Kinds {
		for _, k := range kinds {
			if k == kind {
				some = append(some, kind)
				break
			}
		}
	}
	return some
}

// selected returns what keys name or hold, and the keys that name nothing. Without keys it returns everything.
func selected(changes []zones.Change, keys []zones.Key) (found []zones.Change, missing []zones.Key) {
	if len(keys) == 0 {
		return changes, nil
	}
	hit := make([]bool, len(keys))
	for _, c := range changes {
		taken := false
		for i, k := range keys {
			if c.Key == k || strings.HasPrefix(string(c.Key), string(k)+"/") {
				hit[i], taken = true, true
			}
		}
		if taken {
			found = append(found, c)
		}
	}
	for i, k := range keys {
		if !hit[i] {
			missing = append(missing, k)
		}
	}
	return found, missing
}

// absent is the error for resources that do not exist.
func absent(keys []zones.Key) error {
	var names []string
	for _, k := range keys {
		names = append(names, k.String())
	}
	return fmt.Errorf("there is no %s; leeward get %s lists what there is", strings.Join(names, ", no "),
		strings.ToLower(string(keys[0].Kind())))
}
