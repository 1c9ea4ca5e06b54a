package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"leeward/zones"
	"leeward/zones/store"
)

// completionTime is how long a shell waits for names from etcd. After that, no names are better than waiting.
const completionTime = time.Second

// mostNames is how many names are offered at most. Nobody reads more.
const mostNames = 500

// complete makes the shell offer what exists as arguments of a verb. offers returns the words that may follow those
// before.
func (inv *invocation) complete(cmd *cobra.Command, offers func(n names, before []string) []string) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, before []string, begun string) ([]string,
		cobra.ShellCompDirective,
	) {
		// Cobra completes without PersistentPreRunE, which reads the environment otherwise.
		if inv.environment(cmd.Flags()) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if cmd.Name() == "import" && len(before) == 1 {
			return nil, cobra.ShellCompDirectiveDefault // a file
		}
		words := slices.DeleteFunc(offers(names{inv, cmd}, before), func(w string) bool {
			return !strings.HasPrefix(w, begun) || slices.Contains(before, w)
		})
		slices.Sort(words)
		words = slices.Compact(words)
		return words[:min(mostNames, len(words))], cobra.ShellCompDirectiveNoFileComp
	}
}

// names finds what exists where the verb would look.
type names struct {
	inv *invocation
	cmd *cobra.Command
}

// of returns the names of a kind, and none if they cannot be had in time.
func (n names) of(kind zones.Kind) (all []string) {
	if f := n.cmd.Flags().Lookup("files"); f != nil && f.Value.String() != "" {
		docs, _, err := n.inv.readInput(f.Value.String())
		if err != nil {
			return nil
		}
		for _, d := range docs {
			if k := d.Resource.Key(); k.Kind() == kind {
				all = append(all, k.Name())
			}
		}
		return all
	}
	ctx, stop := context.WithTimeout(n.cmd.Context(), completionTime)
	defer stop()
	o, err := n.inv.etcd.options(n.inv.silent())
	if err != nil {
		return nil
	}
	o.Timeout = completionTime
	e, err := store.Dial(o)
	if err != nil {
		return nil
	}
	defer e.Close()
	l, err := e.List(ctx, kind)
	if err != nil {
		return nil
	}
	for _, c := range l.Changes {
		all = append(all, c.Key.Name())
	}
	return all
}

// keys offers kinds, and after a kind its names.
func keys(n names, before []string) (words []string) {
	kinds := map[string]zones.Kind{}
	for _, k := range zones.Kinds {
		kinds[strings.TrimSuffix(string(zones.KeyOf(k, "")), "/")] = k
	}
	if len(before) > 0 && !strings.Contains(before[0], "/") {
		kind, err := parseKind(before[0])
		if err != nil {
			return nil
		}
		return n.of(kind)
	}
	if len(before) == 0 {
		words = slices.Collect(maps.Keys(kinds))
	}
	return words
}

// targets offers regions, pools and endpoints.
func targets(n names, before []string) (words []string) {
	if len(before) > 0 {
		return nil
	}
	for class, kind := range map[string]zones.Kind{
		"region/": zones.KindRegion, "pool/": zones.KindPool,
		"endpoint/": zones.KindEndpoint,
	} {
		for _, name := range n.of(kind) {
			words = append(words, class+name)
		}
	}
	return words
}

// overridden offers targets that have an override.
func overridden(n names, before []string) []string {
	if len(before) > 0 {
		return nil
	}
	return n.of(zones.KindOverride)
}

// origins offers zones, for the first argument or for all.
func origins(all bool) func(names, []string) []string {
	return func(n names, before []string) []string {
		if len(before) > 0 && !all {
			return nil
		}
		return n.of(zones.KindZone)
	}
}

// steered offers the names of policies, then types.
func steered(n names, before []string) []string {
	switch len(before) {
	case 0:
		return n.of(zones.KindPolicy)
	case 1:
		return []string{"A", "AAAA", "CNAME", "HTTPS", "MX", "NS", "SOA", "SRV", "TXT"}
	}
	return nil
}
