package rr

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// readMaster is ReadMaster, but it ends at the first entry that cannot be read.
func readMaster(r io.Reader, origin Name, file string, folder fs.FS, each func(RR) error) error {
	return ReadMaster(r, origin, file, folder, each, nil)
}

// read returns the records of a master file for example.test as lines: "owner TTL type data".
func read(text string, folder fs.FS) (records []RR, err error) {
	err = readMaster(strings.NewReader(text), "\x07example\x04test\x00", "zones/example.test.zone", folder,
		func(r RR) error {
			records = append(records, r)
			return nil
		})
	return records, err
}

func show(records []RR) string {
	var b strings.Builder
	for _, r := range records {
		fmt.Fprintf(&b, "%s %d %s %s\n", r.Owner, r.TTL, r.Type, r.Text)
	}
	return b.String()
}

const whole = `; all that a master file can have
$TTL 1h30m
@	IN SOA	ns1 hostmaster (
		2026112301 ; serial
		1h         ; refresh
		15m 2w     ; retry, expire
		30 )
	NS	ns1
	60 IN NS ns2.other.test.
	IN 61 MX 10 mail
ns1	A	192.0.2.1
	AAAA	2001:db8::1
WWW 30	CNAME	@
txt	TXT	"two words" one\;word "a;b" (
	"on the next line" )
\$odd	A	192.0.2.2
$ORIGIN sub.example.test.
@	A	192.0.2.3
www	A	192.0.2.4
	aaaa	2001:DB8:0::4
$ORIGIN deeper
x	300 CLASS1 TYPE65280 \# 2 abcd
$GENERATE 1-3 host-$ A 192.0.2.$
$GENERATE 0-8/4 ${1,3,d}.gen 5 IN TXT "${0,0,x} $$ \$"
$GENERATE 18-18 ${0,7,n}.arpa PTR h
last	A	192.0.2.5`

