package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/spf13/cobra"

	"leeward/cmd/leeward/control"
	"leeward/cmd/leeward/drill"
	"leeward/cmd/leeward/screen"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/disk"
	"leeward/zones/store"
)

// drillFlags are those of leeward drill.
type drillFlags struct {
	options   drill.Options
	resolvers []string
	reports   []string
	every     string
	output    string
}

func newDrill(inv *invocation) *cobra.Command {
	var f drillFlags
	cmd := &cobra.Command{
		Use: "drill region/REGION|pool/POOL|endpoint/POOL/ENDPOINT", Args: cobra.ExactArgs(1),
		Short: "Rehearse an outage, and call it off if it does harm", GroupID: groupOperate,
		Long: `Rehearse the loss of a target: drain it for a while, watch what happens, and
report.

Drill first forecasts what the other pools would carry. It does not start if that
is too much, or if a server is silent. Then the target's clients move away within
--ramp, stay away, and move back before the end.

Every server ends the drill at once if it does harm: a pool that serves the
target's clients reaches its max, one of its addresses goes down, or a server, a
vantage or etcd falls silent. The drill also ends within 15 s if this process
dies, and on time if etcd is lost. Ctrl-C calls it off.

Exit status: 0 if it succeeded (or, with --dry-run, would start), 1 if not,
2 for wrong usage.`,
		Example: `  leeward drill region/eu-west --for 15m --reason "Q4 game day"
  leeward drill region/eu-west --report drill.html --resolver 9.9.9.9
  leeward drill pool/www-eu --dry-run
  leeward drill region/eu-west --every "0 10 * * 3"   # each Wednesday at 10:00
  leeward drills                                      # what earlier ones showed`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if f.options.Target, err = parseTarget(args[0]); err != nil {
				return err
			}
			if f.options.For < 10*time.Second || f.options.For > 24*time.Hour {
				return misused("--for %v: write 10s to 24h", f.options.For)
			}
			if ramp := f.options.Ramp; ramp < 0 || ramp%time.Second != 0 || 2*ramp > f.options.For {
				return misused("--ramp %v: write whole seconds, at most half of --for, %v", ramp, f.options.For)
			}
			if strings.HasPrefix(f.options.Target, "endpoint/") {
				if cmd.Flags().Changed("ramp") {
					return misused("--ramp: an endpoint is drained at once; leave it out, or drill its pool")
				}
			}
			for _, a := range f.resolvers {
				r, err := drill.NewResolver(a)
				if err != nil {
					return misused("--resolver %v", err)
				}
				f.options.Resolvers = append(f.options.Resolvers, r)
			}
			if err := reportFiles(f.reports); err != nil {
				return err
			}
			if f.every == "" {
				return inv.drillOnce(cmd.Context(), f, f.reports)
			}
			if f.options.DryRun {
				return misused("--every and --dry-run exclude each other; leave one out")
			}
			times, err := cron.ParseStandard(f.every)
			if err != nil {
				return misused(`--every %q: %v; write minute, hour, day, month and weekday, such as "0 10 * * 3"`,
					f.every, err)
			}
			return inv.drillEvery(cmd.Context(), f, times)
		},
	}
	inv.etcd.add(cmd.Flags())
	flags := cmd.Flags()
	flags.DurationVar(&f.options.For, "for", 15*time.Minute, "how long, both ramps included")
	flags.DurationVar(&f.options.Ramp, "ramp", 0,
		"move the target's clients away, and later back, within this time; 0: four TTLs")
	flags.StringVar(&f.options.Reason, "reason", "", "the reason, for others to read")
	flags.StringSliceVar(&f.resolvers, "resolver", nil,
		"ask the resolver at `ADDRESS` for the affected names, once a second; several with commas")
	flags.StringSliceVar(&f.reports, "report", nil,
		"write the report to `FILE`: .html, .json or .txt; several with commas")
	flags.StringVar(&f.every, "every", "",
		"keep running, and drill at the times of this `CRON` line, in local time or with CRON_TZ=Europe/Paris "+
			"before it")
	flags.BoolVar(&f.options.DryRun, "dry-run", false, "only say whether it would start")
	flags.BoolVar(&f.options.Force, "force", false, "start even if the forecast says that a pool would be overloaded")
	addOutput(cmd, &f.output, "table", "json")
	inv.complete(cmd, targets)
	return cmd
}

