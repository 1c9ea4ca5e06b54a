package house

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the path that all packages of the house begin with.
const module = "leeward"

// room is a package of the house: which others of the house it may import, and why no more.
type room struct {
	path string // below the module; a final "/..." holds all below it, too
	may  []string
	why  string
}

// rooms is the import table of docs/architecture.md. A package without a line fails the test: say here what it may
// import. If several lines fit a package, the longest path counts.
var rooms = []room{
	{"geo", nil, "where an address is has nothing to do with DNS or zones; it can be used and tested alone"},
	{"health", nil, "what vantages say becomes a verdict by a pure function, the same on every server: no socket, " +
		"no store"},
	{"health/probe", []string{"health"}, "a probe knows an address and how to check it, never what the result is " +
		"used for"},
	{"health/resolve", nil, "a name and what it stands for: who asks for it, and what is done with it, is others' " +
		"business"},
	{"health/vantage", []string{"health", "zones/etcd"}, "reports travel below their own keys; what resources mean " +
		"is no business of theirs"},
	{"zones/disk", nil, "files as such: every room may stand on it, so it stands on none"},
	{"zones/etcd", nil, "how etcd is spoken to is the same whatever the values mean: lists, watches, silence and " +
		"names of keys are here once"},
	{"zones/rr", nil, "names and RDATA are the lowest layer: whatever they imported could not be built on them"},
	{"zones/dnssec", []string{"zones/rr"}, "a signature is of an RRset: which zone has it, and who asks, is no " +
		"business of who signs"},
	{"zones/vault", []string{"zones/dnssec", "zones/etcd", "zones/rr"}, "how keys are kept must not decide what they " +
		"do, and who signs has no store to ask"},
	{"zones", []string{"zones/rr", "health"}, "resources are validated offline, by check and apply, without a " +
		"server, an etcd or a geo database"},
	{"zones/reference", []string{"zones", "health"}, "it describes the model, and the model does not know that it is " +
		"described"},
	{"zones/document", []string{"zones", "zones/rr", "health"}, "text becomes resources and back: what is in " +
		"service, and for whom, is no business of a reader"},
	{"zones/catalog", []string{"zones", "zones/rr"}, "what is in service does not depend on how it was written or " +
		"where it came from: no text, no store"},
	{"zones/store", []string{"zones", "zones/document", "zones/etcd"}, "where resources live must not decide what " +
		"they do"},
	{"zones/folder", []string{"zones", "zones/document"}, "where resources live must not decide what they do"},
	{"zones/sourcetest", []string{"zones", "health"}, "tests receive what a source delivers, whichever it is"},
	{
		"zones/steer",
		[]string{"zones", "zones/rr", "geo", "health"},
		"explain and tests evaluate the same decision without sockets, messages or trees",
	},
	{
		"zones/snapshot",
		[]string{
			"zones", "zones/catalog", "zones/dnssec", "zones/document", "zones/rr", "zones/steer", "geo", "health",
		},
		"a snapshot is data, built once: it never reaches for a store or a socket",
	},
	{"server/wire", nil, "messages are bytes; a codec that knew zones could not be fuzzed or used by itself"},
	{"server/tsig", []string{"server/wire"}, "signatures are over bytes: what a message asks for is no business " +
		"of theirs"},
	{
		"server/transfer",
		[]string{"server/answer", "server/wire", "server/tsig", "zones", "zones/rr", "zones/snapshot"},
		"zones go out as the snapshot has them and come in as its versions: it decides nothing, and has no " +
			"store to ask",
	},
	{
		"server/update",
		[]string{"server/answer", "server/wire", "zones", "zones/catalog", "zones/rr"},
		"an update becomes edits of resources: how they are committed is passed in, so that no store is in reach",
	},
	{"server/rrl", nil, "it counts prefixes and names as bytes"},
	{
		"server/answer",
		[]string{
			"server/wire", "server/rrl", "server/tsig", "zones/dnssec", "zones/rr", "zones/snapshot", "zones/steer",
		},
		"a query touches memory only: with no socket and no store in reach, nobody can be asked on the query path",
	},
	{
		"server/socket",
		[]string{"server/answer", "server/wire"},
		"it moves bytes: what a message says is no business of a transport",
	},
	{"server/history", nil, "what happened is kept as text, whatever it means: it can be read when nothing else can"},
	{
		"server/dnstap",
		[]string{"server/answer"},
		"it reads what workers leave in rings: nothing on the query path knows that it is there",
	},
	{
		"server/admin",
		[]string{"server/answer", "server/history", "zones", "zones/snapshot", "zones/steer", "health", "geo"},
		"it only reads, so it has neither the server's sockets nor the store's writes",
	},
	{
		"server/console",
		[]string{
			"server/admin", "server/answer", "server/history", "zones", "zones/snapshot", "zones/steer", "health",
		},
		"it shows what a status says, and decides nothing: neither a store's writes nor the server's sockets",
	},
	{"cmd/...", []string{"..."}, "wiring is its work"},
	{
		"cmd/leeward/control",
		[]string{
			"zones", "zones/catalog", "zones/document", "zones/dnssec", "zones/rr", "zones/snapshot", "zones/steer",
			"health", "health/resolve", "health/vantage",
			"geo", "server/answer", "server/wire", "server/admin", "server/transfer",
			"server/history",
		},
		"a turn waits for nobody: whoever waits for etcd, a disk or a socket is in process, and hands over",
	},
	{"cmd/leeward/chart", nil, "it draws numbers, and does not know what they count"},
	{"cmd/leeward/hangup", nil, "what it imports is initialized before it, and SIGHUP kills meanwhile"},
	{"cmd/leeward/chain", nil, "it sees a tree of others as a resolver does, by code that does not sign here"},
	{
		"integration/...",
		[]string{"integration/...", "cmd/leeward/chart"},
		"a black box cannot be tested by who knows its inside; drawing what was measured knows nothing of it",
	},
}

