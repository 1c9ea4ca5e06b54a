package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"leeward/cmd/leeward/process"
	"leeward/cmd/leeward/screen"
	"leeward/health"
	"leeward/zones"
)

// verbs returns the command of every verb. A verb has a file with a constructor newX(*invocation) *cobra.Command, and
// is listed here.
func verbs(inv *invocation) []*cobra.Command {
	return []*cobra.Command{
		newServe(inv), newProbe(inv), newSign(inv), newDemo(inv), newHealthcheck(inv), newBench(inv),
		newStatus(inv), newTop(inv), newExplain(inv), newHistory(inv),
		newDiff(inv), newUndo(inv),
		newApply(inv), newCheck(inv), newGet(inv), newDelete(inv), newReference(inv),
		newImport(inv), newExport(inv),
		newSimulate(inv), newDrill(inv), newDrills(inv), newDrain(inv), newRestore(inv),
		newShift(inv), newAccept(inv), newRetransfer(inv), newKey(inv),
		newVersion(inv),
	}
}

// The groups of verbs in --help, for a command's GroupID.
const (
	groupServe     = "serve"
	groupResources = "resources"
	groupOperate   = "operate"
)

// invocation is one run of the command: its streams, its environment, and the flags that verbs share.
type invocation struct {
	ended    context.Context // by the first signal
	in       io.Reader
	out, err io.Writer
	page     *screen.Page // out, for people; documents (JSON, YAML, master files) go to out itself
	told     *screen.Page // err, for people; logs go to err itself
	env      map[string]string
	now      func() time.Time

	etcd      etcdFlags
	waiting   sync.Once // says that etcd is waited for
	logLevel  string
	logFormat string

	fromEnv map[string]bool  // flags that the environment has set
	journal *process.Journal // takes the place of err once a server logs; nil: none does

	running bool // arguments and flags are good: what fails now is not wrong usage
}

// run runs the command and returns its exit status.
func run(ctx context.Context, args, environ []string, in io.Reader, out, errs io.Writer) int {
	printed, complained := heedOut(ctx, out), heedOut(ctx, errs)
	inv := &invocation{
		ended: ctx, in: in, out: printed, err: complained,
		page: screen.NewPage(printed), told: screen.NewPage(complained),
		env: map[string]string{}, fromEnv: map[string]bool{}, now: time.Now,
	}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			inv.env[name] = value
		}
	}
	inv.page.Within(screen.ColumnsOf(inv.env["COLUMNS"]))
	inv.told.Within(screen.ColumnsOf(inv.env["COLUMNS"]))
	root := newRoot(inv)
	root.SetArgs(args)
	if len(args) == 0 || !strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) { // completion reads flags twice
		onlyOnce(root)
	}
	err := root.ExecuteContext(ctx)
	if inv.journal != nil {
		inv.told = screen.NewPageOf(inv.journal, inv.told.Columns())
		defer inv.journal.Flush(lastWords)
	}
	if err == nil && (printed.stuck.Load() || complained.stuck.Load()) {
		return 1 // what was to be told was not, and not all verbs look at that
	} else if err == nil {
		return 0
	}
	var usage usageError
	var silent exitError
	switch {
	case errors.As(err, &silent):
		return int(silent)
	case !inv.running || errors.As(err, &usage):
		fmt.Fprintf(inv.told, "leeward: %v\nSee %q.\n", err, helpFor(root, args))
		return 2
	default:
		fmt.Fprintf(inv.told, "leeward: %v\n", err)
		return 1
	}
}

// lastWords is how long a process that ends waits for the reader of its log, or of what else it prints.
const lastWords = time.Second

// usageError is wrong usage that a verb finds in its flags and arguments: exit status 2.
type usageError struct{ error }

// misused returns a usageError.
func misused(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError is a failure that has been printed already. Only its exit status is left.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// helpFor returns the command that prints the help of the verb in args.
func helpFor(root *cobra.Command, args []string) string {
	if verb, _, err := root.Find(args); err == nil && verb != nil {
		return verb.CommandPath() + " --help"
	}
	return root.CommandPath() + " --help"
}

func newRoot(inv *invocation) *cobra.Command {
	root := &cobra.Command{
		Use:   "leeward",
		Short: "An authoritative DNS server that is a global load balancer",
		Long: `Leeward answers for the zones that you delegate to it. Its answers are addresses
of healthy endpoints in the right region, and a failing region leaves them within
seconds.

Any flag can be given in the environment: --etcd as LEEWARD_ETCD, --etcd-ca as
LEEWARD_ETCD_CA. Exit status: 0 done, 1 failed, 2 wrong usage.`,
		Example: `  leeward demo                                    # all on this machine
  leeward serve --etcd http://127.0.0.1:2379      # a server
  leeward apply -f resources/ --dry-run           # what would change
  leeward explain www.example.test A --client 198.51.100.7`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          known,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// A verb must not set a PersistentPreRunE of its own: it would replace this one.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := inv.environment(cmd.Flags()); err != nil {
				return err
			}
			inv.doubt(cmd.Root())
			if _, err := inv.handler(); err != nil { // refuse a wrong --log-level even if the verb logs nothing
				return err
			}
			inv.running = true
			return nil
		},
	}
	root.SuggestionsMinimumDistance = 2 // letters
	root.SetIn(inv.in)
	root.SetOut(inv.out)
	root.SetErr(inv.err)
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddGroup(&cobra.Group{ID: groupServe, Title: "Serving:"}, &cobra.Group{
		ID:    groupResources,
		Title: "Resources:",
	},
		&cobra.Group{ID: groupOperate, Title: "Operating:"})
	root.PersistentFlags().StringVar(&inv.logLevel, "log-level", "info",
		"log to stderr from this level on: debug, info, warn or error")
	root.PersistentFlags().StringVar(&inv.logFormat, "log-format", "text", "log as text or json")
	root.AddCommand(verbs(inv)...)
	root.AddCommand(flagsTopic(root))
	completion(root)
	narrow(root)
	decimals(root)
	return root
}

