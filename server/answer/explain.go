package answer

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"leeward/server/wire"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// Explain says why a client gets its answer from a state: a Worker answers the question, and is watched. qtype is "A"
// if empty. client must be an address or a prefix. For bad arguments it returns a *BadQuestion.
func Explain(state *State, name, qtype, client string) (*Explanation, error) {
	return explain(state, time.Time{}, name, qtype, client)
}

// ExplainAt is Explain for a state of the past that was rebuilt, as of that time. Serials and random choices of that
// time are unknown, and the Notes say so.
func ExplainAt(state *State, at time.Time, name, qtype, client string) (*Explanation, error) {
	return explain(state, at, name, qtype, client)
}

func explain(state *State, at time.Time, name, qtype, client string) (*Explanation, error) {
	if name == "" {
		return nil, &BadQuestion{Message: "the name is missing: give the one that is asked for, such as " +
			"name=www.example.test"}
	}
	qname, err := rr.ParseName(name)
	if err != nil {
		return nil, &BadQuestion{Message: fmt.Sprintf("name: %v", err)}
	}
	if qtype == "" {
		qtype = "A"
	}
	t, err := rr.ParseType(strings.ToUpper(qtype))
	if err != nil {
		return nil, &BadQuestion{Message: fmt.Sprintf("type: %v", err)}
	}
	if client == "" {
		return nil, &BadQuestion{Message: "the client is missing: give the address that asks, or a " +
			"resolver's subnet address, such as client=198.51.100.7"}
	}
	address, err := readClient(client)
	if err != nil {
		return nil, err
	}
	if state == nil || state.Snapshot == nil {
		return nil, fmt.Errorf("no snapshot yet: nothing is answered before the resources are read")
	}
	e := &Explanation{
		Name: qname.String(), Type: t.String(), Client: address, Revision: state.Snapshot.Revision(),
		Answer: []string{}, Authority: []string{}, Text: []string{},
	}
	clock := time.Now
	if !at.IsZero() {
		clock, e.At = func() time.Time { return at }, &at
	}
	r, err := New(Options{Now: clock, uncounted: true}) // it counts nothing that is shown
	if err != nil {
		return nil, err
	}
	r.Publish(*state)
	w := r.Worker(r.Over(Transport{Name: "explain", Stream: true, Size: wire.MaxMessage}))
	w.trace = &trace{}
	response, _ := w.Respond(query(qname, t), address, false, make([]byte, 0, wire.MaxMessage))
	words := walk{out: e, qtype: t}
	for i := range w.trace.steps {
		e.Names = append(e.Names, rr.Name(w.trace.steps[i].name))
		words.step(&w.trace.steps[i], i == 0)
	}
	words.response(response)
	if e.At != nil {
		e.doubt()
	}
	if len(w.trace.steps) == 0 {
		words.end("refused", "the type %s is not looked up by a query: %s", t, e.Rcode)
	}
	return e, nil
}

// doubt notes what is not known about an answer of the past.
func (e *Explanation) doubt() {
	if x := e.Explanation; x != nil && len(e.Answer) > 0 {
		pools, candidates := 0, 0
		for _, s := range x.Steps {
			if s.Result == steer.ReasonAvailable.String() {
				pools++
			}
		}
		for _, c := range x.Candidates {
			if c.Share > 0 {
				candidates++
			}
		}
		switch {
		case pools > 1:
			e.Notes = append(e.Notes, "what chance drew is not kept: the pool and the answer are ones that might have "+
				"been, by the weights and shares")
		case candidates > 1:
			e.Notes = append(e.Notes, "what chance drew is not kept: the answer is one that might have been, by the "+
				"shares")
		}
	}
	for _, section := range [][]string{e.Answer, e.Authority} {
		for i, r := range section {
			fields := strings.Fields(r)
			if len(fields) < serialField+1 || fields[3] != "SOA" {
				continue
			}
			fields[serialField] = "SERIAL"
			section[i] = strings.Join(fields, " ")
			e.Notes = append(e.Notes, "the zone's serial of then is not kept")
		}
	}
}

// serialField is the index of the serial in the text of an SOA record: owner, TTL, class, type, two names, the serial.
const serialField = 6

// readClient reads an address, or the address of a prefix such as "198.51.100.0/24".
func readClient(s string) (netip.Addr, error) {
	address, err := netip.ParseAddr(s)
	if err != nil {
		p, perr := netip.ParsePrefix(s)
		if perr != nil {
			return netip.Addr{}, &BadQuestion{Message: fmt.Sprintf("client: %q is not an IP address; write one "+
				"such as 198.51.100.7 or 2001:db8::7", s)}
		}
		address = p.Addr()
	}
	return address.Unmap().WithZone(""), nil
}

// query makes the question as a message.
func query(name rr.Name, t rr.Type) []byte {
	m := make([]byte, wire.HeaderSize, wire.HeaderSize+len(name)+4)
	m[5] = 1
	m = append(m, name...)
	m = binary.BigEndian.AppendUint16(m, uint16(t))
	return binary.BigEndian.AppendUint16(m, wire.ClassIN)
}

// walk puts into words how the server came to its response.
type walk struct {
	out   *Explanation
	qtype rr.Type
}

func (w *walk) say(format string, args ...any) {
	w.out.Text = append(w.out.Text, fmt.Sprintf(format, args...))
}

