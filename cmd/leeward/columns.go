package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"leeward/cmd/leeward/screen"
)

// helpColumns is how wide help is: as the terminal that is everywhere.
const helpColumns = 80

// narrow makes the help of a command, and of all below it, fit helpColumns. Examples are as they are written.
func narrow(root *cobra.Command) {
	cobra.AddTemplateFunc("leewardFlags", func(f *pflag.FlagSet) string { return f.FlagUsagesWrapped(helpColumns) })
	cobra.AddTemplateFunc("leewardWrap", func(text string) string { return wrap(text, helpColumns) })
	usage := root.UsageTemplate()
	for _, flags := range []string{"LocalFlags", "InheritedFlags"} {
		usage = strings.ReplaceAll(usage, "{{."+flags+".FlagUsages | ", "{{leewardFlags ."+flags+" | ")
	}
	root.SetUsageTemplate(usage)
	root.SetHelpTemplate(strings.ReplaceAll(root.HelpTemplate(), "{{. | trim", "{{leewardWrap . | trim"))
}

// wrap folds text to so many columns. Lines that follow each other are one paragraph; a line that begins with a space
// stays as it is.
func wrap(text string, columns int) string {
	var b strings.Builder
	var paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			b.WriteString(strings.Join(screen.Fold(strings.Join(paragraph, " "), columns), "\n") + "\n")
			paragraph = nil
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && line[0] != ' ' {
			paragraph = append(paragraph, strings.Fields(line)...)
			continue
		}
		flush()
		b.WriteString(line + "\n")
	}
	flush()
	return b.String()
}
