package folder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"leeward/zones"
)

// aZone is a master file of n records. The one with the number "changed" has another address.
func aZone(n, changed int) string {
	var b strings.Builder
	b.WriteString("$TTL 300\n@ IN SOA ns1 h 7 3600 900 1209600 30\n@ IN NS ns1\nns1 IN A 192.0.2.53\n")
	for i := range n {
		last := 1
		if i == changed {
			last = 2
		}
		fmt.Fprintf(&b, "a-host-with-a-rather-long-name-%d IN A 10.%d.%d.%d\n", i, i>>8, i&255, last)
	}
	return b.String()
}

// A file is refused if reading it would take more memory than is left. Its former content stays in service, and it is
// read once there is room. What counts is what is new in it, not its size.
func TestRoom(t *testing.T) {
	const records = 2_000
	known := int64(records+1) * knownCost
	one := int64(newCost + textCost*(len("a-host-with-a-rather-long-name-1000")+len("10.3.232.2")))
	for _, c := range []struct {
		name    string
		left    int64
		all     bool // every record is new
		refused bool
	}{
		{"no limit", math.MaxInt64, true, false},
		{"one line", known + one, false, false},
		{"not even to see what is new", known - 1, false, true},
		{"one octet too few for a line", known + newCost, false, true},
		{"room for a line, and all are new", known + one, true, true},
		{"room for all", known + records*one, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "ex.test.zone")
			write := func(text string) {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			left := int64(math.MaxInt64)
			s := scanner{dir: dir, digests: newDigests(), memory: func(bool) memory { return limited(left) }}
			write(aZone(records, -1))
			if b, err := s.read(false); err != nil || len(b.Changes) != records+2 {
				t.Fatalf("%d changes, %v", len(b.Changes), err)
			}
			text := aZone(records, 1_000)
			if c.all {
				text = strings.ReplaceAll(aZone(records, -1), "300", "600")
			}
			write(text)
			left = c.left
			b, err := s.read(false)
			if refused := err != nil; refused != c.refused {
				t.Fatalf("refused: %v, want %v: %v", refused, c.refused, err)
			}
			if !c.refused {
				if want := map[bool]int{false: 1, true: records + 2}[c.all]; len(b.Changes) != want {
					// with all, the Zone is new too
					t.Errorf("%d changes, want %d", len(b.Changes), want)
				}
				return
			}
			if !strings.Contains(err.Error(), "does not fit into memory") {
				t.Errorf("it says %v", err)
			}
			for _, ch := range b.Changes {
				if ch.Resource != nil || ch.Key != "files/ex.test.zone" {
					t.Errorf("%s is delivered of what was refused", ch.Key)
				}
			}
			if s.read(false); s.work.files != 0 {
				t.Error("it is read again although nothing has changed")
			}
			left = math.MaxInt64
			b, err = s.read(false)
			if err != nil || len(b.Changes) < 2 { // at least one, and the end of the problem
				t.Errorf("with room: %d changes, %v", len(b.Changes), err)
			}
		})
	}
}

// limited is a process with that much memory left.
func limited(left int64) memory {
	if left == math.MaxInt64 {
		return memory{limit: left}
	}
	const limit = 1 << 30
	return memory{limit: limit, used: limit - limit/20 - left}
}

