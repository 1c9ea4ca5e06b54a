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
				err = inv.print(output, s, func(w io.Writer, colour bool) error { return show(w, s, colour) })
				if err != nil {
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

// watch prints a status again and again: over the last one on a terminal, and below it elsewhere. If it cannot get a
// status, it says so and tries again. A terminal keeps showing the last status, and says from when it is.
func (inv *invocation) watch(
	ctx context.Context, every time.Duration, write func(context.Context, io.Writer) error,
) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	inPlace := terminal(inv.out) && inv.env["TERM"] != "dumb"
	last, of := "", ""
	for {
		now := inv.now().Format(time.DateTime)
		var body strings.Builder
		page := screen.NewPageOf(&body, inv.page.Columns())
		err := write(ctx, page)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			body.Reset()
			fmt.Fprintf(page, "%v\n", err)
			if inPlace && last != "" {
				fmt.Fprintf(page, "\nWhat follows is of %s.\n\n%s", of, last)
			}
		} else {
			last, of = body.String(), now
		}
		gap := "\n\n"
		if rows := inv.page.Rows(); rows > 0 && rows < smallRows {
			gap = "\n"
		}
		if text := now + gap + body.String(); inPlace {
			inv.printf("%s", over(head(text, inv.page.Columns(), inv.page.Rows())))
		} else {
			inv.printf("%s", text)
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

// smallRows is below how many rows a terminal has none to spare.
const smallRows = 12

// over returns what writes a text over the last one. It clears each line as it comes to it, so that nothing flickers.
func over(text string) string {
	return "\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J"
}

// head returns as many lines of a text as a terminal of so many columns and rows shows, and says how many are left.
// What comes first matters most, and a terminal would show what comes last. 0 rows: nobody knows how many there are.
func head(text string, columns, rows int) string {
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	if rows <= 0 || len(lines) < rows {
		return screen.Cut(text, columns)
	}
	note := ""
	kept := lines[:max(rows-2, 1)]
	if rows > 2 {
		note = fmt.Sprintf("… %d more lines: name a TARGET, or leave out --watch\n", len(lines)-len(kept))
	}
	return screen.Cut(strings.Join(kept, "")+note, columns)
}
