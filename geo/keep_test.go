package geo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"pgregory.net/rapid"
)

// somePlaces is a database with everything that a place can have.
func somePlaces(t tb) []byte {
	return database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-City"},
		entry{"192.0.2.0/24", city("EU", "DE", "BE", 52.5, 13.4)},
		entry{"192.0.2.7/32", object{"registered_country": object{"iso_code": str("AU")}, "asn": str("AS64500")}},
		entry{"2001:db8::/65", city("NA", "US", "CA", -0.1, -179.9)},
		entry{"2001:db8:0:0:8000::/66", object{"country_code": str("FR"), "asn": str("64501")}},
	)
}

// A kept table is read back unchanged, whatever the ranges.
func TestKeptIsTheSame(t *testing.T) {
	folder := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		l := &layer{
			of:     sha256.Sum256([]byte{rapid.Byte().Draw(t, "of")}),
			source: Source{Type: "x", Tells: Tells{Networks: 7}},
		}
		parts := rapid.IntRange(1, 3).Draw(t, "parts")
		var err error
		if parts&1 != 0 {
			if l.places, err = build(somePlain(t).walk); err != nil {
				t.Fatal(err)
			}
			l.told = []place{{}}
			for i := range 5 {
				l.told = append(l.told, place{
					Location: Location{
						Country: []string{"", "DE", "US"}[i%3], Deeper: strings.Repeat("x", i), HasPoint: i > 2,
						Latitude:  float64(rapid.IntRange(-900, 900).Draw(t, "latitude")) / 10,
						Longitude: -float64(i) / 10,
					},
					registered: []string{"AU", ""}[i%2],
				})
			}
		}
		if parts&2 != 0 {
			if l.systems, err = build(somePlain(t).walk); err != nil {
				t.Fatal(err)
			}
		}
		file := keptFile(folder, "City.mmdb")
		if err := l.keep(file); err != nil {
			t.Fatal(err)
		}
		again, err := readKept(file, l.of)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []*ranges{l.places, l.systems, again.places, again.systems} {
			if r != nil && len(r.deep) == 0 {
				r.deep = nil
			}
		}
		if !reflect.DeepEqual(again, l) {
			t.Fatal("what is read again is not what was kept")
		}
	})
}

// A kept file with any change is refused.
func TestKeptRefusesDamage(t *testing.T) {
	l, err := readLayer(somePlaces(t))
	if err != nil {
		t.Fatal(err)
	}
	file := keptFile(t.TempDir(), "City.mmdb")
	if err := l.keep(file); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, data []byte) {
		t.Helper()
		overwrite(t, file, data)
		if _, err := readKept(file, l.of); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	for i := range good {
		refused("cut short", good[:i])
		changed := bytes.Clone(good)
		changed[i] ^= 1 << (i % 8)
		refused("a bit is another one", changed)
	}
	refused("longer", append(bytes.Clone(good), 0))
	refused("foreign", []byte(strings.Repeat("what is this? ", 100)))
	overwrite(t, file, good)
	if _, err := readKept(file, sha256.Sum256(nil)); err != errOther { //nolint:errorlint // exactly this error
		t.Errorf("of another database: %v", err)
	}
	if _, err := readKept(file, l.of); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

// FuzzKept reads anything as the body of a kept file with the right checksum. Whatever is accepted can be searched.
func FuzzKept(f *testing.F) {
	l, err := readLayer(somePlaces(f))
	if err != nil {
		f.Fatal(err)
	}
	file := keptFile(f.TempDir(), "City.mmdb")
	if err := l.keep(file); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	size := binary.Size(keptHead{})
	f.Add(good[size:])
	f.Fuzz(func(t *testing.T, body []byte) {
		head := keptHead{
			Form: [8]byte([]byte(keptForm)), Order: byteOrder, By: program(), Of: l.of, Size: uint64(len(body)),
			Sum: uint64(crc32.Checksum(body, castagnoli)),
		}
		var b bytes.Buffer
		if err := binary.Write(&b, binary.NativeEndian, &head); err != nil {
			t.Fatal(err)
		}
		b.Write(body)
		file := filepath.Join(t.TempDir(), "kept")
		overwrite(t, file, b.Bytes())
		l, err := readKept(file, head.Of)
		if err != nil {
			return
		}
		table, err := join([]*layer{l})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []netip.Addr{addr4(0), addr4(1<<32 - 1), addr6(0, 0), addr6(1<<64-1, 1<<64-1)} {
			leaf := table.Locate(a)
			if first, last := table.Start(leaf), table.Last(leaf); a.Less(first) || last.Less(a) {
				t.Fatalf("%s is not within its leaf, %s to %s", a, first, last)
			}
			_ = table.Locations()[table.LocationOf(leaf)]
		}
	})
}

// A start uses what was kept for exactly the same database, and nothing else. What it cannot use it makes again.
func TestStartsFromWhatWasKept(t *testing.T) {
	file, folder := put(t, "City.mmdb", somePlaces(t)), filepath.Join(t.TempDir(), "state")
	warned := make(warnings, 100)
	start := func() (*Watcher, bool) {
		t.Helper()
		w, err := NewWatcher([]string{file}, folder, slog.New(warned))
		if err != nil {
			t.Fatal(err)
		}
		kept := w.files[0].good.kept
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		w.Follow(ended, func(*Table) {}) // it saves before it looks for changes
		return w, kept
	}
	first, kept := start()
	if kept {
		t.Fatal("nothing was kept yet")
	}
	again, kept := start()
	if !kept || !reflect.DeepEqual(again.Table(), first.Table()) {
		t.Fatalf("taken from what was kept: %v; the same: %v", kept, reflect.DeepEqual(again.Table(), first.Table()))
	}
	replace(t, file, countryFile(t, "FR"))
	if w, kept := start(); kept || at(w.Table(), "192.0.2.1").Country != "FR" {
		t.Errorf("another database: kept %v", kept)
	}
	if len(warned) > 0 {
		t.Errorf("warned of %q", <-warned)
	}
	in := keptFile(folder, file)
	for what, spoil := range map[string]func(){
		"cut short": func() { overwrite(t, in, []byte("LWKEPT")) },
		"a folder": func() {
			if err := os.Mkdir(in, 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"a FIFO": func() { fifo(t, in) },
	} {
		if err := os.Remove(in); err != nil {
			t.Fatal(err)
		}
		spoil()
		within(t, func() {
			if w, kept := start(); kept || at(w.Table(), "192.0.2.1").Country != "FR" {
				t.Errorf("%s: kept %v", what, kept)
			}
		})
		for text := <-warned; !strings.Contains(text, "it is made again"); text = <-warned {
			if !strings.Contains(text, "cannot be kept") { // a folder is in the way
				t.Errorf("%s: warned of %q", what, text)
			}
		}
	}
	// Kept files of databases no longer in use are removed. If nothing can be kept, that is logged, and all else works.
	other := keptFile(folder, "Other.mmdb")
	overwrite(t, other, nil)
	start()
	if _, err := os.Stat(other); err == nil {
		t.Error("what was made of a database that is not in use is still there")
	}
	folder = filepath.Join(file, "no folder")
	if w, _ := start(); at(w.Table(), "192.0.2.1").Country != "FR" {
		t.Error("without a folder, no database")
	}
}
