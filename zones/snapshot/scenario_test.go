package snapshot_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"leeward/geo"
	"leeward/health"
	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/document"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

var rewrite = flag.Bool("update", false, "write the answers into the scenarios")

// TestScenarios plays testdata/*.txt: resources as documents, then a script whose answers follow each line after "> ".
//
//	dig NAME TYPE [client=ADDR] [dice=N]   what the tree holds, and what the policy decides
//	explain NAME TYPE client=ADDR          why
//	verdict STATE ENDPOINT|POOL/*…         a verdict flips
//	apply FILE | delete KIND NAME…         a change, as one batch
//	wait DURATION                          time passes
//	resolve NAME [ttl=N] [failing=] ADDR…  a hostname is looked up; failing: it cannot be
//	transfer ORIGIN FILE                   a full transfer of a zone from its primary, as the master file has it
//	difference ORIGIN FILE                 a difference from the primary: lines of a master file after "- " or "+ "
//	expire ORIGIN                          the primary has been silent too long
//	print                                  the compiled zones
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { play(t, file) })
	}
}

func play(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, archive)
	script := &archive.Files[slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "script" })]
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimSuffix(string(script.Data), "\n"), "\n") {
		if strings.HasPrefix(line, ">") {
			continue
		}
		out.WriteString(line + "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		for _, answer := range s.do(strings.Fields(line)) {
			out.WriteString("> " + answer + "\n")
		}
	}
	if *rewrite {
		script.Data = []byte(out.String())
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(script.Data), out.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// stage is a catalog, a builder and verdicts, with a clock of its own.
type stage struct {
	t       *testing.T
	archive *txtar.Archive
	now     time.Time
	catalog *catalog.Catalog
	builder *snapshot.Builder
	table   *geo.Table
	shot    *snapshot.Snapshot
	view    *steer.View
	states  map[string]health.State
	rev     int64

	elsewhere map[string]snapshot.Transferred
}

func newStage(t *testing.T, archive *txtar.Archive) *stage {
	s := &stage{
		t: t, archive: archive, now: time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC),
		states: map[string]health.State{},
	}
	clock := func() time.Time { return s.now }
	s.catalog, s.builder = catalog.New(clock), snapshot.NewBuilder(clock)
	var networks []geo.Network
	for _, line := range strings.Split(strings.TrimSpace(s.file("geo")), "\n") {
		f := strings.Fields(line) // PREFIX CONTINENT COUNTRY LAT LON ASN
		if len(f) != 6 {
			continue
		}
		lat, _ := strconv.ParseFloat(f[3], 64)
		lon, _ := strconv.ParseFloat(f[4], 64)
		asn, _ := strconv.Atoi(f[5])
		country, subdivision, _ := strings.Cut(f[2], "-")
		if subdivision != "" {
			subdivision = f[2]
		}
		networks = append(networks, geo.Network{
			Prefix: netip.MustParsePrefix(f[0]), ASN: uint32(asn),
			Location: geo.Location{
				Continent: f[1], Country: country, Subdivision: subdivision, Latitude: lat, Longitude: lon,
				HasPoint: true,
			},
		})
	}
	var err error
	if s.table, err = geo.Compile(networks); err != nil {
		t.Fatal(err)
	}
	s.apply("resources.yaml", true)
	return s
}

