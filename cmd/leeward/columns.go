package main

import (
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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

// wrap breaks lines at spaces so that each has so many columns at most, words that are longer excepted. Lines that
// follow each other are one paragraph; a line that begins with a space stays as it is.
func wrap(text string, columns int) string {
	var b strings.Builder
	at := 0
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' {
			if at > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(line + "\n")
			at = 0
			continue
		}
		for word := range strings.FieldsSeq(line) {
			size := utf8.RuneCountInString(word)
			switch {
			case at == 0:
			case at+1+size > columns:
				b.WriteByte('\n')
				at = 0
			default:
				b.WriteByte(' ')
				at++
			}
			b.WriteString(word)
			at += size
		}
	}
	return b.String()
}
