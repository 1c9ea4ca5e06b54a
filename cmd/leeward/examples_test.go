package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"leeward/zones/document"
)

// block is one fenced block of a page: its language and its text.
type block struct {
	section, language, text string
}

// blocksOf reads the fenced blocks of a page.
func blocksOf(t *testing.T, page string) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	section, language, inside := "", "", false
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && inside:
			blocks = append(blocks, block{section, language, b.String()})
			inside = false
		case isFence:
			language, inside = fence, true
			b.Reset()
		case inside:
			b.WriteString(line)
		case strings.HasPrefix(line, "#"):
			section = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	if inside {
		t.Fatalf("%s: a block is not closed", page)
	}
	return blocks
}

// words splits a line as a shell does; quotes hold words together.
func words(line string) (all []string) {
	for _, m := range regexp.MustCompile(`"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		all = append(all, m[1]+m[2])
	}
	return all
}

// pagesOf returns the pages that people read.
func pagesOf(t *testing.T) (pages []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md", "deploy/*/*.md"} {
		found, err := filepath.Glob("../../" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	return pages
}

// TestExamples reads each example of each page: documents are good by themselves, and commands have the verbs, flags
// and arguments that there are. What pages of their own test more closely is in pages_test.go.
func TestExamples(t *testing.T) {
	documents, commands := 0, 0
	for _, page := range pagesOf(t) {
		for _, b := range blocksOf(t, page) {
			switch b.language {
			case "yaml":
				if exampleDocument(t, page, b) {
					documents++
				}
			case "json":
				var v any
				if err := json.Unmarshal([]byte(b.text), &v); err != nil {
					t.Errorf("%s, %s: %v\n%s", page, b.section, err, b.text)
				}
			default:
				for _, line := range commandLines(b.text) {
					exampleCommand(t, page, line)
					commands++
				}
			}
		}
	}
	if documents < 30 || commands < 30 {
		t.Errorf("%d documents and %d commands are read", documents, commands)
	}
}

// exampleDocument checks a block of YAML: documents of ours, or a part of a policy. It reports whether it is that.
func exampleDocument(t *testing.T, page string, b block) bool {
	t.Helper()
	var first any
	text := b.text
	switch {
	case regexp.MustCompile(`^- (when|failover|nearest):`).MatchString(text): // rules
		text = "kind: Policy\nname: www.example.test\nrules:\n" + regexp.MustCompile(`(?m)^`).ReplaceAllString(text, "  ")
	case strings.HasPrefix(text, "schedule:"):
		text = "kind: Policy\nname: www.example.test\nrules: [{failover: [www-eu, www-us, www-new]}]\n" + text
	}
	if err := yaml.Unmarshal([]byte(text), &first); err != nil {
		t.Errorf("%s, %s: %v\n%s", page, b.section, err, b.text)
		return false
	}
	fields, _ := first.(map[string]any)
	if _, others := fields["apiVersion"]; others || fields["kind"] == nil { // Kubernetes, Prometheus
		return false
	}
	if _, problems := document.Read(page, strings.NewReader(text)); len(problems) > 0 {
		t.Errorf("%s, %s: %v\n%s", page, b.section, problems, b.text)
	}
	return true
}

// commandLines are the lines of a block in which leeward is run, whole where they go on after a backslash.
func commandLines(text string) (lines []string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		line, _, _ = strings.Cut(line, " # ")
		if rest, ok := strings.CutPrefix(line, "/tmp/"); ok {
			line = rest
		}
		if strings.HasPrefix(line, "leeward ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// unheard is an invocation that reads nothing and whose output nobody sees: for a look at verbs and their flags.
func unheard() *invocation {
	return &invocation{
		in: strings.NewReader(""), out: io.Discard, err: io.Discard, fromEnv: map[string]bool{}, now: time.Now,
	}
}

// exampleCommand checks that a command could be run: its flags are read, its arguments counted, and nothing is done.
func exampleCommand(t *testing.T, page, line string) {
	t.Helper()
	args := words(strings.NewReplacer("…", "x", "'", `"`).Replace(line))[1:]
	for i, a := range args {
		if a == "|" || a == ">" || a == "&&" || a == "&" || strings.HasPrefix(a, "<") {
			args = args[:i]
			break
		}
	}
	verb, rest, err := newRoot(unheard()).Find(args)
	if err != nil {
		t.Errorf("%s: %s: %v", page, line, err)
		return
	}
	if err := verb.ParseFlags(rest); err != nil {
		t.Errorf("%s: %s: %v", page, line, err)
		return
	}
	if err := verb.ValidateArgs(verb.Flags().Args()); err != nil {
		t.Errorf("%s: %s: %v", page, line, err)
	}
}

// TestHelpExamples checks the examples of --help in the same way.
func TestHelpExamples(t *testing.T) {
	n := 0
	for _, verb := range newRoot(unheard()).Commands() {
		for _, line := range commandLines(verb.Example) {
			exampleCommand(t, verb.Name()+" --help", line)
			n++
		}
	}
	if n < 40 {
		t.Errorf("only %d", n)
	}
}