func TestReadMaster(t *testing.T) {
	records, err := read(whole, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `example.test 5400 SOA ns1.example.test. hostmaster.example.test. 2026112301 3600 900 1209600 30
example.test 5400 NS ns1.example.test.
example.test 60 NS ns2.other.test.
example.test 61 MX 10 mail.example.test.
ns1.example.test 5400 A 192.0.2.1
ns1.example.test 5400 AAAA 2001:db8::1
www.example.test 30 CNAME example.test.
txt.example.test 5400 TXT "two words" "one;word" "a;b" "on the next line"
\$odd.example.test 5400 A 192.0.2.2
sub.example.test 5400 A 192.0.2.3
www.sub.example.test 5400 A 192.0.2.4
www.sub.example.test 5400 AAAA 2001:db8::4
x.deeper.sub.example.test 300 TYPE65280 \# 2 ABCD
host-1.deeper.sub.example.test 5400 A 192.0.2.1
host-2.deeper.sub.example.test 5400 A 192.0.2.2
host-3.deeper.sub.example.test 5400 A 192.0.2.3
001.gen.deeper.sub.example.test 5 TXT "0 $ $"
005.gen.deeper.sub.example.test 5 TXT "4 $ $"
009.gen.deeper.sub.example.test 5 TXT "8 $ $"
2.1.0.0.arpa.deeper.sub.example.test 5400 PTR h.deeper.sub.example.test.
last.deeper.sub.example.test 5400 A 192.0.2.5
`
	if d := cmp.Diff(want, show(records)); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
	for i, line := range []int{3, 8, 9, 10, 11, 12, 13, 14, 16, 18, 19, 20, 22, 23, 23, 23, 24, 24, 24, 25, 26} {
		if r := records[i]; r.Line != line || r.File != "zones/example.test.zone" {
			t.Errorf("%s %s is said to be at %s:%d, and is in line %d", r.Owner, r.Type, r.File, r.Line, line)
		}
	}
	for _, r := range records {
		if data, err := ParseData(r.Type, r.Text, ""); err != nil || !bytes.Equal(data, r.Data) {
			t.Errorf("%s %s: text %s is % x (%v), and the data % x", r.Owner, r.Type, r.Text, data, err, r.Data)
		}
	}
}

// A file is read as the oracle reads it, in whatever pieces it arrives. $GENERATE is left out, because the oracle then
// reads other TTLs and escapes.
func TestReadMasterAsOracle(t *testing.T) {
	text, _, _ := strings.Cut(whole, "$GENERATE")
	var want strings.Builder
	parser := dns.NewZoneParser(strings.NewReader(text), "example.test.", "")
	for record, ok := parser.Next(); ok; record, ok = parser.Next() {
		owner := name(t, record.Header().Name)
		data, err := oracleData(record)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&want, "%s %d %s % x\n", owner, record.Header().Ttl, Type(record.Header().Rrtype), data)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	for _, crlf := range []bool{false, true} {
		ours := text
		if crlf {
			ours = strings.ReplaceAll(text, "\n", "\r\n")
		}
		var got strings.Builder
		err := readMaster(iotest.OneByteReader(strings.NewReader(ours)), "\x07example\x04test\x00", "f", nil,
			func(r RR) error {
				fmt.Fprintf(&got, "%s %d %s % x\n", r.Owner, r.TTL, r.Type, r.Data)
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want.String(), got.String()); d != "" {
			t.Errorf("CRLF %v (-oracle +got):\n%s", crlf, d)
		}
	}
}

// RFC 1035 section 5.1 and RFC 2308 section 4 say which TTL a record has that names none.
func TestOmittedTTL(t *testing.T) {
	for _, test := range []struct{ what, text, want string }{
		{"the last one named", "@ 60 NS a\n NS b\n 30 NS c\n NS d\n", "60 60 30 30"},
		{"$TTL, whatever the record before names", "$TTL 60\n@ 5 NS a\n NS b\n$TTL 30\n@ NS c\n", "5 60 30"},
		{"MINIMUM, for a SOA and what follows", "@ SOA a b 1 2 3 4 77\n NS a\n", "77 77"},
		{"units", "@ 1w2d3h4m5s NS a\n 0 NS b\n 2147483647 NS c\n", "788645 0 2147483647"},
	} {
		records, err := read(test.text, nil)
		var got []string
		for _, r := range records {
			got = append(got, fmt.Sprint(r.TTL))
		}
		if strings.Join(got, " ") != test.want || err != nil {
			t.Errorf("%s: %v, %v; want %s", test.what, got, err, test.want)
		}
	}
}

func TestMasterErrors(t *testing.T) {
	folder := fstest.MapFS{
		"good.inc":       {Data: []byte("inc A 192.0.2.9\n")},
		"bad.inc":        {Data: []byte("a A 192.0.2.1\n\nb A 192.0.2\n")},
		"sub/outer.inc":  {Data: []byte("\n$INCLUDE inner.inc\n")},
		"sub/inner.inc":  {Data: []byte("\n\nx MX mail\n")},
		"self.inc":       {Data: []byte("$INCLUDE self.inc\n")},
		"unfinished.inc": {Data: []byte("x TXT (\n\"a\"\n")},
	}
	for _, test := range []struct{ text, want string }{
		{"@ A 192.0.2.1\n", "zones/example.test.zone:1: no TTL, and none before it to go by; begin the file with " +
			"$TTL 300 or the like"},
		{"$TTL 1\n A 192.0.2.1\n", "zones/example.test.zone:2: the first record has no owner; begin its line with a " +
			"name, or @ for the origin"},
		{
			"$TTL 1\n\n; nothing\n@ A 192.0.2.300\n",
			`zones/example.test.zone:4: A data "192.0.2.300": not an IPv4 address`,
		},
		{"$TTL 1\n@ TXT ( a\n b\n c ; )\n", "zones/example.test.zone:2: a parenthesis is left open until the end of " +
			"the file"},
		{"$TTL 1\n@ TXT a )\n", `zones/example.test.zone:2: ")" without its "("`},
		{"$TTL 1\n@ TXT \"a\n", "zones/example.test.zone:2: a quote is left open at the end of the line"},
		{
			"$TTL 1\n@ TXT a\\\n",
			`zones/example.test.zone:2: "\" at the end of a line; take it out, or write what it should escape`,
		},
		{"$TTL 1\n@ CH TXT a\n", "zones/example.test.zone:2: class CH: only IN is served"},
		{"$TTL 1\n@ CLASS2 TXT a\n", "zones/example.test.zone:2: class CLASS2: only IN is served"},
		{"$TTL 1\n@ IN\n", "zones/example.test.zone:2: the entry ends before its type"},
		{
			"$TTL 1\n@ IN XYZ a\n",
			`zones/example.test.zone:2: type "XYZ": unknown; write a mnemonic such as AAAA or MX, or TYPE and its number`,
		},
		{"$TTL 1\n@ ANY a\n", "zones/example.test.zone:2: type ANY: it exists in queries only; a zone cannot hold it"},
		{"$TTL 1\n@ TXT\n", "zones/example.test.zone:2: TXT: no data"},
		{
			"$TTL 1\na..b A 192.0.2.1\n",
			`zones/example.test.zone:2: name "a..b": it has an empty label; take out the extra dot`,
		},
		{"$TTL 1x\n", `zones/example.test.zone:1: TTL "1x": write seconds, or units as in 1h30m`},
		{"$TTL 2147483648\n", `zones/example.test.zone:1: TTL "2147483648": more than 2147483647 s`},
		{
			"@ 99999999999999999999999 A 192.0.2.1\n",
			`zones/example.test.zone:1: TTL "99999999999999999999999": more than 2147483647 s`,
		},
		{"$TTL\n", "zones/example.test.zone:1: $TTL: it takes one time"},
		{"$ORIGIN a b\n", "zones/example.test.zone:1: $ORIGIN: it takes one name"},
		{"$ORIGIN a..b\n", `zones/example.test.zone:1: name "a..b": it has an empty label; take out the extra dot`},
		{
			"$NOPE\n",
			`zones/example.test.zone:1: directive $NOPE: there are $ORIGIN, $TTL, $INCLUDE and $GENERATE; an owner that begins with "$" is written with \$`,
		},

		{"$TTL 1\n$INCLUDE bad.inc\n", `zones/bad.inc:3: A data "192.0.2": not an IPv4 address`},
		{"$TTL 1\n\n$INCLUDE sub/outer.inc\n", `zones/sub/inner.inc:3: MX data "mail": bad MX Pref: "mail"`},
		{"$TTL 1\n$INCLUDE unfinished.inc\n", "zones/unfinished.inc:1: a parenthesis is left open until the end of " +
			"the file"},
		{"$INCLUDE none.inc\n", "zones/example.test.zone:1: $INCLUDE: open none.inc: file does not exist"},
		{"$INCLUDE ../secret\n", "zones/example.test.zone:1: $INCLUDE ../secret: not a file within the folder; give " +
			"its path relative to this file's"},
		{"$INCLUDE sub/../../secret\n", "zones/example.test.zone:1: $INCLUDE sub/../../secret: not a file within the " +
			"folder; give its path relative to this file's"},
		{"$INCLUDE /etc/passwd\n", "zones/example.test.zone:1: $INCLUDE /etc/passwd: not a file within the folder; " +
			"give its path relative to this file's"},
		{
			"$INCLUDE \"\"\n",
			`zones/example.test.zone:1: $INCLUDE "": not a file within the folder; give its path relative to this file's`,
		},
		{
			"$INCLUDE good.inc a..\n",
			`zones/example.test.zone:1: $INCLUDE: origin: name "a..": it has an empty label; take out the extra dot`,
		},
		{"$INCLUDE self.inc\n", "zones/self.inc:1: $INCLUDE self.inc: more than 8 files deep; does it include itself?"},
		{"$INCLUDE\n", "zones/example.test.zone:1: $INCLUDE: it takes a file, and after it an origin if that is to " +
			"be another"},

		{"$TTL 1\n$GENERATE 1-2 a-$ A 192.0.2.25$\n", ""},
		{
			"$TTL 1\n$GENERATE 5-6 a-$ A 192.0.2.25$\n",
			`zones/example.test.zone:2: A data "192.0.2.256": not an IPv4 address`,
		},
		{"$GENERATE 2-1 a A 192.0.2.1\n", "zones/example.test.zone:1: $GENERATE 2-1: write the range as START-STOP " +
			"or START-STOP/STEP, for at most 65536 records"},
		{"$GENERATE 0-65536 a A 192.0.2.1\n", "zones/example.test.zone:1: $GENERATE 0-65536: write the range as " +
			"START-STOP or START-STOP/STEP, for at most 65536 records"},
		{"$GENERATE 1-2/0 a A 192.0.2.1\n", "zones/example.test.zone:1: $GENERATE 1-2/0: write the range as " +
			"START-STOP or START-STOP/STEP, for at most 65536 records"},
		{"$GENERATE 1-2\n", "zones/example.test.zone:1: $GENERATE: after the range comes an owner, and then the rest " +
			"of a record"},
		{
			"$TTL 1\na TXT \\256\n",
			`zones/example.test.zone:2: TXT data "\\256": \256: after "\" come three digits, 000 to 255, or one other character`,
		},
		{
			"$TTL 1\na TXT \"\\12\"\n",
			`zones/example.test.zone:2: TXT data "\"\\12\"": \12": after "\" come three digits, 000 to 255, or one other character`,
		},
		{"$TTL 1\na TXT \"" + strings.Repeat("x", 255) + "\" " + strings.Repeat("\\120", 255) + "\n", ""},
		{"$TTL 1\n( a A 192.0.2.1 )\n", ""},
		{"$GENERATE 1-2 ${0 A 192.0.2.1\n", `zones/example.test.zone:1: $GENERATE: "${0 A 192.0.2.1": "}" is missing`},
		{"$GENERATE 1-2 ${0,1,q} A 192.0.2.1\n", "zones/example.test.zone:1: $GENERATE: ${0,1,q}: write " +
			"${OFFSET,WIDTH,BASE}, BASE one of d, o, x, X, n, N"},
	} {
		_, err := read(test.text, folder)
		var syntax *SyntaxError
		if test.want == "" {
			if err != nil {
				t.Errorf("%q: %v", test.text, err)
			}
			continue
		}
		if err == nil || err.Error() != test.want || !errors.As(err, &syntax) {
			t.Errorf("%q:\n got %v\nwant %s", test.text, err, test.want)
		}
	}
}

func TestInclude(t *testing.T) {
	folder := fstest.MapFS{
		"hosts.inc":     {Data: []byte("a A 192.0.2.1\n$ORIGIN else.test.\n$TTL 9\nb A 192.0.2.2\n")},
		"sub/outer.inc": {Data: []byte("$INCLUDE inner.inc in\nc A 192.0.2.4\n")},
		"sub/inner.inc": {Data: []byte("d A 192.0.2.5\n")},
	}
	records, err := read("$TTL 60\n@ NS ns\n$INCLUDE hosts.inc\n A 192.0.2.3\n$INCLUDE sub/outer.inc dir.test.\nz A "+
		"192.0.2.6\n", folder)
	if err != nil {
		t.Fatal(err)
	}
	want := `example.test 60 NS ns.example.test.
a.example.test 60 A 192.0.2.1
b.else.test 9 A 192.0.2.2
example.test 60 A 192.0.2.3
d.in.dir.test 60 A 192.0.2.5
c.dir.test 60 A 192.0.2.4
z.example.test 60 A 192.0.2.6
`
	if d := cmp.Diff(want, show(records)); d != "" {
		t.Errorf("origin, TTL and owner are the including file's again after it (-want +got):\n%s", d)
	}
	if r := records[4]; r.File != "zones/sub/inner.inc" || r.Line != 1 {
		t.Errorf("%s is said to be at %s:%d", r.Owner, r.File, r.Line)
	}
	if _, err := read("$INCLUDE hosts.inc\n", nil); err == nil || !strings.Contains(err.Error(), "not allowed here") {
		t.Errorf("$INCLUDE without a folder: %v", err)
	}
}

// Errors of the caller, and of the disk, end the reading.
func TestReadMasterStops(t *testing.T) {
	stop := errors.New("enough")
	count := 0
	err := readMaster(strings.NewReader("$TTL 1\n$GENERATE 1-9 a-$ A 192.0.2.$\n"), Root, "f", nil, func(RR) error {
		if count++; count == 3 {
			return stop
		}
		return nil
	})
	if err != stop || count != 3 {
		t.Errorf("after %d records: %v", count, err)
	}
	err = readMaster(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("$TTL 1\n"))), Root, "f", nil,
		func(RR) error { return nil })
	if !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a broken disk: %v", err)
	}
	err = readMaster(strings.NewReader("; "+strings.Repeat("x", 1<<21)), Root, "f", nil, func(RR) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "is this a master file?") {
		t.Errorf("a line of 2 MiB: %v", err)
	}
	records, err := read("$TTL 1\n@ TXT"+strings.Repeat(` "`+strings.Repeat("x", 250)+`"`, 255)+"\n", nil)
	if err != nil || len(records) != 1 || len(records[0].Data) != 251*255 {
		t.Errorf("a line longer than the buffer: %d records, %v", len(records), err)
	}
}

