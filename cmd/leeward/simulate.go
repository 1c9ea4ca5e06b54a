package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/control"
	"leeward/cmd/leeward/screen"
	"leeward/health"
	"leeward/server/admin"
	"leeward/zones"
	"leeward/zones/steer"
)

func newSimulate(inv *invocation) *cobra.Command {
	var down, surges, files []string
	var at, output string
	cmd := &cobra.Command{
		Use:     "simulate",
		Short:   "Forecast where traffic would go, and which pools it would overload",
		GroupID: groupOperate,
		Args:    cobra.NoArgs,
		Long: `Simulate runs today's clients through the code that answers queries, under
changed conditions: with targets down, with more clients, at another time, with
resources that are not applied yet, or with all of these at once.

The clients are those that all servers have counted in the last minutes. Their
load is what vantages have measured; THEN ± says how certain that is. Pools
without a measured load are shown in queries a second.

Exit status: 0 if no pool would be above its max, 1 if one would be or nothing
could be simulated, 2 for wrong usage.`,
		Example: `  leeward simulate --down region/eu-west
  leeward simulate --down pool/www-eu --surge us-east=3x
  leeward simulate --at 2026-12-24T18:00:00+01:00 -f changed/ -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := inv.question(down, surges, at)
			if err != nil {
				return err
			}
			if len(files) > 0 {
				input := inputFlags{files}
				docs, problems, err := input.read(inv)
				if err != nil {
					return err
				}
				if wrong := problems.Errors(); len(wrong) > 0 {
					inv.complain(wrong)
					return fmt.Errorf("nothing was simulated: %s in what was read; see above",
						count(len(wrong), "problem"))
				}
				q.Change = func(rs map[zones.Key]zones.Resource) {
					for _, d := range docs {
						rs[d.Resource.Key()] = d.Resource
					}
				}
			}
			if len(down)+len(surges)+len(files) == 0 && at == "" {
				return misused("there is nothing to simulate: give --down, --surge, --at or -f")
			}
			f, err := inv.foresee(cmd.Context(), q)
			if err != nil {
				return err
			}
			if err := inv.print(output, f, func(io.Writer, bool) error { return inv.forecast(f) }); err != nil {
				return err
			}
			if over, _ := f.OverMax(); len(over) > 0 {
				return exitError(1)
			}
			return nil
		},
	}
	inv.etcd.add(cmd.Flags())
	cmd.Flags().StringSliceVar(&down, "down", nil,
		"treat `TARGET[,TARGET]` as down: region/REGION, pool/POOL or endpoint/POOL/ENDPOINT")
	cmd.Flags().StringSliceVar(&surges, "surge", nil,
		"a surge, `REGION=3x`: three times as many clients that would go to the region first; repeatable")
	cmd.Flags().StringVar(&at, "at", "", "with what is scheduled for `TIME` instead of now: "+whenHelp)
	cmd.Flags().StringArrayVarP(&files, "filename", "f", nil,
		"a `FILE` or folder of resources to apply on top of those in etcd; repeatable")
	addOutput(cmd, &output, "table", "json")
	return cmd
}

// question reads the flags that say what to simulate.
func (inv *invocation) question(down, surges []string, at string) (q control.Question, err error) {
	for _, text := range down {
		target, err := parseTarget(text)
		if err != nil {
			return q, err
		}
		q.Down = append(q.Down, target)
	}
	for _, text := range surges {
		region, factor, ok := strings.Cut(text, "=")
		by, err := health.ParseNumber(strings.TrimSuffix(factor, "x"))
		if !ok || region == "" || err != nil || !(by >= 0 && by <= 1000) {
			return q, misused("--surge %q: write REGION=3x, from 0x to 1000x", text)
		}
		if q.Surge == nil {
			q.Surge = map[string]float64{}
		}
		if _, twice := q.Surge[region]; twice {
			return q, misused("--surge names region %s twice", region)
		}
		q.Surge[region] = by
	}
	if at != "" {
		q.At, err = parseWhen(at, inv.now())
	}
	return q, err
}

// foresee makes a forecast from what is in etcd.
func (inv *invocation) foresee(ctx context.Context, q control.Question) (*control.Forecast, error) {
	observer, err := inv.settled(ctx)
	if err != nil {
		return nil, err
	}
	defer observer.Close()
	return observer.Foresee(ctx, q)
}

// forecast prints a forecast for people.
func (inv *invocation) forecast(f *control.Forecast) error {
	if len(f.Servers) == 0 {
		inv.printf("No server reports which clients ask. A server does so within a minute of its first query.\n")
		return nil
	}
	inv.printf("%s queries a second, as %s counted them in the last minutes.\n", admin.Figure(f.Queries),
		count(len(f.Servers), "server"))
	loads := &screen.Table{Heads: []string{"POOL", "REGION", "LOAD", "THEN", "±", "TARGET", "MAX", "KEEPS", ""}}
	queries := &screen.Table{Heads: []string{"POOL", "REGION", "QUERIES/S", "THEN", "TIMES"}}
	for _, p := range f.Pools {
		if !p.Measured {
			queries.Add(screen.Cell{Text: p.Pool}, screen.Cell{Text: p.Region},
				screen.Cell{Text: admin.Figure(p.Queries)}, screen.Cell{Text: admin.Figure(p.QueriesThen)},
				screen.Cell{Text: times(p.Queries, p.QueriesThen)})
			continue
		}
		loads.Add(screen.Cell{Text: p.Pool}, screen.Cell{Text: p.Region}, screen.Cell{Text: admin.Figure(p.Load)},
			screen.Cell{Text: admin.Figure(p.Then), Colour: screen.Bold},
			screen.Cell{Text: screen.Margin(p.Error)}, orDash(p.Target), orDash(p.Max),
			screen.Cell{Text: fmt.Sprintf("%.0f %%", p.Keep*100)}, judged(&p))
	}
	for _, t := range []*screen.Table{loads, queries} {
		if len(t.Rows) == 0 {
			continue
		}
		inv.printf("\n")
		inv.table(t)
	}
	inv.printf("\n")
	over, maybe := f.OverMax()
	switch {
	case !f.Measured():
		inv.printf("No load is known, so these are only shares of queries. To see who would be over\ngive monitors a " +
			"load and pools a capacity (docs/capacity.md).\n")
	case len(over) > 0:
		inv.printf("Over its max: %s.\n", poolsOf(over))
	case len(maybe) > 0:
		inv.printf("Nobody is over its max; %s may be.\n", poolsOf(maybe))
	default:
		inv.printf("Nobody is over its max.\n")
	}
	if !f.Settled {
		inv.printf("The shares that pools keep do not settle: they swing around these figures.\n")
	}
	if f.Lost > 0.0005 {
		inv.printf("%.1f %% of the queries get no address.\n", f.Lost*100)
	}
	if f.FailOpen > 0.0005 {
		inv.printf("%.1f %% of the queries are answered as if all were healthy (fail open).\n", f.FailOpen*100)
	}
	for _, d := range f.Doubts {
		inv.printf("Not sure: %s.\n", d)
	}
	return nil
}

func judged(p *steer.PoolForecast) screen.Cell {
	switch {
	case p.Over:
		return screen.Cell{Text: "over", Colour: screen.Red}
	case p.Max > 0 && p.Then+p.Error > p.Max:
		return screen.Cell{Text: "near", Colour: screen.Yellow}
	case p.Target > 0 && p.Then > p.Target*1.01:
		return screen.Cell{Text: "above target", Colour: screen.Yellow}
	}
	return screen.Cell{Text: "ok", Colour: screen.Green}
}

func poolsOf(ps []steer.PoolForecast) string {
	var names []string
	for _, p := range ps {
		names = append(names, fmt.Sprintf("%s (%s of %s)", p.Pool, admin.Figure(p.Then), admin.Figure(p.Max)))
	}
	return strings.Join(names, ", ")
}

func orDash(f float64) screen.Cell {
	if f == 0 {
		return screen.Cell{Text: "-"}
	}
	return screen.Cell{Text: admin.Figure(f)}
}

func times(was, will float64) string {
	if was == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", will/was)
}
