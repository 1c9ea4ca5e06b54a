package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Of a flag with one value that is given twice one would be ignored, so all verbs refuse it. A flag that takes a list
// may be repeated.
func TestFlagsGivenTwice(t *testing.T) {
	values := map[string][2]string{
		"bool": {"true", "false"}, "duration": {"1s", "2s"}, "string": {"a", "b"},
		"int": {"1", "2"}, "int64": {"1", "2"}, "uint64": {"1", "2"}, "float64": {"1", "2"},
	}
	singles, lists := 0, 0
	var each func(cmd *cobra.Command)
	each = func(cmd *cobra.Command) {
		try := func(f *pflag.Flag) {
			v, known := values[f.Value.Type()]
			_, list := f.Value.(pflag.SliceValue)
			if c, is := f.Value.(*single); is {
				if c, is := c.Value.(*choice); is {
					v, known = [2]string{c.words[0], c.words[len(c.words)-1]}, true
				}
			}
			if list {
				lists++
				v, known = values["string"], true
			} else {
				singles++
			}
			if !known {
				t.Errorf("%s: --%s is of the type %s, which has no values here", cmd.Name(), f.Name, f.Value.Type())
				return
			}
			first, second := f.Value.Set(v[0]), f.Value.Set(v[1])
			if first != nil || (second == nil) != list || second != nil && !strings.Contains(second.Error(), "twice") {
				t.Errorf("%s --%s=%s --%s=%s: %v, %v", cmd.CommandPath(), f.Name, v[0], f.Name, v[1], first, second)
			}
		}
		flags := cmd.LocalNonPersistentFlags()
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" {
				try(f)
			}
		})
		cmd.PersistentFlags().VisitAll(try)
		for _, c := range cmd.Commands() {
			each(c)
		}
	}
	root := newRoot(&invocation{})
	onlyOnce(root)
	each(root)
	if singles < 200 || lists < 30 {
		t.Errorf("%d flags with one value were tried, and %d with a list", singles, lists)
	}

	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"status --admin a --admin b", 2, `"--admin" flag: it is given twice; leave one out`},
		{"version -o json --output table", 2, `"-o, --output" flag: it is given twice; leave one out`},
		{"drain --log-level info region/a --log-level warn", 2, `"--log-level" flag: it is given twice`},
		{"version -o json", 0, `"version":`},
		{"version", 0, "leeward "}, // what the environment says is only the default
		{"__complete version -o json --log-level info --log-form", 0, "--log-format"},
	} {
		environ := []string{"LEEWARD_LOG_LEVEL=debug", "LEEWARD_OUTPUT=table"}
		var out strings.Builder
		status := run(t.Context(), strings.Fields(c.args), environ, strings.NewReader(""), &out, &out)
		if status != c.status || !strings.Contains(out.String(), c.says) {
			t.Errorf("leeward %s: exit status %d, %s", c.args, status, out.String())
		}
	}
}