// sets groups records as a zone holds them.
func sets(records []RR) []Set {
	type key struct {
		owner Name
		kind  Type
		ttl   uint32
	}
	at := map[key]int{}
	var all []Set
	for _, r := range records {
		k := key{r.Owner, r.Type, r.TTL}
		i, ok := at[k]
		if !ok {
			i = len(all)
			at[k] = i
			all = append(all, Set{Owner: r.Owner, Type: r.Type, TTL: r.TTL})
		}
		all[i].Data = append(all[i].Data, r.Data)
	}
	return all
}

func TestWriteMaster(t *testing.T) {
	records, err := read(whole+"\nlast A 192.0.2.5\n*.example.test. 1 HTTPS 1 . alpn=h2\n\\000.example.test. 1 TXT "+
		"\"\\000\"\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteMaster(&out, name(t, "example.test"), sets(records)); err != nil {
		t.Fatal(err)
	}
	want := `; zone example.test.
example.test.                   5400    IN SOA      ns1.example.test. hostmaster.example.test. 2026112301 3600 900 1209600 30
example.test.                   60      IN NS       ns2.other.test.
example.test.                   5400    IN NS       ns1.example.test.
example.test.                   61      IN MX       10 mail.example.test.
\000.example.test.              1       IN TXT      "\000"
\$odd.example.test.             5400    IN A        192.0.2.2
*.example.test.                 1       IN HTTPS    1 . alpn="h2"
ns1.example.test.               5400    IN A        192.0.2.1
ns1.example.test.               5400    IN AAAA     2001:db8::1
sub.example.test.               5400    IN A        192.0.2.3
2.1.0.0.arpa.deeper.sub.example.test. 5400 IN PTR   h.deeper.sub.example.test.
001.gen.deeper.sub.example.test. 5      IN TXT      "0 $ $"
005.gen.deeper.sub.example.test. 5      IN TXT      "4 $ $"
009.gen.deeper.sub.example.test. 5      IN TXT      "8 $ $"
host-1.deeper.sub.example.test. 5400    IN A        192.0.2.1
host-2.deeper.sub.example.test. 5400    IN A        192.0.2.2
host-3.deeper.sub.example.test. 5400    IN A        192.0.2.3
last.deeper.sub.example.test.   5400    IN A        192.0.2.5
x.deeper.sub.example.test.      300     IN TYPE65280 \# 2 ABCD
www.sub.example.test.           5400    IN A        192.0.2.4
www.sub.example.test.           5400    IN AAAA     2001:db8::4
txt.example.test.               5400    IN TXT      "two words" "one;word" "a;b" "on the next line"
www.example.test.               30      IN CNAME    example.test.
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("written (-want +got):\n%s", d)
	}
	again, err := read(out.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var second bytes.Buffer
	if err := WriteMaster(&second, name(t, "example.test"), sets(again)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(out.String(), second.String()); d != "" {
		t.Errorf("read and written again (-first +second):\n%s", d)
	}
	if err := WriteMaster(brokenDisk{}, Root, sets(records)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("writing to a broken disk: %v", err)
	}
	if err := WriteMaster(&second, Root, []Set{{Owner: Root, Type: TypeA, Data: [][]byte{{1}}}}); err == nil {
		t.Error("an address of one octet was written")
	}
}

type brokenDisk struct{}

func (brokenDisk) Write([]byte) (int, error) { return 0, fs.ErrClosed }

// FuzzReadMaster: nothing panics, no file outside of the folder is opened, and what was read can be written and read
// again.
func FuzzReadMaster(f *testing.F) {
	f.Add(whole)
	f.Add("$TTL 1\n@ A 192.0.2.1\n$INCLUDE a.inc b\n$INCLUDE ../x\n")
	f.Add("@ 1 TXT ( \"a\" ; b\n c )\n\\@ 2 CLASS1 TYPE1 \\# 4 01020304\n")
	folder := fstest.MapFS{"a.inc": {Data: []byte("inc 5 A 192.0.2.9\n")}}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "$") > 8 || len(text) > 4096 {
			return // a little $GENERATE makes a lot
		}
		var records []RR
		err := readMaster(strings.NewReader(text), "\x04test\x00", "f", folder, func(r RR) error {
			if records = append(records, r); len(records) > 2000 {
				return fs.SkipAll
			}
			return nil
		})
		if err == fs.SkipAll {
			return
		}
		if err != nil {
			if syntax := (*SyntaxError)(nil); !errors.As(err, &syntax) || syntax.Line < 1 {
				t.Fatalf("%v says not where", err)
			}
			return
		}
		var first, second bytes.Buffer
		if err := WriteMaster(&first, "\x04test\x00", sets(records)); err != nil {
			t.Fatal(err)
		}
		records = nil
		err = readMaster(bytes.NewReader(first.Bytes()), Root, "f", nil, func(r RR) error {
			records = append(records, r)
			return nil
		})
		if err != nil {
			t.Fatalf("%v in\n%s", err, &first)
		}
		if err := WriteMaster(&second, "\x04test\x00", sets(records)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(first.String(), second.String()); d != "" {
			t.Fatalf("(-first +second):\n%s", d)
		}
	})
}

func BenchmarkReadMaster(b *testing.B) {
	var file strings.Builder
	file.WriteString("$TTL 300\n@ SOA ns1 hostmaster 1 2 3 4 5\n NS ns1\n")
	const records = 10000
	for i := range records {
		fmt.Fprintf(&file, "host-%d\tIN A 192.0.%d.%d\n", i, i>>8&255, i&255)
	}
	b.SetBytes(int64(file.Len()))
	b.ReportAllocs()
	for b.Loop() {
		count := 0
		err := readMaster(strings.NewReader(file.String()), "\x04test\x00", "f", nil, func(RR) error {
			count++
			return nil
		})
		if err != nil || count != records+2 {
			b.Fatal(count, err)
		}
	}
}
