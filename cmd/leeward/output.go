package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// addOutput puts -o on a verb. Forms are what the verb can print; the first, for people, is the default.
func addOutput(cmd *cobra.Command, into *string, forms ...string) {
	*into = forms[0]
	cmd.Flags().VarP(&choice{into, forms}, "output", "o", "print `"+strings.ToUpper(strings.Join(forms, "|"))+"`")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp))
}

// choice is a flag that takes one of some words. It refuses others where flags are read, before the verb does anything.
type choice struct {
	into  *string
	words []string
}

func (c *choice) String() string {
	if c.into == nil { // pflag asks a zero value what its default is
		return ""
	}
	return *c.into
}

func (c *choice) Type() string { return "word" }

func (c *choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		last := len(c.words) - 1
		return fmt.Errorf("write %s or %s", strings.Join(c.words[:last], ", "), c.words[last])
	}
	*c.into = word
	return nil
}

// print writes v as -o asks: text for people, JSON or YAML.
func (inv *invocation) print(output string, v any, text func(w io.Writer, colour bool) error) error {
	switch output {
	case "json":
		return writeJSON(inv.out, v)
	case "yaml":
		b, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		_, err = inv.out.Write(b)
		return err
	}
	return text(inv.page, inv.colour(inv.out))
}

// writeJSON writes a value for scripts, indented for people who read along.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
