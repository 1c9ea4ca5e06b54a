package geo

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
)

// following is a running Watcher, with its tables and its warnings.
type following struct {
	*Watcher
	tables   chan *Table
	warnings chan string
	err      error // of NewWatcher
}

// warnings is a slog.Handler that passes warnings on.
type warnings chan string

func (w warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (w warnings) WithAttrs([]slog.Attr) slog.Handler               { return w }
func (w warnings) WithGroup(string) slog.Handler                    { return w }

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	w <- text
	return nil
}

// follow starts a Watcher that settles fast. It polls only if asked to: otherwise everything must come from notices.
func follow(t *testing.T, poll time.Duration, files ...string) *following {
	t.Helper()
	f := &following{tables: make(chan *Table, 100), warnings: make(chan string, 100)}
	f.Watcher, f.err = NewWatcher(files, "", slog.New(warnings(f.warnings)))
	if f.Watcher == nil {
		t.Fatal(f.err)
	}
	f.Settle, f.Poll = 20*time.Millisecond, poll
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Follow(ctx, func(table *Table) { f.tables <- table })
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return f
}

// country waits for tables until 192.0.2.1 is in that country.
func (f *following) country(t *testing.T, want string) {
	t.Helper()
	for at(f.Table(), "192.0.2.1").Country != want {
		<-f.tables
	}
}

// asn waits for tables until 192.0.2.1 has that AS number.
func (f *following) asn(t *testing.T, want uint32) {
	t.Helper()
	for {
		if got, _ := f.Table().ASNOf(netip.MustParseAddr("192.0.2.1")); got == want {
			return
		}
		<-f.tables
	}
}

// warning waits for a warning that contains the text.
func (f *following) warning(t *testing.T, says ...string) {
	t.Helper()
next:
	for {
		text := <-f.warnings
		for _, s := range says {
			if !strings.Contains(text, s) {
				continue next
			}
		}
		return
	}
}

func countryFile(t *testing.T, country string) []byte {
	return database(t, mmdbwriter.Options{
		DatabaseType: "GeoLite2-Country",
		Description:  map[string]string{"en": t.Name()},
	},
		entry{"192.0.2.0/24", city("", country, "", 0, 0)})
}

func asnFile(t *testing.T, number uint32) []byte {
	return database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-ASN"}, entry{"192.0.2.0/24", asn(number)})
}

// replace replaces a file properly: with a complete one, by a rename.
func replace(t *testing.T, file string, data []byte) {
	t.Helper()
	beside := filepath.Join(filepath.Dir(file), ".new")
	overwrite(t, beside, data)
	if err := os.Rename(beside, file); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFollowsReplacement(t *testing.T) {
	file := put(t, "Country.mmdb", countryFile(t, "DE"))
	f := follow(t, time.Hour, file)
	if f.err != nil {
		t.Fatal(f.err)
	}
	f.country(t, "DE")
	replace(t, file, countryFile(t, "FR"))
	f.country(t, "FR")
	overwrite(t, file, countryFile(t, "US"))
	f.country(t, "US")
	if source := f.Sources()[0]; source.Error != "" || source.Type != "GeoLite2-Country" || source.Networks != 1 {
		t.Errorf("source %+v", source)
	}
}

func TestRefusesBrokenFileAndKeepsOld(t *testing.T) {
	file := put(t, "Country.mmdb", countryFile(t, "DE"))
	f := follow(t, time.Hour, file)
	good := countryFile(t, "FR")
	for what, data := range map[string][]byte{
		"cut short": good[:len(good)-30],
		"empty":     nil,
		"not a database in the MaxMind DB format": []byte("<html>403 Forbidden</html>"),
		"neither countries nor coordinates": database(t, mmdbwriter.Options{DatabaseType: "GeoIP2-Domain"},
			entry{"192.0.2.0/24", object{"domain": str("example.com")}}),
	} {
		overwrite(t, file, data)
		f.warning(t, "the old one stays in service", file, what)
		f.country(t, "DE")
		source := f.Sources()[0]
		if !strings.Contains(source.Error, file) || !strings.Contains(source.Error, what) ||
			source.Type != "GeoLite2-Country" {
			t.Errorf("%s: source %+v", what, source)
		}
	}
	replace(t, file, good)
	f.country(t, "FR")
	if source := f.Sources()[0]; source.Error != "" {
		t.Errorf("still in trouble: %+v", source)
	}
}

func TestOneBrokenFileHoldsNoOther(t *testing.T) {
	countries, systems := put(t, "Country.mmdb", countryFile(t, "DE")), put(t, "ASN.mmdb", asnFile(t, 64500))
	f := follow(t, time.Hour, countries, systems)
	f.asn(t, 64500)
	overwrite(t, systems, []byte("broken"))
	f.warning(t, systems)
	replace(t, countries, countryFile(t, "FR"))
	f.country(t, "FR")
	f.asn(t, 64500)
	replace(t, systems, asnFile(t, 64501))
	f.asn(t, 64501)
	f.country(t, "FR")
}

func TestRemovedFileStaysInService(t *testing.T) {
	file := put(t, "Country.mmdb", countryFile(t, "DE"))
	f := follow(t, time.Hour, file)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	f.warning(t, "no such file", "the old one stays in service")
	f.country(t, "DE")
	overwrite(t, file, countryFile(t, "US"))
	f.country(t, "US")
}

func TestMissingFileMayCome(t *testing.T) {
	file := filepath.Join(t.TempDir(), "Country.mmdb")
	f := follow(t, time.Hour, file)
	if f.err == nil || !strings.Contains(f.err.Error(), file+": no such file") {
		t.Errorf("error %q does not name the file", f.err)
	}
	if sources := f.Sources(); len(sources) != 2 || sources[0].File != "(built in)" || sources[1].Error == "" {
		t.Errorf("sources %+v, want the built-in table and the file's trouble", sources)
	}
	if got := at(f.Table(), "130.149.7.201").Country; got != "DE" {
		t.Errorf("without the file, the built-in table has %q", got)
	}
	replace(t, file, countryFile(t, "US"))
	f.country(t, "US")
	if sources := f.Sources(); len(sources) != 1 || sources[0].Error != "" {
		t.Errorf("sources %+v, want the file alone", sources)
	}
}

func TestSymbolicLinkIsFollowed(t *testing.T) {
	// As volumes of a cluster do it: the file is a link into a folder that is itself a link, which is exchanged.
	folder := t.TempDir()
	for name, country := range map[string]string{"v1": "DE", "v2": "FR"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
		overwrite(t, filepath.Join(folder, name, "Country.mmdb"), countryFile(t, country))
	}
	link := func(to, from string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(folder, from)); err != nil {
			t.Fatal(err)
		}
	}
	link("v1", "current")
	link("current/Country.mmdb", "Country.mmdb")
	f := follow(t, time.Hour, filepath.Join(folder, "Country.mmdb"))
	f.country(t, "DE")
	link("v2", "next")
	if err := os.Rename(filepath.Join(folder, "next"), filepath.Join(folder, "current")); err != nil {
		t.Fatal(err)
	}
	f.country(t, "FR")
}

