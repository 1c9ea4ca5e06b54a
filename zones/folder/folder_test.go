package folder

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"leeward/zones"
	"leeward/zones/sourcetest"
)

const (
	docEU = "kind: Region\nname: eu-west\nlatitude: 53.3\nlongitude: -6.3\n"
	docUS = "kind: Region\nname: us-east\nlatitude: 1\nlongitude: 1\n"
)

// save writes a file the way editors do: aside, then renamed into place.
func save(t *testing.T, path, text string) {
	t.Helper()
	aside := filepath.Join(filepath.Dir(path), ".aside")
	if err := os.WriteFile(aside, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, path); err != nil {
		t.Fatal(err)
	}
}

// followFiles follows a folder. Only events announce changes, unless poll is set.
func followFiles(t *testing.T, dir string, poll time.Duration) (*Folder, receiver) {
	t.Helper()
	f, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.calm, f.poll = time.Millisecond, time.Hour
	if poll != 0 {
		f.poll = poll
	}
	return f, receiver{t, sourcetest.Follow(t, f.Follow)}
}

// receiver waits for what is delivered.
type receiver struct {
	*testing.T
	*sourcetest.Reader
}

func (r receiver) has(k zones.Key, prefix string) {
	r.Helper()
	r.Until(string(k)+" "+prefix, func() bool {
		v, ok := r.Have[k]
		return ok && strings.HasPrefix(v, prefix)
	})
}

func (r receiver) hasNot(k zones.Key) {
	r.Helper()
	r.Until("no "+string(k), func() bool { _, ok := r.Have[k]; return !ok })
}