// ground is the base of every room. It imports nothing of ours and knows nothing about DNS.
var ground = []string{"zones/disk"}

// guests are other modules that only some rooms may import. Tests may use miekg/dns, as an oracle, and etcd's server.
var guests = []struct {
	prefix string
	rooms  []string
	tests  bool
	why    string
}{
	{
		"github.com/miekg/dns",
		[]string{"zones/rr", "cmd/leeward/chain", "integration/..."},
		true,
		"it makes a value for each record and a message for each query; the answers' path works on bytes",
	},
	{"go.etcd.io/etcd/client", []string{"zones/etcd"}, true, "one room speaks to etcd: everything else would be a " +
		"way to ask it while a query waits, and a second place for its faults"},
	{"go.etcd.io/etcd/api", []string{"zones/etcd", "integration/lab"}, true, "as its client"},
	{
		"go.etcd.io/etcd/server",
		[]string{"cmd/leeward/embedded"},
		true,
		"half of the binary's size, only for demo: one package, so that noembed leaves it out",
	},
	{"github.com/spf13/cobra", []string{"cmd/..."}, false, "rooms take values, not flags"},
	{"github.com/oschwald", []string{"geo"}, true, "databases are decoded when they are read, never at query time: " +
		"what decodes stays where it is read"},
	{"github.com/prometheus", []string{
		"server/answer", "server/dnstap", "server/socket", "server/admin", "server/transfer",
		"server/update", "health/...", "cmd/...",
	}, true, "what is data or pure has nothing to count; it is counted " +
		"by who runs it"},
}

// listed is the output of go list for one package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	Error                              *struct{ Err string }
}

func (r room) holds(path string) bool { return within(path, r.path) }

// within says whether a package's path below the module is the pattern or, if that ends in "...", below it.
func within(path, pattern string) bool {
	if base, all := strings.CutSuffix(pattern, "..."); all {
		return strings.HasPrefix(path+"/", base)
	}
	return path == pattern
}

