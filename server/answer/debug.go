package answer

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"leeward/server/rrl"
	"leeward/server/wire"
	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// A zone's debug name, _leeward.ZONE, tells those who may ask for it which server they have reached, and where it takes
// them to be. Each fact is one TXT record of two strings, a word and its value. A name below the debug name is about
// the name formed by its labels without _leeward: www._leeward.ZONE says which rule and pool answer for www.ZONE. For
// everybody else none of these names exist.
//
// No cache should keep any of this. The TTL is 0, for negative answers too. The ECS scope is all of the client's
// prefix, because the answer shows that prefix. The debug name is not part of the zone. So a signed zone signs it on
// demand, and denies with a record that says nothing about other names (RFC 4470), because the zone's own chain would
// deny the whole name.

// mostFact is the largest number of octets of a fact. With at most nine facts, an answer without signatures has at most
// some 1,300 octets, and usually 400.
const mostFact = 120

// debugs reports whether the query is for a debug name, by somebody who may ask for it. An explanation never is: it is
// about what everybody gets.
func (w *Worker) debugs(state *State, client netip.Addr) bool {
	if w.trace != nil {
		return false
	}
	at, may := state.Snapshot.Debug(w.query.Name(), w.query.Labels(), client, w.key, &w.found)
	if !may {
		return false
	}
	w.name, w.owner = w.query.Name(), wire.QName
	w.ours, w.subject = true, subject{rrl.Answer, w.found.HashOf(w.name[at:])} // one for all names below the debug name
	return true
}

// debug answers a query for a debug name.
func (w *Worker) debug(state *State, client netip.Addr) {
	q, b := &w.query, &w.build
	b.SetAuthoritative(true)
	at := w.found.Zone - len(snapshot.DebugLabel)
	switch {
	case q.Type == wire.TypeTXT || q.Type == wire.TypeRRSIG && w.found.Signer() != nil:
		f := facts{}
		w.tell(&f, state, client, at)
		_, _ = state.Snapshot.Debug(q.Name(), q.Labels(), client, w.key, &w.found) // telling has looked up other names
		w.name = q.Name()
		set := wire.RRset{Owner: wire.QName, Data: f.records, Count: uint16(len(f.data))}
		if w.signer() != nil {
			rrsig := w.signOnce(w.name, rr.TypeTXT, 0, f.data)
			if q.Type == wire.TypeRRSIG {
				w.alone(wire.Answer, wire.QName, 0, rrsig)
				break
			}
			set.Signed = w.signed(rrsig, nil)
		}
		w.put(wire.Answer, &set)
	default:
		w.onlyTXT()
	}
	if q.ECS.Present {
		w.scope = q.ECS.Source
		b.SetScope(w.scope)
	}
}

// onlyTXT says that the debug name has nothing of the type. Its NSEC is only for denial, and is not answered by itself.
func (w *Worker) onlyTXT() {
	signer := w.signer()
	if soa, _ := w.found.Negative(); len(soa) > wire.DataOffset {
		set := wire.RRset{
			Owner: uint16(w.build.Suffix(w.owner, w.found.Zone)), Type: wire.TypeSOA, Data: soa[wire.DataOffset:],
			Count: 1,
		}
		if signer != nil && w.query.DO {
			set.Signed = w.signed(w.signSet(w.name[w.found.Zone:], soa, w.found.SOATTL()), nil)
		}
		w.put(wire.Authority, &set)
	}
	if signer == nil || !w.query.DO {
		return
	}
	p := w.found.Only(w.name, rr.TypeTXT)
	below, skip := wire.CommonEnd(p.Owner, w.name)
	rrsig := w.signOnce(p.Owner, p.Type, 0, [][]byte{p.Data})
	w.put(wire.Authority, &wire.RRset{
		Owner: uint16(w.build.Suffix(w.owner, skip)), Type: uint16(p.Type), Data: p.Data, Count: 1,
		Signed: w.signed(rrsig, p.Owner[:below]),
	})
}

// signOnce makes signatures that are not kept, as many as the worker may make, and lays them out as rrsigs does.
// Without them the response is given up, because an unsigned one would be bogus.
func (w *Worker) signOnce(owner []byte, typ rr.Type, ttl uint32, data [][]byte) []byte {
	s := &w.signing
	g := w.found.Signer().Now()
	s.each = g.SignatureLength()
	s.rrsig = s.rrsig[:0]
	if !w.mayMake() {
		s.broken = true
		return nil
	}
	var err error
	set := dnssec.Set{Owner: rr.Name(owner), Type: typ, TTL: ttl, Data: data}
	if s.rrsig, err = g.AppendOnce(s.rrsig, &set); err != nil {
		s.broken = true
	}
	return s.rrsig
}

// facts are TXT records on their way into a response.
type facts struct {
	records []byte
	data    [][]byte // the RDATA of each
}

