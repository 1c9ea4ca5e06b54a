package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/zones/disk"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

func newKeyGenerate(inv *invocation) *cobra.Command {
	var f keyFlags
	var algorithm string
	var split bool
	cmd := &cobra.Command{
		Use: "generate ORIGIN", Short: "Make the first key of a zone", Args: cobra.ExactArgs(1),
		Long: `Make the first key of a zone: one that signs all of it (a CSK), or with --split a
KSK and a ZSK. A zone that has keys gets others by "leeward key roll".`,
		Example: `  leeward key generate example.test --keys /etc/leeward/keys
  leeward key generate example.test --split --algorithm 15 --keys keys`,
		RunE: func(_ *cobra.Command, args []string) error {
			a, err := algorithmOf(algorithm)
			if err != nil {
				return err
			}
			origin, keys, err := f.zone(args[0])
			if err == nil {
				return fmt.Errorf("the zone has a key, %s; `leeward key roll` puts another in its place",
					keys.All()[0].FileName())
			}
			if !errors.Is(err, dnssec.ErrNoKey) {
				return err
			}
			all, err := dnssec.First(origin, a, split, inv.now())
			if err != nil {
				return err
			}
			if err := inv.put(&f, nil, all); err != nil {
				return err
			}
			inv.wrote(&f, all)
			return nil
		},
	}
	f.add(inv, cmd)
	cmd.Flags().StringVar(&algorithm, "algorithm", "13", "`13` (ECDSAP256SHA256) or 15 (ED25519)")
	cmd.Flags().BoolVar(&split, "split", false, "make a KSK and a ZSK")
	return cmd
}

// algorithmOf reads an algorithm, by its number or name.
func algorithmOf(text string) (dnssec.Algorithm, error) {
	for _, a := range []dnssec.Algorithm{dnssec.ECDSAP256, dnssec.Ed25519} {
		if strings.EqualFold(text, a.String()) || text == strconv.Itoa(int(a)) {
			return a, nil
		}
	}
	return 0, misused("--algorithm %s: it is 13 (ECDSAP256SHA256) or 15 (ED25519)", text)
}

// wrote says which files were written, and what comes of them.
func (inv *invocation) wrote(f *keyFlags, all []dnssec.TimedKey) {
	for _, k := range all {
		inv.printf("%s written\n", k.FileName())
		k.Times.Each(func(what string, at time.Time) {
			if at.After(inv.now()) {
				inv.printf("  %s %s\n", at.UTC().Format("2006-01-02 15:04:05Z"), what)
			}
		})
	}
	if f.folder == "" {
		inv.printf("Every server that follows etcd and has the secret uses them.\n")
		return
	}
	inv.printf("Copy the files in %s to every server of the zone", f.folder)
	if f.timing.Delay > 0 {
		inv.printf(" within %v", f.timing.Delay)
	}
	inv.printf(".\n")
}

func newKeyImport(inv *invocation) *cobra.Command {
	var f keyFlags
	var role string
	cmd := &cobra.Command{
		Use: "import ORIGIN FILE…", Short: "Take over keys of BIND, Knot or PowerDNS", Args: cobra.MinimumNArgs(2),
		Long: `Take over private keys in BIND's form: K….private with its .key beside it and its
times, or a file without a .key, as "pdnsutil export-zone-key" prints it. Of such a
one say by --role what it is.

Where the zone has keys already, one that would be in force at once is refused.`,
		Example: `  leeward key import example.test bind/Kexample.test.*.private --keys keys
  pdnsutil export-zone-key example.test 1 > csk
  leeward key import example.test csk --role csk --keys keys`,
		RunE: func(_ *cobra.Command, args []string) error {
			flags := map[string]uint16{"csk": dnssec.FlagsCSK, "ksk": dnssec.FlagsCSK, "zsk": dnssec.FlagZone}[role]
			if role != "" && flags == 0 {
				return misused("--role %s: it is csk, ksk or zsk", role)
			}
			origin, keys, err := f.zone(args[0])
			if err != nil && !errors.Is(err, dnssec.ErrNoKey) {
				return err
			}
			var all []dnssec.TimedKey
			for _, file := range args[1:] {
				k, err := importKey(origin, flags, file)
				if err != nil {
					return err
				}
				if keys != nil && keys.Has(k.Key) {
					return fmt.Errorf("%s: the zone has this key already", file)
				}
				all = append(all, k)
			}
			if keys == nil {
				if _, err := dnssec.NewKeys(origin, all...); err != nil {
					return err
				}
			}
			if err := inv.put(&f, keys, all); err != nil {
				return err
			}
			inv.wrote(&f, all)
			return nil
		},
	}
	f.add(inv, cmd)
	f.addTiming(cmd)
	cmd.Flags().BoolVar(&f.force, "force", false, "take them though a resolver may not verify what they sign")
	cmd.Flags().StringVar(&role, "role", "", "what a key without a .key is: `csk`, ksk or zsk")
	return cmd
}

