package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/zones"
	"leeward/zones/store"
)

func newRetransfer(inv *invocation) *cobra.Command {
	var f changeFlags
	cmd := &cobra.Command{
		Use: "retransfer ORIGIN…", Short: "Transfer a zone from its primary again, whole",
		GroupID: groupOperate, Args: cobra.MinimumNArgs(1),
		Long: `Make every server transfer a whole zone from its primary again, whatever its
serial. Do this after the serial was lowered at the primary, as secondaries do not
follow that by themselves. Servers answer from the version that they have until
the new one has arrived.

Retransfer writes the time into transfer.retransfer of the Zone. If your servers
follow a folder, write a new text there instead.`,
		Example: `  leeward retransfer example.test
  leeward status                    # its serial, and why if it failed`,
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted := map[zones.Key]bool{}
			for _, a := range args {
				wanted[zones.KeyOf(zones.KindZone, strings.ToLower(strings.TrimSuffix(a, ".")))] = true
			}
			text := inv.now().UTC().Format(time.RFC3339Nano)
			return inv.change(cmd.Context(), f, func(base *store.Listing) (proposal, error) {
				return again(base, wanted, text)
			})
		},
	}
	inv.etcd.add(cmd.Flags())
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what would change and write nothing")
	addOutput(cmd, &f.output, "table", "json")
	inv.complete(cmd, origins(true))
	return cmd
}

// again marks the wanted zones to be transferred again.
func again(base *store.Listing, wanted map[zones.Key]bool, text string) (p proposal, err error) {
	found := map[zones.Key]bool{}
	for _, c := range base.Changes {
		if wanted[c.Key] && c.Err != nil {
			return p, fmt.Errorf("%s cannot be read: %w; correct it first", c.Key, c.Err)
		}
		if c.Err != nil {
			continue
		}
		r := c.Resource
		if wanted[c.Key] {
			found[c.Key] = true
			z := *r.(*zones.Zone)
			if !z.Secondary() {
				return p, fmt.Errorf("zone %s is ours: it has no transfer.primaries from which it could come", z.Origin)
			}
			transfer := *z.Transfer
			transfer.Retransfer = text
			z.Transfer = &transfer
			r = &z
		}
		p.docs = append(p.docs, zones.Document{Resource: r})
	}
	var missing []zones.Key
	for k := range wanted {
		if !found[k] {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 {
		return p, absent(missing)
	}
	return p, nil
}
