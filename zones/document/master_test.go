package document

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"leeward/zones"
	"leeward/zones/catalog"
)

const masterText = `$ORIGIN example.test.
$TTL 1h
@       SOA ns1 host\.master 2026010203 2h 15m 2w 5m
        NS  ns1
        NS  ns.example.net.
ns1     A   192.0.2.53
www     300 A 192.0.2.1
www     300 A 192.0.2.2
@       MX  10 mail
*.w     TXT "a; b" "c\"d"
sub     NS  ns.sub
ns.sub  AAAA 2001:db8::53
0/25    NS  ns1
_sip._tcp SRV 1 2 5060 www
x       TYPE65280 \# 2 ABCD
`

func TestMasterFileBecomesResources(t *testing.T) {
	docs, problems := ReadMaster("zones.d/example.test.zone", "example.test", strings.NewReader(masterText), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var b bytes.Buffer
	if err := WriteYAML(&b, zones.Resources(docs)); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/good/master.yaml", b.String())
	if serial := docs[0].Resource.(*zones.Zone).Serial; serial == nil || *serial != 2026010203 {
		t.Errorf("serial %v", serial)
	}
	if at := docs[2].Position.String(); at != "zones.d/example.test.zone:7" {
		t.Errorf("the second record stands at %s", at)
	}
	if problems := catalog.Check(docs); len(problems) > 0 {
		t.Error(problems)
	}
}

func exported(t *testing.T, docs []zones.Document) string {
	t.Helper()
	var zone *zones.Zone
	var records []*zones.Record
	for _, d := range docs {
		switch r := d.Resource.(type) {
		case *zones.Zone:
			zone = r
		case *zones.Record:
			records = append(records, r)
		}
	}
	var b bytes.Buffer
	if err := WriteMaster(&b, zone, *zone.Serial, records); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestExportedMasterFileIsReadAsTheSame(t *testing.T) {
	docs, problems := ReadMaster("example.test.zone", "example.test", strings.NewReader(masterText), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	text := exported(t, docs)
	again, problems := ReadMaster("again.zone", "example.test", strings.NewReader(text), nil)
	if len(problems) > 0 {
		t.Fatalf("%v\n%s", problems, text)
	}
	for _, d := range again {
		for _, o := range docs {
			if o.Resource.Key() != d.Resource.Key() {
				continue
			}
			if z, ok := o.Resource.(*zones.Zone); ok { // nameservers come in canonical order
				z.Nameservers = d.Resource.(*zones.Zone).Nameservers
			}
			if d := cmp.Diff(o.Resource, d.Resource); d != "" {
				t.Error(d)
			}
		}
	}
	if len(again) != len(docs) {
		t.Errorf("%d resources, want %d", len(again), len(docs))
	}
	if twice := exported(t, again); twice != text {
		t.Errorf("exported again:\n%s\nwant:\n%s", twice, text)
	}
}

// Times of a zone come out as they came in: a TTL of 0, one TTL for the SOA and another for the NS, a MINIMUM above the
// SOA's TTL, times of 0.
func TestTimesOfAZoneAreKept(t *testing.T) {
	const text = `; zone example.test.
example.test.                   60      IN SOA      ns1.example.test. hostmaster.example.test. 7 0 0 0 3600
example.test.                   86400   IN NS       ns1.example.test.
brief.example.test.             0       IN TXT      "not to be kept"
ns1.example.test.               5       IN A        192.0.2.1
`
	docs, problems := ReadMaster("example.test.zone", "example.test", strings.NewReader(text), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if d := cmp.Diff(text, exported(t, docs)); d != "" {
		t.Error(d)
	}
	var yaml bytes.Buffer
	var all []zones.Resource
	for _, d := range docs {
		all = append(all, d.Resource)
	}
	if err := WriteYAML(&yaml, all); err != nil {
		t.Fatal(err)
	}
	docs, problems = Read("export.yaml", bytes.NewReader(yaml.Bytes()))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, d := range docs { // documents have everything but the serial
		if z, ok := d.Resource.(*zones.Zone); ok {
			z.Serial = new(uint32)
			*z.Serial = 7
		}
	}
	if d := cmp.Diff(text, exported(t, docs)); d != "" {
		t.Errorf("by way of documents\n%s%s", &yaml, d)
	}
}

// A TTL of 0 in a document is 0, and not the zone's.
func TestTTLOfZeroIsNoDefault(t *testing.T) {
	docs, problems := Read("z.yaml", strings.NewReader(`
{kind: Zone, name: example.test, nameservers: [ns1.example.test], hostmaster: h.example.test, ttl: 0s, soaTTL: 5m, negativeTTL: 0s, retry: 0s}
---
{kind: Record, name: example.test/ns1/A, data: [192.0.2.1]}
---
{kind: Record, name: example.test/a/A, ttl: 0s, data: [192.0.2.1]}
---
{kind: Record, name: example.test/b/A, ttl: 1s, data: [192.0.2.1]}
`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	one := uint32(1)
	docs[0].Resource.(*zones.Zone).Serial = &one
	want := `; zone example.test.
example.test.                   300     IN SOA      ns1.example.test. h.example.test. 1 3600 0 1209600 0
example.test.                   0       IN NS       ns1.example.test.
a.example.test.                 0       IN A        192.0.2.1
b.example.test.                 1       IN A        192.0.2.1
ns1.example.test.               0       IN A        192.0.2.1
`
	if d := cmp.Diff(want, exported(t, docs)); d != "" {
		t.Error(d)
	}
}

func TestBadMasterFiles(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no SOA", "@ 1h IN NS ns1\n", `bad.zone: Zone example.test: there is no SOA record of example.test; a master file has one`},
		{"no NS", "@ 1h IN SOA a b 1 2 3 4 5\n", `bad.zone: Zone example.test: there is no NS record of example.test; a master file has at least one`},
		{"outside", "@ 1h SOA a b 1 2 3 4 5\n NS ns\nwww.example.com. A 192.0.2.1\n", `bad.zone:3: www.example.com is outside of zone example.test; take it out, or end names that are meant to be in the zone without a dot`},
		{"two SOA", "@ 1h SOA a b 1 2 3 4 5\n SOA a b 1 2 3 4 5\n NS ns\n", `bad.zone:2: Zone example.test: there is a second SOA record; a zone has one`},
		{"address", "@ 1h SOA a b 1 2 3 4 5\n NS ns\nwww A 192.0.2.300\n", `bad.zone:3: A data "192.0.2.300": not an IPv4 address`},
		{"include", "@ 1h SOA a b 1 2 3 4 5\n NS ns\n$INCLUDE more\n", `bad.zone:3: $INCLUDE: not allowed here; put the records into the file itself`},
		{"TTLs", "@ 1h SOA a b 1 2 3 4 5\n NS ns\nw 5 A 192.0.2.1\nw 3 A 192.0.2.2\n", `bad.zone:4: Record example.test/w/A: warning: the records of a set have one TTL (RFC 2181 5.2); the shortest, 3s, is taken`},
		{"TTLs of NS", "@ 1h SOA a b 1 2 3 4 5\n 7 NS ns\n 0 NS ns2\n", `bad.zone:3: Zone example.test: warning: the records of a set have one TTL (RFC 2181 5.2); the shortest, 0s, is taken`},
		{"NS twice", "@ 1h SOA a b 1 2 3 4 5\n NS ns\n NS NS\n", `bad.zone:3: Zone example.test: warning: the same record is there twice`},
		{"CNAMEs", "@ 1h SOA a b 1 2 3 4 5\n NS ns\nw CNAME a\nw CNAME b\n", `bad.zone:3: Record example.test/w/CNAME: data[1]: a name can have only one CNAME (RFC 2181 10.1); to balance over several, make a Policy`},
	} {
		_, problems := ReadMaster("bad.zone", "example.test", strings.NewReader(tt.text), nil)
		if got := problems.Error(); got != tt.want {
			t.Errorf("%s:\n%s\nwant:\n%s", tt.name, got, tt.want)
		}
	}
}

// Records that signing has made are left out, whoever reads the file, with one warning. Keys are records like others.
func TestSignedMasterFileIsServedUnsigned(t *testing.T) {
	var text strings.Builder
	text.WriteString(`$TTL 1h
@ SOA ns1 hostmaster 7 2h 15m 2w 5m
  RRSIG SOA 13 2 3600 20300101000000 20260101000000 1234 @ AAAA
  NS ns1
  DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==
  NSEC3PARAM 1 0 0 -
  ZONEMD 7 1 1 FEBE3D4CE2EC2FFA4BA99D46CD69D6D29711E55217057BEE7EB1A7B641A47BA7FED2DD5B97AE499FAFA4F22C6BD647DE
2T7B4G4VSA5SMI47K61MV5BV1A22BOJR NSEC3 1 0 0 - 2VPTU5TIMAMQTTGL4LUU9KG21E0AOR3S A RRSIG
`)
	for i := range 200 {
		fmt.Fprintf(&text, "w%d A 192.0.2.1\n NSEC w%d A RRSIG NSEC\n RRSIG A 13 3 3600 20300101000000 "+
			"20260101000000 1234 @ AAAA\n", i, i+1)
	}
	const want = "signed.zone:3: Zone example.test: warning: the file is signed, and 201 RRSIG, 200 NSEC, 1 NSEC3, 1 " +
		"NSEC3PARAM, 1 ZONEMD are left out. Where the Zone has dnssec enabled it is signed here, with the key of " +
		"this server; else it is served unsigned. Take its DS out of the parent zone first, or validating resolvers " +
		"get no answer"
	docs, problems := ReadMaster("signed.zone", "example.test", strings.NewReader(text.String()), nil)
	if got := problems.Error(); got != want || len(docs) != 202 {
		t.Errorf("%d documents\ngot  %s\nwant %s", len(docs), got, want)
	}
	kept := 0
	r := MasterReader{
		File: "signed.zone", Origin: "example.test", Begin: func() { kept = 0 },
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text.String())), nil },
		Keep: func(zones.Document) bool { kept++; return false },
	}
	if _, problems, err := r.Read(); err != nil || problems.Error() != want || kept != 201 {
		t.Errorf("as a stream: %v, %d kept, %v", err, kept, problems)
	}
}

// All errors of a file are reported at once, by line, up to a bound that is named. One mistake is one error.
func TestAllErrorsOfAMasterFileAreListed(t *testing.T) {
	const head = "$TTL 1h\n@ SOA ns1 hostmaster 7 2h 15m 2w 5m\n NS ns1\nns1 A 192.0.2.53\n"
	_, problems := ReadMaster("bad.zone", "example.test", strings.NewReader(head+`a A 192.0.2.300
b AAAA 192.0.2.1
  TXT "open
c..d A 192.0.2.1
  A 192.0.2.2
  A 192.0.2.2.2
e SOA ( ns1 "
  hostmaster 1 2 )
f NOTYPE x
$INCLUDE more
$GENERATE 1-3 g A $
h.example.org. A 192.0.2.1
www A 192.0.2.1
www CNAME a
www CNAME b
`), nil)
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.Position.String())
		if p.Warning {
			t.Errorf("a warning: %v", p)
		}
	}
	if got, want := strings.Join(lines, " "),
		"bad.zone:5 bad.zone:6 bad.zone:7 bad.zone:8 bad.zone:10 bad.zone:11 bad.zone:13 bad.zone:14 bad.zone:15 "+
			"bad.zone:16 bad.zone:18"; got != want {
		t.Errorf("got  %s\nwant %s\n%v", got, want, problems)
	}
	for _, line := range []string{
		"w%d A x\n", "w%d.example.org. A 192.0.2.1\n", "@ SOA a b %d 2 3 4 5\n",
		"w%d CNAME a\nw%[1]d CNAME b\n",
	} {
		var text strings.Builder
		text.WriteString(head)
		for i := range 300 {
			fmt.Fprintf(&text, line, i)
		}
		_, problems := ReadMaster("bad.zone", "example.test", strings.NewReader(text.String()), nil)
		if len(problems) != mostMasterErrors+1 || !strings.Contains(problems.Error(), "100 errors are listed") {
			t.Errorf("%q: %d problems, the last %v", line, len(problems), problems[len(problems)-1])
		}
	}
}