// add adds a record of two strings, a word and its value.
func (f *facts) add(word, is string) {
	if len(is) > mostFact {
		is = strings.ToValidUTF8(is[:mostFact-3], "") + "…"
	}
	size := 1 + len(word) + 1 + len(is)
	at := len(f.records)
	f.records = append(f.records, 0, 0, 0, byte(wire.TypeTXT), 0, byte(wire.ClassIN), 0, 0, 0, 0)
	f.records = binary.BigEndian.AppendUint16(f.records, uint16(size))
	f.records = append(append(f.records, byte(len(word))), word...)
	f.records = append(append(f.records, byte(len(is))), is...)
	f.data = append(f.data, f.records[at+wire.DataOffset:])
}

// tell adds all facts for the question. at is where the label of the debug name is in the question's name.
func (w *Worker) tell(f *facts, state *State, client netip.Addr, at int) {
	q := &w.query
	if id := w.responder.options.ID; id != "" {
		f.add("server", id)
	}
	revision := strconv.FormatInt(state.Snapshot.Revision(), 10)
	if state.Stale {
		revision += ", and for long nobody has known whether it is the newest"
	}
	f.add("revision", revision)
	f.add("resolver", client.Unmap().String()+" over "+w.over.Name)
	located, resolver := client.Unmap(), netip.Addr{}
	switch {
	case !q.ECS.Present:
		f.add("subnet", "none was sent: the resolver is located")
	case q.ECS.Source == 0:
		f.add("subnet", "withheld (/0): the resolver is located")
	default:
		resolver, located = located, q.ECS.Addr.Unmap()
		f.add("subnet", fmt.Sprintf("%s/%d", q.ECS.Addr, q.ECS.Source))
	}
	f.add("location", place(state.Snapshot.Locate(located, resolver)))
	if at == 0 {
		return
	}
	name := append(append([]byte(nil), w.name[:at]...), w.name[w.found.Zone:]...)
	f.add("name", rr.Name(name).String())
	asked := q.Type
	for _, t := range []uint16{wire.TypeA, wire.TypeAAAA} {
		q.Type = t
		f.add(rr.Type(t).String(), w.meets(state, client, name, at, t))
	}
	q.Type = asked
}

// place describes where somebody is.
func place(l snapshot.Located) string {
	var parts []string
	for _, s := range []string{l.Continent, l.Country, l.Subdivision, l.Deeper} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if l.HasPoint {
		parts = append(parts, fmt.Sprintf("near %.1f, %.1f", l.Latitude, l.Longitude))
	}
	if l.ASN != 0 {
		parts = append(parts, fmt.Sprintf("AS%d", l.ASN))
	}
	if len(parts) == 0 {
		return "unknown"
	}
	return strings.Join(parts, ", ")
}

// meets says what this client's query for a name and a type would find. The question's type is that type. at is where
// the zone's apex begins in the name.
func (w *Worker) meets(state *State, client netip.Addr, name []byte, at int, t uint16) string {
	state.Snapshot.Lookup(name, t, wire.ClassIN, &w.found)
	if w.found.Outcome != snapshot.Refused && w.found.Zone != at {
		return "it is in another zone of this server, " + rr.Name(name[w.found.Zone:]).String()
	}
	switch w.found.Outcome {
	case snapshot.Steered:
		return w.steers(state, client)
	case snapshot.NoData:
		if w.found.Policy != nil {
			return w.steers(state, client)
		}
		return "no such record (NODATA)"
	case snapshot.Positive:
		return "records of the zone, the same for all clients"
	case snapshot.Alias:
		return "a CNAME, the same for all clients, to " + rr.Name(w.found.Target).String()
	case snapshot.Redirect:
		return "a DNAME leads to " + rr.Name(w.found.Target).String()
	case snapshot.Referral:
		return "a referral: it is delegated"
	case snapshot.NameError:
		return "no such name (NXDOMAIN)"
	case snapshot.Unready:
		return "SERVFAIL: the zone has not been transferred yet"
	case snapshot.Outdated:
		return "SERVFAIL: the zone has expired"
	}
	return "SERVFAIL: what is configured there cannot be used"
}

// steers says what the policy that was found decides.
func (w *Worker) steers(state *State, client netip.Addr) string {
	d := &w.decision
	w.decide(state.View, client)
	var what string
	switch pools := state.Snapshot.Program().Pools; {
	case d.Says != steer.SaysAddresses:
		what = d.Says.String()
	case d.Unresolved:
		what = "SERVFAIL: the endpoints' names are not resolved yet"
	case d.Count == 0 || d.Pool < 0 || int(d.Pool) >= len(pools) || pools[d.Pool] == nil:
		what = "no pool has an address (NODATA)"
	default:
		what = fmt.Sprintf("pool %s of %s, TTL %d", pools[d.Pool].Name, pools[d.Pool].Region, d.Bound)
		if d.FailOpen {
			what += ", failing open"
		}
	}
	rule := snapshot.RuleWords(w.found.Policy, int(d.Rule))
	if d.Rule >= 0 {
		rule = fmt.Sprintf("rule %d, %s", d.Rule, rule)
	}
	return fmt.Sprintf("%s; scope /%d; %s", what, d.Scope, rule)
}
