package main

import (
	"context"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/screen"
	"leeward/server/answer"
)

func newTop(inv *invocation) *cobra.Command {
	var f adminFlags
	var output string
	var watch, clients, names bool
	var every time.Duration
	var most int
	cmd := &cobra.Command{
		Use: "top [POLICY|POOL]", Short: "Show what a server is asked most, and which pools answer",
		GroupID: groupOperate, Args: cobra.MaximumNArgs(1),
		Long: `Top asks a server what it has counted: queries by type, and answers by pool and
by policy, over the last minute, the last five minutes, and since the server
started. The highest counts of the last minute come first. -o wide adds each
policy's rules and the pools that they chose.

POLICY or POOL narrows it to a policy (the steered name) or a pool.

Every number is exact, and counts this server only.

--clients lists the prefixes that ask most, and --names the names that are asked
for most, if the server counts them (serve --count-top). If two numbers are
printed, the rate is between them.`,
		Example: `  leeward top
  leeward top www.example.test -o wide
  leeward top --watch --most 5
  leeward top --clients --names
  leeward top -o json --admin http://10.0.0.1:8053 --admin-token-file token`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case watch && output != "table" && output != "wide":
				return misused("--watch shows tables; leave out -o %s", output)
			case every < 100*time.Millisecond:
				return misused("--every %v: write 100ms or more", every)
			case most < 1 || most > 10_000:
				return misused("--most %d: write 1 to 10000", most)
			case (clients || names) && len(args) > 0:
				return misused("--clients and --names are of all queries; leave out %s", args[0])
			}
			query, wide := url.Values{"most": {strconv.Itoa(most)}}, output == "wide"
			if len(args) > 0 {
				query.Set("of", args[0])
			}
			if wide {
				output = "table"
			}
			show := func(ctx context.Context) (any, screenful, error) {
				if clients || names {
					var t answer.Top
					err := f.get(ctx, "/api/v1/top", query, &t)
					return &t, func(w io.Writer, colour bool) error {
						return screen.Top(w, &t, clients, names, colour)
					}, err
				}
				var c answer.Counts
				err := f.get(ctx, "/api/v1/counts", query, &c)
				return &c, func(w io.Writer, colour bool) error { return screen.Counts(w, &c, wide, colour) }, err
			}
			if watch {
				return inv.watch(cmd.Context(), every, func(ctx context.Context, w io.Writer) error {
					_, table, err := show(ctx)
					if err != nil {
						return err
					}
					return table(w, inv.colour(inv.out))
				})
			}
			v, table, err := show(cmd.Context())
			if err != nil {
				return err
			}
			return inv.print(output, v, table)
		},
	}
	f.add(cmd.Flags())
	addOutput(cmd, &output, "table", "wide", "json", "yaml")
	cmd.Flags().BoolVar(&clients, "clients", false, "list the prefixes that ask most: /24 of IPv4, /56 of IPv6")
	cmd.Flags().BoolVar(&names, "names", false, "list the names that are asked for most")
	cmd.Flags().IntVar(&most, "most", 20, "how many rows to list, 1 to 10000")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "keep showing it, until interrupted")
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "how often, with --watch")
	return cmd
}

// screenful writes what was got as tables.
type screenful = func(w io.Writer, colour bool) error