func (s *stage) file(name string) string {
	for _, f := range s.archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func (s *stage) apply(name string, full bool) []string {
	docs, problems := document.Read(name, strings.NewReader(s.file(name)))
	if err := problems.Err(); err != nil {
		s.t.Fatal(err)
	}
	var changes []zones.Change
	for _, d := range docs {
		changes = append(changes, zones.Change{Key: d.Resource.Key(), Resource: d.Resource, Revision: s.rev + 1})
	}
	return s.batch(zones.Batch{Full: full, Changes: changes})
}

func (s *stage) batch(b zones.Batch) (out []string) {
	s.rev++
	b.Revision = s.rev
	return append(out, s.update(s.catalog.Apply(b))...)
}

func (s *stage) update(d catalog.Delta) (out []string) {
	var problems zones.Problems
	s.shot, problems = s.builder.Update(s.catalog, d, s.table)
	s.view = steer.NewView(s.shot.Program(), steer.Sight{State: s.verdict}, s.view)
	for _, p := range append(s.catalog.Problems(), problems...) {
		out = append(out, "problem: "+p.String())
	}
	for _, h := range s.catalog.Held() {
		out = append(out, "held: "+h.Key.String()+": "+h.Why)
	}
	return out
}

func (s *stage) verdict(t health.Target) health.State {
	pool, _, _ := strings.Cut(t.Endpoint, "/")
	for _, name := range []string{t.Endpoint + "@" + t.Address.String(), t.Endpoint, pool + "/*"} {
		if state, ok := s.states[name]; ok {
			return state
		}
	}
	return health.Unknown
}

func (s *stage) do(words []string) []string {
	options := map[string]string{}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			options[k] = v
		}
	}
	switch words[0] {
	case "dig":
		return s.dig(words[1], words[2], options)
	case "explain":
		req := steer.Request{Client: netip.MustParseAddr(options["client"]), Now: s.now.Unix()}
		switch words[2] {
		case "AAAA":
			req.Family = steer.V6
		case "CNAME":
			req.Family = steer.Name
		}
		return strings.Split(strings.TrimSuffix(s.shot.Policy(words[1]).Explain(s.view, &req).String(), "\n"), "\n")
	case "verdict":
		state := map[string]health.State{"up": health.Up, "down": health.Down, "unknown": health.Unknown}[words[1]]
		for _, e := range words[2:] {
			s.states[e] = state
		}
		s.view = steer.NewView(s.shot.Program(), steer.Sight{State: s.verdict}, s.view)
		return nil
	case "resolve":
		return s.resolve(words[1], words[2:], options)
	case "transfer", "difference":
		return s.transfer(words[1], words[2], words[0] == "transfer")
	case "expire":
		t := s.elsewhere[words[1]]
		t.Expired = true
		s.builder.Transferred(words[1], t)
		return s.update(catalog.Delta{})
	case "apply":
		return s.apply(words[1], false)
	case "spoil": // the newest version cannot be read
		var changes []zones.Change
		for _, name := range words[2:] {
			changes = append(changes, zones.Change{
				Key: zones.KeyOf(zones.Kind(words[1]), name), Revision: s.rev + 1,
				Err: errors.New("cannot be read"),
			})
		}
		return s.batch(zones.Batch{Changes: changes})
	case "delete":
		var changes []zones.Change
		for _, name := range words[2:] {
			changes = append(changes, zones.Change{Key: zones.KeyOf(zones.Kind(words[1]), name), Revision: s.rev + 1})
		}
		return s.batch(zones.Batch{Changes: changes, Accepted: s.rev + 1})
	case "wait":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
		if end := s.builder.NextExpiry(); !end.IsZero() && !s.now.Before(end) {
			return s.update(catalog.Delta{})
		}
		return nil
	case "print":
		var b strings.Builder
		if err := s.shot.Print(&b); err != nil {
			s.t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	}
	s.t.Fatalf("unknown line %q", words)
	return nil
}

// transfer receives a version of a zone that lives elsewhere.
func (s *stage) transfer(origin, file string, whole bool) []string {
	apex, err := rr.ParseName(origin)
	if err != nil {
		s.t.Fatal(err)
	}
	old := s.elsewhere[origin].Version
	edition := snapshot.NewEdition(apex)
	if !whole {
		edition = old.Edit()
	}
	for line := range strings.Lines(s.file(file)) {
		put := edition.Add
		if !whole {
			if line[0] == '-' {
				put = edition.Remove
			}
			line = line[2:]
		}
		err := rr.ReadMaster(strings.NewReader(line), apex, file, nil, func(r rr.RR) error {
			x := rr.Record{Owner: r.Owner, Type: r.Type, Class: 1, TTL: r.TTL, Data: r.Data}
			if r.Type == rr.TypeSOA {
				return edition.SetSOA(x)
			}
			return put(x)
		}, nil)
		if err != nil {
			return []string{"error: " + err.Error()}
		}
	}
	v, err := edition.Finish()
	if err != nil {
		return []string{"error: " + err.Error()}
	}
	if s.elsewhere == nil {
		s.elsewhere = map[string]snapshot.Transferred{}
	}
	s.elsewhere[origin] = snapshot.Transferred{Version: v.From(old)}
	s.builder.Transferred(origin, s.elsewhere[origin])
	return s.update(catalog.Delta{})
}

// resolve sets what a hostname resolves to, or that it no longer resolves.
func (s *stage) resolve(name string, words []string, options map[string]string) []string {
	r := s.builder.Resolution(name)
	if _, r.Failing = options["failing"]; !r.Failing {
		ttl, err := strconv.Atoi(options["ttl"])
		if err != nil {
			s.t.Fatal(err)
		}
		r = steer.Resolution{Known: [2]bool{true, true}, Expires: s.now.Add(time.Duration(ttl) * time.Second)}
		for _, w := range words {
			if a, err := netip.ParseAddr(w); err == nil {
				r.Addresses = append(r.Addresses, a)
			}
		}
	}
	s.builder.Resolved(name, r)
	return s.update(catalog.Delta{})
}

var outcomes = [...]string{
	"REFUSED", "NOERROR", "STEERED", "CNAME", "REFERRAL", "NODATA", "NXDOMAIN", "DNAME",
	"YXDOMAIN", "not transferred", "expired", "unusable", "cannot be read",
}

