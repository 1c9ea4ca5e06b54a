package folder

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/document"
)

// A reading that holds only the differences delivers the same as a comparison of two whole readings, whatever is
// edited: sets in several parts of a file, sets in an included file, with warnings, and with errors.
func TestDifferenceOfWholeReadings(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			r.Fatal(err)
		}
		write := func() {
			r.Helper()
			line := rapid.Custom(func(r *rapid.T) string {
				owner := rapid.SampledFrom([]string{"a", "a", "b", "c.d", "e", "A"}).Draw(r, "owner")
				data := rapid.SampledFrom([]string{
					"A 192.0.2.1", "A 192.0.2.2", "60 A 192.0.2.3", "AAAA 2001:db8::1", `TXT "x"`, `TXT "y"`,
					"MX 10 mail", "300 A 192.0.2.1",
				}).Draw(r, "data")
				return owner + " " + data + "\n"
			})
			lines := func(most int) string { return strings.Join(rapid.SliceOfN(line, 0, most).Draw(r, "lines"), "") }
			wrong := rapid.SampledFrom([]string{
				"", "", "", "", "w CNAME a\nw CNAME b\n", "w A 1.2.3\n",
				"$INCLUDE none\n",
			}).Draw(r, "wrong")
			main := masterHead + lines(8) + "$INCLUDE .more\n" + lines(8) + wrong
			for name, text := range map[string]string{".more": lines(4), "example.test.zone": main} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					r.Fatal(err)
				}
			}
		}
		whole := func() (map[zones.Key]zones.Resource, zones.Problems) {
			text, err := os.Open(filepath.Join(dir, "example.test.zone"))
			if err != nil {
				r.Fatal(err)
			}
			defer text.Close()
			docs, problems := document.ReadMaster("example.test.zone", "example.test", text, document.Includes(dir))
			if len(problems.Errors()) > 0 {
				return nil, problems
			}
			all := map[zones.Key]zones.Resource{}
			for _, d := range docs {
				all[d.Resource.Key()] = d.Resource
			}
			return all, problems
		}
		if err := os.WriteFile(filepath.Join(dir, "example.test.zone"), []byte(masterHead), 0o600); err != nil {
			r.Fatal(err)
		}
		s := scanner{dir: dir, digests: newDigests()}
		if _, err := s.read(false); err != nil {
			r.Fatal(err)
		}
		had, _ := whole()
		for range 3 {
			write()
			b, _ := s.read(true)
			want, problems := whole()
			f := s.files["example.test.zone"]
			if f.spoiled != (want == nil) {
				r.Fatalf("spoiled: %t, %v", f.spoiled, problems)
			}
			if !f.spoiled && !reflect.DeepEqual(f.problems, problems) ||
				f.problems.Errors().Error() != problems.Errors().Error() {
				r.Fatalf("problems:\ngot  %v\nwant %v", f.problems, problems)
			}
			got := map[zones.Key]zones.Resource{}
			for _, c := range b.Changes {
				if k := c.Key.Kind(); c.Err == nil && (k == zones.KindZone || k == zones.KindRecord) {
					got[c.Key] = c.Resource
				}
				if c.Resource == nil && had[c.Key] == nil {
					delete(got, c.Key) // an error about a key that never existed is over
				}
			}
			if want == nil {
				if len(got) > 0 {
					r.Fatalf("a file with an error changes %v", got)
				}
				continue
			}
			differs := map[zones.Key]zones.Resource{}
			for key, now := range want {
				if !reflect.DeepEqual(had[key], now) {
					differs[key] = now
				}
			}
			for key := range had {
				if want[key] == nil {
					differs[key] = nil
				}
			}
			if !reflect.DeepEqual(got, differs) {
				r.Fatalf("delivered %v\nwant %v", got, differs)
			}
			had = want
		}
	})
}

// One changed line of a large master file does not hold a second zone in memory. While the file is read, only what the
// scanner remembers of it is live, and no documents.
func TestChangeHoldsNoSecondZone(t *testing.T) {
	dir := t.TempDir()
	text := strings.Builder{}
	text.WriteString(masterHead)
	const hosts = 5_000
	for i := range hosts {
		fmt.Fprintf(&text, "host-%d IN A 10.0.%d.%d\n", i, i/256, i%256)
	}
	path := filepath.Join(dir, "example.test.zone")
	save(t, path, text.String())
	s := scanner{dir: dir, digests: newDigests()}
	if _, _, err := look(t, &s); err != nil {
		t.Fatal(err)
	}
	for _, edit := range []struct {
		what, text string
		held       int
	}{
		{"one line", strings.Replace(text.String(), "10.0.0.9\n", "10.9.9.9\n", 1), 1},
		{"a set that goes on at the end", text.String() + "host-7 IN A 10.9.9.9\n", 1},
		{"nothing", text.String() + "\n", 0},
	} {
		save(t, path, edit.text)
		f := s.load("example.test.zone", s.files["example.test.zone"], false)
		if len(f.kept.entries) != hosts+1 || len(f.brought) != edit.held {
			t.Errorf("%s: %d entries, %d documents are held; want %d", edit.what, len(f.kept.entries), len(f.brought),
				edit.held)
		}
	}
	live := func(all bool) uint64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		f := s.load("example.test.zone", s.files["example.test.zone"], all)
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(f)
		return after.HeapAlloc - before.HeapAlloc
	}
	if few, all := live(false), live(true); few > all/2 {
		t.Errorf("%d octets are held of a file of which nothing differs, and %d of all of it", few, all)
	}
}
