package main

import (
	"strings"

	"github.com/spf13/cobra"

	"leeward/zones"
	"leeward/zones/reference"
)

func newReference(inv *invocation) *cobra.Command {
	return &cobra.Command{
		Use: "reference [KIND[.FIELD]]", Short: "Describe the fields of a kind of document", GroupID: groupResources,
		Args: cobra.MaximumNArgs(1),
		Long: `Print every field that documents of a kind can have, with its type, default,
range and an example. Without a kind, list the kinds. docs/reference.md has them
all on one page.`,
		Example: `  leeward reference
  leeward reference Policy
  leeward reference Monitor.https`,
		ValidArgsFunction: func(_ *cobra.Command, before []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(before) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return referenceWords(begun), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				for _, kind := range zones.Kinds {
					text := wrap(reference.Of(kind).Text, helpColumns-10)
					inv.printf("%-9s %s\n", kind, strings.ReplaceAll(text, "\n", "\n          "))
				}
				return nil
			}
			name, field, _ := strings.Cut(args[0], ".")
			kind, err := parseKind(name)
			if err != nil {
				return misused("%v", err)
			}
			field = strings.ReplaceAll(field, "[]", "")
			if !reference.Of(kind).Write(inv.out, field, helpColumns) {
				return misused("%s has no field %s; leeward reference %[1]s lists them", kind, field)
			}
			return nil
		},
	}
}

// referenceWords offers kinds and, after the dot, fields.
func referenceWords(begun string) (words []string) {
	for _, kind := range zones.Kinds {
		if !strings.Contains(begun, ".") {
			words = append(words, string(kind))
			continue
		}
		if strings.HasPrefix(begun, string(kind)+".") {
			for _, f := range reference.Of(kind).Fields {
				words = append(words, string(kind)+"."+strings.ReplaceAll(f.Path, "[]", ""))
			}
		}
	}
	kept := words[:0]
	for _, w := range words {
		if strings.HasPrefix(w, begun) {
			kept = append(kept, w)
		}
	}
	return kept
}