// Warnings never end a reading, however many there are. Many of one kind are summarised.
func TestWarningsOfAMasterFileDoNotEndIt(t *testing.T) {
	var text strings.Builder
	text.WriteString("$TTL 1h\n@ SOA ns1 hostmaster 7 2h 15m 2w 5m\n NS ns1\n NS ns1\nns1 A 192.0.2.53\n")
	const names = 2000
	for i := range names {
		fmt.Fprintf(&text, "w%d A 192.0.2.1\nw%[1]d A 192.0.2.1\nw%[1]d 5 A 192.0.2.2\n", i)
	}
	docs, problems := ReadMaster("old.zone", "example.test", strings.NewReader(text.String()), nil)
	if err := problems.Err(); err != nil || len(docs) != names+2 {
		t.Errorf("%d documents, %v", len(docs), err)
	}
	if r := docs[len(docs)-1].Resource.(*zones.Record); r.Owner != "w1999" || len(r.Data) != 2 ||
		r.TTL != zones.Seconds(5) {
		t.Errorf("the last is %+v", r)
	}
	said := problems.Error()
	if len(problems) != 22 || !strings.Contains(said, `warning: and 1990 more like this one: the same record is there twice`) ||
		!strings.Contains(said, `old.zone:6005: Record example.test/w1999/A: warning: and 1989 more like this one: the records of a set have one TTL`) {
		t.Errorf("%d:\n%s", len(problems), said)
	}
}