// decimals has all flags that are numbers read decimal ones only. Go's flags also read 1_0 and 0x10, and 010 as 8.
func decimals(cmd *cobra.Command) {
	strict := func(f *pflag.Flag) {
		switch f.Value.Type() {
		case "int", "int64", "uint", "uint64", "float64":
			f.Value = decimal{f.Value}
		}
	}
	cmd.Flags().VisitAll(strict)
	cmd.PersistentFlags().VisitAll(strict)
	for _, c := range cmd.Commands() {
		decimals(c)
	}
}

// decimal is the value of a flag that is a number.
type decimal struct{ pflag.Value }

func (d decimal) Set(text string) error {
	if !health.IsNumber(text) {
		return errors.New("write a decimal number")
	}
	if err := health.Twofold(text); err != nil {
		return err
	}
	return d.Value.Set(text)
}

// known refuses an unknown verb, and suggests similar ones.
func known(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	wrong := fmt.Errorf("unknown command %q", args[0])
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		wrong = fmt.Errorf("%w; did you mean %s?", wrong, strings.Join(near, " or "))
	}
	return wrong
}

// completion gives cobra's completion an example, and makes an unknown shell wrong usage.
func completion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			continue
		}
		c.Example = "  source <(leeward completion bash)\n  leeward completion zsh > \"${fpath[1]}/_leeward\""
		c.RunE = func(c *cobra.Command, args []string) error {
			return misused("name a shell: bash, zsh, fish or powershell")
		}
	}
}

// environment sets flags that the command line does not give from LEEWARD_<FLAG>: upper case, with _ for -.
func (inv *invocation) environment(flags *pflag.FlagSet) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		value, ok := inv.env[variable(f.Name)]
		if !ok || f.Changed || f.Name == "help" || err != nil {
			return
		}
		if e := flags.Set(f.Name, value); e != nil {
			err = fmt.Errorf("%s in the environment: %w", variable(f.Name), e)
		}
		inv.fromEnv[f.Name] = true
	})
	return err
}

// injected matches variables that Kubernetes sets in every container for a service whose name begins with leeward.
var injected = regexp.MustCompile(`_(SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$`)

// doubt warns of variables that set nothing but have nearly the name of one that does. It leaves others alone: the
// operator may have LEEWARD_ variables for other purposes.
func (inv *invocation) doubt(root *cobra.Command) {
	flags := map[string]bool{}
	for _, c := range append(root.Commands(), root) {
		for _, set := range []*pflag.FlagSet{c.LocalFlags(), c.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) { flags[variable(f.Name)] = true })
		}
	}
	names := slices.Sorted(maps.Keys(flags))
	for _, name := range slices.Sorted(maps.Keys(inv.env)) {
		if !strings.HasPrefix(name, "LEEWARD_") || flags[name] || injected.MatchString(name) {
			continue
		}
		if near := zones.Nearest(name, names); near != "" {
			fmt.Fprintf(inv.told, "%s in the environment sets nothing; did you mean %s?\n", name, near)
		}
	}
}

func variable(flag string) string {
	return "LEEWARD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// logger returns the log that --log-level and --log-format ask for, on stderr.
func (inv *invocation) logger() (*slog.Logger, error) {
	handler, err := inv.handler()
	if err != nil {
		return nil, err
	}
	return slog.New(handler(inv.err)), nil
}

// serverLogger is the log of a process that runs for long. It never waits for whoever reads it.
func (inv *invocation) serverLogger() (*slog.Logger, error) {
	handler, err := inv.handler()
	if err != nil {
		return nil, err
	}
	var log *slog.Logger
	inv.journal, log = process.NewJournal(inv.err, handler)
	return log, nil
}

// handler returns a function that makes the handler for a log.
func (inv *invocation) handler() (func(io.Writer) slog.Handler, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(inv.logLevel)); err != nil {
		return nil, misused("--log-level %q: it is one of debug, info, warn, error", inv.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch inv.logFormat {
	case "text":
		return func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, options) }, nil
	case "json":
		return func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, options) }, nil
	}
	return nil, misused("--log-format %q: it is text or json", inv.logFormat)
}

// colour reports whether w is a terminal that wants colours (NO_COLOR, TERM=dumb).
func (inv *invocation) colour(w io.Writer) bool {
	if inv.env["NO_COLOR"] != "" || inv.env["TERM"] == "dumb" {
		return false
	}
	return terminal(w)
}

// terminal reports whether a stream is a terminal.
func terminal(stream any) bool {
	f, ok := stream.(screen.Descriptor)
	return ok && term.IsTerminal(int(f.Fd()))
}

// printf prints for people.
func (inv *invocation) printf(format string, args ...any) { fmt.Fprintf(inv.page, format, args...) }

// table prints a table for people.
func (inv *invocation) table(t *screen.Table) { _ = t.Write(inv.page, inv.colour(inv.out)) }
