package document

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"leeward/zones"
	"leeward/zones/rr"
)

// mostMasterErrors is how many errors of one master file are listed. Reading ends after that many, as the file is not
// used anyway. Warnings do not end it; MostAlike of each kind are listed.
const mostMasterErrors = 100

var errTooMany = fmt.Errorf("%d errors are listed, and the rest of the file has not been read", mostMasterErrors)

// ReadMaster reads a zone's master file (RFC 1035 section 5). Its SOA, and the NS at its apex, become the Zone, with
// the SOA's serial. Everything else becomes Records, in the order in which their owners and types first appear. folder
// is where $INCLUDE finds files; nil refuses it. The documents say everything explicitly, so reading them gives the
// same again.
//
// A zone is served completely or not at all: if there is an error among the problems, the documents must not be used.
// Up to 100 errors are listed, and ten warnings of each kind, with the number of the others.
func ReadMaster(file, origin string, r io.Reader, folder fs.FS) ([]zones.Document, zones.Problems) {
	m := masterFile{file: file, origin: origin, seed: maphash.MakeSeed()}
	return m.read(r, folder)
}

// read does the work of ReadMaster.
func (m *masterFile) read(r io.Reader, folder fs.FS) ([]zones.Document, zones.Problems) {
	file, origin := m.file, m.origin
	apex, err := zones.ParseName(origin)
	if err != nil {
		return nil, zones.Problems{{
			Position: zones.Position{File: file},
			Message:  "the file is named by its origin: " + err.Error(), Code: zones.CodeSyntax,
		}}
	}
	m.apex, m.sets = apex, make(map[uint64]int32)
	m.docs = []zones.Document{{
		Resource: &zones.Zone{Origin: origin}, Position: zones.Position{File: file, Line: 1},
		Master: true,
	}}
	err = rr.ReadMaster(r, apex, path.Base(file), folder, m.add, m.wrong)
	m.settle()
	if err == nil {
		err = m.full
	}
	if m.scatter(); m.again && m.full == nil {
		return nil, nil
	}
	var syntax *rr.SyntaxError
	switch {
	case errors.As(err, &syntax):
		_ = m.wrong(syntax)
	case err != nil:
		m.fail(zones.Position{File: file}, "", "%v", err)
	case m.errors > 0: // one of the errors may be in the SOA
	case !m.hasSOA:
		m.fail(zones.Position{File: file}, zones.KeyOf(zones.KindZone, origin),
			"there is no SOA record of %s; a master file has one", origin)
	case len(m.zone().Nameservers) == 0:
		m.fail(zones.Position{File: file}, zones.KeyOf(zones.KindZone, origin),
			"there is no NS record of %s; a master file has at least one", origin)
	}
	if z := m.zone(); z.SOATTL == z.TTL {
		z.SOATTL = zones.TTL{}
	}
	docs := m.docs[:0] // in place, as there can be millions
	if m.hasSOA {
		docs = append(docs, m.docs[0])
	}
	for _, d := range m.docs[1:] {
		wrong := read1(d)
		if m.errors += len(wrong); m.errors <= mostMasterErrors {
			m.problems = append(m.problems, wrong...)
		} else if len(wrong) > 0 && err == nil {
			err = errTooMany
			m.fail(d.Position, "", "%d errors are listed; what else is wrong is not", mostMasterErrors)
		}
		switch {
		case len(wrong) > 0:
		case m.keep != nil:
			m.keep(d)
		default:
			docs = append(docs, d)
		}
	}
	clear(m.docs[len(docs):])
	m.summarise()
	m.unsigned()
	m.problems.Sort()
	return docs, m.problems
}

// read1 checks a record of a master file.
func read1(d zones.Document) zones.Problems {
	wrong := zones.Validate(d.Resource)
	for i := range wrong {
		wrong[i].Position = d.Position
	}
	return wrong
}

// masterFile turns the records of a file into documents.
type masterFile struct {
	file, origin string
	apex         rr.Name
	hasSOA       bool
	docs         []zones.Document // the Zone first
	seed         maphash.Seed
	sets         map[uint64]int32 // index in docs of each RRset, by the hash of its owner and type
	problems     zones.Problems
	errors       int              // how many of the problems are errors
	alike        map[string]*same // warnings, by kind
	proofs       proofs

	last, lastPlace string // the last argument of place, and its result

	stream // for MasterReader
}

func (m *masterFile) zone() *zones.Zone { return m.docs[0].Resource.(*zones.Zone) }

