package main

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/demo"
)

func newDemo(inv *invocation) *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use: "demo", Short: "Run everything on this machine and cut a region", GroupID: groupServe, Args: cobra.NoArgs,
		Long: `Demo runs an etcd inside this process, two DNS servers, a third vantage, and three regions of two HTTP endpoints each on
loopback addresses. It applies resources, shows which region answers whom, and lets you cut a region with a key and
watch it leave the answers and come back. Nothing is installed, nothing is left behind, no rights are needed.

With --once it cuts a region by itself, prints the timeline, and ends: with status 0 only if the region left both
servers' answers in the time that its monitor allows, and came back.`,
		Example: `  leeward demo
  leeward demo --fail eu-west --after 10s --for 15s
  leeward demo --once`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.Fail != "" && !slices.Contains(demo.Regions(), o.Fail):
				return misused("--fail %q: the demo's regions are %s", o.Fail, strings.Join(demo.Regions(), ", "))
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
			o.In, o.Out, o.Terminal, o.Colour = inv.in, inv.out, terminal(inv.out), inv.colour(inv.out)
			o.Version, _, _ = version()
			o.Command = "leeward"
			if strings.Contains(os.Args[0], "go-build") { // go run
				o.Command = "go run ./cmd/leeward"
			}
			return demo.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.Once, "once", false, "cut a region, wait until it has left and come back, print the timeline and end")
	cmd.Flags().StringVar(&o.Fail, "fail", "", "`REGION` to cut: "+strings.Join(demo.Regions(), ", "))
	cmd.Flags().DurationVar(&o.After, "after", 10*time.Second, "how long after the first answers (1s with --once)")
	cmd.Flags().DurationVar(&o.For, "for", 0, "how long it stays cut (0: until a key is pressed)")
	return cmd
}
