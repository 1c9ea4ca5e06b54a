package main

import (
	"encoding/json"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set by the linker (-ldflags "-X main.release=v1.2.3"). Without it, version returns the module's version.
var release string

// version returns the version, the commit that it was built from ("" if unknown), and Go's version.
func version() (version, commit, toolchain string) {
	version, toolchain = release, runtime.Version()
	if b, ok := debug.ReadBuildInfo(); ok {
		if version == "" {
			version = b.Main.Version
		}
		dirty := false
		for _, s := range b.Settings {
			switch s.Key {
			case "vcs.revision":
				commit = s.Value
			case "vcs.modified":
				dirty = s.Value == "true"
			}
		}
		if commit != "" && dirty {
			commit += "+changes"
		}
	}
	if version == "" {
		version = "(devel)"
	}
	return version, commit, toolchain
}

func newVersion(inv *invocation) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Example: "  leeward version\n  leeward version -o json",
		RunE: func(*cobra.Command, []string) error {
			v, commit, toolchain := version()
			if output == "json" {
				return json.NewEncoder(inv.out).Encode(map[string]string{
					"version": v, "commit": commit,
					"go": toolchain,
				})
			}
			inv.printf("leeward %s %s %s/%s\n", v, toolchain, runtime.GOOS, runtime.GOARCH)
			if commit != "" {
				inv.printf("commit %s\n", commit)
			}
			return nil
		},
	}
	addOutput(cmd, &output, "table", "json")
	return cmd
}
