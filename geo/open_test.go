package geo

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
)

// within fails the test if f does not return, instead of waiting for ever.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("has not returned")
	}
}

func fifo(t *testing.T, file string) {
	t.Helper()
	if err := syscall.Mkfifo(file, 0o600); err != nil {
		t.Skipf("no FIFOs here: %v", err)
	}
}

func TestOpenNeverWaits(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fifo.mmdb")
	fifo(t, file)
	for _, file := range []string{file, "/dev/zero"} {
		within(t, func() {
			_, err := Open([]string{file}, slog.New(slog.DiscardHandler))
			if err == nil || !strings.HasPrefix(err.Error(), file) ||
				!strings.Contains(err.Error(), "the .mmdb file itself") {
				t.Errorf("error %v, want one that names %s and says what it is", err, file)
			}
		})
	}
}

// TestFollowingNeverWaits puts a FIFO where a database was. The database stays in service, and what comes later is
// used. The end of the test shows that following can be ended.
func TestFollowingNeverWaits(t *testing.T) {
	file := put(t, "Country.mmdb", countryFile(t, "DE"))
	f := follow(t, time.Hour, file)
	fifo(t, file+".new")
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	f.warning(t, file, "a FIFO", "the old one stays in service")
	f.country(t, "DE")
	replace(t, file, countryFile(t, "FR"))
	f.country(t, "FR")
}

// peak returns the most memory that the process has had, in octets.
func peak(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		t.Skip("the system does not say how much memory was used")
	}
	kilobytes, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// TestMetadataComeFirst: a file that is not a database is refused before memory is taken for it, and a hole takes none.
func TestMetadataComeFirst(t *testing.T) {
	const hole = 600 << 20
	good := countryFile(t, "DE")
	at := bytes.LastIndex(good, metadataMarker)
	sparse := func(name string, head, end []byte) string {
		file := put(t, name, head)
		f, err := os.OpenFile(file, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(end, int64(len(head)+hole)); err != nil {
			t.Skipf("no sparse files here: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return file
	}
	const none = "its last 128 KiB have no metadata"
	before := peak(t)
	for what, c := range map[string]struct {
		file, says string
	}{
		"nothing at its end":       {sparse("a.mmdb", good, []byte{0}), none},
		"a page":                   {sparse("b.mmdb", []byte("<html>"), []byte("</html>")), none},
		"an archive":               {sparse("c.mmdb", []byte("PK\x03\x04"), nil), "ZIP"},
		"metadata that break off":  {sparse("d.mmdb", good[:at], good[at:at+40]), "not a database"},
		"a tree that is not there": {put(t, "e.mmdb", good[at-10:]), "for which it is too small"},
	} {
		_, err := Open([]string{c.file}, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want %q", what, err, c.says)
		}
	}
	expect(t, openAll(t, sparse("f.mmdb", good[:at], good[at:])), "192.0.2.1", complete(Location{Country: "DE"}))
	if grown := peak(t) - before; grown > 200<<20 {
		t.Errorf("%d MiB were taken for files that have nothing in them", grown>>20)
	}
}

func TestTreeSize(t *testing.T) {
	for _, size := range []int{24, 28, 32} {
		data := database(t, mmdbwriter.Options{RecordSize: size}, entry{"192.0.2.0/24", city("", "DE", "", 0, 0)})
		metadata := data[bytes.LastIndex(data, metadataMarker)+len(metadataMarker):]
		nodes, bits, err := treeSize(metadata)
		if err != nil || bits != uint64(size) || nodes < 24 {
			t.Errorf("%d nodes of %d bits, %v; want %d bits", nodes, bits, err, size)
		}
		for n := range metadata {
			if nodes, bits, err := treeSize(metadata[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes: %d nodes of %d bits", n, len(metadata), nodes, bits)
			}
		}
	}
}
