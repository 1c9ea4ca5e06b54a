package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var manFolder = flag.String("man", "", "write the man pages into this `folder`")

// TestMan makes the man pages from the commands, a page a verb; see make man. It holds that each verb has one with an
// example, which is what its --help has too.
func TestMan(t *testing.T) {
	folder := *manFolder
	if folder == "" {
		folder = t.TempDir()
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	inv := &invocation{in: strings.NewReader(""), out: io.Discard, err: io.Discard, fromEnv: map[string]bool{}, now: time.Now}
	root := newRoot(inv)
	root.DisableAutoGenTag = true
	date := time.Unix(0, 0).UTC()
	name, _, _ := version()
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "Leeward " + name, Date: &date}, folder); err != nil {
		t.Fatal(err)
	}
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		if !c.IsAvailableCommand() || c.Name() == "help" {
			return
		}
		page := filepath.Join(folder, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
		}
		for _, part := range []string{".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH EXAMPLE"} {
			if !strings.Contains(string(text), part) && (c.Parent() == nil || c.Parent().Name() != "completion" || part != ".SH EXAMPLE") {
				t.Errorf("%s has no %s", page, part)
			}
		}
		for _, below := range c.Commands() {
			each(below)
		}
	}
	each(root)
}