// drillOnce runs one drill, shows its report and writes it to the files.
func (inv *invocation) drillOnce(ctx context.Context, f drillFlags, files []string) error {
	e, err := inv.dial()
	if err != nil {
		return err
	}
	defer e.Close()
	observer, err := inv.settled(ctx)
	if err != nil {
		return err
	}
	defer observer.Close()
	o := f.options
	o.Etcd, o.Observer, o.By = e, observer, inv.who()
	o.Alone = func(base *store.Listing, status *admin.Status, drain zones.Override) string {
		var names []string
		for _, l := range carry(base.Resources(), &drain, status, inv.now()) {
			if l.left == 0 {
				names = append(names, l.policy)
			}
		}
		return strings.Join(names, ", ")
	}
	show := f.output == "table"
	o.Say = func(time.Time, string) {}
	if show {
		o.Foretold = func(forecast *control.Forecast) {
			if forecast.Measured() {
				if err := inv.forecast(forecast); err != nil {
					fmt.Fprintln(inv.told, err)
				}
				inv.printf("\n")
			}
		}
		o.Say = func(at time.Time, text string) { inv.printf("%s  %s\n", at.Format(time.TimeOnly), text) }
	}
	r, err := drill.Run(ctx, o)
	if err != nil {
		return err
	}
	if o.DryRun && r.Outcome == drill.Running {
		if !show {
			return writeJSON(inv.out, r)
		}
		for _, d := range r.Doubts {
			inv.printf("Overridden by --force: %s.\n", d)
		}
		inv.printf("The drill would start. Nothing was written: this was a dry run.\n")
		return nil
	}
	if show {
		inv.printf("\n")
	}
	if err := inv.print(f.output, r, func(w io.Writer, _ bool) error { return r.Text(w, inv.now()) }); err != nil {
		return err
	}
	for _, file := range files {
		if err := writeReport(r, file, inv.now()); err != nil {
			return err
		}
		if show {
			inv.printf("\nThe report is in %s.\n", file)
		}
	}
	if r.Outcome != drill.Succeeded {
		return exitError(1)
	}
	return nil
}

// drillEvery drills at the times given until the context ends.
func (inv *invocation) drillEvery(ctx context.Context, f drillFlags, times cron.Schedule) error {
	for {
		next := times.Next(inv.now())
		if next.IsZero() {
			return misused("--every %q: it never comes", f.every)
		}
		fmt.Fprintf(inv.told, "the next drill of %s is at %s\n", f.options.Target, next.Format(time.RFC3339))
		for wait := time.Until(next); wait > 0; wait = time.Until(next) { // in short waits, as the clock may be set
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(min(wait, time.Minute)):
			}
		}
		var files []string
		for _, file := range f.reports {
			ext := filepath.Ext(file)
			base, at := strings.TrimSuffix(file, ext), next.UTC().Format("2006-01-02T150405Z")
			files = append(files, base+"-"+at+ext)
		}
		if err := inv.drillOnce(ctx, f, files); err != nil {
			if _, told := err.(exitError); !told { //nolint:errorlint // it is never wrapped
				fmt.Fprintf(inv.told, "leeward: %v\n", err)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// reportFiles refuses names of files that do not say which form the report should have.
func reportFiles(files []string) error {
	for _, file := range files {
		if ext := filepath.Ext(file); ext != ".html" && ext != ".json" && ext != ".txt" {
			return misused("--report %s: write a file that ends in .html, .json or .txt", file)
		}
	}
	return nil
}

// writeReport writes a report in the form that the end of a file's name says.
func writeReport(r *drill.Report, file string, now time.Time) error {
	return disk.Write(file, 0o644, func(w *os.File) error {
		switch filepath.Ext(file) {
		case ".html":
			return r.HTML(w, now)
		case ".json":
			return writeJSON(w, r)
		}
		return r.Text(w, now)
	})
}

func newDrills(inv *invocation) *cobra.Command {
	var output string
	var reports []string
	cmd := &cobra.Command{
		Use: "drills [ID|last]", Short: "Show the results of earlier drills", GroupID: groupOperate,
		Args: cobra.MaximumNArgs(1),
		Long: fmt.Sprintf(`List the last %d drills, the newest first, or show the report of one.

If the process of a drill died, the drill is shown as interrupted.`, drill.Kept),
		Example: `  leeward drills
  leeward drills last
  leeward drills 2026-11-25T10:00:00Z --report drill.html`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(reports) > 0 && len(args) == 0 {
				return misused("--report needs a drill: give its ID, or last")
			}
			if err := reportFiles(reports); err != nil {
				return err
			}
			e, err := inv.dial()
			if err != nil {
				return err
			}
			defer e.Close()
			history := drill.History{Etcd: e.Cluster}
			if len(args) == 0 {
				return inv.drills(cmd.Context(), history, output)
			}
			r, err := history.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			for _, file := range reports {
				if err := writeReport(r, file, inv.now()); err != nil {
					return err
				}
			}
			return inv.print(output, r, func(w io.Writer, _ bool) error { return r.Text(w, inv.now()) })
		},
	}
	inv.etcd.add(cmd.Flags())
	cmd.Flags().StringSliceVar(&reports, "report", nil,
		"write the report to `FILE`: .html, .json or .txt; several with commas")
	addOutput(cmd, &output, "table", "json")
	return cmd
}

// drills lists the history.
func (inv *invocation) drills(ctx context.Context, h drill.History, output string) error {
	all, err := h.List(ctx)
	if err != nil && all == nil {
		return err
	}
	if err != nil {
		fmt.Fprintf(inv.told, "leeward: %v\n", err)
	}
	now := inv.now()
	if output == "json" {
		for _, r := range all {
			r.Outcome = r.Settled(now)
		}
		if all == nil {
			all = []*drill.Report{}
		}
		return writeJSON(inv.out, all)
	}
	if len(all) == 0 {
		inv.printf("There has been no drill yet. leeward drill --help says how to rehearse an outage.\n")
		return nil
	}
	t := &screen.Table{Heads: []string{"DRILL", "TARGET", "OUTCOME", "BY"}}
	for _, r := range all {
		t.AddTexts(r.ID, r.Target, string(r.Settled(now)), r.By)
	}
	inv.table(t)
	return nil
}