func TestPollSeesWhatNoticesMiss(t *testing.T) {
	// The link's folder does not change when its target does, so no notice comes.
	target := put(t, "Country.mmdb", countryFile(t, "DE"))
	file := filepath.Join(t.TempDir(), "link.mmdb")
	if err := os.Symlink(target, file); err != nil {
		t.Fatal(err)
	}
	f := follow(t, 10*time.Millisecond, file)
	f.country(t, "DE")
	replace(t, target, countryFile(t, "FR"))
	f.country(t, "FR")
}

func TestReloadReadsAgain(t *testing.T) {
	f := follow(t, time.Hour, put(t, "Country.mmdb", countryFile(t, "DE")))
	before := f.Table()
	f.Reload()
	if after := <-f.tables; after == before || after != f.Table() {
		t.Error("the table is not a new one")
	}
}

func TestWatcherWithoutFiles(t *testing.T) {
	f := follow(t, time.Hour)
	if f.err != nil {
		t.Fatal(f.err)
	}
	if sources := f.Sources(); len(sources) != 1 || sources[0].File != "(built in)" {
		t.Errorf("sources %+v, want the built-in table", sources)
	}
}

func TestFileBeingWrittenWaits(t *testing.T) {
	file := put(t, "Country.mmdb", countryFile(t, "DE"))
	w, err := NewWatcher([]string{file}, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	replace(t, file, countryFile(t, "FR"))
	again, due := w.inspect()
	if !again || len(due) != 0 {
		t.Fatalf("a file that has just changed: again %v, %d due; want to look again first", again, len(due))
	}
	overwrite(t, file, countryFile(t, "US")[:100])
	if again, due = w.inspect(); !again || len(due) != 0 {
		t.Fatalf("a file that changes still: again %v, %d due; want to look again first", again, len(due))
	}
	if again, due = w.inspect(); again || len(due) != 1 {
		t.Fatalf("a file that has not changed since: again %v, %d due; want it due", again, len(due))
	}
}

// A version that tells much less than the one before it is held back. One that tells more, or a little less, is not.
func TestLossesAreHeldBack(t *testing.T) {
	networks := func(n int, record func(i int) object) []byte {
		entries := []entry{{"192.0.2.0/24", record(0)}}
		for i := range n {
			o := record(i)
			o["postal"] = str(strconv.Itoa(i)) // different, so that none are joined
			entries = append(entries, entry{fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), o})
		}
		return database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-City"}, entries...)
	}
	many := func(country string) func(int) object {
		return func(i int) object { return city("EU", country, "BE", 1+float64(i%80), 2) }
	}
	file := put(t, "City.mmdb", networks(2000, many("DE")))
	f := follow(t, time.Hour, file)
	for _, c := range []struct {
		data []byte
		says string
	}{
		{networks(800, many("FR")), "has 801 networks that tell the country, where there were 2001"},
		{networks(2000, func(int) object {
			return city("EU", "FR", "BE", 0, 0)
		}), "has no networks that tell coordinates, of which there were 2001"},
		{networks(2000, func(int) object {
			return city("EU", "FR", "", 1, 2)
		}), "has no networks that tell the subdivision"},
		{asnFile(t, 64500), "has no networks that tell the country"},
	} {
		replace(t, file, c.data)
		f.warning(t, "held back", c.says, "restart this server", "the old one stays in service")
		if got := at(f.Table(), "192.0.2.1").Country; got != "DE" {
			t.Fatalf("country %q", got)
		}
		if source := f.Sources()[0]; !strings.Contains(source.Error, c.says) || source.Countries != 2001 {
			t.Errorf("source %+v", source)
		}
	}
	replace(t, file, networks(1500, many("US")))
	f.country(t, "US")
	if source := f.Sources()[0]; source.Error != "" || source.Countries != 1501 {
		t.Errorf("source %+v", source)
	}
}