func TestFiles(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.yaml"), filepath.Join(dir, "b.json")
	save(t, a, docEU)
	save(t, filepath.Join(dir, "ignored.txt"), "not: read")
	save(t, filepath.Join(dir, ".hidden.yaml"), "kind: Nothing")
	old := time.Unix(1_700_000_000, 0)
	for _, path := range []string{a, dir} {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	_, r := followFiles(t, dir, 0)
	r.State(zones.Following, 0)
	if first := r.Batches[0]; !first.Full || first.Revision != old.Unix() || len(first.Changes) != 1 ||
		first.Accepted != 0 {
		t.Fatalf("first batch %+v", first)
	}
	save(t, b, `{"kind":"Region","name":"us-east","latitude":1,"longitude":1}`)
	r.has("regions/us-east", `{"latitude":1`)

	// The root zone's file is named by its origin, as others are.
	root := filepath.Join(dir, "..zone")
	save(t, root, "$TTL 1h\n@ SOA ns.test. h.test. 7 2h 15m 2w 5m\n NS ns.test.\nns.test A 192.0.2.1\n")
	r.has("zones/.", "{")
	r.has("records/./ns.test/A", "{")
	if err := os.Remove(root); err != nil {
		t.Fatal(err)
	}
	r.hasNot("zones/.")

	// A file that breaks keeps its resources, and does not affect the other file.
	save(t, a, docEU+"---\nkind: [")
	r.has("files/a.yaml", "!a.yaml:")
	r.has("regions/eu-west", `{"latitude":53.3`)
	save(t, b, `{"kind":"Region","name":"us-east","latitude":2,"longitude":1}`)
	r.has("regions/us-east", `{"latitude":2`)
	r.Until("the condition", func() bool {
		c := r.Conditions[len(r.Conditions)-1]
		return c.State == zones.Following && c.Err != nil && strings.Contains(c.Err.Error(), "a.yaml")
	})

	// One bad document affects only itself.
	save(t, a, strings.Replace(docEU, "53.3", "1000", 1)+"---\nkind: Region\nname: ap-south\nlatitude: "+
		"1\nlongitude: 1\n")
	r.has("regions/ap-south", `{"latitude":1`)
	r.has("regions/eu-west", "!")
	r.hasNot("files/a.yaml")
	save(t, a, docEU)
	r.has("regions/eu-west", `{"latitude":53.3`)
	r.hasNot("regions/ap-south")

	// A duplicate is reported, and the first one stays.
	save(t, filepath.Join(dir, "c.yml"), strings.Replace(docEU, "53.3", "9", 1))
	r.has("files/c.yml", "!")
	r.has("regions/eu-west", `{"latitude":53.3`)

	if err := os.Remove(b); err != nil {
		t.Fatal(err)
	}
	r.hasNot("regions/us-east")
	r.Stop()
	goleak.VerifyNone(t, before)
}

// Folders within the folder are read and followed: those that come, that go, that are links, or that cannot be read. A
// link that leads back is reported once, and is not followed for ever.
func TestFilesInFolders(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir, aside := t.TempDir(), t.TempDir()
	sub, hidden := filepath.Join(dir, "teams", "a"), filepath.Join(dir, ".git")
	for _, d := range []string{sub, hidden} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	save(t, filepath.Join(sub, "eu.yaml"), docEU)
	save(t, filepath.Join(hidden, "x.yaml"), "kind: Nothing")
	_, r := followFiles(t, dir, 0)
	r.has("regions/eu-west", `{"latitude":53.3`)
	save(t, filepath.Join(sub, "eu.yaml"), strings.Replace(docEU, "53.3", "5", 1))
	r.has("regions/eu-west", `{"latitude":5,`)

	// A folder that comes, and what is added to it later.
	made := filepath.Join(dir, "teams", "b", "c")
	if err := os.MkdirAll(made, 0o700); err != nil {
		t.Fatal(err)
	}
	save(t, filepath.Join(made, "us.yaml"), docUS)
	r.has("regions/us-east", `{"latitude":1`)
	save(t, filepath.Join(made, "us.yaml"), strings.Replace(docUS, "latitude: 1", "latitude: 2", 1))
	r.has("regions/us-east", `{"latitude":2`)
	save(t, filepath.Join(made, "example.test.zone"), masterHead+"$INCLUDE hosts\n")
	r.has("files/teams/b/c/example.test.zone", "!")
	save(t, filepath.Join(made, "hosts"), "www IN A 192.0.2.1\n")
	save(t, filepath.Join(made, "example.test.zone"), masterHead+"$INCLUDE hosts\n")
	r.has("records/example.test/www/A", "{")
	if err := os.RemoveAll(filepath.Join(dir, "teams", "b")); err != nil {
		t.Fatal(err)
	}
	r.hasNot("regions/us-east")

	// A link to a folder elsewhere is followed there.
	save(t, filepath.Join(aside, "us.yaml"), docUS)
	if err := os.Symlink(aside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	r.has("regions/us-east", `{"latitude":1`)
	save(t, filepath.Join(aside, "us.yaml"), strings.Replace(docUS, "latitude: 1", "latitude: 3", 1))
	r.has("regions/us-east", `{"latitude":3`)

	// A link back, and a FIFO. Both are reported, and affect nothing else.
	if err := os.Symlink("..", filepath.Join(sub, "round")); err != nil {
		t.Fatal(err)
	}
	r.has("files/teams/a/round", "!teams/a/round: a link back")
	if err := syscall.Mkfifo(filepath.Join(sub, "fifo.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.has("files/teams/a/fifo.yaml", "!teams/a/fifo.yaml: open")
	save(t, filepath.Join(sub, "eu.yaml"), strings.Replace(docEU, "53.3", "6", 1))
	r.has("regions/eu-west", `{"latitude":6,`)
	r.Stop()
	goleak.VerifyNone(t, before)
}

// What a server has kept on disk must survive a start with a broken file. Until that file can be read, no batch claims
// to be complete.
func TestFilesBrokenAtStart(t *testing.T) {
	dir := t.TempDir()
	save(t, filepath.Join(dir, "a.yaml"), "kind: [")
	save(t, filepath.Join(dir, "b.yaml"), docUS)
	_, r := followFiles(t, dir, 0)
	r.State(zones.Following, 0)
	r.has("regions/us-east", "{")
	r.has("files/a.yaml", "!")
	if n := r.Full(); n != 0 {
		t.Errorf("%d full batches", n)
	}
	save(t, filepath.Join(dir, "a.yaml"), docEU)
	r.has("regions/eu-west", "{")
	r.hasNot("files/a.yaml")
	if b := r.Batches[len(r.Batches)-1]; !b.Full || len(b.Changes) != 2 || b.Revision <= r.Batches[0].Revision {
		t.Errorf("batch %+v", b)
	}
}

func TestFilesAccept(t *testing.T) {
	dir := t.TempDir()
	save(t, filepath.Join(dir, "a.yaml"), docEU)
	f, r := followFiles(t, dir, 0)
	r.State(zones.Following, 0)
	touch := func() {
		t.Helper()
		path := filepath.Join(dir, AcceptFile)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if err := os.Chtimes(path, now, now); err != nil {
			t.Fatal(err)
		}
	}
	touch()
	r.Until("an accepted batch", func() bool { b := r.Batches[len(r.Batches)-1]; return b.Accepted == b.Revision })
	n := len(r.Batches)
	f.Reload()
	r.Until("another", func() bool { return len(r.Batches) > n && r.Batches[n].Accepted == r.Batches[n].Revision })
	if a, b := r.Batches[n-1], r.Batches[n]; b.Revision <= a.Revision || len(b.Changes) != 0 {
		t.Errorf("batch %+v after %+v", b, a)
	}
	save(t, filepath.Join(dir, "b.yaml"), docUS)
	r.has("regions/us-east", "{")
	if b := r.Batches[len(r.Batches)-1]; b.Accepted != 0 {
		t.Errorf("a change accepted itself: %+v", b)
	}
}

// A ConfigMap: files are links to ..data/file, ..data is a link to a folder, and is replaced as a whole by a rename;
// the folder itself is a link too.
func TestFilesLinks(t *testing.T) {
	root := t.TempDir()
	real := filepath.Join(root, "mount")
	version := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(real, name), 0o700); err != nil {
			t.Fatal(err)
		}
		save(t, filepath.Join(real, name, "a.yaml"), text)
		aside := filepath.Join(real, "..data_tmp")
		if err := os.Symlink(name, aside); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(aside, filepath.Join(real, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..2026_1", docEU)
	if err := os.Symlink("..data/a.yaml", filepath.Join(real, "a.yaml")); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "current")
	if err := os.Symlink("mount", dir); err != nil {
		t.Fatal(err)
	}
	_, r := followFiles(t, dir, 0)
	r.State(zones.Following, 0)
	r.has("regions/eu-west", `{"latitude":53.3`)
	version("..2026_2", strings.Replace(docEU, "53.3", "1", 1))
	r.has("regions/eu-west", `{"latitude":1`)
	version("..2026_3", strings.Replace(docEU, "53.3", "2", 1))
	r.has("regions/eu-west", `{"latitude":2`)

	// The folder's own link leads elsewhere.
	other := filepath.Join(root, "other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	save(t, filepath.Join(other, "z.yaml"), docUS)
	aside := filepath.Join(root, "aside")
	if err := os.Symlink("other", aside); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, dir); err != nil {
		t.Fatal(err)
	}
	r.has("regions/us-east", "{")
	r.hasNot("regions/eu-west")
	save(t, filepath.Join(other, "z.yaml"), docUS+"---\n"+docEU)
	r.has("regions/eu-west", "{")
}

// If the folder goes away, everything stays in service, and the folder is read again once it is back. Only the poll
// notices it here.
func TestFilesGone(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "zones")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	save(t, filepath.Join(dir, "a.yaml"), docEU)
	_, r := followFiles(t, dir, 5*time.Millisecond)
	r.State(zones.Following, 0)
	mark := r.Mark()
	if err := os.Rename(dir, filepath.Join(root, "away")); err != nil {
		t.Fatal(err)
	}
	r.State(zones.CutOff, mark)
	if _, ok := r.Value("regions/eu-west"); !ok {
		t.Error("what was in the folder went with it")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mark = r.Mark()
	save(t, filepath.Join(dir, "b.yaml"), docUS)
	r.has("regions/us-east", "{")
	r.State(zones.Following, mark)
	r.hasNot("regions/eu-west") // this is what the folder says; the guard decides what happens
}

// A master file with a Zone document beside it, and with a file that it includes.
func TestFilesMaster(t *testing.T) {
	dir := t.TempDir()
	save(t, filepath.Join(dir, "example.test.zone"), `$TTL 300
@ IN SOA ns1.example.test. hostmaster.example.test. 7 3600 900 1209600 30
@ IN NS ns1.example.test.
ns1 IN A 192.0.2.53
$INCLUDE hosts.inc
`)
	save(t, filepath.Join(dir, "hosts.inc"), "www IN A 192.0.2.1\n")
	save(t, filepath.Join(dir, "extra.yaml"), "kind: Zone\nname: example.test\nnegativeTTL: 30s\n")
	_, r := followFiles(t, dir, 0)
	r.State(zones.Following, 0)
	r.has("records/example.test/www/A", `{`)
	r.has("zones/example.test", `{"nameservers":["ns1.example.test"]`)
	save(t, filepath.Join(dir, "hosts.inc"), "www IN A 192.0.2.2\n")
	r.Until("the included file's change", func() bool {
		return strings.Contains(r.Have["records/example.test/www/A"], "192.0.2.2")
	})
	if n := r.Full(); n != 1 {
		t.Errorf("%d full batches", n)
	}
}

func TestOpenFilesRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	save(t, file, docEU)
	for path, want := range map[string]string{filepath.Join(dir, "none"): "no such file", file: "is no folder"} {
		if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