// importKey reads a key that comes from elsewhere.
func importKey(origin rr.Name, flags uint16, file string) (k dnssec.TimedKey, err error) {
	_, missing := os.Stat(strings.TrimSuffix(file, ".private") + ".key")
	if strings.HasSuffix(file, ".private") && missing == nil {
		if flags != 0 {
			return k, misused("%s has a .key beside it, which says what it is; leave --role out", file)
		}
		if k, err = dnssec.Read(file); err == nil && k.Origin() != origin {
			err = fmt.Errorf("%s is a key of %s", file, k.Origin())
		}
		return k, err
	}
	if flags == 0 {
		return k, misused("%s has no .key beside it; say by --role csk, ksk or zsk what it is", file)
	}
	text, err := disk.Read(file, 64<<10)
	if err != nil {
		return k, err
	}
	if k, err = dnssec.Parse(origin, flags, string(text)); err != nil {
		return k, fmt.Errorf("%s: %w", file, err)
	}
	return k, nil
}

func newKeyRoll(inv *invocation) *cobra.Command {
	var f keyFlags
	var role, algorithm string
	cmd := &cobra.Command{
		Use: "roll ORIGIN", Short: "Begin to put a new key in the place of one", Args: cobra.ExactArgs(1),
		Long: `Make a key and set times, by which servers roll without another command:

  --role zsk        the new ZSK is published, signs, and the old one goes. A
                    zone with a CSK gets a ZSK; its CSK is a KSK from then on
  --role ksk, csk   the new key signs DNSKEY beside the old one, and CDS asks
                    the parent for its DS. Once it has it: "leeward key retire"
  --algorithm 15    all keys, by ones of another algorithm; then "key retire"`,
		Example: `  leeward key roll example.test --role zsk --ttl 1h --keys /etc/leeward/keys
  leeward key roll example.test --algorithm 15 --keys /etc/leeward/keys`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if (role == "") == (algorithm == "") {
				return misused("say what to roll: --role zsk, ksk or csk, or all keys by --algorithm")
			}
			_, keys, err := f.zone(args[0])
			if err != nil {
				return err
			}
			if keys.Moves(inv.now()) && !f.force {
				return errors.New("a roll is under way: see `leeward key list`; --force begins another beside it")
			}
			var changed []dnssec.TimedKey
			switch role {
			case "zsk":
				changed, err = keys.RollZSK(inv.now(), f.timing)
			case "ksk", "csk":
				changed, err = keys.RollEntry(inv.now(), f.timing)
			case "":
				var a dnssec.Algorithm
				if a, err = algorithmOf(algorithm); err == nil {
					changed, err = keys.RollAlgorithm(a, inv.now(), f.timing)
				}
			default:
				return misused("--role %s: it is zsk, ksk or csk", role)
			}
			if err == nil {
				err = inv.put(&f, keys, changed)
			}
			if err != nil {
				return err
			}
			inv.wrote(&f, changed)
			return nil
		},
	}
	f.add(inv, cmd)
	f.addTiming(cmd)
	cmd.Flags().StringVar(&role, "role", "", "`zsk`, ksk or csk")
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "`13` (ECDSAP256SHA256) or 15 (ED25519)")
	cmd.Flags().BoolVar(&f.force, "force", false, "do it though another roll is under way, or the chain would break")
	return cmd
}

func newKeyRetire(inv *invocation) *cobra.Command {
	var f keyFlags
	var parents []string
	cmd := &cobra.Command{
		Use: "retire ORIGIN TAG", Short: "Have a key go, once others do its work", Args: cobra.ExactArgs(2),
		Long: `Set the times by which a key goes. Of a KSK or CSK each server of the parent zone
must have the DS of another key that signs DNSKEY: name them all by --parent. Where
the other key is of another algorithm, the parent is asked first to take the DS of
the old one out; retire it again when it has.`,
		Example: "  leeward key retire example.test 34299 --parent 192.0.2.1 --parent 192.0.2.2 \\\n" +
			"      --keys /etc/leeward/keys",
		RunE: func(cmd *cobra.Command, args []string) error {
			tag, err := strconv.ParseUint(args[1], 10, 16)
			if err != nil {
				return misused("%s is not a key tag: see `leeward key list`", args[1])
			}
			_, keys, err := f.zone(args[0])
			if err != nil {
				return err
			}
			var ds [][]byte
			asked := false
			for _, k := range keys.All() {
				if !k.Entry() || k.Tag() != uint16(tag) || !k.Times.Active(inv.now()) {
					continue
				}
				asked = true
				if ds, err = f.parentDS(cmd.Context(), keys, parents, uint16(tag), inv.now()); err != nil {
					return err
				}
			}
			if !asked && len(parents) > 0 {
				return misused("key %d is not one that signs DNSKEY now, so the parent does not matter; leave --parent out", tag)
			}
			changed, more, err := keys.Retire(uint16(tag), ds, inv.now(), f.timing)
			if err == nil {
				err = inv.put(&f, keys, changed)
			}
			if err != nil {
				return err
			}
			inv.wrote(&f, changed)
			if more {
				inv.printf("The parent is asked to take the DS of key %d out. Retire it again when all of its servers have.\n",
					tag)
			}
			return nil
		},
	}
	f.add(inv, cmd)
	f.addTiming(cmd)
	cmd.Flags().StringSliceVar(&parents, "parent", nil, "the `ADDRESS` of a server of the parent zone; repeatable")
	cmd.Flags().BoolVar(&f.force, "force", false,
		"take it that the parent has the DS of all other keys that sign DNSKEY and not of this one, and do not check "+
			"the chain")
	return cmd
}
