package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
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
		Long: `Make the first key of a zone: one that signs everything (a CSK), or with --split a
KSK and a ZSK. If the zone has keys already, use "leeward key roll". With --etcd the
key is of the algorithm that the Zone asks for; another one is refused, as servers
would roll the key at once.`,
		Example: `  leeward key generate example.test --keys /etc/leeward/keys
  leeward key generate example.test --split --algorithm 15 --keys keys`,
		RunE: func(_ *cobra.Command, args []string) error {
			if algorithm != "" {
				if _, err := algorithmOf(algorithm); err != nil {
					return err
				}
			}
			origin, keys, err := f.zone(args[0])
			if err == nil {
				return fmt.Errorf("the zone has a key, %s; `leeward key roll` puts another in its place",
					keys.All()[0].FileName())
			}
			if !errors.Is(err, dnssec.ErrNoKey) {
				return err
			}
			a, err := f.chosen(origin, algorithm)
			if err != nil {
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
	cmd.Flags().StringVar(&algorithm, "algorithm", "",
		"`13` (ECDSAP256SHA256) or 15 (ED25519) (default: with --etcd what dnssec.algorithm of the Zone says, else 13)")
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
		Long: `Take over private keys in BIND's form: K….private, with its .key beside it and its
times in it. A file without a .key, as "pdnsutil export-zone-key" prints, also needs
--role.

If the zone has keys already, a key that would be active at once is refused.`,
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
				if info, err := os.Stat(file); err == nil {
					inv.exposed(disk.Exposed(file, info.Mode()))
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
			asked, err := f.asked(origin)
			if err == nil && asked != 0 && !slices.ContainsFunc(all, func(k dnssec.TimedKey) bool {
				return k.Algorithm() == asked
			}) {
				inv.printf("The Zone asks for algorithm %d (dnssec.algorithm): servers roll the keys to it.\n", asked)
			}
			return err
		},
	}
	f.add(inv, cmd)
	f.addTiming(cmd)
	cmd.Flags().BoolVar(&f.force, "force", false, "take them even if some resolvers cannot verify what they sign")
	cmd.Flags().StringVar(&role, "role", "", "the role of a key without a .key: `csk`, ksk or zsk")
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
	var halt, byTimes bool
	cmd := &cobra.Command{
		Use: "roll ORIGIN", Short: "Begin to replace a key by a new one", Args: cobra.ExactArgs(1),
		Long: `Make a new key to replace an old one. With --etcd, servers then carry the roll
through to its end. They take each step once all of them have taken the one before
and its TTL is over; for a KSK, a CSK or an algorithm they also wait until all
servers of the parent have the DS. "leeward key list" and "leeward status" say how
far the roll is and what holds it up. --stop gives it up where it is. With --keys or
--by-times, the key gets times instead, and servers do not wait for each other:

  --role zsk        the new ZSK is published, then signs, then the old one goes.
                    A zone with a CSK gets a ZSK, and its CSK becomes a KSK
  --role ksk, csk   the new key signs DNSKEY beside the old one, and CDS asks
                    the parent for its DS. Once it is there: "key retire"
  --algorithm 15    all keys are replaced by keys of this algorithm; then
                    "key retire"`,
		Example: `  leeward key roll example.test --role zsk --ttl 1h --keys /etc/leeward/keys
  leeward key roll example.test --algorithm 15 --keys /etc/leeward/keys`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if halt {
				return f.stop(args[0], role+algorithm)
			}
			if (role == "") == (algorithm == "") {
				return misused("say what to roll: --role zsk, ksk or csk, or all keys by --algorithm")
			}
			origin, keys, err := f.zone(args[0])
			if err == nil && algorithm != "" {
				_, err = f.chosen(origin, algorithm)
			}
			if err != nil {
				return err
			}
			v, is := f.place.(*keyVault)
			if byTimes && !is {
				return misused("--by-times has no effect: with --keys all rolls are by times; leave it out")
			}
			if is && byTimes && !v.held.Roll.Over() && !f.force {
				return fmt.Errorf("a roll is under way already: %v", v.held.Roll)
			}
			if is && !byTimes {
				return f.begin(v, role, algorithm)
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
	cmd.Flags().BoolVar(&halt, "stop", false, "with --etcd: give up the roll that is under way; keys stay as they are")
	cmd.Flags().BoolVar(&byTimes, "by-times", false,
		"with --etcd: set times, so that servers do not wait for each other")
	cmd.Flags().StringVar(&role, "role", "", "`zsk`, ksk or csk")
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "`13` (ECDSAP256SHA256) or 15 (ED25519)")
	cmd.Flags().BoolVar(&f.force, "force", false, "go on even if another roll is under way, or the chain would break")
	return cmd
}

// begin begins a roll that servers carry on.
func (f *keyFlags) begin(v *keyVault, role, algorithm string) error {
	const why = "with --etcd servers know the TTLs and wait for each other; leave it out, or give --by-times"
	flags := f.cmd.Flags()
	for _, name := range []string{"ttl", "parent-ttl", "delay", "force"} {
		if flags.Changed(name) {
			return misused("--%s has no effect: %s", name, why)
		}
	}
	kind, a, err := dnssec.RollsAlgorithm, dnssec.Algorithm(0), error(nil)
	switch role {
	case "zsk":
		kind = dnssec.RollsZSK
	case "ksk", "csk":
		kind = dnssec.RollsEntry
	case "":
		if a, err = algorithmOf(algorithm); err != nil {
			return err
		}
	default:
		return misused("--role %s: it is zsk, ksk or csk", role)
	}
	changed, err := v.vault.Begin(f.cmd.Context(), v.held, kind, a, f.inv.now())
	if err != nil {
		return err
	}
	for _, k := range changed {
		f.inv.printf("%s written\n", k.Place())
	}
	f.inv.printf("Servers that follow etcd and have the secret carry the roll on.\n")
	return nil
}

// stop gives up a roll that servers carry on.
func (f *keyFlags) stop(origin, what string) error {
	if what != "" {
		return misused("--stop gives up whatever roll is under way; leave --role and --algorithm out")
	}
	_, _, err := f.zone(origin)
	v, is := f.place.(*keyVault)
	switch {
	case f.place != nil && !is:
		return misused("with --keys no server carries a roll on: times in the files say what comes next, and " +
			"`leeward key retire` retires a key")
	case err != nil && (v == nil || v.held == nil || v.held.Keys == nil):
		return err
	case err == nil && v.held.Roll.Over():
		return errors.New("no roll is under way")
	}
	if err := v.vault.Stop(f.cmd.Context(), v.held, f.inv.now()); err != nil {
		return err
	}
	f.inv.printf("The roll is given up, and keys stay as they are: `leeward key list`; " +
		"`leeward key retire` retires one.\n")
	return nil
}

func newKeyRetire(inv *invocation) *cobra.Command {
	var f keyFlags
	var parents []string
	cmd := &cobra.Command{
		Use: "retire ORIGIN TAG", Short: "Retire a key, once others do its work", Args: cobra.ExactArgs(2),
		Long: `Set the times by which a key goes. Before a KSK or CSK may go, every server of the
parent zone must have the DS of another key that signs DNSKEY: name all of them with
--parent. If the other key has another algorithm, the parent is first asked to remove
the old DS; run retire again when it has.`,
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
				return misused("key %d is not one that signs DNSKEY now, so the parent does not matter; "+
					"leave --parent out", tag)
			}
			if v, is := f.place.(*keyVault); is && !v.held.Roll.Over() && !f.force {
				return fmt.Errorf("servers carry a roll on, and retire old keys by themselves: %v; "+
					"`leeward key roll %s --stop` gives it up", v.held.Roll, args[0])
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
				inv.printf("The parent is asked to take the DS of key %d out. "+
					"Retire it again when all of its servers have.\n", tag)
			}
			return nil
		},
	}
	f.add(inv, cmd)
	f.addTiming(cmd)
	cmd.Flags().StringSliceVar(&parents, "parent", nil, "the `ADDRESS` of a server of the parent zone; repeatable")
	cmd.Flags().BoolVar(&f.force, "force", false,
		"do not check the chain; assume that the parent has the DS of all other keys that sign DNSKEY, and not of "+
			"this one")
	return cmd
}