func TestFolderMergesAZonesFiles(t *testing.T) {
	folder := fstest.MapFS{
		"example.test.zone": {Data: []byte("$TTL 1h\n@ SOA ns1 hostmaster 7 2h 15m 2w 5m\n NS ns1\nns1 A " +
			"192.0.2.53\n$INCLUDE more/hosts\n")},
		"more/hosts": {Data: []byte("www A 192.0.2.1\nwww CNAME ns1\n")},
		"zone.yaml": {Data: []byte("kind: Zone\nname: example.test\nnameservers: [ns.example.net]\ndnssec: " +
			"{enabled: false}\nretry: 5m\nserialOffset: 5\ntransfer: {allow: [key xfer]}\nupdate: [{key: acme, " +
			"names: [\"**\"], types: [TXT]}]\n")},
		"again.json":   {Data: []byte(`{"kind":"Region","name":"eu"}`)},
		"again.yml":    {Data: []byte("kind: Region\nname: eu\n")},
		"notes.txt":    {Data: []byte("not read")},
		".hidden.yaml": {Data: []byte("not: read")},
		".#lock.yaml":  {Data: []byte("an editor's")},
		".git/x.yaml":  {Data: []byte("not: read")},
		"..zone": {Data: []byte("$TTL 1h\n@ SOA ns.test. h.test. 7 2h 15m 2w 5m\n NS ns.test.\n" +
			"ns.test A 192.0.2.1\n")},
	}
	docs, problems := ReadFolder("conf", folder, folder.Open, func(dir string) fs.FS {
		within, err := fs.Sub(folder, dir)
		if err != nil {
			t.Fatal(err)
		}
		return within
	})
	problems = append(problems, catalog.Check(docs, problems...)...)
	if !slices.ContainsFunc(docs, func(d zones.Document) bool { return d.Resource.Key() == "records/./ns.test/A" }) {
		t.Error("nothing of the root zone is read")
	}
	want := strings.Join([]string{
		`conf/.hidden.yaml: warning: ` + WhyHidden,
		`conf/zone.yaml:5: Zone example.test: retry: warning: the master file says 15m, which counts; take 5m out here or change it there`,
		`conf/again.yml:1: Region eu: it is there already at conf/again.json:1; take one out`,
		`conf/more/hosts:2: Record example.test/www/CNAME: Record example.test/www/A is there, and a CNAME stands alone at its name (RFC 2181 10.1); delete one of the two`,
	}, "\n")
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	if d := cmp.Diff(sortedLines(want), sortedLines(strings.Join(got, "\n"))); d != "" {
		t.Error(d)
	}
	for _, d := range docs {
		if z, ok := d.Resource.(*zones.Zone); ok && z.Origin != "." {
			if d := cmp.Diff(z.Nameservers, []string{"ns1.example.test", "ns.example.net"}); d != "" ||
				*z.Serial != 7 || z.DNSSEC == nil ||
				z.SerialOffset != 5 || z.Transfer == nil || len(z.Update) != 1 {
				t.Errorf("%+v", z)
			}
		}
	}
}