// faults returns every import that the table forbids, with the reason.
func faults(packages []listed) []string {
	var all []string
	for _, p := range packages {
		path := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		var mine *room
		for i, r := range rooms {
			if r.holds(path) && (mine == nil || len(r.path) > len(mine.path)) {
				mine = &rooms[i]
			}
		}
		if mine == nil {
			all = append(all, fmt.Sprintf("%s has no line in the import table: add one to rooms, and to "+
				"docs/architecture.md", p.ImportPath))
			continue
		}
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module+"/"); ok &&
				!slices.ContainsFunc(slices.Concat(mine.may, ground), func(m string) bool { return within(ours, m) }) {
				all = append(all, fmt.Sprintf("%s imports %s: %s", path, ours, mine.why))
			}
		}
		for _, g := range guests {
			if slices.ContainsFunc(g.rooms, func(r string) bool { return within(path, r) }) {
				continue
			}
			imports := p.Imports
			if !g.tests {
				imports = slices.Concat(p.Imports, p.TestImports, p.XTestImports)
			}
			for _, i := range imports {
				if i == g.prefix || strings.HasPrefix(i, g.prefix+"/") {
					all = append(all, fmt.Sprintf("%s imports %s: %s", path, i, g.why))
				}
			}
		}
		if within(path, "integration/...") {
			for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
				if ours, ok := strings.CutPrefix(i, module+"/"); ok &&
					!slices.ContainsFunc(mine.may, func(m string) bool { return within(ours, m) }) {
					all = append(all, fmt.Sprintf("the tests of %s import %s: %s", path, i, mine.why))
				}
			}
		}
	}
	return all
}

// list reads all packages of the module, as built with the tags.
func list(t *testing.T, tags string) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports,Error", "-tags", tags,
		module+"/...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%v: %v\n%s", cmd, err, exit.Stderr)
		}
		t.Fatalf("%v: %v", cmd, err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Error != nil {
			t.Fatalf("%s: %s", p.ImportPath, p.Error.Err)
		}
		all = append(all, p)
	}
}

// TestImports keeps data flowing one way: a room cannot depend on what it must not know.
func TestImports(t *testing.T) {
	for _, tags := range []string{"", "noembed"} {
		packages := list(t, tags)
		if len(packages) < len(rooms)/2 {
			t.Fatalf("go list finds %d packages: too few to be the house", len(packages))
		}
		for _, f := range faults(packages) {
			t.Errorf("tags %q: %s", tags, f)
		}
	}
}

// TestImportsFindsFaults tests the test above: it must find violations of the most important rules.
func TestImportsFindsFaults(t *testing.T) {
	for _, p := range []listed{
		{ImportPath: "leeward/server/answer", Imports: []string{"leeward/zones/store"}},
		{ImportPath: "leeward/server/answer", Imports: []string{"leeward/server/socket"}},
		{ImportPath: "leeward/server/socket", Imports: []string{"leeward/zones/snapshot"}},
		{ImportPath: "leeward/server/answer", Imports: []string{"go.etcd.io/etcd/client/v3"}},
		{ImportPath: "leeward/zones/snapshot", Imports: []string{"github.com/miekg/dns"}},
		{ImportPath: "leeward/zones/steer", Imports: []string{"leeward/server/wire"}},
		{ImportPath: "leeward/health", Imports: []string{"leeward/zones"}},
		{ImportPath: "leeward/cmd/leeward", Imports: []string{"go.etcd.io/etcd/server/v3/embed"}},
		{ImportPath: "leeward/integration", TestImports: []string{"leeward/zones"}},
		{ImportPath: "leeward/manager"},
	} {
		if len(faults([]listed{p})) != 1 {
			t.Errorf("%+v: faults are %q, want one", p, faults([]listed{p}))
		}
	}
	fine := []listed{
		{
			ImportPath: "leeward/server/socket", Imports: []string{"leeward/server/wire", "net"},
			TestImports: []string{"github.com/miekg/dns"},
		},
		{ImportPath: "leeward/cmd/leeward/embedded", Imports: []string{"go.etcd.io/etcd/server/v3/embed"}},
		{ImportPath: "leeward/cmd/leeward", Imports: []string{"leeward/zones/store"}},
	}
	if got := faults(fine); len(got) != 0 {
		t.Errorf("what is allowed is called a fault: %q", got)
	}
}
