package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/demo"
	"leeward/zones/disk"
)

func newDemo(inv *invocation) *cobra.Command {
	var o demo.Options
	var surge bool
	var plot string
	cmd := &cobra.Command{
		Use:     "demo",
		Short:   "Run everything on this machine, and cut a region off",
		GroupID: groupServe,
		Args:    cobra.NoArgs,
		Long: `Demo runs an etcd, two DNS servers, a third vantage, and three regions with two
HTTP endpoints each, all in this process and on loopback. It shows which region
each client is sent to. Press a key to cut a region off, and watch it leave the
answers and come back. Demo installs nothing, leaves nothing behind, and needs no
privileges.

With --surge, three times the usual crowd comes to one region: to a name whose
pools pass on what they cannot carry, and to one whose pools do not. --plot
FILE.svg draws what happens.

With --once it cuts a region off by itself, prints the timeline and exits: with 0
if the region left the answers of both servers in time, and came back.`,
		Example: `  leeward demo
  leeward demo --fail eu-west --after 10s --for 15s
  leeward demo --once
  leeward demo --surge --plot surge.svg`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.Fail != "" && !slices.Contains(demo.Regions(), o.Fail):
				return misused("--fail %q: the demo's regions are %s", o.Fail, strings.Join(demo.Regions(), ", "))
			case surge && (o.Once || o.Fail != "" || o.For > 0 || cmd.Flags().Changed("after")):
				return misused("--surge cuts no region; leave out --once, --fail, --after and --for")
			case plot != "" && !surge:
				return misused("--plot draws a surge; add --surge")
			case drawable(plot) != nil:
				return drawable(plot)
			case o.After < 0 || o.For < 0:
				return misused("--after and --for are not negative")
			case o.For > 0 && o.Fail == "" && !o.Once:
				return misused("--for says how long a region stays cut; name it with --fail")
			case cmd.Flags().Changed("after") && o.Fail == "" && !o.Once:
				return misused("--after says when a region is cut; name it with --fail")
			case o.For > 0 && o.Once:
				return misused("--once restores the region as soon as it has left the answers; leave out --for")
			}
			if !cmd.Flags().Changed("after") && o.Once {
				o.After = time.Second
			}
			// The servers' logs would run through the view: they are shown only when asked for.
			o.Log = slog.New(slog.DiscardHandler)
			if cmd.Flags().Changed("log-level") {
				log, err := inv.logger()
				if err != nil {
					return err
				}
				o.Log = log
			}
			o.In, o.Out, o.Terminal, o.Colour = inv.in, inv.page, terminal(inv.out), inv.colour(inv.out)
			o.Version, _, _ = version()
			o.Command = "leeward"
			if strings.Contains(os.Args[0], "go-build") { // go run
				o.Command = "go run ./cmd/leeward"
			}
			if surge {
				return runSurge(cmd.Context(), o, plot)
			}
			return demo.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&surge, "surge", false, "send three times the usual crowd, with spill and without")
	cmd.Flags().StringVar(&plot, "plot", "", "with --surge: draw it into a `FILE`, as SVG")
	cmd.Flags().BoolVar(&o.Once, "once", false,
		"cut a region off, wait until it has left the answers and come back, print the timeline, and exit")
	cmd.Flags().StringVar(&o.Fail, "fail", "", "the `REGION` to cut off: "+strings.Join(demo.Regions(), ", "))
	cmd.Flags().DurationVar(&o.After, "after", 10*time.Second,
		"how long after the first answers to cut it off (1s with --once)")
	cmd.Flags().DurationVar(&o.For, "for", 0, "how long to keep it cut off (0: until you press a key)")
	return cmd
}

// runSurge plays a surge and, with --plot, draws it.
func runSurge(ctx context.Context, o demo.Options, plot string) error {
	film, err := demo.Surge(ctx, o)
	if plot == "" || film == nil {
		return err
	}
	if drawn := disk.Write(plot, 0o644, func(f *os.File) error { return film.Plot(f) }); drawn != nil {
		return errors.Join(err, fmt.Errorf("the picture: %w", drawn))
	}
	fmt.Fprintf(o.Out, "drawn into %s\n", plot)
	return err
}
