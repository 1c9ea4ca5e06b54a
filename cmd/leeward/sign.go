package main

import "github.com/spf13/cobra"

func newSign(inv *invocation) *cobra.Command {
	var f vantageFlags
	var keys, keySecrets string
	cmd := &cobra.Command{
		Use: "sign", Short: "Sign zones for servers that hold no keys", GroupID: groupServe, Args: cobra.NoArgs,
		Long: `Sign holds the keys of signed zones, follows the resources in etcd, and writes
signatures to etcd for servers that run with --signatures etcd. It answers no
queries and probes nothing. You may run two at once: both write the same.

While none runs, servers answer with the signatures that they have, for up to 13
days. They still follow health, but changes of resources in signed zones wait.`,
		Example: `  leeward sign --etcd http://etcd-1:2379 --keys /etc/leeward/keys
  leeward sign --etcd http://etcd-1:2379 --key-secret-file /etc/leeward/secrets`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := f.settings()
			if err != nil {
				return err
			}
			vains := append(f.vainAdmin(), inv.etcd.vainEtcd(cmd.Flags(), false)...)
			for _, name := range []string{"probe-cert", "probe-key"} {
				vains = append(vains, vain{name, true, "leeward sign probes nothing; leave it out"})
			}
			if err := inv.inVain(cmd.Flags(), vains...); err != nil {
				return err
			}
			if (keys == "") == (keySecrets == "") {
				return misused("say where the keys of the zones are: give --keys DIR, or --key-secret-file FILE for " +
					"those that are in etcd")
			}
			if s.Log, err = inv.serverLogger(); err != nil {
				return err
			}
			s.Keys, s.KeySecrets, s.Sign, s.NoProbe = keys, keySecrets, true, true
			return inv.run(cmd.Context(), s)
		},
	}
	inv.etcd.add(cmd.Flags())
	f.add(cmd.Flags(), "")
	for _, name := range []string{"probe-cert", "probe-key"} {
		_ = cmd.Flags().MarkHidden(name)
	}
	cmd.Flags().StringVar(&keys, "keys", "",
		"the folder, `DIR`, with the keys that zones are signed with, in BIND's form; looked at once a minute, and at "+
			"SIGHUP")
	cmd.Flags().StringVar(&keySecrets, "key-secret-file", "",
		"instead of --keys: a `FILE` of secrets, 64 hexadecimal digits on each line, that open the keys of zones in "+
			"etcd; read again when it changes")
	return cmd
}
