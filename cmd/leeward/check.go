package main

import (
	"github.com/spf13/cobra"

	"leeward/zones"
	"leeward/zones/catalog"
)

func newCheck(inv *invocation) *cobra.Command {
	var input inputFlags
	var output string
	cmd := &cobra.Command{
		Use: "check -f FILE|DIR|-", Short: "Validate resources offline", GroupID: groupResources, Args: input.only,
		Long: "Validate resources without etcd. The named files are checked together, as if there were no others.",
		Example: `  leeward check -f resources/
  leeward check -f resources/ -f example.test.zone -o json`,
		RunE: func(*cobra.Command, []string) error {
			return inv.unlessEnded(func() error {
				docs, problems, err := input.read(inv)
				if err != nil {
					return err
				}
				problems = append(problems, catalog.Check(docs, problems...)...)
				wrong := problems.Errors()
				if output == "json" {
					if err := checked(inv, len(docs), problems); err != nil {
						return err
					}
				} else {
					inv.complain(problems)
					if len(wrong) == 0 {
						inv.printf("%s, nothing wrong", count(len(docs), "resource"))
						if n := len(problems); n > 0 {
							inv.printf(", %s", count(n, "warning"))
						}
						inv.printf("\n")
					}
				}
				if len(wrong) > 0 {
					return exitError(1)
				}
				return nil
			})
		},
	}
	input.add(cmd)
	addOutput(cmd, &output, "table", "json")
	return cmd
}

// checked writes what was found as JSON.
func checked(inv *invocation, resources int, problems zones.Problems) error {
	type problem struct {
		File     string `json:"file,omitempty"`
		Line     int    `json:"line,omitempty"`
		Resource string `json:"resource,omitempty"`
		Field    string `json:"field,omitempty"`
		Message  string `json:"message"`
		Warning  bool   `json:"warning"`
	}
	out := struct {
		Resources int       `json:"resources"`
		Problems  []problem `json:"problems"`
	}{resources, []problem{}}
	for _, p := range problems {
		out.Problems = append(out.Problems, problem{p.File, p.Line, string(p.Key), p.Field, p.Message, p.Warning})
	}
	return writeJSON(inv.out, out)
}
