package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
)

func newExport(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use: "export ORIGIN", Short: "Print a zone as a master file", GroupID: groupResources, Args: cobra.ExactArgs(1),
		Long: `Print a zone's static records as a master file (RFC 1035 section 5), in
canonical order. leeward import reads it back. Policies are not in it: their
answers depend on who asks.`,
		Example: "  leeward export example.test > example.test.zone",
		RunE: func(cmd *cobra.Command, args []string) error {
			origin := canonical(zones.KindZone, args[0])
			e, err := inv.dial()
			if err != nil {
				return err
			}
			defer e.Close()
			l, err := e.List(cmd.Context())
			if err != nil {
				return err
			}
			var zone *zones.Zone
			var records []*zones.Record
			origins := map[string]bool{}
			for _, r := range l.Resources() {
				switch r := r.(type) {
				case *zones.Zone:
					origins[r.Origin] = true
					if r.Origin == origin {
						zone = r
					}
				case *zones.Record:
					if r.Origin == origin {
						records = append(records, r)
					}
				}
			}
			if zone == nil {
				return absent([]zones.Key{zones.KeyOf(zones.KindZone, origin)})
			}
			if zone.Secondary() {
				return fmt.Errorf("the records of zone %s are on another primary; take them from %s, or from a "+
					"server by AXFR", origin, zone.Transfer.PrimaryServers()[0])
			}
			policies := 0
			for _, c := range l.Changes {
				kind, name := c.Key.Kind(), c.Key.Name()
				mine := kind == zones.KindZone && name == origin ||
					kind == zones.KindRecord && strings.HasPrefix(name, origin+"/")
				if kind == zones.KindPolicy && closest(name, origins) == origin {
					mine = true
					policies++
				}
				if mine && c.Err != nil {
					fmt.Fprintf(inv.told, "%s cannot be read and is left out: %v\n", c.Key, c.Err)
				}
			}
			if policies > 0 {
				fmt.Fprintf(inv.told, "%s of this zone cannot be in a master file\n",
					count(policies, "policy", "policies"))
			}
			c := catalog.New(time.Now)
			c.Consume(zones.Batch{Revision: l.Revision, Full: true, Changes: l.Changes, Serials: &l.Serials})
			return document.WriteMaster(inv.out, zone, c.ZoneSerial(origin), records) // as servers give it
		},
	}
	inv.etcd.add(cmd.Flags())
	inv.complete(cmd, origins(false))
	return cmd
}

// closest returns the longest of the origins that holds the name, "" if none does.
func closest(name string, origins map[string]bool) string {
	for ; name != ""; name = zones.ParentName(name) {
		if origins[name] {
			return name
		}
	}
	return ""
}
