package folder

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"leeward/zones"
)

// look lets a scanner look at its folder again, and returns what it would deliver, with "!" before a key that cannot be
// read, and "-" before one that is gone.
func look(t *testing.T, s *scanner) (b zones.Batch, keys string, err error) {
	t.Helper()
	b, err = s.read(false)
	var all []string
	for _, c := range b.Changes {
		switch {
		case c.Err != nil:
			all = append(all, "!"+string(c.Key))
		case c.Resource == nil:
			all = append(all, "-"+string(c.Key))
		default:
			all = append(all, string(c.Key))
		}
	}
	return b, strings.Join(all, " "), err
}

const masterHead = `$TTL 300
@ IN SOA ns1.example.test. hostmaster.example.test. 7 3600 900 1209600 30
@ IN NS ns1.example.test.
ns1 IN A 192.0.2.53
`

// A change costs what has changed: beside a large zone, only the small file is read and compared.
func TestScanReadsWhatChanged(t *testing.T) {
	dir := t.TempDir()
	large := strings.Builder{}
	large.WriteString(masterHead)
	const hosts = 20_000
	for i := range hosts {
		fmt.Fprintf(&large, "host-%d IN A 10.0.%d.%d\n", i, i/256, i%256)
	}
	zone, small := filepath.Join(dir, "example.test.zone"), filepath.Join(dir, "small.yaml")
	save(t, zone, large.String())
	save(t, small, docEU)
	s := scanner{dir: dir, digests: newDigests()}
	b, _, err := look(t, &s)
	if err != nil || !b.Full || len(b.Changes) != hosts+3 || s.work != (work{2, hosts + 2}) {
		t.Fatalf("full %t, %d changes, %+v, %v", b.Full, len(b.Changes), s.work, err)
	}
	for _, f := range s.files {
		if f.brought != nil || f.order != nil {
			t.Error("documents outlive their delivery")
		}
	}
	if _, keys, err := look(t, &s); keys != "" || err != nil || s.work != (work{}) {
		t.Errorf("nothing has changed: %s, %+v, %v", keys, s.work, err)
	}
	save(t, small, strings.Replace(docEU, "53.3", "5", 1))
	if _, keys, err := look(t, &s); keys != "regions/eu-west" || err != nil || s.work != (work{1, 1}) {
		t.Errorf("a line of the small file: %s, %+v, %v", keys, s.work, err)
	}
	save(t, zone, strings.Replace(strings.Replace(large.String(), "host-7 IN A 10.0.0.7\n", "", 1), "10.0.0.9\n",
		"10.9.9.9\n", 1))
	if _, keys, err := look(t, &s); keys != "-records/example.test/host-7/A records/example.test/host-9/A" ||
		err != nil || s.work.files != 1 {
		t.Errorf("two lines of the large one: %s, %+v, %v", keys, s.work, err)
	}
	save(t, small, docEU+"---\nkind: Zone\nname: example.test\nhostmaster: h.example.test\nnameservers: "+
		"[ns1.example.test, ns2.example.test]\n")
	if b, keys, err := look(t, &s); keys != "regions/eu-west zones/example.test" || err != nil ||
		s.work != (work{1, 1}) ||
		len(b.Changes[1].Resource.(*zones.Zone).Nameservers) != 2 || *b.Changes[1].Resource.(*zones.Zone).Serial != 7 {
		t.Errorf("a Zone beside the large one: %s, %+v, %v", keys, s.work, err)
	}
}

// A key is in two files. The first counts, and the second is reported with both places. When the first no longer has
// it, the second is read for it, although that file has not changed.
func TestScanTwice(t *testing.T) {
	dir := t.TempDir()
	record := "kind: Record\nname: example.test/www/A\ndata: [192.0.2.9]\n"
	zone, first, last := filepath.Join(dir, "example.test.zone"), filepath.Join(dir, "a.yaml"), filepath.Join(dir,
		"z.yaml")
	save(t, zone, masterHead+"www IN A 192.0.2.1\n")
	save(t, last, docEU+"---\n"+record)
	s := scanner{dir: dir, digests: newDigests()}
	b, keys, err := look(t, &s)
	want := "!files/z.yaml records/example.test/ns1/A records/example.test/www/A regions/eu-west zones/example.test"
	if keys != want {
		t.Errorf("got  %s\nwant %s", keys, want)
	}
	want = "z.yaml:6: Record example.test/www/A: it is there already at example.test.zone:5; take one out"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if got := b.Changes[2].Resource.(*zones.Record).Data[0]; got != "192.0.2.1" {
		t.Errorf("%s is in service", got)
	}
	save(t, first, strings.Replace(record, "192.0.2.9", "192.0.2.5", 1))
	b, keys, _ = look(t, &s)
	if want := "!files/example.test.zone !files/z.yaml records/example.test/www/A"; keys != want ||
		b.Changes[2].Resource.(*zones.Record).Data[0] != "192.0.2.5" {
		t.Errorf("got  %s\nwant %s", keys, want)
	}
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	if b, keys, _ = look(t, &s); keys != "-files/example.test.zone !files/z.yaml records/example.test/www/A" ||
		b.Changes[2].Resource.(*zones.Record).Data[0] != "192.0.2.1" {
		t.Errorf("after the first is gone: %s", keys)
	}
	save(t, zone, masterHead)
	if b, keys, err = look(t, &s); keys != "-files/z.yaml records/example.test/www/A" || err != nil ||
		b.Changes[1].Resource.(*zones.Record).Data[0] != "192.0.2.9" {
		t.Errorf("when only the last has it: %s, %v", keys, err)
	}

	// The first goes while the other cannot be read. What is in service stays until it can.
	save(t, zone, masterHead+"www IN A 192.0.2.1\n")
	look(t, &s)
	save(t, last, "kind: [")
	look(t, &s)
	save(t, zone, masterHead)
	if _, keys, err = look(t, &s); strings.Contains(keys, "www") || err == nil {
		t.Errorf("what cannot be read was delivered: %s, %v", keys, err)
	}
	save(t, last, record)
	if b, keys, err = look(t, &s); keys != "-files/z.yaml records/example.test/www/A -regions/eu-west" || err != nil ||
		b.Changes[1].Resource.(*zones.Record).Data[0] != "192.0.2.9" {
		t.Errorf("when it can be read again: %s, %v", keys, err)
	}
	if _, keys, err = look(t, &s); keys != "" || err != nil || len(s.apart) != 0 {
		t.Errorf("at rest: %s, %v, %d apart", keys, err, len(s.apart))
	}
}

