package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/chain"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

func newKeyCheck(inv *invocation) *cobra.Command {
	var f keyFlags
	var parents, servers []string
	var walk keyWalk
	cmd := &cobra.Command{
		Use: "check ORIGIN", Short: "Check that keys, servers and the parent's DS fit together",
		Args: cobra.ExactArgs(1),
		Long: `Check that resolvers can validate the zone from now until the last time that a key
has: each signature must verify with each DNSKEY set that may be cached at the same
time. With --parent, also check that a key whose DS the parent has signs DNSKEY all
that time. With --server, also check that each server of the zone has the DNSKEY set
that these keys make now.

If no keys are named, or with --root or --anchor, walk the chain of trust from the
root to the zone as a validating resolver does: ask every server on the way over TCP,
and say whether the zone is secure, insecure or bogus, where that shows, and what to
do. The walk takes at most 90 s. Behind a firewall, use --root to name servers of
your own tree.

Exit status: 0 if all is well (with a walk: secure, at each server), 1 if not.`,
		Example: `  leeward key check example.test
  leeward key check example.test --ttl 1h --keys /etc/leeward/keys
  leeward key check example.test --parent 192.0.2.1 --server 198.51.100.1 \
      --keys /etc/leeward/keys`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if walk.wanted(cmd, &f) {
				return walk.run(cmd, inv, &f, args[0])
			}
			_, keys, err := f.zone(args[0])
			if err != nil {
				return err
			}
			wrong := keys.Check(nil, inv.now(), f.timing)
			if len(parents) > 0 {
				ds, err := askParents(cmd.Context(), keys.Origin(), parents)
				if err != nil {
					return err
				}
				if len(ds) == 0 {
					wrong = append(wrong, "the parent has no DS on all of its servers: the zone is not secure")
				}
				wrong = append(wrong, keys.Trusted(ds, inv.now())...)
			}
			want := keys.At(inv.now()).DNSKEY
			for _, s := range servers {
				got, err := askData(cmd.Context(), s, keys.Origin(), rr.TypeDNSKEY)
				if err != nil {
					return err
				}
				for _, k := range want {
					if !slices.ContainsFunc(got, func(b []byte) bool { return bytes.Equal(b, k) }) {
						wrong = append(wrong, fmt.Sprintf(
							"server %s does not have the DNSKEY of key %d: give it the files", s, dnssec.Tag(k)))
					}
				}
			}
			if wrong == nil {
				wrong = []string{}
			}
			err = inv.print(f.output, struct {
				Wrong []string `json:"wrong"`
			}{wrong}, func(io.Writer, bool) error {
				for _, text := range wrong {
					inv.printf("%s\n", text)
				}
				if len(wrong) == 0 {
					inv.printf("all is well\n")
				}
				return nil
			})
			if err == nil && len(wrong) > 0 {
				return exitError(1)
			}
			return err
		},
	}
	f.add(inv, cmd)
	f.addTiming(cmd)
	cmd.Flags().StringSliceVar(&parents, "parent", nil, "the `ADDRESS` of a server of the parent zone; repeatable")
	cmd.Flags().StringSliceVar(&servers, "server", nil, "the `ADDRESS` of a server of the zone; repeatable")
	walk.add(cmd)
	addOutput(cmd, &f.output, "text", "json")
	return cmd
}

// parentDS returns the DS records that the parent has when a key is retired.
func (f *keyFlags) parentDS(ctx context.Context, keys *dnssec.Keys, parents []string, tag uint16,
	now time.Time,
) (all [][]byte, err error) {
	if len(parents) > 0 {
		return askParents(ctx, keys.Origin(), parents)
	}
	if !f.force {
		return nil, errors.New("the parent's DS is to be seen first: name each server of the parent zone by " +
			"--parent; --force takes it that it is as it should be")
	}
	for _, k := range keys.At(now).Entry {
		if ds, err := k.DS(dnssec.DigestSHA256); err == nil && k.Tag() != tag {
			all = append(all, ds)
		}
	}
	return all, nil
}

// askParents returns the DS records of the parent, of which all servers must have the same.
func askParents(ctx context.Context, origin rr.Name, parents []string) (all [][]byte, err error) {
	for i, p := range parents {
		got, err := askData(ctx, p, origin, rr.TypeDS)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			all = got
		}
		same := len(got) == len(all)
		for _, d := range got {
			same = same && slices.ContainsFunc(all, func(b []byte) bool { return bytes.Equal(b, d) })
		}
		if !same {
			return nil, fmt.Errorf(
				"servers %s and %s of the parent have other DS records: wait until they are the same", parents[0], p)
		}
	}
	return all, nil
}

// askData asks an authoritative server for the RRset of a type at a zone's apex, and returns the RDATA.
func askData(ctx context.Context, server string, origin rr.Name, typ rr.Type) ([][]byte, error) {
	if _, err := chain.ParseServer(server); err != nil {
		return nil, misused("%w", err)
	}
	all, _, err := chain.Authority(ctx, server, origin.String(), uint16(typ))
	if err != nil {
		whose := "the zone's"
		if typ == rr.TypeDS {
			whose = "the parent's"
		}
		err = fmt.Errorf("%s server %w", whose, err)
	}
	return all, err
}
