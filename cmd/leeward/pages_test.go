//go:build !noembed

package main

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/miekg/dns"

	"leeward/cmd/leeward/embedded"
)

// TestCookbook tries each recipe. check finds nothing wrong with it, a server reads it from a folder, and dig and
// leeward print what the page shows. Verbs that write do so in etcd.
func TestCookbook(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	recipes, order, base := map[string][]block{}, []string(nil), ""
	for _, b := range blocksOf(t, "../../docs/cookbook.md") {
		switch {
		case b.section == "Cookbook":
		case b.section == "The base":
			base = b.text
		default:
			if recipes[b.section] == nil {
				order = append(order, b.section)
			}
			recipes[b.section] = append(recipes[b.section], b)
		}
	}
	if len(order) < 12 || base == "" {
		t.Fatalf("%d recipes", len(order))
	}
	for _, name := range order {
		t.Run(name, func(t *testing.T) {
			r := recipe{t: t, folder: t.TempDir(), etcd: etcd.URL()}
			write(t, filepath.Join(r.folder, "base.yaml"), base)
			r.try(recipes[name])
		})
	}
}

// TestQuickStart does what README says, and expects what README shows.
func TestQuickStart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	etcd, err := embedded.Start(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	r := recipe{t: t, folder: t.TempDir(), etcd: etcd.URL()}
	tried := 0
	for _, b := range blocksOf(t, "../../README.md") {
		switch {
		case b.section != "Quick start with a folder":
		case b.language == "yaml":
			write(t, filepath.Join(r.folder, "example.test.yaml"), b.text)
		default:
			for _, s := range steps(b.text) {
				if strings.HasPrefix(s.line, "go build ") || strings.HasPrefix(s.line, "dir=") {
					continue
				}
				r.step(s.line, s.want)
				tried++
			}
		}
	}
	if tried < 8 {
		t.Errorf("only %d commands are tried", tried)
	}
}

// TestFrontDoor checks the two commands that newcomers are told to type.
func TestFrontDoor(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"$ go run ./cmd/leeward demo ", "$ go test ./...\n"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("README does not say %q", line)
		}
	}
}

// recipe is one section of the cookbook while it is tried.
type recipe struct {
	t      *testing.T
	folder string
	served string // a copy of folder
	etcd   string
	server *service
}

var check = regexp.MustCompile(`(?m)^(http|https|grpc|tcp|tls|dns): \{.*\}$`)

// unprobed returns a copy of the folder in which no monitor has a check: the addresses are other people's.
func (r *recipe) unprobed() string {
	if r.served == "" {
		r.served = r.t.TempDir()
	}
	files, err := filepath.Glob(r.folder + "/*.yaml")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		write(r.t, filepath.Join(r.served, filepath.Base(file)), check.ReplaceAllString(string(text), "external: {}"))
	}
	return r.served
}

func (r *recipe) try(blocks []block) {
	asked := false
	for i, b := range blocks {
		switch b.language {
		case "yaml":
			write(r.t, filepath.Join(r.folder, strconv.Itoa(i)+".yaml"), b.text)
			if r.served != "" {
				r.unprobed()
			}
			status, out, errs := command(r.t, "check", "-f", r.folder)
			if status != 0 || strings.Contains(out, "warning") {
				r.t.Fatalf("check: status %d\n%s%s", status, out, errs)
			}
		case "console":
			if r.server == nil {
				r.server = serveFiles(r.t, r.unprobed())
				r.server.await("it is ready", func() bool { return get(r.t, r.server.admin+"/readyz") == 200 })
			}
			for _, step := range steps(b.text) {
				asked = true
				r.step(step.line, step.want)
			}
		default:
			r.t.Errorf("a block of %q: what should be done with it?", b.language)
		}
	}
	if !asked {
		r.t.Error("the recipe shows nothing of what it does")
	}
}

// shown is a command of a page, and what the page shows of its output.
type shown struct {
	line string
	want []string
}

func steps(console string) (all []shown) {
	for line := range strings.Lines(console) {
		line = strings.TrimRight(line, "\n")
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			all = append(all, shown{line: command})
		} else if len(all) > 0 && line != "" {
			all[len(all)-1].want = append(all[len(all)-1].want, line)
		}
	}
	return all
}

var loop = regexp.MustCompile(`^for i in \$\(seq (\d+)\); do (dig .*); done \| sort \| uniq -c$`)

