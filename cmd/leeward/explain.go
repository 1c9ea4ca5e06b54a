package main

import (
	"errors"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"leeward/cmd/leeward/process"
	"leeward/cmd/leeward/screen"
	"leeward/server/answer"
)

func newExplain(inv *invocation) *cobra.Command {
	var f adminFlags
	var output, client, files, at string
	var geodb []string
	cmd := &cobra.Command{
		Use: "explain NAME [TYPE]", Short: "Explain step by step why a client gets its answer", GroupID: groupOperate,
		Args: cobra.RangeArgs(1, 2),
		Long: `Explain asks a server which answer a client gets, and why: where the client is,
which rule matches, which pools were tried in which order, how healthy their
endpoints are, and for which prefix of clients the answer is the same (the ECS
scope). TYPE is A if you leave it out.

With --files or --etcd it works the answer out by itself, with the same code:
from a folder without any health reports, from etcd with the newest reports.

With --at it says what the server answered at a time in the last day, from the
resources, verdicts, loads and overrides that it has kept. If something of that
was not kept, explain says what is missing, and what it can still tell.`,
		Example: `  leeward explain www.example.test A --client 198.51.100.7
  leeward explain www.example.test AAAA --client 2001:db8::7 \
      --admin http://10.0.0.1:8053 -o json
  leeward explain www.example.test --client 198.51.100.7 --at 02:17
  leeward explain www.example.test --client 198.51.100.7 \
      --files ./zones --geodb GeoLite2-City.mmdb`,
		RunE: func(cmd *cobra.Command, args []string) error {
			name, qtype := args[0], ""
			if len(args) > 1 {
				qtype = args[1]
			}
			from, err := inv.prefer(cmd.Flags(), "admin", "etcd", "files")
			switch {
			case err != nil:
				return err
			case client == "":
				return misused("--client is missing: give the client's address, such as 198.51.100.7")
			}
			then, err := readPast("--at", at, inv.now())
			if !then.IsZero() && inv.fromEnv[from] {
				from = "admin"
			}
			switch {
			case err != nil:
				return err
			case !then.IsZero() && from != "admin" && from != "":
				return misused("--at asks a server for what it has kept: leave --%s out, and name it with --admin",
					from)
			}
			var e *answer.Explanation
			if from == "etcd" || from == "files" {
				s := process.Settings{Files: files, GeoDB: geodb, Log: inv.silent()}
				if from == "etcd" {
					o, err := inv.patient(s.Log)
					if err != nil {
						return err
					}
					s.Etcd = &o
				}
				observer, err := process.Observe(cmd.Context(), s, inv.etcd.patience())
				if err != nil {
					return err
				}
				defer observer.Close()
				if err := inv.settle(cmd.Context(), observer); err != nil {
					return err
				}
				e, err = observer.Explain(name, qtype, client)
				if err != nil {
					return badQuestion(err)
				}
			} else {
				e = &answer.Explanation{}
				query := url.Values{"name": {name}, "type": {qtype}, "client": {client}}
				if !then.IsZero() {
					query.Set("at", then.UTC().Format(timeExact))
					if !cmd.Flags().Changed("admin-timeout") {
						f.timeout = pastTimeout
					}
				}
				err = f.get(cmd.Context(), "/api/v1/explain", query, e)
			}
			if err != nil {
				return err
			}
			return inv.print(output, e, func(w io.Writer, colour bool) error {
				return screen.Explanation(w, e,
					colour)
			})
		},
	}
	inv.etcd.add(cmd.Flags())
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&client, "client", "", "the client's `ADDRESS` or subnet")
	cmd.Flags().StringVar(&at, "at", "", "explain the answer at a `TIME` in the last day: 2h, 02:17, or RFC 3339")
	cmd.Flags().StringVar(&files, "files", "", "work it out from the resources in a folder, `DIR`")
	cmd.Flags().StringSliceVar(&geodb, "geodb", nil,
		"with --files or --etcd: a `FILE` with a location database; repeatable")
	addOutput(cmd, &output, "table", "json", "yaml")
	inv.complete(cmd, steered)
	return cmd
}

// badQuestion turns a mistake in the question into wrong usage.
func badQuestion(err error) error {
	if bad := (*answer.BadQuestion)(nil); errors.As(err, &bad) {
		return usageError{err}
	}
	return err
}

// pastTimeout is how long to wait for what was answered in the past, which the server makes again from its history: it
// answers within 30 s, or not at all.
const pastTimeout = 30 * time.Second
