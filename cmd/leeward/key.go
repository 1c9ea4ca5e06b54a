package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/screen"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// keyFlags are those of every verb about keys.
type keyFlags struct {
	folder  string
	secrets string
	output  string
	force   bool
	timing  dnssec.Timing

	inv   *invocation
	cmd   *cobra.Command
	place keyPlace // that they name, once it was asked for
}

func newKey(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use: "key", Short: "Make, roll and check the keys that zones are signed with", GroupID: groupOperate,
		Args: cobra.NoArgs,
		Long: `Keys are kept in one of two places. In etcd, they are sealed under the first line
of --key-secret-file, and all servers with that file have each change at once.
Or they are files in a folder (serve --keys, or "keys" below serve --state), in the
form of BIND's dnssec-keygen. Servers look at the folder once a minute. Every server
of a zone needs the same files, so copy the folder to all of them after each change.
A key's times say when it is published, signs, and goes.

No verb makes a change that would break the chain of trust, given --ttl,
--parent-ttl and --delay.`,
		Example: `  leeward key generate example.test --keys /etc/leeward/keys
  leeward key list --etcd http://etcd-1:2379 --key-secret-file key-secrets
  leeward key roll example.test --keys /etc/leeward/keys --role csk --ttl 1h`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeyList(inv), newKeyGenerate(inv), newKeyImport(inv), newKeyExport(inv), newKeyDS(inv),
		newKeyRoll(inv), newKeyRetire(inv), newKeyCheck(inv), newKeyReseal(inv))
	return cmd
}

func (f *keyFlags) add(inv *invocation, cmd *cobra.Command) {
	f.inv, f.cmd = inv, cmd
	cmd.Flags().StringVar(&f.folder, "keys", "", "the folder, `DIR`, with the key files")
	f.addSecrets(cmd)
	inv.etcd.add(cmd.Flags())
}

func (f *keyFlags) addSecrets(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.secrets, "key-secret-file", "",
		"with --etcd: a `FILE` of secrets; the first line seals keys, and any line opens them")
}

func (f *keyFlags) addTiming(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.timing.TTL, "ttl", 24*time.Hour, "the longest `TTL` in the zone")
	cmd.Flags().DurationVar(&f.timing.Parent, "parent-ttl", 24*time.Hour, "the `TTL` of the DS in the parent zone")
	cmd.Flags().DurationVar(&f.timing.Delay, "delay", time.Hour,
		"the `TIME` until all servers have the key files, and secondaries the zone")
}

// zone reads the keys of a zone.
func (f *keyFlags) zone(origin string) (rr.Name, *dnssec.Keys, error) {
	name, err := rr.ParseName(origin)
	if err != nil {
		return "", nil, misused("%s: %w", origin, err)
	}
	place, err := f.at()
	if err != nil {
		return "", nil, err
	}
	if f.timing.TTL < 0 || f.timing.Parent < 0 || f.timing.Delay < 0 {
		return "", nil, misused("--ttl, --parent-ttl and --delay are not less than 0s")
	}
	keys, err := place.read(f.cmd.Context(), name)
	return name, keys, err
}

// put writes keys that have changed, unless a resolver could then have what does not verify.
func (inv *invocation) put(f *keyFlags, keys *dnssec.Keys, changed []dnssec.TimedKey) error {
	after, already := keys, []string(nil)
	if keys != nil {
		var err error
		if after, err = keys.Merge(changed); err != nil {
			return err
		}
		already = keys.Check(nil, inv.now(), f.timing)
	}
	if keys != nil && !f.force {
		wrong := slices.DeleteFunc(after.Check(keys, inv.now(), f.timing), func(text string) bool {
			return slices.Contains(already, text)
		})
		if len(wrong) > 0 {
			return fmt.Errorf("nothing is written, because it would break the chain of trust:\n  %s\n"+
				"See `leeward key list`; --force does it nevertheless", strings.Join(wrong, "\n  "))
		}
	}
	return f.place.write(f.cmd.Context(), changed)
}

// keyRow is a key as key list prints it.
type keyRow struct {
	Zone      string    `json:"zone"`
	Tag       uint16    `json:"tag"`
	Algorithm string    `json:"algorithm"`
	Flags     uint16    `json:"flags"`
	File      string    `json:"file"`
	State     string    `json:"state"`
	Then      string    `json:"then,omitempty"`
	Times     []keyTime `json:"times,omitempty"`
}

type keyTime struct {
	What string    `json:"what"`
	At   time.Time `json:"at"`
}

// rows describes the keys of a zone.
func rows(keys *dnssec.Keys, now time.Time) (all []keyRow) {
	d := keys.At(now)
	for _, k := range keys.All() {
		row := keyRow{
			Zone: rr.TrimDot(keys.Origin().String()), Tag: k.Tag(), Algorithm: k.Algorithm().String(), Flags: k.Flags(),
			File: k.FileName(),
		}
		row.State = k.State(d, now)
		var next time.Time
		k.Times.Each(func(what string, at time.Time) {
			row.Times = append(row.Times, keyTime{what, at})
			if at.After(now) && (next.IsZero() || at.Before(next)) {
				row.Then, next = what+" "+at.UTC().Format("2006-01-02 15:04Z"), at
			}
		})
		all = append(all, row)
	}
	return all
}