func (w *walk) step(s *step, first bool) {
	a, qname := &s.found, rr.Name(s.name)
	if a.Outcome != snapshot.Refused {
		w.out.Zone = rr.Name(qname[a.Zone:]).String()
		w.elsewhere(a)
	}
	switch a.Outcome {
	case snapshot.Refused:
		if first {
			w.end("refused", "%s is in no zone of this server: REFUSED", qname)
		} else {
			w.say("%s is in no zone of this server: the resolver goes on from there", qname)
		}
	case snapshot.Positive:
		w.end("positive", "%s %s is a static record of zone %s", qname, w.qtype, w.out.Zone)
	case snapshot.Alias:
		w.end("alias", "%s is a CNAME, for %s", qname, rr.Name(a.Target))
	case snapshot.Referral:
		w.end("referral", "%s is below a delegation of zone %s: a referral to its nameservers", qname, w.out.Zone)
	case snapshot.NoData:
		w.end("nodata", "%s exists in zone %s but has no %s: NODATA", qname, w.out.Zone, w.qtype)
		if n := len(s.decisions); n > 0 && s.decisions[n-1].Says == steer.SaysNXDomain {
			w.out.Text = append(w.out.Text, s.decisions[n-1].Text...)
			w.end("nxdomain", "to this client, nothing exists there: NXDOMAIN")
		}
	case snapshot.NameError:
		w.end("nxdomain", "%s does not exist in zone %s: NXDOMAIN", qname, w.out.Zone)
	case snapshot.TooLong:
		w.end("yxdomain", "%s is below the DNAME at %s, which makes a name of more than 255 octets of it: YXDOMAIN",
			qname, rr.Name(qname[a.Answer.Owner:]))
	case snapshot.Redirect:
		w.end("dname", "%s is below the DNAME at %s, which makes %s of it", qname, rr.Name(qname[a.Answer.Owner:]),
			rr.Name(a.Target))
	case snapshot.Steered:
		w.steered(s)
	case snapshot.Unready:
		w.end("not ready", "%s is in zone %s, of which nothing has been transferred yet: SERVFAIL", qname, w.out.Zone)
	case snapshot.Outdated:
		w.end("expired", "only the primary can answer for %s in zone %s, and the zone has expired: SERVFAIL", qname,
			w.out.Zone)
	case snapshot.Missed:
		w.end("unreadable", "the configuration of %s in zone %s cannot be read, and never could: SERVFAIL", qname,
			w.out.Zone)
	case snapshot.Unusable:
		w.end("unusable", "%s is in zone %s, which cannot be used as it is configured: SERVFAIL", qname,
			w.out.Zone)
	}
	switch s.ending {
	case loop:
		w.say("that name was there before: a loop, and the answer ends here")
	case tooMany:
		w.say("the chain of aliases is longer than %d: the answer ends here", maxChain)
	}
}

// elsewhere says that the zone lives on another primary.
func (w *walk) elsewhere(a *snapshot.Answer) {
	switch v, elsewhere := a.Elsewhere(); {
	case !elsewhere:
	case v == nil:
		w.say("zone %s lives on another primary", w.out.Zone)
	case a.Expired():
		w.say("zone %s lives on another primary, which had serial %d and has not been heard from for longer than its "+
			"SOA allows: what was transferred is not answered any more", w.out.Zone, v.Serial())
	default:
		w.say("zone %s lives on another primary, which has serial %d; policies and records of this server are laid "+
			"over it", w.out.Zone, v.Serial())
	}
}

func (w *walk) end(outcome, format string, args ...any) {
	w.out.Outcome = outcome
	w.say(format, args...)
}

func (w *walk) steered(s *step) {
	for i := range s.decisions {
		x := &s.decisions[i]
		if i > 0 && x.Type == "CNAME" {
			w.say("a CNAME leads there until they are resolved:")
		}
		w.out.Text = append(w.out.Text, x.Text...)
		w.out.Scope = max(w.out.Scope, int(x.Scope))
	}
	x := &s.decisions[len(s.decisions)-1]
	w.out.Outcome, w.out.Policy, w.out.Explanation = "steered", s.found.Policy.Name, x
	switch {
	case x.Says != steer.SaysAddresses:
		w.end(strings.ToLower(x.Says.String()), "%s", x.Says)
	case x.Unresolved:
		w.end("unresolved", "SERVFAIL until they are")
	case x.Target != "" || len(x.Addresses) > 0:
	case s.found.Expired():
		w.end("expired", "only the primary can say that there is no %s, and the zone has expired: SERVFAIL",
			w.qtype)
	default:
		w.out.Outcome = "nodata"
	}
}

// response writes out what was answered.
func (w *walk) response(msg []byte) {
	if len(msg) < wire.HeaderSize {
		return
	}
	rcode := uint16(msg[3] & 15)
	w.out.Rcode = wire.RcodeName(rcode)
	at := wire.SkipName(msg, wire.HeaderSize) + 4 // one question, as it was asked
	for section, to := range []*[]string{&w.out.Answer, &w.out.Authority} {
		for range binary.BigEndian.Uint16(msg[6+2*section:]) {
			r, next, err := rr.ReadRecord(msg, at)
			if err != nil {
				w.say("the response cannot be read: %v", err)
				return
			}
			at = next
			text, err := rr.FormatData(r.Type, r.Data)
			if err != nil {
				text = fmt.Sprintf("(%v)", err)
			}
			if len(w.out.Answer)+len(w.out.Authority) == 0 || r.TTL < w.out.TTL {
				w.out.TTL = r.TTL
			}
			*to = append(*to, fmt.Sprintf("%s %d IN %s %s", absolute(r.Owner), r.TTL, r.Type, text))
		}
	}
}

// absolute returns a name with its final dot.
func absolute(n rr.Name) string { return strings.TrimSuffix(n.String(), ".") + "." }
