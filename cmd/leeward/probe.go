package main

import (
	"context"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/process"
)

func newProbe(inv *invocation) *cobra.Command {
	var f vantageFlags
	cmd := &cobra.Command{
		Use: "probe", Short: "Run a vantage that answers no queries", GroupID: groupServe, Args: cobra.NoArgs,
		Long: `Probe checks the endpoints that etcd lists and reports on them, as every server
does, but it answers no queries. It adds an opinion from another place.`,
		Example: "  leeward probe --etcd http://etcd-1:2379 --id probe-sin --region ap-south",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := f.settings()
			if err != nil {
				return err
			}
			if err := inv.inVain(cmd.Flags(), append(f.vainAdmin(), inv.etcd.vainEtcd(cmd.Flags(),
				false)...)...); err != nil {
				return err
			}
			if s.Log, err = inv.serverLogger(); err != nil {
				return err
			}
			return inv.run(cmd.Context(), s)
		},
	}
	inv.etcd.add(cmd.Flags())
	f.add(cmd.Flags(), "")
	return cmd
}

// run runs a server, a probe or a signer until it is told to end. Unless it reads a folder, it follows etcd.
func (inv *invocation) run(ctx context.Context, s process.Settings) error {
	if s.Files == "" {
		o, err := inv.etcd.options(s.Log)
		if err != nil {
			return err
		}
		s.Etcd = &o
	}
	s.Dropped = inv.journal.Dropped
	reload, stop := hangups()
	defer stop()
	s.Reload = reload
	return process.Serve(ctx, s)
}
