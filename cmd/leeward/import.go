package main

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/store"
)

func newImport(inv *invocation) *cobra.Command {
	var f changeFlags
	var prune bool
	var owner string
	cmd := &cobra.Command{
		Use: "import ORIGIN FILE|-", Short: "Read a master file into etcd", GroupID: groupResources,
		Args: cobra.ExactArgs(2),
		Long: `Read a master file (RFC 1035 section 5) into etcd. Its SOA and NS records become
the Zone, all others Records. Import shows what changes, and checks the result.
$INCLUDE reads from the file's folder.

The owner of what is imported is "import", or --owner. --prune deletes the zone's
records that are not in the file and have this owner or none. Records of dynamic
updates stay.`,
		Example: `  leeward import example.test db.example.test --dry-run
  # and delete this zone's records that the file does not have
  leeward import example.test db.example.test --prune
  dig @192.0.2.53 example.test AXFR | leeward import example.test -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOwner(owner, true); err != nil {
				return err
			}
			origin := canonical(zones.KindZone, args[0])
			docs, err := inv.master(origin, args[1])
			if err != nil {
				return err
			}
			serial := serialOf(docs)
			docs = stored(docs)
			return inv.change(cmd.Context(), f, func(base *store.Listing) (proposal, error) {
				return imported(base, origin, serial, docs, owner, prune), nil
			})
		},
	}
	inv.etcd.add(cmd.Flags())
	f.add(cmd)
	cmd.Flags().BoolVar(&prune, "prune", false, "also delete records of the zone that are not in the file")
	cmd.Flags().StringVar(&owner, "owner", importer, "the `NAME` of the set that the zone and its records belong to")
	inv.complete(cmd, origins(false))
	return cmd
}

// master reads a master file, and fails if anything in it is wrong.
func (inv *invocation) master(origin, name string) ([]zones.Document, error) {
	var r io.Reader = inv.in
	var folder fs.FS // nil: standard input includes nothing
	shown := "standard input"
	if name != "-" {
		file, err := openGiven(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		r, folder, shown = file, document.Includes(filepath.Dir(name)), name
	}
	docs, problems := document.ReadMaster(shown, origin, inv.heed(r), folder)
	if wrong := problems.Errors(); len(wrong) > 0 {
		inv.complain(wrong)
		return nil, fmt.Errorf("nothing was written: %s in %s; see above", count(len(wrong), "problem"), shown)
	}
	inv.complain(problems.Warnings())
	if len(docs) == 0 {
		return nil, fmt.Errorf("%s has no records", shown)
	}
	return docs, nil
}

// serialOf returns the serial of a master file's SOA, nil if there is none.
func serialOf(docs []zones.Document) *uint32 {
	for _, d := range docs {
		if z, ok := d.Resource.(*zones.Zone); ok {
			return z.Serial
		}
	}
	return nil
}

// imported lays a master file over a zone. What a master file cannot say, such as who may transfer the zone, stays as
// it is. A zone that was another primary's becomes our own. The serial will be after the file's, so that secondaries
// that have that one take ours (RFC 1982).
func imported(base *store.Listing, origin string, serial *uint32, docs []zones.Document, owner string,
	prune bool,
) proposal {
	for i, d := range docs {
		z, ok := d.Resource.(*zones.Zone)
		if !ok {
			continue
		}
		with := *z
		for _, c := range base.Changes {
			if was, ok := c.Resource.(*zones.Zone); ok && was.Origin == z.Origin {
				with.DNSSEC, with.Transfer, with.Update = was.DNSSEC, was.Transfer, was.Update
				with.SerialOffset = was.SerialOffset
				with.Order = was.Order
				if was.Secondary() {
					home := *was.Transfer
					home.Primaries = nil
					if with.Transfer = &home; len(home.Allow)+len(home.Notify) == 0 {
						with.Transfer = nil
					}
				}
			}
		}
		now := uint32(base.Serials.Base + base.Revision)
		if next := now + 1 + with.SerialOffset; serial != nil && int32(*serial-next) >= 0 {
			with.SerialOffset = *serial - now
		}
		docs[i].Resource = &with
	}
	p := applied(base, docs, owner, false)
	if !prune {
		return p
	}
	named := make(map[zones.Key]bool, len(docs))
	for _, d := range docs {
		named[d.Resource.Key()] = true
	}
	p.pruned.of = 0
	goes := map[zones.Key]bool{}
	for _, c := range base.Changes {
		whose := base.Owners[c.Key]
		if c.Key.Kind() != zones.KindRecord || !strings.HasPrefix(c.Key.Name(),
			origin+"/") || whose != owner && whose != "" {
			continue
		}
		p.pruned.of++
		if named[c.Key] {
			continue
		}
		p.onPurpose = "import --prune"
		p.pruned.keys = append(p.pruned.keys, c.Key)
		if goes[c.Key] = true; c.Err != nil {
			p.gone = append(p.gone, c.Key)
		}
	}
	p.docs = slices.DeleteFunc(p.docs, func(d zones.Document) bool { return goes[d.Resource.Key()] })
	return p
}