func sortedLines(s string) map[string]bool {
	lines := make(map[string]bool)
	for line := range strings.SplitSeq(s, "\n") {
		lines[line] = true
	}
	return lines
}

// $INCLUDE stays in the folder, whatever way out is tried.
func TestIncludeStaysInTheFolder(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	dir := t.TempDir()
	for name, text := range map[string]string{outside: "s TXT secret\n", filepath.Join(dir, "inside"): "i TXT x\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"out": outside, "up": filepath.Dir(outside), "in": "inside"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	const head = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n$INCLUDE "
	for name, good := range map[string]bool{
		"inside": true, "in": true, "./inside": true,
		"out": false, "up/secret": false, outside: false, "../" + filepath.Base(filepath.Dir(outside)) + "/secret": false, "x/../../secret": false, ".": false, `..\secret`: false,
	} {
		docs, problems := ReadMaster("z.zone", "example.test", strings.NewReader(head+name+"\n"), Includes(dir))
		if (problems == nil) != good || good && len(docs) != 2 {
			t.Errorf("$INCLUDE %s: %d documents, %v", name, len(docs), problems)
		}
		if strings.Contains(problems.Error(), `"secret"`) {
			t.Errorf("$INCLUDE %s says what is in it: %v", name, problems)
		}
	}
}

// Names of hosts are read with and without a final dot, and are one name.
func TestFinalDots(t *testing.T) {
	docs, problems := Read("a.yaml", strings.NewReader(`
{kind: Zone, name: example.test, nameservers: [ns1.example.test., 'a\..example.net.'], primary: ns1.example.test.}
---
{kind: Endpoint, name: eu/a, hostname: lb.example.net.}
`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	z := docs[0].Resource.(*zones.Zone)
	if got := strings.Join(append(z.Nameservers, z.Primary, docs[1].Resource.(*zones.Endpoint).Hostname), " "); got != `ns1.example.test a\..example.net ns1.example.test lb.example.net` {
		t.Error(got)
	}
	_, problems = Read("a.yaml",
		strings.NewReader("{kind: Zone, name: example.test, nameservers: [ns1.example.test., ns1.example.test]}\n"))
	if !strings.Contains(problems.Error(), "is there twice") {
		t.Errorf("the same with and without: %v", problems)
	}
}

// A name that ends in the zone's own name without a dot gets a warning, wherever it comes from. Names that were meant
// so get none.
func TestMissingDotsAreDoubted(t *testing.T) {
	const (
		zone = "{kind: Zone, name: ex.test, nameservers: [ns.example.net]}\n---\n"
		head = "$TTL 60\n@ SOA ns.example.net. h 1 2h 15m 2w 5m\n NS ns.example.net.\n"
		mail = "warning: mail.ex.test ends in the zone's own name and has no final dot, so the origin is appended " +
			"once more; write mail.ex.test."
		www = "warning: owner www.ex.test ends in the zone's own name, and owners are relative to it: it stands for " +
			"www.ex.test.ex.test.; leave ex.test out"
	)
	for _, c := range []struct{ file, text, want string }{
		{
			"a.yaml", zone + "{kind: Record, name: ex.test/@/MX, data: [10 mail.ex.test]}",
			"a.yaml:3: Record ex.test/@/MX: data[0]: " + mail,
		},
		{"a.yaml", zone + "{kind: Record, name: ex.test/@/MX, data: [10 mail.ex.test.]}", ""},
		{"a.yaml", zone + "{kind: Record, name: ex.test/@/MX, data: [10 mail]}", ""},
		{"a.yaml", zone + "{kind: Record, name: ex.test/@/MX, data: [10 mail.hex.test]}", ""},
		{"a.yaml", zone + `{kind: Record, name: ex.test/@/MX, data: ['10 mail\.ex.test']}`, ""},
		{
			"a.yaml", zone + "{kind: Record, name: ex.test/w/CNAME, data: [Mail.EX.test]}",
			"a.yaml:3: Record ex.test/w/CNAME: data[0]: " + strings.ReplaceAll(mail, "mail.ex", "Mail.EX"),
		},
		{
			"a.yaml", zone + "{kind: Record, name: ex.test/w/SRV, data: [1 2 3 a.ex.test., 1 2 3 mail.ex.test]}",
			"a.yaml:3: Record ex.test/w/SRV: data[1]: " + mail,
		},
		{"a.yaml", zone + "{kind: Record, name: ex.test/w/TXT, data: [mail.ex.test]}", ""},
		{
			"a.yaml", zone + "{kind: Record, name: ex.test/www.ex.test/A, data: [192.0.2.1]}",
			"a.yaml:3: Record ex.test/www.ex.test/A: " + www,
		},
		{"a.yaml", "{kind: Zone, name: ., nameservers: [ns]}\n---\n{kind: Record, name: ./ns/A, data: " +
			"[192.0.2.53]}\n---\n{kind: Record, name: ./w/CNAME, data: [a.b]}", ""},
		{"ex.test.zone", head + "@ MX 10 mail.ex.test\n", "ex.test.zone:4: Record ex.test/@/MX: " + mail},
		{"ex.test.zone", head + "@ MX 10 mail.ex.test.\n", ""},
		{"ex.test.zone", head + "d NS mail.ex.test\n", "ex.test.zone:4: Record ex.test/d/NS: " + mail},
		{"ex.test.zone", head + "www.ex.test A 192.0.2.1\n", "ex.test.zone:4: Record ex.test/www.ex.test/A: " + www},
		{
			"ex.test.zone", head + "$ORIGIN sub\nmail.ex.test A 192.0.2.1\n",
			"ex.test.zone:5: Record ex.test/mail.ex.test.sub/A: " + mail,
		},
		{
			"ex.test.zone", head + "$GENERATE 1-1 w$ CNAME mail.ex.test\n",
			"ex.test.zone:4: Record ex.test/w1/CNAME: " + mail,
		},
		{"ex.test.zone", "$ORIGIN .\n$TTL 60\nex.test SOA ns.ex.test h 1 2 3 8 5\n NS ns.ex.test\nns.ex.test A " +
			"192.0.2.1\n", ""},
	} {
		var docs []zones.Document
		var problems zones.Problems
		if strings.HasSuffix(c.file, ".zone") {
			docs, problems = ReadMaster(c.file, "ex.test", strings.NewReader(c.text), nil)
		} else {
			docs, problems = Read(c.file, strings.NewReader(c.text))
		}
		if problems = append(problems, catalog.Check(docs, problems...)...); problems.Error() != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.text, problems.Error(), c.want)
		}
	}
}

// A DKIM key of 2,048 bits in one string is served as two, with a warning, wherever it comes from.
func TestLongStringsAreServed(t *testing.T) {
	key := "v=DKIM1; k=rsa; p=" + strings.Repeat("M", 392)
	docs, problems := ReadMaster("example.test.zone", "example.test",
		strings.NewReader("@ 1h SOA ns h 0 2h 15m 2w 5m\n NS ns.example.net.\nm TXT \""+key+"\"\n"), nil)
	if problems.Err() != nil || len(problems) != 1 || !strings.Contains(problems.Error(), `example.test.zone:3: Record example.test/m/TXT: warning: a string of more than 255`) {
		t.Fatal(problems)
	}
	more, problems := Read("a.yaml",
		strings.NewReader("kind: Record\nname: example.test/n/TXT\ndata: ['\""+key+"\"']\n"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if said := catalog.Check(append(docs, more...)); len(said) != 1 ||
		!strings.Contains(said.Error(),
			"a.yaml:3: Record example.test/n/TXT: data[0]: warning: a string of more than 255") {
		t.Error(said)
	}
	for _, d := range []zones.Document{docs[1], more[0]} {
		set, err := d.Resource.(*zones.Record).Set()
		if want := "\xff" + key[:255] + string([]byte{byte(len(key) - 255)}) + key[255:]; err != nil ||
			string(set.Data[0]) != want {
			t.Errorf("%v: %q, %v", d.Resource.Key(), set.Data, err)
		}
	}
}