// find returns the RRset of an owner and type, or else the place in sets where it belongs. If two have the same hash,
// which nobody who writes a file can cause, the second has the next place.
func (m *masterFile) find(owner, kind string) (set *zones.Record, place uint64) {
	if set = m.recent(owner, kind); set != nil {
		return set, 0
	}
	var h maphash.Hash
	h.SetSeed(m.seed)
	h.WriteString(owner)
	h.WriteByte(0)
	h.WriteString(kind)
	for place = h.Sum64(); ; place++ {
		at, there := m.sets[place]
		if !there { // the set is complete, or new
			return nil, place
		}
		if r := m.docs[at].Resource.(*zones.Record); r.Owner == owner && r.Type == kind {
			return r, place
		}
	}
}

// place returns a file's name as positions have it; rr knows it by its name within the folder. All records of a file
// share the string.
func (m *masterFile) place(file string) string {
	if m.last != file || m.lastPlace == "" {
		m.last, m.lastPlace = file, path.Join(path.Dir(m.file), file)
	}
	return m.lastPlace
}

func (m *masterFile) fail(at zones.Position, key zones.Key, format string, args ...any) {
	m.errors++
	m.problems = append(m.problems, zones.Problem{
		Position: at, Key: key, Message: fmt.Sprintf(format, args...),
		Code: zones.CodeSyntax,
	}.Brief())
}

// wrong notes an entry that cannot be read.
func (m *masterFile) wrong(e *rr.SyntaxError) error {
	if m.errors == mostMasterErrors {
		return errTooMany
	}
	m.fail(zones.Position{File: m.place(e.File), Line: e.Line}, "", "%v", e.Err)
	return nil
}

// same is how many warnings of one kind were not listed, and the last of them.
type same struct {
	listed, more int
	last         zones.Problem
}

// warn notes a warning. There can be one for each record.
func (m *masterFile) warn(at zones.Position, key func() zones.Key, format string, args ...any) {
	if m.alike == nil {
		m.alike = map[string]*same{}
	}
	s := m.alike[format]
	if s == nil {
		s = &same{}
		m.alike[format] = s
	}
	if s.listed == zones.MostAlike {
		s.more++
		s.last = zones.Problem{
			Position: at, Key: key(), Message: fmt.Sprintf(format, args...), Code: zones.CodeSyntax,
			Warning: true,
		}
		return
	}
	s.listed++
	m.problems = append(m.problems, zones.Problem{
		Position: at, Key: key(), Message: fmt.Sprintf(format, args...),
		Code: zones.CodeSyntax, Warning: true,
	})
}

// summarise says how many warnings there are beyond the listed ones, as Problems.Summary does; here there can be too
// many to keep.
func (m *masterFile) summarise() {
	for _, s := range m.alike {
		if s.more > 1 {
			s.last.Message = fmt.Sprintf("and %d more like this one: %s", s.more-1, s.last.Message)
		}
		if s.more > 0 {
			m.problems = append(m.problems, s.last)
		}
	}
}

func (m *masterFile) add(r rr.RR) error {
	if m.errors == mostMasterErrors {
		return errTooMany
	}
	if m.full != nil {
		return m.full
	}
	at := zones.Position{File: m.place(r.File), Line: r.Line}
	switch {
	case !r.Owner.Under(m.apex):
		m.fail(at, "", "%s is outside of zone %s; take it out, or end names that are meant to be in the zone without "+
			"a dot", r.Owner, m.origin)
		return nil
	case r.Dotless != "":
		m.dotless(at, r)
	}
	switch {
	case r.Owner == m.apex && r.Type == rr.TypeSOA:
		m.soa(at, r)
		return nil
	case r.Owner == m.apex && r.Type == rr.TypeNS:
		m.ns(at, r)
		return nil
	}
	if r.Type.Proves() {
		m.proofs.add(at, r.Type)
		return nil
	}
	owner, kind := zones.OwnerIn(r.Owner, m.apex), r.Type.String()
	key := func() zones.Key { return zones.KeyOf(zones.KindRecord, m.origin+"/"+owner+"/"+kind) }
	if r.Cut {
		m.warn(at, key, zones.CutString)
	}
	ttl := zones.Seconds(r.TTL)
	record, place := m.find(owner, kind)
	if record == nil {
		record = &zones.Record{Origin: m.origin, Owner: owner, Type: kind, TTL: ttl, Data: []string{r.Text}}
		m.begin(zones.Document{Resource: record, Position: at}, place)
		return nil
	}
	if slices.Contains(record.Data, r.Text) {
		m.warn(at, key, "the same record is there twice")
		return nil
	}
	if len(record.Data) == zones.MostSet/12 { // a message holds no more, however short they are
		m.fail(at, key(), "more than %d records in one set do not fit into one message of 64 KiB; take some out",
			zones.MostSet/12)
		return nil
	}
	record.Data = append(record.Data, r.Text)
	record.TTL = m.shortest(at, key, record.TTL, ttl)
	return nil
}

