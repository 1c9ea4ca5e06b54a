//go:build linux

package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// TestMasterFiles: BIND's named-checkzone, NSD's nsd-checkzone and `leeward check` read the files of testdata/masters,
// which have the corner cases of RFC 1035 section 5. testdata/masters.txt says who accepts which, and what Leeward says
// about those that it refuses. If BIND and Leeward both accept a file, they read the same records: named-checkzone -D
// prints those of a transfer from Leeward.
func TestMasterFiles(t *testing.T) {
	lab.Need(t, "named-checkzone", "nsd-checkzone")
	files, err := filepath.Glob("testdata/masters/*.zone")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	folder := t.TempDir()
	if err := os.CopyFS(filepath.Join(folder, "inc"), os.DirFS("testdata/masters/inc")); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	dumps := make(map[string]string) // what BIND reads from those that both accept, by origin
	for _, file := range files {
		origin := strings.TrimSuffix(filepath.Base(file), ".zone")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		one := t.TempDir()
		lab.Write(t, filepath.Join(one, filepath.Base(file)), string(text))
		if err := os.CopyFS(filepath.Join(one, "inc"), os.DirFS("testdata/masters/inc")); err != nil {
			t.Fatal(err)
		}
		b := lab.Command(t, nil, "", "named-checkzone", "-D", "-q", "-w", one, "-o", filepath.Join(one, "dump"),
			"-k", "ignore", "-m", "ignore", "-M", "ignore", "-n", "ignore", "-i", "none", "-S", "ignore", "-W",
			"ignore", origin,
			filepath.Base(file))
		n := lab.Command(t, nil, "", "nsd-checkzone", origin, filepath.Join(one, filepath.Base(file)))
		l := lab.Leeward(t, "", "check", "-f", one)
		said, _, _ := strings.Cut(strings.TrimSpace(l.Stdout+l.Stderr), "\n")
		said = strings.ReplaceAll(said, one+"/", "")
		fmt.Fprintf(&out, "%-24s | %-5s | %-5s | %-5s | %s\n", strings.TrimSuffix(origin, ".test"), taken(b), taken(n),
			taken(l), said)
		if l.Code == 0 && b.Code == 0 {
			dump, err := os.ReadFile(filepath.Join(one, "dump"))
			if err != nil {
				t.Fatal(err)
			}
			dumps[origin] = string(dump)
			lab.Write(t, filepath.Join(folder, filepath.Base(file)), string(text))
			lab.Write(t, filepath.Join(folder, origin+".yaml"),
				fmt.Sprintf("kind: Zone\nname: %s\ntransfer: {allow: [127.0.0.1]}\n", origin))
		}
	}
	const verdicts = "testdata/masters.txt"
	if *update {
		if err := os.WriteFile(verdicts, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(verdicts)
	if err != nil {
		t.Fatal(err)
	}
	was, is := strings.Split(string(want), "\n"), strings.Split(out.String(), "\n")
	for i := range max(len(was), len(is)) {
		if i >= len(was) || i >= len(is) || was[i] != is[i] {
			t.Fatalf("%s:%d differs; from there on it is\n%s", verdicts, i+1, strings.Join(is[min(i, len(is)):], "\n"))
		}
	}

	s := lab.Serve(t, "lee", "--files", folder)
	for origin, dump := range dumps {
		var bindHas []dns.RR
		parser := dns.NewZoneParser(strings.NewReader(dump), "", "")
		for r, ok := parser.Next(); ok; r, ok = parser.Next() {
			bindHas = append(bindHas, r)
		}
		if err := parser.Err(); err != nil {
			t.Fatalf("%s: the oracle cannot read what named-checkzone writes: %v", origin, err)
		}
		has := lab.Transferred(t, s.DNS, origin)
		a, b := zoneLines(bindHas), zoneLines(has)
		if reason := otherwise[strings.TrimSuffix(origin, ".test")]; slices.Equal(a, b) == (reason != "") {
			t.Errorf("%s: BIND has\n%s\nand Leeward (%s)\n%s", origin, strings.Join(a, "\n"), reason,
				strings.Join(b, "\n"))
		}
	}
}

// otherwise is the files of which BIND and Leeward read different records, and why.
var otherwise = map[string]string{
	"ttls-differ":     "a set has the shortest of its TTLs, with BIND the first",
	"include":         "$TTL of an included file ends with it, with BIND it goes on in the file that includes",
	"include-origin":  "the same",
	"generate":        "quotes in $GENERATE are quotes, BIND takes them off",
	"generate-dollar": "the same",
}

func taken(o lab.Outcome) string {
	if o.Code == 0 {
		return "takes"
	}
	return "-"
}

// zoneLines are the records of a zone, sorted, without duplicates and without the SOA's serial: Leeward's follows its
// source.
func zoneLines(all []dns.RR) []string {
	for _, r := range all {
		if soa, ok := r.(*dns.SOA); ok {
			soa.Serial = 0
		}
	}
	text := lines(all)
	for i, l := range text {
		text[i] = strings.ReplaceAll(l, `\$`, "$") // some escape it, and some do not
	}
	return slices.Compact(text)
}
