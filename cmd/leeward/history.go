package main

import (
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/screen"
	"leeward/server/history"
)

func newHistory(inv *invocation) *cobra.Command {
	var f adminFlags
	var output, since, until string
	var limit int
	var votes bool
	cmd := &cobra.Command{
		Use: "history [TARGET]", Short: "Show what happened: verdicts, failovers, changes, drains",
		GroupID: groupOperate, Args: cobra.MaximumNArgs(1),
		Long: `History asks a server what has happened, the newest first: verdicts that changed
(and votes, with --votes), pools that left the answers and came back (and how long
detecting, agreeing and publishing took), changes of resources, drains and other
overrides, drills, sources lost and found, vantages that turned blind or fell
silent, versions of resources that were refused, parents of zones that were told
of new keys, and the server's starts and stops. Each server has a history of its
own, and keeps it through restarts if it has --state.

TARGET narrows it to a region, a pool, an endpoint (www-eu/lb-1), a name, a
zone, a vantage, or a kind of event (verdict, vote, failover, change, override,
drill, source, server, vantage, problem, parent). --since and --until take a span
(2h, 3d), a time of day (02:17, the last one), or a date and time in the form that
history prints or in RFC 3339.`,
		Example: `  leeward history
  leeward history us-east --since 2h
  leeward history www.example.test --since 3d -o json
  leeward history failover --since 02:00 --until 03:00
  leeward history --admin http://10.0.0.1:8053 --admin-token-file token`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 || limit > mostHistory {
				return misused("--limit %d: write 1 to %d", limit, mostHistory)
			}
			query := url.Values{}
			if len(args) > 0 {
				query.Set("of", args[0])
			}
			// Programs get all; people get the votes only if they ask for them: each failover has one of each vantage
			// for each address.
			quiet := !votes && output == "table" && query.Get("of") != string(history.Vote)
			if quiet {
				query.Set("but", string(history.Vote))
			}
			for name, value := range map[string]string{"since": since, "until": until} {
				at, err := readPast("--"+name, value, inv.now())
				if err != nil {
					return err
				}
				if !at.IsZero() {
					query.Set(name, at.UTC().Format(timeExact))
				}
			}
			all := history.Page{Events: []history.Event{}}
			for len(all.Events) < limit {
				query.Set("limit", strconv.Itoa(min(limit-len(all.Events), history.MostEvents)))
				var p history.Page
				if err := f.get(cmd.Context(), "/api/v1/history", query, &p); err != nil {
					return err
				}
				p.Events = append(all.Events, p.Events...)
				if all = p; all.Next == 0 {
					break
				}
				query.Set("after", fmt.Sprint(all.Next))
			}
			return inv.print(output, &all, func(w io.Writer, colour bool) error {
				return screen.History(w, &all, inv.now(), quiet, colour)
			})
		},
	}
	f.add(cmd.Flags())
	addOutput(cmd, &output, "table", "json", "yaml")
	cmd.Flags().StringVar(&since, "since", "", "only events since `TIME`: 2h, 3d, 02:17, or RFC 3339 (default: all)")
	cmd.Flags().StringVar(&until, "until", "", "only events up to `TIME`")
	cmd.Flags().IntVar(&limit, "limit", 100, "only the newest `N` of these events")
	cmd.Flags().BoolVar(&votes, "votes", false, "the votes of each vantage, too; JSON and YAML always have them")
	inv.complete(cmd, steered)
	return cmd
}

// mostHistory is how many events the verb prints at most.
const mostHistory = 100_000

// timeExact is RFC 3339 with all digits.
const timeExact = "2006-01-02T15:04:05.999999999Z07:00"
