package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// The help of every verb fits a terminal of 80 columns.
func TestHelpFits(t *testing.T) {
	verbs := []string{""}
	for _, c := range newRoot(&invocation{}).Commands() {
		verbs = append(verbs, c.Name())
		for _, d := range c.Commands() {
			if c.Name() != "completion" { // these are cobra's own: scripts to be copied
				verbs = append(verbs, c.Name()+" "+d.Name())
			}
		}
	}
	if len(verbs) < 15 {
		t.Fatalf("only %v", verbs)
	}
	for _, verb := range verbs {
		_, out, errs := command(t, append(strings.Fields(verb), "--help")...)
		if verb != "flags" && !strings.Contains(out, "Usage:") {
			t.Errorf("%s: %q %q", verb, out, errs)
		}
		for line := range strings.Lines(out) {
			if line = strings.TrimSuffix(line, "\n"); utf8.RuneCountInString(line) > helpColumns {
				t.Errorf("leeward %s --help: %d columns: %s", verb, utf8.RuneCountInString(line), line)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"ab cd ef", "ab cd\nef"},
		{"ab\ncd ef", "ab cd\nef"},
		{"ab\n\ncd", "ab\n\ncd"},
		{"abcdefgh ij", "abcdefgh\nij"},
		{"ab\n  as it is\ncd", "ab\n  as it is\ncd"},
		{"äöüßé x", "äöüßé\nx"},
	} {
		if got := wrap(c.text, 5); got != c.want+"\n" {
			t.Errorf("%q is %q, want %q and a line's end", c.text, got, c.want)
		}
	}
}
