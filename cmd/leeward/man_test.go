package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var manFolder = flag.String("man", "", "write the man pages into this `folder`")

// TestMan makes the man pages from the commands, one page for each verb; see make man. Each must have an example, and
// so its --help has one too.
func TestMan(t *testing.T) {
	folder := *manFolder
	if folder == "" {
		folder = t.TempDir()
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	root := newRoot(unheard())
	root.DisableAutoGenTag = true
	date := time.Unix(0, 0).UTC()
	name, _, _ := version()
	header := &doc.GenManHeader{Section: "1", Source: "Leeward " + name, Date: &date}
	if err := doc.GenManTree(root, header, folder); err != nil {
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
		parts := []string{".TH ", ".SH NAME", ".SH SYNOPSIS"}
		if c.Parent() == nil || c.Parent().Name() != "completion" {
			parts = append(parts, ".SH EXAMPLE")
		}
		for _, part := range parts {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s has no %s", page, part)
			}
		}
		for _, below := range c.Commands() {
			each(below)
		}
	}
	each(root)
}