// A zone that has never fitted is not served in part. There is nothing of it but a problem.
func TestRoomFirst(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"ex.test.zone": aZone(20_000, -1), "small.test.zone": aZone(3, -1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := scanner{dir: dir, digests: newDigests(), memory: func(bool) memory { return limited(10 << 20) }}
	b, err := s.read(false)
	if err == nil {
		t.Fatal("it fits")
	}
	got := map[string]int{}
	for _, ch := range b.Changes {
		switch {
		case ch.Err != nil:
			got["error of "+string(ch.Key)]++
		case ch.Key.Kind() == zones.KindRecord:
			got[strings.Split(ch.Key.Name(), "/")[0]]++
		}
	}
	if got["ex.test"] != 0 || got["small.test"] != 4 || got["error of zones/ex.test"] != 1 ||
		got["error of files/ex.test.zone"] != 1 {
		t.Errorf("delivered: %v", got)
	}
}

// Of a file of documents in which one has changed, only that one is held. A key that occurs twice is still reported, as
// if all were held.
func TestDocumentsHoldWhatDiffers(t *testing.T) {
	dir := t.TempDir()
	write := func(changed, twice int) {
		var b strings.Builder
		for i := range 1000 {
			ttl := 60
			if i == changed {
				ttl = 61
			}
			fmt.Fprintf(&b, "---\nkind: Record\nname: ex.test/h-%d/A\nttl: %ds\ndata: [192.0.2.1]\n", i, ttl)
			if i == twice {
				fmt.Fprintf(&b, "---\nkind: Record\nname: ex.test/h-%d/A\nttl: 9s\ndata: [192.0.2.2]\n", i)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := scanner{dir: dir, digests: newDigests()}
	write(-1, -1)
	if _, err := s.read(false); err != nil {
		t.Fatal(err)
	}
	write(500, -1)
	f := s.load("a.yaml", s.files["a.yaml"], false)
	if len(f.brought) != 1 || len(f.kept.entries) != 1000 {
		t.Errorf("%d documents are held of %d", len(f.brought), len(f.kept.entries))
	}
	write(500, 700)
	b, err := s.read(false)
	if err == nil || !strings.Contains(err.Error(), "it is there already at a.yaml:3502") {
		t.Errorf("twice: %v", err)
	}
	if len(b.Changes) == 0 {
		t.Error("what has changed beside it is not delivered")
	}
}

// Reading master files and documents holds no more than room counts for it. Or else a process with little memory left
// would be killed in the middle of a file that room lets in.
func TestRoomIsEnough(t *testing.T) {
	const records = 20_000
	var docs strings.Builder
	for i := range records {
		fmt.Fprintf(&docs, "---\nkind: Record\nname: ex.test/h-%d/A\nttl: 60s\ndata: [192.0.2.1]\n", i)
	}
	for name, text := range map[string]string{"ex.test.zone": aZone(records, -1), "a.yaml": docs.String()} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		live := func() int64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		before, most, looks := live(), int64(0), 0
		s := scanner{dir: dir, digests: newDigests(), stopped: func() error {
			if looks++; looks%20 == 0 {
				most = max(most, live()-before)
			}
			return nil
		}}
		b, err := s.read(false)
		if err != nil || len(b.Changes) < records {
			t.Fatalf("%s: %d changes, %v", name, len(b.Changes), err)
		}
		r := room{memory: memory{limit: math.MaxInt64}}
		for _, ch := range b.Changes {
			_ = r.hold(zones.Document{Resource: ch.Resource})
		}
		if most == 0 || most > r.taken {
			t.Errorf("%s: reading held %d octets at least, and room counts %d", name, most, r.taken)
		}
		t.Logf("%s: %d octets for each of %d, and room counts %d", name, most/records, records, r.taken/records)
	}
}

// A document, or a List, that is small as a file and large once parsed is refused, and its former content stays. A List
// of JSON, and documents one after the other, take little.
func TestRoomWhileParsing(t *testing.T) {
	const records = 1_500
	record := func(i, ttl int) string {
		return fmt.Sprintf(`{"kind": "Record", "name": "ex.test/h-%d/A", "ttl": "%ds", "data": ["192.0.2.1"]}`, i, ttl)
	}
	list := func(begin, between, end string) func(int) string {
		return func(ttl int) string {
			all := make([]string, records)
			for i := range all {
				all[i] = record(i, 60)
			}
			all[0] = record(0, ttl)
			return begin + strings.Join(all, between) + end
		}
	}
	one := func(ttl int) string {
		return fmt.Sprintf(`{"kind": "Record", "name": "ex.test/h-0/TXT", "ttl": "%ds", "data": ["x"`, ttl) +
			strings.Repeat(`, "x"`, 8*records) + "]}"
	}
	for _, c := range []struct {
		file    string
		text    func(ttl int) string
		refused bool
	}{
		{"list.json", list("[", ",\n", "]"), false},
		{"List.json", list(`{"kind": "List", "items": [`, ",\n", "]}"), false},
		{"apart.yaml", list("---\n", "\n---\n", ""), false},
		{"list.yaml", list("- ", "\n- ", ""), true},
		{"List.yaml", list("kind: List\nitems:\n- ", "\n- ", ""), true},
		{"one.json", one, true},
		{"one.yaml", one, true},
	} {
		t.Run(c.file, func(t *testing.T) {
			dir := t.TempDir()
			write := func(text string) {
				if err := os.WriteFile(filepath.Join(dir, c.file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			left := int64(math.MaxInt64)
			s := scanner{
				dir: dir, digests: newDigests(), large: 512 << 10,
				memory: func(bool) memory { return limited(left) },
			}
			write(c.text(60))
			if _, err := s.read(false); err != nil && !strings.HasPrefix(c.file, "one.") { // too much data for one
				t.Fatal(err)
			}
			write(c.text(61))
			left = 1 << 20
			b, err := s.read(false)
			refused := err != nil && strings.Contains(err.Error(), "does not fit into memory")
			if refused != c.refused {
				t.Fatalf("refused: %v, want %v: %.300v", refused, c.refused, err)
			}
			if !c.refused {
				if len(b.Changes) != 1 {
					t.Errorf("%d changes", len(b.Changes))
				}
				return
			}
			if !strings.Contains(err.Error(), "less as several documents") {
				t.Errorf("it does not say what to do: %v", err)
			}
			for _, ch := range b.Changes {
				if ch.Err == nil {
					t.Errorf("%s is delivered of what was refused", ch.Key)
				}
			}
			if s.read(false); s.work.files != 0 {
				t.Error("it is read again although nothing has changed")
			}
			left = math.MaxInt64
			if s.read(false); s.work.files != 1 {
				t.Error("it is not read again although there is room now")
			}
		})
	}
}

// A folder that is told to end does not first read everything, and delivers nothing of what was cut off.
func TestReadingEndsAtOnce(t *testing.T) {
	for _, name := range []string{"ex.test.zone", "ex.yaml"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			text := aZone(20_000, -1)
			if name == "ex.yaml" {
				text = strings.Repeat("---\nkind: Region\nname: here\n", 20_000)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := Open(dir, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			f.scan.large = 1
			ctx, cancel := context.WithCancel(t.Context())
			f.Pace(func() func() { cancel(); return func() {} }) // just before it is read
			err = f.Follow(ctx, func(zones.Batch) { t.Error("something is delivered") }, func(zones.Condition) {})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("it ends with %v", err)
			}
			if len(f.scan.files) != 0 {
				t.Error("it was read to its end")
			}
		})
	}
}
