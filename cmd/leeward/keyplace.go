package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/process"
	"leeward/zones"
	"leeward/zones/dnssec"
	"leeward/zones/document"
	"leeward/zones/etcd"
	"leeward/zones/rr"
	"leeward/zones/vault"
)

// keyPlace is where the keys of zones are.
type keyPlace interface {
	// each calls with the keys of each zone that has any, or with why they cannot be read.
	each(ctx context.Context, f func(origin rr.Name, keys *dnssec.Keys, err error)) error
	// read reads the keys of a zone. The error wraps dnssec.ErrNoKey if there is none.
	read(ctx context.Context, origin rr.Name) (*dnssec.Keys, error)
	// write writes keys of the zone that was read last.
	write(ctx context.Context, changed []dnssec.TimedKey) error
}

// at returns the place that the flags name.
func (f *keyFlags) at() (keyPlace, error) {
	if f.place != nil {
		return f.place, nil
	}
	flags := f.cmd.Flags()
	from, err := f.inv.prefer(flags, "keys", "etcd") // as a server takes --keys where both are given
	if err != nil {
		return nil, err
	}
	const one = "keys are in the folder of --keys, so etcd is not asked; leave it out"
	vains := f.inv.etcd.vainEtcd(flags, from == "keys")
	for i := range vains {
		if from == "keys" {
			vains[i].why = one
		}
	}
	vains = append(vains, vain{"key-secret-file", from == "keys", one})
	if err := f.inv.inVain(flags, vains...); err != nil {
		return nil, err
	}
	switch {
	case from == "keys" && f.folder != "":
		f.place = keyFolder{f.folder, f.inv}
	case from == "etcd":
		f.folder = ""
		v, err := f.vault()
		if err != nil {
			return nil, err
		}
		f.place = &keyVault{vault: v}
	default:
		return nil, misused("say where the keys are: --keys DIR, or --etcd URL with --key-secret-file FILE")
	}
	return f.place, nil
}

// vault returns the keys in etcd.
func (f *keyFlags) vault() (*vault.Vault, error) {
	if f.secrets == "" {
		return nil, misused("say where the keys are: --keys DIR, or in etcd, where they are sealed: " +
			"--key-secret-file FILE")
	}
	secrets, open, err := process.KeySecretFile(f.secrets)
	if err != nil {
		return nil, err
	}
	f.inv.exposed(open)
	log, err := f.inv.logger()
	if err != nil {
		return nil, err
	}
	o, err := f.inv.patient(log)
	if err != nil {
		return nil, err
	}
	c, err := etcd.Dial(o)
	if err != nil {
		return nil, err
	}
	return &vault.Vault{Etcd: c, Secrets: secrets}, nil
}

// exposed warns that everybody on this host may open a file with a secret; "": nobody but its owner may.
func (inv *invocation) exposed(what string) {
	if what != "" {
		fmt.Fprintf(inv.told, "leeward: %s\n", what)
	}
}

// keyFolder is a folder of key files.
type keyFolder struct {
	path string
	inv  *invocation // warns of files that everybody may open
}

// keys reads the keys of a zone, and warns of files that everybody may open.
func (f keyFolder) keys(all *dnssec.Folder, origin rr.Name) (*dnssec.Keys, error) {
	if doubt := all.Doubt(origin); doubt != nil {
		f.inv.exposed(doubt.Error())
	}
	return all.Read(origin)
}

func (f keyFolder) each(_ context.Context, call func(origin rr.Name, keys *dnssec.Keys, err error)) error {
	all, err := dnssec.List(f.path)
	if err != nil {
		return err
	}
	for _, origin := range all.Origins() {
		keys, err := f.keys(all, origin)
		call(origin, keys, err)
	}
	return nil
}

func (f keyFolder) read(_ context.Context, origin rr.Name) (*dnssec.Keys, error) {
	all, err := dnssec.List(f.path)
	if err != nil {
		return nil, err
	}
	return f.keys(all, origin)
}

func (f keyFolder) write(_ context.Context, changed []dnssec.TimedKey) error {
	return dnssec.WriteAll(f.path, changed)
}

// keyVault is the sealed keys in etcd.
type keyVault struct {
	vault *vault.Vault
	held  *vault.Held // as they were read last
	rolls []string    // those that are under way, in words
}

// rolling notes how far a zone's roll is.
func (v *keyVault) rolling(origin rr.Name, r *dnssec.Roll) {
	if r != nil {
		v.rolls = append(v.rolls, rr.TrimDot(origin.String())+": "+r.String())
	}
}

