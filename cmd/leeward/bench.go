package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/bench"
	"leeward/zones"
)

func newBench(inv *invocation) *cobra.Command {
	s := bench.Settings{}
	var server, names, zone, files, output, plot string
	var clients []string
	var mine, noCookies bool
	var allow float64
	cmd := &cobra.Command{
		Use: "bench --server ADDRESS --names FILE | --zone ORIGIN", Short: "Find the load at which a server of your " +
			"own breaks", GroupID: groupOperate,
		Args: cobra.NoArgs,
		Long: `Bench sends queries to a server over UDP, at a rate that does not depend on the
answers, as a crowd of resolvers would. It doubles the rate until more than
--allow percent of the queries are lost, late or answered wrong. Then it narrows
down the knee, the highest rate that the server sustains. Each rate lasts --step.

The questions come from a file, or from the names of a zone in etcd (--etcd) or
in a folder (--files). With --clients each query carries a subnet from these
prefixes (EDNS Client Subnet), as those of public resolvers do.

Run it on another machine than the server, or on cores of its own. It sends only
to loopback and private addresses, unless you give --i-own-this-target.`,
		Example: `  leeward bench --server 127.0.0.1:5300 --zone example.test
  leeward bench --server 10.0.0.53:53 --names names.txt \
      --clients 193.0.0.0/16,2001:db8::/32 --plot knee.svg
  leeward bench --server 10.0.0.53:53 --names names.txt \
      --from 50000 --step 10s --late 20ms -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			switch {
			case server == "":
				return misused("--server is missing: give its address, such as 127.0.0.1:5300")
			case (names == "") == (zone == ""):
				return misused("say what to ask: give either --names FILE or --zone ORIGIN")
			case s.From < 1 || s.Most < s.From:
				return misused("--from %g, --most %g: the first is at least 1, the second at least the first", s.From,
					s.Most)
			case s.Step < 100*time.Millisecond || s.Step > 5*time.Minute:
				return misused("--step %v: it is 100ms to 5m", s.Step)
			case s.Timeout < time.Millisecond || s.Timeout > 4*time.Second || s.Late <= 0:
				return misused("--timeout %v, --late %v: the first is 1ms to 4s, the second more than 0", s.Timeout,
					s.Late)
			case allow < 0 || allow >= 100:
				return misused("--allow %g: it is a percentage, at least 0 and below 100", allow)
			case s.Sockets < 1 || s.Sockets > 512:
				return misused("--sockets %d: it is 1 to 512", s.Sockets)
			}
			s.Allow, s.Cookies = allow/100, !noCookies
			if s.Server, err = target(server); err != nil {
				return err
			}
			if !mine {
				if err := bench.Allowed(s.Server.Addr()); err != nil {
					return usageError{err}
				}
			}
			for _, c := range clients {
				p, err := netip.ParsePrefix(c)
				if err != nil {
					return misused("--clients %q: it is a prefix such as 198.51.100.0/24", c)
				}
				s.Clients = append(s.Clients, p.Masked())
			}
			if s.Questions, err = inv.questions(cmd, names, zone, files, s.Seed); err != nil {
				return err
			}
			var picture *os.File
			if err := drawable(plot); err != nil {
				return err
			}
			if plot != "" { // before minutes of work, not after
				if picture, err = os.Create(plot); err != nil {
					return fmt.Errorf("--plot: %w", err)
				}
				defer picture.Close()
			}
			if output == "table" {
				inv.printf("%s, %s, each step %v\n%s\n", s.Server, count(len(s.Questions), "question", "questions"),
					s.Step, bench.Heading)
				s.Tell = func(step bench.Step) { inv.printf("%s\n", step.Row()) }
			}
			r, err := bench.Run(cmd.Context(), s)
			if err != nil {
				return err
			}
			if picture != nil {
				if err := r.Plot(picture); err != nil {
					return fmt.Errorf("--plot: %w", err)
				}
				if err := picture.Close(); err != nil {
					return fmt.Errorf("--plot: %w", err)
				}
			}
			if err := inv.print(output, r, r.Print); err != nil {
				return err
			}
			if r.Knee == 0 {
				return exitError(1)
			}
			return nil
		},
	}
	inv.etcd.add(cmd.Flags())
	flags := cmd.Flags()
	flags.StringVar(&server, "server", "", "the `ADDRESS` of the server, with a port if that is not 53")
	flags.StringVar(&names, "names", "",
		"ask for the names in a `FILE`: one on each line, with a type if it is not A")
	flags.StringVar(&zone, "zone", "", "ask for the names of the zone `ORIGIN`")
	flags.StringVar(&files, "files", "", "read the zone from a folder, `DIR`, instead of etcd")
	flags.StringSliceVar(&clients, "clients", nil,
		"client prefixes, `PREFIX[,PREFIX]`, for the queries' Client Subnet option")
	flags.Float64Var(&s.From, "from", bench.DefaultFrom, "the rate to begin with, in queries a second")
	flags.Float64Var(&s.Most, "most", bench.DefaultMost, "the highest rate to try, in queries a second")
	flags.DurationVar(&s.Step, "step", bench.DefaultStep, "how long each rate lasts")
	flags.DurationVar(&s.Timeout, "timeout", bench.DefaultTimeout,
		"a query that has no answer after this time counts as lost")
	flags.DurationVar(&s.Late, "late", bench.DefaultLate, "an answer that takes longer counts as late")
	flags.Float64Var(&allow, "allow", 100*bench.DefaultAllow,
		"percent of queries that may be lost, late or wrong at a rate that counts as sustained")
	flags.IntVar(&s.Sockets, "sockets", bench.DefaultSockets, "how many source ports to send from")
	flags.Uint64Var(&s.Seed, "seed", 1, "seed for random choices: the same seed asks the same questions")
	flags.BoolVar(&noCookies, "no-cookies", false,
		"send no DNS cookies; servers may then limit the answers to this machine")
	flags.BoolVar(&mine, "i-own-this-target", false, "load an address that is neither loopback nor private")
	flags.StringVar(&plot, "plot", "", "draw the result into a `FILE`, as SVG")
	addOutput(cmd, &output, "table", "json")
	return cmd
}

// drawable refuses the name of a picture that would not say what is in it.
func drawable(plot string) error {
	if plot != "" && !strings.EqualFold(filepath.Ext(plot), ".svg") {
		return misused("--plot %q: the picture is SVG, which every browser shows; write a name that ends in .svg", plot)
	}
	return nil
}

// target reads the address of a server. It does not look up names: their addresses could change to ones that nobody
// meant to load.
func target(text string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddrPort(text); err == nil && a.Port() != 0 {
		return a, nil
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	return netip.AddrPort{}, misused("--server %q: write an address, with a port if that is not 53, such as "+
		"127.0.0.1:5300 or [::1]:5300", text)
}

// questions reads what to ask, from a file of names or from the resources of a zone.
func (inv *invocation) questions(cmd *cobra.Command, names, zone, files string, seed uint64) ([]bench.Question, error) {
	if names != "" {
		f, err := openGiven(names)
		if err != nil {
			return nil, fmt.Errorf("--names: %w", err)
		}
		defer f.Close()
		return bench.ReadNames(names, inv.heed(f))
	}
	origin := canonical(zones.KindZone, zone)
	from, err := inv.prefer(cmd.Flags(), "etcd", "files")
	if err != nil {
		return nil, err
	}
	if from == "files" {
		docs, problems, err := inv.readInput(files)
		if err != nil {
			return nil, err
		}
		inv.complain(problems)
		var all []zones.Resource
		for _, d := range docs {
			all = append(all, d.Resource)
		}
		return bench.ZoneQuestions(origin, all, seed)
	}
	e, err := inv.dial()
	if err != nil {
		return nil, err
	}
	defer e.Close()
	l, err := e.List(cmd.Context(), zones.KindZone, zones.KindRecord, zones.KindPolicy)
	if err != nil {
		return nil, err
	}
	return bench.ZoneQuestions(origin, l.Resources(), seed)
}
