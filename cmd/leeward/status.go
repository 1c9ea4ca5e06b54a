package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/screen"
	"leeward/server/admin"
)

func newStatus(inv *invocation) *cobra.Command {
	var f adminFlags
	var output string
	var watch, exitCode bool
	var every time.Duration
	cmd := &cobra.Command{
		Use: "status [TARGET]", Short: "Say what is broken and where its clients go, or that all is well",
		GroupID: groupOperate, Args: cobra.MaximumNArgs(1),
		Long: `Status asks a server how everything is. It prints a summary in a few sentences,
then what is wrong, then a line for each region and each server, twelve lines of
each kind at most. -o wide prints every pool and endpoint with each vantage's vote.

TARGET narrows it to a region, a pool, an endpoint (www-eu/lb-1), a server, a
vantage, or a steered name, and prints its pools and endpoints with their votes.

With --exit-code it exits with 1 if anything needs attention: something is out
or fails open, a server does not follow its source, a resource has a problem, or
a removal is held back.

With --etcd it reads resources and reports from etcd and judges them by itself,
without a server. If a vantage's last heartbeat is not recent, it first watches
for up to 20 s whether the vantage is still alive.`,
		Example: `  leeward status
  leeward status us-east
  leeward status www.example.test -o json
  leeward status -o wide
  leeward status --watch --admin http://10.0.0.1:8053 --admin-token-file token
  leeward status --etcd http://127.0.0.1:2379 -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := inv.prefer(cmd.Flags(), "admin", "etcd")
			switch {
			case err != nil:
				return err
			case watch && output != "table" && output != "wide":
				return misused("--watch shows tables; leave out -o %s", output)
			case watch && exitCode:
				return misused("--watch does not end by itself; leave out --exit-code")
			case every < 100*time.Millisecond:
				return misused("--every %v: write 100ms or more", every)
			}
			query, show := url.Values{}, screen.Status
			if len(args) > 0 {
				query.Set("of", args[0])
				show = screen.Wide
			}
			if output == "wide" {
				output, show = "table", screen.Wide
			}
			get := func(ctx context.Context) (*admin.Status, error) {
				var s admin.Status
				return &s, f.get(ctx, "/api/v1/status", query, &s)
			}
			if from == "etcd" {
				observer, err := inv.settled(cmd.Context())
				if err != nil {
					return err
				}
				defer observer.Close()
				get = observer.Status
				if len(args) > 0 {
					get = func(ctx context.Context) (*admin.Status, error) {
						s, err := observer.Narrowed(ctx, args[0])
						return s, badQuestion(err)
					}
				}
			}
			if !watch {
				s, err := get(cmd.Context())
				if err != nil {
					return err
				}
				if err := inv.print(output, s, func(w io.Writer, colour bool) error { return show(w, s, colour) }); err != nil {
					return err
				}
				if exitCode && s.Wrong() {
					return exitError(1)
				}
				return nil
			}
			return inv.watch(cmd.Context(), every, func(ctx context.Context, w io.Writer) error {
				s, err := get(ctx)
				if err != nil {
					return err
				}
				return show(w, s, inv.colour(inv.out))
			})
		},
	}
	inv.etcd.add(cmd.Flags())
	f.add(cmd.Flags())
	addOutput(cmd, &output, "table", "wide", "json", "yaml")
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 1 if anything needs attention")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "keep showing it, until interrupted")
	cmd.Flags().DurationVar(&every, "every", time.Second, "how often, with --watch")
	return cmd
}

// watch prints a status again and again: over the last one on a terminal, below it elsewhere. A status that cannot be
// had is told, and asked for again.
func (inv *invocation) watch(ctx context.Context, every time.Duration, write func(context.Context, io.Writer) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	inPlace := terminal(inv.out)
	for {
		var b strings.Builder
		fmt.Fprintf(&b, "%s\n\n", inv.now().Format(time.DateTime))
		if err := write(ctx, screen.NewPageOf(&b, inv.page.Columns())); err != nil {
			fmt.Fprintf(&b, "%v\n", err)
		}
		if ctx.Err() != nil {
			return nil
		}
		if inPlace {
			inv.printf("\x1b[H\x1b[2J%s", head(b.String(), inv.page.Rows()))
		} else {
			inv.printf("%s", b.String())
		}
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

// head returns as many lines of a text as a terminal of so many rows shows, and says how many are left. What comes first
// matters most, and a terminal would show what comes last. 0 rows: nobody knows how many there are.
func head(text string, rows int) string {
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	if rows < 3 || len(lines) < rows {
		return text
	}
	kept := lines[:rows-2]
	return strings.Join(kept, "") + fmt.Sprintf("… %d more lines: name a TARGET, or leave out --watch\n", len(lines)-len(kept))
}