func (v *keyVault) each(ctx context.Context, call func(origin rr.Name, keys *dnssec.Keys, err error)) error {
	all, err := v.vault.All(ctx)
	if err != nil {
		return err
	}
	for _, origin := range all.Origins() {
		keys, err := all.Read(origin, v.vault.Secrets)
		if roll, wrong := all.Roll(origin, v.vault.Secrets); wrong == nil {
			v.rolling(origin, roll)
		} else if err == nil {
			call(origin, nil, wrong)
		}
		call(origin, keys, err)
	}
	return nil
}

func (v *keyVault) read(ctx context.Context, origin rr.Name) (keys *dnssec.Keys, err error) {
	if v.held, err = v.vault.Read(ctx, origin); v.held != nil {
		keys = v.held.Keys
		v.rolling(origin, v.held.Roll)
	}
	return keys, err
}

func (v *keyVault) write(ctx context.Context, changed []dnssec.TimedKey) error {
	return v.vault.Write(ctx, v.held, changed)
}

// asked returns the algorithm that the Zone asks for, by dnssec.algorithm, to which servers roll keys in etcd. It
// returns 0 if the Zone does not say, is not there or not readable, or if the keys are files.
func (f *keyFlags) asked(origin rr.Name) (a dnssec.Algorithm, err error) {
	v, is := f.place.(*keyVault)
	if !is {
		return 0, nil
	}
	c, key := v.vault.Etcd, zones.KeyOf(zones.KindZone, rr.TrimDot(origin.String()))
	_, err = c.Read(f.cmd.Context(), 0, []etcd.Range{etcd.One(string(key))}, func(kv etcd.KV) {
		r, _ := document.Decode(key, kv.Value)
		if z, is := r.(*zones.Zone); is && z.Signed() && len(z.DNSSEC.Foreign) == 0 {
			a = dnssec.Algorithm(z.DNSSEC.Algorithm)
		}
	})
	if err != nil {
		return 0, c.Explain(f.cmd.Context(), err)
	}
	return a, nil
}

// chosen returns the algorithm of keys that are to be made: the one given, else the one that the Zone asks for, else
// 13. It refuses one that servers would roll away from.
func (f *keyFlags) chosen(origin rr.Name, text string) (a dnssec.Algorithm, err error) {
	if text != "" {
		if a, err = algorithmOf(text); err != nil {
			return 0, err
		}
	}
	asked, err := f.asked(origin)
	if err == nil && a != 0 && asked != 0 && a != asked {
		err = fmt.Errorf("the Zone asks for keys of algorithm %d (dnssec.algorithm), and servers would roll those of "+
			"%d to it: change dnssec.algorithm, to which they roll by themselves, or give --algorithm %d",
			asked, a, asked)
	}
	return cmp.Or(a, asked, dnssec.ECDSAP256), err
}

func newKeyReseal(inv *invocation) *cobra.Command {
	var f keyFlags
	cmd := &cobra.Command{
		Use: "reseal [ORIGIN]", Short: "Seal keys in etcd again, under the first secret", Args: cobra.MaximumNArgs(1),
		Long: `Seal the keys in etcd, of a zone or of all, again if they are not sealed under the
first line of --key-secret-file. To replace the secret: add the new one as the last
line of the file on all servers, make it the first line where you run this, run it,
and only then remove the old line.`,
		Example: "  leeward key reseal --etcd http://etcd-1:2379 --key-secret-file key-secrets",
		RunE: func(cmd *cobra.Command, args []string) error {
			place, err := f.at()
			if err != nil {
				return err
			}
			v := place.(*keyVault).vault
			ctx, done, wrong := cmd.Context(), []string{}, error(nil)
			var origins []rr.Name
			if len(args) == 1 {
				origin, err := rr.ParseName(args[0])
				if err != nil {
					return misused("%s: %w", args[0], err)
				}
				origins = []rr.Name{origin}
			} else {
				all, err := v.All(ctx)
				if err != nil {
					return err
				}
				origins = all.Origins()
			}
			for _, origin := range origins {
				places, err := v.Reseal(ctx, origin)
				if err != nil { // the others are done all the same
					wrong = errors.Join(wrong, fmt.Errorf("zone %s: %w", rr.TrimDot(origin.String()), err))
					continue
				}
				done = append(done, places...)
			}
			err = inv.print(f.output, done, func(io.Writer, bool) error {
				for _, p := range done {
					inv.printf("%s sealed again\n", p)
				}
				if len(done) == 0 && wrong == nil {
					inv.printf("all keys are sealed under the first secret already\n")
				}
				return nil
			})
			return errors.Join(err, wrong)
		},
	}
	f.inv, f.cmd = inv, cmd
	f.addSecrets(cmd)
	inv.etcd.add(cmd.Flags())
	addOutput(cmd, &f.output, "text", "json")
	return cmd
}
