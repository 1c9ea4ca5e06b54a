package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/screen"
	"leeward/server/admin"
)

func newStatus(inv *invocation) *cobra.Command {
	var f adminFlags
	var output string
	var watch bool
	var every time.Duration
	cmd := &cobra.Command{
		Use: "status", Short: "Show servers, regions, pools, endpoints and vantages' reports", GroupID: groupOperate, Args: cobra.NoArgs,
		Long: `Status asks a server what it knows: of itself and the other servers, which
regions and pools are in answers, the verdict on each endpoint with every
vantage's vote, overrides, and what is wrong.

With --etcd it reads resources and reports from etcd and judges them by itself,
without a server. If the last heartbeat of a vantage is not recent, it first
watches for up to 20 s whether the vantage still lives.`,
		Example: `  leeward status
  leeward status --watch --admin http://10.0.0.1:8053 --admin-token-file token
  leeward status --etcd http://127.0.0.1:2379 -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := inv.prefer(cmd.Flags(), "admin", "etcd")
			switch {
			case err != nil:
				return err
			case watch && output != "table":
				return misused("--watch shows a table; leave out -o %s", output)
			case every < 100*time.Millisecond:
				return misused("--every %v: it is at least 100ms", every)
			}
			get := func(ctx context.Context) (*admin.Status, error) {
				var s admin.Status
				return &s, f.get(ctx, "/api/v1/status", nil, &s)
			}
			if from == "etcd" {
				observer, err := inv.settled(cmd.Context())
				if err != nil {
					return err
				}
				defer observer.Close()
				get = observer.Status
			}
			if !watch {
				s, err := get(cmd.Context())
				if err != nil {
					return err
				}
				return inv.print(output, s, func(w io.Writer, colour bool) error { return screen.Status(w, s, colour) })
			}
			return inv.watch(cmd.Context(), every, get)
		},
	}
	inv.etcd.add(cmd.Flags())
	f.add(cmd.Flags())
	addOutput(cmd, &output, "table", "json", "yaml")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again and again, until interrupted")
	cmd.Flags().DurationVar(&every, "every", time.Second, "how often, with --watch")
	return cmd
}

// watch prints a status again and again: over the last one on a terminal, below it elsewhere. A status that cannot be
// had is told, and asked for again.
func (inv *invocation) watch(ctx context.Context, every time.Duration, get func(context.Context) (*admin.Status, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	inPlace := terminal(inv.out)
	for {
		s, err := get(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var b strings.Builder
		if inPlace {
			b.WriteString("\x1b[H\x1b[2J")
		}
		fmt.Fprintf(&b, "%s\n\n", inv.now().Format(time.DateTime))
		if err != nil {
			fmt.Fprintf(&b, "%v\n", err)
		} else if err := screen.Status(screen.NewPageOf(&b, inv.page.Columns()), s, inv.colour(inv.out)); err != nil {
			return err
		}
		inv.printf("%s", b.String())
		select {
		case <-tick.C:
			if !inPlace {
				inv.printf("\n")
			}
		case <-ctx.Done():
			return nil
		}
	}
}
