package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"leeward/zones"
)

func newGet(inv *invocation) *cobra.Command {
	var output, owner string
	cmd := &cobra.Command{
		Use: "get [KIND [NAME…]]", Short: "Print resources", GroupID: groupResources,
		Long: `Print resources from etcd: all of them, those of a kind, or those that you name.
A pool's name stands for its endpoints too, and an origin for its records. Apply
reads the YAML and the JSON back.`,
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
			e, err := inv.dial()
			if err != nil {
				return err
			}
			defer e.Close()
			l, err := e.List(cmd.Context(), distinct(kinds)...)
			if err != nil {
				return err
			}
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
				rs = append(rs, c.Resource)
			}
			if len(missing) > 0 {
				return absent(missing)
			}
			return inv.printResources(output, rs, l.Owners)
		},
	}
	inv.etcd.add(cmd.Flags())
	addOutput(cmd, &output, "table", "json", "yaml")
	cmd.Flags().StringVar(&owner, "owner", "", "only what belongs to `NAME`; if empty, only what belongs to nobody")
	inv.complete(cmd, keys)
	return cmd
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