// dotless warns of a name that has the zone's name twice, probably for want of a final dot. It does so for names in
// data; owners are warned of with their Records.
func (m *masterFile) dotless(at zones.Position, r rr.RR) {
	owner := zones.OwnerIn(r.Owner, m.apex)
	if !strings.EqualFold(owner, r.Dotless) {
		m.warn(at, func() zones.Key { return zones.KeyOf(zones.KindRecord, m.origin+"/"+owner+"/"+r.Type.String()) },
			zones.MissingDot, r.Dotless)
	}
}

// soa parses the SOA (RFC 1035 section 3.3.13): two names and five numbers.
func (m *masterFile) soa(at zones.Position, r rr.RR) {
	z := m.zone()
	if m.hasSOA {
		m.fail(at, z.Key(), "there is a second SOA record; a zone has one")
		return
	}
	primary, rest, err := rr.CutName(r.Data)
	if err == nil {
		var mail rr.Name
		if mail, rest, err = rr.CutName(rest); err == nil && len(rest) == 20 {
			z.Primary, z.Hostmaster = zones.NameText(primary), mail.String()
		}
	}
	if err != nil || len(rest) != 20 {
		m.fail(at, z.Key(), "the SOA record cannot be used")
		return
	}
	m.hasSOA, m.docs[0].Position = true, at
	number := func(i int) uint32 {
		b := rest[4*i:]
		return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	}
	serial := number(0)
	z.Serial, z.SOATTL = &serial, zones.Seconds(r.TTL)
	z.Refresh, z.Retry, z.Expire, z.NegativeTTL = zones.Seconds(number(1)), zones.Seconds(number(2)),
		zones.Seconds(number(3)), zones.Seconds(number(4))
}

func (m *masterFile) ns(at zones.Position, r rr.RR) {
	z := m.zone()
	n, _, err := rr.CutName(r.Data)
	if err != nil {
		m.fail(at, z.Key(), "the NS record cannot be used")
		return
	}
	if name := zones.NameText(n); slices.Contains(z.Nameservers, name) {
		m.warn(at, z.Key, "the same record is there twice")
	} else {
		z.Nameservers = append(z.Nameservers, name)
	}
	z.TTL = m.shortest(at, z.Key, z.TTL, zones.Seconds(r.TTL))
}

// shortest returns the TTL of a set when a record with another TTL joins it.
func (m *masterFile) shortest(at zones.Position, key func() zones.Key, have, more zones.TTL) zones.TTL {
	if have.IsZero() || have == more {
		return more
	}
	if have.Or(0) < more.Or(0) {
		more = have
	}
	m.warn(at, key, "the records of a set have one TTL (RFC 2181 5.2); the shortest, %s, is taken", more)
	return more
}

// WriteMaster writes a zone as a master file in canonical form, with the given serial. Policies are not in it, as their
// answers depend on who asks.
func WriteMaster(w io.Writer, zone *zones.Zone, serial uint32, records []*zones.Record) error {
	origin, err := zones.ParseName(zone.Origin)
	if err != nil {
		return err
	}
	seconds := func(d zones.TTL, or time.Duration) uint32 { return uint32(d.Or(or) / time.Second) }
	ttl := seconds(zone.TTL, zones.DefaultTTL)
	soa := fmt.Sprintf("%s. %s. %d %d %d %d %d", zone.MName(), zone.RName(), serial,
		seconds(zone.Refresh, zones.DefaultRefresh),
		seconds(zone.Retry, zones.DefaultRetry), seconds(zone.Expire, zones.DefaultExpire),
		seconds(zone.NegativeTTL, zones.DefaultNegativeTTL))
	data, err := rr.ParseData(rr.TypeSOA, soa, rr.Root)
	if err != nil {
		return fmt.Errorf("%s: %w", zone.Key(), err)
	}
	sets := []rr.Set{{Owner: origin, Type: rr.TypeSOA, TTL: uint32(zone.SOATime() / time.Second), Data: [][]byte{data}}}
	if len(zone.Nameservers) > 0 {
		ns := rr.Set{Owner: origin, Type: rr.TypeNS, TTL: ttl}
		for _, name := range zone.Nameservers {
			data, err := rr.ParseData(rr.TypeNS, name+".", rr.Root)
			if err != nil {
				return fmt.Errorf("%s: %w", zone.Key(), err)
			}
			ns.Data = append(ns.Data, data)
		}
		sets = append(sets, ns)
	}
	for _, r := range records {
		set, err := r.Set()
		if err != nil {
			return fmt.Errorf("%s: %w", r.Key(), err)
		}
		if r.TTL.IsZero() {
			set.TTL = ttl
		}
		sets = append(sets, set)
	}
	return rr.WriteMaster(w, origin, sets)
}