func newKeyList(inv *invocation) *cobra.Command {
	var f keyFlags
	cmd := &cobra.Command{
		Use: "list [ORIGIN]", Short: "List keys, what each does now, and what comes next",
		Args: cobra.MaximumNArgs(1),
		Example: `  leeward key list --keys /etc/leeward/keys
  leeward key list example.test --keys /etc/leeward/keys -o json`,
		RunE: func(_ *cobra.Command, args []string) error {
			all, wrong := []keyRow{}, error(nil)
			if len(args) == 1 {
				_, keys, err := f.zone(args[0])
				if err != nil {
					return err
				}
				all = rows(keys, inv.now())
			} else {
				place, err := f.at()
				if err != nil {
					return err
				}
				if err := place.each(f.cmd.Context(), func(origin rr.Name, keys *dnssec.Keys, err error) {
					if err != nil { // the others are listed all the same
						wrong = errors.Join(wrong, fmt.Errorf("zone %s: %w", rr.TrimDot(origin.String()), err))
						return
					}
					all = append(all, rows(keys, inv.now())...)
				}); err != nil {
					return err
				}
			}
			err := inv.print(f.output, all, func(io.Writer, bool) error {
				t := screen.Table{Heads: []string{"ZONE", "KEY", "ALGORITHM", "FLAGS", "NOW", "NEXT"}}
				for _, r := range all {
					t.AddTexts(r.Zone, fmt.Sprint(r.Tag), r.Algorithm, fmt.Sprint(r.Flags), r.State, r.Then)
				}
				inv.table(&t)
				if v, is := f.place.(*keyVault); is {
					for _, text := range v.rolls {
						inv.printf("%s\n", text)
					}
				}
				return nil
			})
			return errors.Join(err, wrong)
		},
	}
	f.add(inv, cmd)
	addOutput(cmd, &f.output, "table", "json")
	return cmd
}

func newKeyDS(inv *invocation) *cobra.Command {
	var f keyFlags
	cmd := &cobra.Command{
		Use: "ds ORIGIN", Short: "Print the DS records that the parent should have", Args: cobra.ExactArgs(1),
		Long: `Print the DS records (SHA-256) of the keys that CDS asks for now, as lines of a
master file. The parent should have these and no others.`,
		Example: "  leeward key ds example.test --keys /etc/leeward/keys",
		RunE: func(_ *cobra.Command, args []string) error {
			origin, keys, err := f.zone(args[0])
			if err != nil {
				return err
			}
			type record struct {
				Zone string `json:"zone"`
				Tag  uint16 `json:"tag"`
				DS   string `json:"ds"`
			}
			all := []record{}
			for _, dnskey := range keys.At(inv.now()).Synced {
				data, err := dnssec.DS(origin, dnskey, dnssec.DigestSHA256)
				if err != nil {
					return err
				}
				text, err := rr.FormatData(rr.TypeDS, data)
				if err != nil {
					return err
				}
				all = append(all, record{rr.TrimDot(origin.String()), dnssec.Tag(dnskey), text})
			}
			return inv.print(f.output, all, func(io.Writer, bool) error {
				for _, r := range all {
					fmt.Fprintf(inv.out, "%s. IN DS %s\n", r.Zone, r.DS)
				}
				return nil
			})
		},
	}
	f.add(inv, cmd)
	addOutput(cmd, &f.output, "master", "json")
	return cmd
}

func newKeyExport(inv *invocation) *cobra.Command {
	var f keyFlags
	var to string
	cmd := &cobra.Command{
		Use: "export ORIGIN", Short: "Copy a zone's keys to another folder, or print their DNSKEYs",
		Args: cobra.ExactArgs(1),
		Long: `Copy the key files of a zone, including private keys, to another folder: for BIND,
Knot (keymgr import-bind), PowerDNS (pdnsutil import-zone-key), or as a backup.
Without --to, only print the DNSKEY records, for dnssec.foreign of the Zone at
another operator.`,
		Example: `  leeward key export example.test --keys /etc/leeward/keys --to /mnt/safe
  leeward key export example.test --keys /etc/leeward/keys`,
		RunE: func(_ *cobra.Command, args []string) error {
			_, keys, err := f.zone(args[0])
			if err != nil {
				return err
			}
			for _, k := range keys.All() {
				if to == "" {
					fmt.Fprintf(inv.out, "%s. IN DNSKEY %d 3 %d %s\n", rr.TrimDot(keys.Origin().String()), k.Flags(),
						k.Algorithm(), base64.StdEncoding.EncodeToString(k.DNSKEY()[4:]))
					continue
				}
				if err := k.Write(to); err != nil {
					return err
				}
				inv.printf("%s\n", k.FileName())
			}
			return nil
		},
	}
	f.add(inv, cmd)
	cmd.Flags().StringVar(&to, "to", "", "the folder, `DIR`, to write to (default: print DNSKEYs)")
	return cmd
}