func (r *recipe) step(line string, want []string) {
	if m := loop.FindStringSubmatch(line); m != nil {
		n, _ := strconv.Atoi(m[1])
		count := map[string]int{}
		for range n {
			for _, answer := range r.dig(m[2]) {
				count[answer]++
			}
		}
		for _, w := range want {
			f := strings.Fields(w)
			expected, _ := strconv.Atoi(f[0])
			if got := count[f[1]]; got < expected-n/20 || got > expected+n/20 || got == 0 {
				r.t.Errorf("%s\n%s comes %d times, and the page says %d", line, f[1], got, expected)
			}
		}
		return
	}
	if strings.HasPrefix(line, "dig ") {
		slices.Sort(want)
		deadline := time.Now().Add(20 * time.Second) // a changed file takes a moment to reach the answers
		for {
			got := r.dig(line)
			slices.Sort(got)
			if slices.Equal(got, want) {
				return
			}
			if time.Now().After(deadline) {
				r.t.Fatalf("%s\nsays %q, and the page says %q", line, got, want)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	line, _, _ = strings.Cut(line, " # ")
	args := words(strings.TrimSuffix(strings.TrimSpace(line), "&"))
	if filepath.Base(args[0]) != "leeward" {
		r.t.Fatalf("%s: what should run it?", line)
	}
	args = args[1:]
	named := false
	for i, a := range args {
		switch {
		case a == "site" || a == "$dir":
			args[i] = r.folder
		case a == "http://127.0.0.1:2379":
			args[i], named = r.etcd, true
		case i > 0 && (args[i-1] == "--listen" || args[i-1] == "--admin"):
			args[i] = "127.0.0.1:0"
		}
	}
	prefix := []string{"--prefix", "/" + filepath.Base(filepath.Dir(r.folder)) + "/"}
	switch {
	case named:
		args = append(args, prefix...)
	case args[0] == "explain":
		args = append(args, "--admin", r.server.admin)
	case args[0] == "serve":
		args = append(args, "--admin", "127.0.0.1:0")
	case args[0] != "check":
		args = append(append(args, "--etcd", r.etcd), prefix...)
	}
	if args[0] == "serve" {
		r.server = serve(r.t, args...)
		r.server.await("it is ready", func() bool { return get(r.t, r.server.admin+"/readyz") == 200 })
		return
	}
	status, out, errs := command(r.t, args...)
	if status != 0 {
		r.t.Fatalf("%s: status %d\n%s%s", line, status, out, errs)
	}
	for _, w := range want {
		if !strings.Contains(out, strings.TrimSpace(w)) {
			r.t.Errorf("%s\ndoes not say %q:\n%s", line, w, out)
		}
	}
}

// dig asks as dig does and returns what it prints with +short.
func (r *recipe) dig(line string) (short []string) {
	r.t.Helper()
	line, _, _ = strings.Cut(line, " # ")
	m := new(dns.Msg)
	m.SetEdns0(1232, false)
	name, qtype, subnet := "", dns.TypeA, netip.Prefix{}
	args := strings.Fields(line)[1:]
	for i := 0; i < len(args); i++ {
		a := args[i]
		prefix, isSubnet := strings.CutPrefix(a, "+subnet=")
		switch {
		case isSubnet:
			subnet = netip.MustParsePrefix(prefix)
		case a == "+short" || strings.HasPrefix(a, "@"):
		case a == "-p":
			i++
		case dns.StringToType[a] != 0:
			qtype = dns.StringToType[a]
		case name == "":
			name = a
		default:
			r.t.Fatalf("%s: what is %s?", line, a)
		}
	}
	m.SetQuestion(dns.Fqdn(name), qtype)
	if subnet.IsValid() {
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_SUBNET{
			Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(subnet.Bits()), Address: subnet.Addr().AsSlice(),
		})
	}
	answer, err := dns.Exchange(m, r.server.dns)
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", line, err, r.server.logged())
	}
	for _, rr := range answer.Answer {
		fields := strings.Fields(rr.String())
		short = append(short, strings.Join(fields[4:], " "))
	}
	return short
}

// TestGlossary: the terms are in order, and each is still in use.
func TestGlossary(t *testing.T) {
	page, err := os.ReadFile("../../docs/glossary.md")
	if err != nil {
		t.Fatal(err)
	}
	var terms []string
	for _, m := range regexp.MustCompile(`(?m)^\| \*\*([a-z ]+)\*\* \|`).FindAllStringSubmatch(string(page), -1) {
		terms = append(terms, m[1])
	}
	if len(terms) < 40 || !slices.IsSorted(terms) {
		t.Errorf("%d words, in order: %v", len(terms), slices.IsSorted(terms))
	}
	unseen := map[string]*regexp.Regexp{} // as a word of its own, in the singular or plural
	for _, term := range terms {
		unseen[term] = regexp.MustCompile(`(?i)\b` + term + `(s|es)?\b`)
	}
	for _, root := range []string{
		"../../zones", "../../health", "../../server", "../../geo", "../../cmd", "../../docs",
	} {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Base(path) == "glossary.md" || len(unseen) == 0 {
				return err
			}
			if ext := filepath.Ext(path); ext != ".go" && ext != ".md" {
				return nil
			}
			text, err := os.ReadFile(path)
			for term, word := range unseen {
				if word.Match(text) {
					delete(unseen, term)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(unseen) > 0 {
		t.Errorf("nothing else says %v; take them out of docs/glossary.md", slices.Sorted(maps.Keys(unseen)))
	}
}

// anchors are the places of a page that a link can lead to, in the form that GitHub gives headings.
func anchors(text string) map[string]bool {
	all, inside := map[string]bool{}, false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inside = !inside
		}
		if inside || !strings.HasPrefix(line, "#") {
			continue
		}
		heading := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		heading = regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(heading, "")
		all[strings.ReplaceAll(heading, " ", "-")] = true
	}
	return all
}

// TestLinks holds that each link from page to page leads somewhere.
func TestLinks(t *testing.T) {
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "deploy/*/*.md", "integration/*/*.md"} {
		found, err := filepath.Glob("../../" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	if len(pages) < 20 {
		t.Fatalf("%d pages", len(pages))
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			file, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(file, "://") || strings.HasPrefix(file, "mailto:") {
				continue
			}
			to := page
			if file != "" {
				to = filepath.Join(filepath.Dir(page), file)
			}
			there, err := os.ReadFile(to)
			if info, e := os.Stat(to); e == nil && info.IsDir() {
				err = nil
			}
			if err != nil || anchor != "" && !anchors(string(there))[anchor] {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
}

// TestParagraphs holds that a paragraph has five lines at most: what is longer is not read.
func TestParagraphs(t *testing.T) {
	const most, columns = 5, 160
	other := regexp.MustCompile(`^(\s*([-*]|\d+\.) |#|\||!\[|\s*$)`) // lists, headings, tables, pictures, nothing
	list := regexp.MustCompile(`^\s*([-*]|\d+\.) `)
	for _, page := range pagesOf(t) {
		if filepath.Base(page) == "CHANGELOG.md" {
			continue
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		number, lines, inside, item := 0, 0, false, false
		for line := range strings.Lines(string(text)) {
			number++
			line = strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				inside, lines = !inside, 0
				continue
			}
			switch {
			case inside:
			case other.MatchString(line):
				lines, item = 0, list.MatchString(line)
			case !item:
				if lines++; lines == most+1 {
					t.Errorf("%s:%d: a paragraph of more than %d lines; make two of it", page, number, most)
				}
			}
			if n := utf8.RuneCountInString(line); !inside && !strings.HasPrefix(line, "|") && n > columns {
				t.Errorf("%s:%d: %d columns, more than %d", page, number, n, columns)
			}
		}
	}
}

// TestMerged: no page has conflict markers of a merge.
func TestMerged(t *testing.T) {
	marks := regexp.MustCompile(`(?m)^(<{7}|={7}|>{7})( |$)`)
	for _, page := range pagesOf(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if at := marks.FindIndex(text); at != nil {
			line := 1 + strings.Count(string(text[:at[0]]), "\n")
			t.Errorf("%s:%d: a mark of a merge; choose one of the two texts", page, line)
		}
	}
}

// TestPaths: the files and folders of this repository that pages name exist.
func TestPaths(t *testing.T) {
	path := regexp.MustCompile("`((?:integration|zones|health|server|cmd|deploy|geo)/[A-Za-z0-9_./-]*[a-z])`")
	n := 0
	for _, page := range pagesOf(t) {
		if filepath.Base(page) == "CHANGELOG.md" {
			continue
		}
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range path.FindAllStringSubmatch(string(text), -1) {
			n++
			if _, err := os.Stat("../../" + m[1]); err != nil && !strings.HasPrefix(m[1], "zones/ORIGIN") {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
	if n < 50 {
		t.Errorf("only %d paths are named", n)
	}
}
