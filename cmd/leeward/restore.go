package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"leeward/zones"
	"leeward/zones/store"
)

func newRestore(inv *invocation) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "restore region/REGION|pool/POOL|endpoint/POOL/ENDPOINT", Short: "End a drain or another override",
		GroupID: groupOperate, Args: cobra.ExactArgs(1),
		Long: "End a drain or another override. From then on the target's health counts again.",
		Example: `  leeward get overrides
  leeward restore region/eu-west`,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := parseTarget(args[0])
			if err != nil {
				return err
			}
			e, err := inv.dial()
			if err != nil {
				return err
			}
			defer e.Close()
			key := zones.KeyOf(zones.KindOverride, target)
			edit, seen := zones.Edit{Key: key}, false
			done, err := e.Change(cmd.Context(), func(base *store.Listing) (store.Plan, error) {
				for _, c := range base.Changes {
					if c.Key == key {
						edit.Old, seen = c.Resource, true
						return store.Plan{Edits: []zones.Edit{edit}, By: inv.who()}, nil
					}
				}
				if seen { // an attempt whose answer was lost has deleted it, or it has ended
					return store.Plan{}, nil
				}
				return store.Plan{}, fmt.Errorf("%s has no override; leeward get overrides lists them", target)
			})
			if err != nil {
				return err
			}
			if output == "json" {
				o := outcome{revision: done.Revision}
				if edit.Old != nil {
					o.edits = []zones.Edit{edit}
				} else {
					o.gone = []zones.Key{key}
				}
				return o.json(inv.out)
			}
			inv.printf("%s is restored, revision %d.\n", target, done.Revision)
			return nil
		},
	}
	inv.etcd.add(cmd.Flags())
	addOutput(cmd, &output, "table", "json")
	inv.complete(cmd, overridden)
	return cmd
}
