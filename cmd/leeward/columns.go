package main

import (
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"leeward/cmd/leeward/screen"
)

// helpColumns is how wide help is: as the terminal that is everywhere.
const helpColumns = 80

// templates adds what the templates of help call. They are the process's, not a command's.
var templates = sync.OnceFunc(func() {
	cobra.AddTemplateFunc("leewardFlags", usages)
	cobra.AddTemplateFunc("leewardWrap", func(text string) string { return wrap(text, helpColumns) })
})

// narrow makes the help of a command, and of all below it, fit helpColumns. Examples are as they are written.
func narrow(root *cobra.Command) {
	templates()
	usage := root.UsageTemplate()
	usage = strings.ReplaceAll(usage, "{{.LocalFlags.FlagUsages | ", "{{leewardFlags .LocalFlags | ")
	// Flags that all verbs have are a topic of their own.
	before, after, ok := strings.Cut(usage, "{{if .HasAvailableInheritedFlags}}")
	_, after, closed := strings.Cut(after, "{{end}}")
	if !ok || !closed {
		panic("cobra's template of usage is another one")
	}
	root.SetUsageTemplate(before + after)
	root.SetHelpTemplate(strings.ReplaceAll(root.HelpTemplate(), "{{. | trim", "{{leewardWrap . | trim"))
}

// usages describes a verb's own flags, and says where those are that many verbs have.
func usages(f *pflag.FlagSet) string {
	own, also := pflag.NewFlagSet("", pflag.ContinueOnError), "--log-level, --log-format"
	top, etcd := false, false
	f.VisitAll(func(flag *pflag.Flag) {
		if flag.Annotations[sharedFlag] != nil {
			etcd = true
			return
		}
		top = top || flag.Name == "log-level" // the flags of leeward itself
		own.AddFlag(flag)
	})
	if etcd {
		also = "--prefix, --etcd-… (TLS, user, password), " + also
	}
	text := own.FlagUsagesWrapped(helpColumns)
	if top {
		return text
	}
	return text + "\n" + wrap("Also "+also+`: see "leeward help flags".`, helpColumns) + "\n"
}

// sharedFlag marks flags that are described once, in the topic "flags", for all verbs that have them.
const sharedFlag = "leeward_shared"

// flagsTopic is what "leeward help flags" prints.
func flagsTopic(root *cobra.Command) *cobra.Command {
	etcd := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(etcdFlags).add(etcd)
	return &cobra.Command{
		Use: "flags", Short: "Flags that many verbs have: etcd, logging",
		Long: "Verbs that read or write etcd have these flags:\n\n" + etcd.FlagUsagesWrapped(helpColumns) +
			"\nAll verbs have these:\n\n" + root.PersistentFlags().FlagUsagesWrapped(helpColumns) +
			"\nAny flag can be given in the environment: --etcd-ca as LEEWARD_ETCD_CA.",
	}
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