func (s *stage) dig(name, typ string, options map[string]string) []string {
	qname, err := rr.ParseName(name)
	qtype, terr := rr.ParseType(typ)
	if err != nil || terr != nil {
		s.t.Fatal(err, terr)
	}
	var a snapshot.Answer
	s.shot.Lookup([]byte(qname), uint16(qtype), 1, &a)
	if a.Outcome == snapshot.Steered {
		return s.steer(&a, options)
	}
	out := []string{outcomes[a.Outcome]}
	out = append(out, s.records("", qname, a.Answer)...)
	authority := a.Authority
	if a.Outcome == snapshot.NoData || a.Outcome == snapshot.NameError {
		soa, _ := a.Negative()
		authority = snapshot.Set{Wire: soa, Count: 1, Owner: a.Zone}
	}
	out = append(out, s.records("authority ", qname, authority)...)
	if a.Outcome == snapshot.Redirect {
		out = append(out, "target "+rr.Name(a.Target).String())
	}
	leads, inDomain := a.Answer, ""
	if a.Outcome == snapshot.Referral {
		leads, inDomain = a.Authority, string(qname[a.Authority.Owner:])
	}
	if a.Outcome == snapshot.Positive && qtype != rr.TypeCNAME && qtype != rr.TypeDNAME ||
		a.Outcome == snapshot.Referral {
		out = append(out, s.beside(&a, leads, inDomain)...)
	}
	return out
}

// beside returns the addresses of what a set points to, as glue of that cut or for the additional section.
func (s *stage) beside(a *snapshot.Answer, set snapshot.Set, cut string) (out []string) {
	var found snapshot.Addresses
	for b := set.Wire; len(b) > 0; {
		length := 12 + int(binary.BigEndian.Uint16(b[10:]))
		record := b[:length]
		b = b[length:]
		for _, name := range dataNames(rr.Type(binary.BigEndian.Uint16(record[2:])), record[12:]) {
			label := "beside "
			if cut == "" {
				s.shot.Additional(a, []byte(name), &found)
			} else if label = "sibling "; s.shot.Glue(a, []byte(cut), []byte(name), &found) {
				label = "glue "
			}
			if found.Policy != nil {
				out = append(out, label+name.String()+" steered by "+found.Policy.Name)
			}
			for _, x := range found.Sets {
				out = append(out, s.records(label, name, x)...)
			}
		}
	}
	return out
}

func (s *stage) records(section string, qname rr.Name, set snapshot.Set) (out []string) {
	for b := set.Wire; len(b) > 0; {
		length := 12 + int(binary.BigEndian.Uint16(b[10:]))
		out = append(out, section+s.record(qname[set.Owner:], b[2:length]))
		b = b[length:]
	}
	if len(out) != set.Count {
		s.t.Errorf("%d records where Count is %d", len(out), set.Count)
	}
	return out
}

func (s *stage) record(owner rr.Name, b []byte) string {
	typ := rr.Type(binary.BigEndian.Uint16(b))
	text, err := rr.FormatData(typ, b[10:])
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf("%s %d %s %s", owner, binary.BigEndian.Uint32(b[4:]), typ, text)
}

func (s *stage) steer(a *snapshot.Answer, options map[string]string) []string {
	client := netip.MustParseAddr("198.51.100.1")
	if c := options["client"]; c != "" {
		client = netip.MustParseAddr(c)
	}
	dice, _ := strconv.ParseUint(options["dice"], 10, 64)
	var d steer.Decision
	a.Policy.Decide(s.view, &steer.Request{Client: client, Family: a.Family, Random: dice, Now: s.now.Unix()}, &d)
	if d.Unresolved {
		return []string{fmt.Sprintf("UNRESOLVED, alone: %v", a.Alone)}
	}
	if d.Target() != "" {
		open := ""
		if d.FailOpen {
			open = " (fail open)"
		}
		return []string{fmt.Sprintf("CNAME %s TTL %d scope /%d%s", d.Target(), d.Bound, d.Scope, open)}
	}
	if d.Count == 0 {
		return []string{"NODATA, no address of this family"}
	}
	var addrs []string
	for i := range d.Count {
		size := len(d.Data) / d.Count
		addr, _ := netip.AddrFromSlice(d.Data[i*size : (i+1)*size])
		addrs = append(addrs, addr.String())
	}
	slices.Sort(addrs)
	open := ""
	if d.FailOpen {
		open = " (fail open)"
	}
	return []string{fmt.Sprintf("%s TTL %d scope /%d%s", strings.Join(addrs, " "), d.Bound, d.Scope, open)}
}

// dataNames returns the names in RDATA with which an answer goes on: the targets of CNAME and DNAME, and the names that
// additional section processing follows, of NS, MX, SRV, SVCB and HTTPS (RFC 1034 section 4.3.2, RFC 2782, RFC 9460
// section 4.1), and of the older types for which RFC 1183 and RFC 2230 ask for it. It returns nil for other types and
// for RDATA that is not well-formed. It leaves out the root, which means "none" in all of them. The names are in lower
// case.
func dataNames(t rr.Type, data []byte) []rr.Name {
	var skip int // octets before the name
	switch t {
	case rr.TypeNS, rr.TypeCNAME, rr.TypeDNAME:
	case rr.TypeMX, rr.TypeSVCB, rr.TypeHTTPS, 18, 21, 36: // AFSDB, RT, KX
		skip = 2
	case rr.TypeSRV:
		skip = 6
	default:
		return nil
	}
	if len(data) < skip {
		return nil
	}
	n, _, err := rr.CutName(data[skip:])
	if err != nil || n == rr.Root {
		return nil
	}
	return []rr.Name{n}
}