// No zone is served in part as if it were whole. If a master file cannot be read to its end, the last good version
// stays. If there is none, the Zone is an error, whatever else says that it exists, so that it differs from a zone
// without names.
func TestScanNeverDeliversAPart(t *testing.T) {
	dir := t.TempDir()
	zone, beside := filepath.Join(dir, "example.test.zone"), filepath.Join(dir, "zone.yaml")
	save(t, zone, masterHead+"www IN A 192.0.2.1\nlast IN A 192.0.2.300\n")
	save(t, beside, "kind: Zone\nname: example.test\nnameservers: [ns.example.net]\n")
	s := scanner{dir: dir, digests: newDigests()}
	b, keys, err := look(t, &s)
	if keys != "!files/example.test.zone !zones/example.test" || err == nil || b.Full {
		t.Fatalf("at the start: %s, %v", keys, err)
	}
	save(t, zone, masterHead+"www IN A 192.0.2.1\nlast IN A 192.0.2.3\n")
	const all = "records/example.test/last/A records/example.test/ns1/A records/example.test/www/A zones/example.test"
	if b, keys, err = look(t, &s); keys != all || err != nil || !b.Full {
		t.Fatalf("mended: %s, %v", keys, err)
	}
	for bad, key := range map[string]string{
		// what comes before the fault is not delivered either
		"new IN A 192.0.2.4\nwww IN A 192.0.2.300\n": "files/example.test.zone",
		"www IN A 192.0.2.1\nwww IN RRSIG A\n":       "files/example.test.zone",
		"new IN A 192.0.2.4\n$INCLUDE nowhere\n":     "files/example.test.zone",
		"www IN CNAME a\nwww IN CNAME b\n":           "records/example.test/www/CNAME",
	} {
		save(t, zone, masterHead+bad)
		if _, keys, err = look(t, &s); keys != "!"+key || err == nil {
			t.Errorf("%q: %s, %v", bad, keys, err)
		}
		save(t, zone, masterHead+"www IN A 192.0.2.1\nlast IN A 192.0.2.3\n")
		if _, keys, err = look(t, &s); keys != "-"+key || err != nil {
			t.Errorf("mended after %q: %s, %v", bad, keys, err)
		}
	}

	// Many warnings are not an error.
	many := strings.Repeat("www IN A 192.0.2.1\n", 200)
	save(t, zone, masterHead+many+"last IN A 192.0.2.3\nmore IN A 192.0.2.4\n")
	if _, keys, err = look(t, &s); keys != "records/example.test/more/A" || err != nil {
		t.Errorf("200 times the same: %s, %v", keys, err)
	}

	// The documents end in the middle. Zones that part of them belongs to are not delivered either.
	save(t, filepath.Join(dir, "other.yaml"), "{kind: Zone, name: example.org, nameservers: [ns.example.net]}\n---\n"+
		"{kind: Record, name: example.org/a/A, data: [192.0.2.1]}\n---\n{kind: Rec")
	if _, keys, err = look(t, &s); keys != "!files/other.yaml records/example.org/a/A !zones/example.org" ||
		err == nil {
		t.Errorf("half a document: %s, %v", keys, err)
	}
	if err := os.Remove(filepath.Join(dir, "other.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, keys, err = look(t, &s); keys != "-files/other.yaml -records/example.org/a/A -zones/example.org" ||
		err != nil {
		t.Errorf("gone: %s, %v", keys, err)
	}
}

// The content of a folder that can no longer be read stays as it was.
func TestScanKeepsAClosedFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	save(t, filepath.Join(dir, "a", "eu.yaml"), docEU)
	s := scanner{dir: dir, digests: newDigests()}
	if _, keys, err := look(t, &s); keys != "regions/eu-west" || err != nil {
		t.Fatal(keys, err)
	}
	closed := zones.Problems{{
		Position: zones.Position{File: "a"}, Message: "permission denied",
		Code: zones.CodeSyntax,
	}}
	for range 2 { // the second time nothing is new
		files := map[string]*file{}
		s.closed(closed, files)
		b := s.compare(files)
		for _, c := range b.Changes {
			if c.Key != "files/a" || c.Err == nil {
				t.Errorf("delivered %+v", c)
			}
		}
	}
	if _, keys, err := look(t, &s); keys != "-files/a" || err != nil {
		t.Errorf("open again: %s, %v", keys, err)
	}
}
