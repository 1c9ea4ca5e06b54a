package control

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"leeward/server"
	"leeward/server/admin"
	"leeward/zones/rr"
	"leeward/zones/snapshot"
	"leeward/zones/steer"
)

// maxAliases is how many CNAMEs one explanation follows.
const maxAliases = 8

// Explain says why a client gets an answer from a state, with the look-up and the evaluator that the server answers
// with. qtype is "A" if empty; client must be an address. What is wrong with them is an *admin.BadQuestion.
func Explain(state *server.State, name, qtype, client string) (*admin.Explanation, error) {
	if name == "" {
		return nil, &admin.BadQuestion{Message: "the name is missing: give the one that is asked for, such as name=www.example.test"}
	}
	qname, err := rr.ParseName(name)
	if err != nil {
		return nil, &admin.BadQuestion{Message: fmt.Sprintf("name: %v", err)}
	}
	if qtype == "" {
		qtype = "A"
	}
	t, err := rr.ParseType(strings.ToUpper(qtype))
	if err != nil {
		return nil, &admin.BadQuestion{Message: fmt.Sprintf("type: %v", err)}
	}
	if client == "" {
		return nil, &admin.BadQuestion{Message: "the client is missing: give the address that asks, or a resolver's subnet address, such as client=198.51.100.7"}
	}
	address, err := readClient(client)
	if err != nil {
		return nil, err
	}
	if state == nil || state.Snapshot == nil {
		return nil, fmt.Errorf("no snapshot yet: nothing is answered before the resources are read")
	}
	e := &admin.Explanation{
		Name: qname.String(), Type: t.String(), Client: address, Revision: state.Snapshot.Revision(),
		Answer: []string{}, Authority: []string{}, Text: []string{},
	}
	w := walk{state: state, out: e, client: address, qtype: t}
	w.follow(qname, 0)
	return e, nil
}

// readClient reads an address, or the address of a prefix such as "198.51.100.0/24".
func readClient(s string) (netip.Addr, error) {
	address, err := netip.ParseAddr(s)
	if err != nil {
		p, perr := netip.ParsePrefix(s)
		if perr != nil {
			return netip.Addr{}, &admin.BadQuestion{Message: fmt.Sprintf("client: %q is not an IP address; write one such as 198.51.100.7 or 2001:db8::7", s)}
		}
		address = p.Addr()
	}
	return address.Unmap().WithZone(""), nil
}

// walk follows one question through the snapshot.
type walk struct {
	state  *server.State
	out    *admin.Explanation
	client netip.Addr
	qtype  rr.Type
}

func (w *walk) say(format string, args ...any) {
	w.out.Text = append(w.out.Text, fmt.Sprintf(format, args...))
}

func (w *walk) follow(qname rr.Name, aliases int) {
	var a snapshot.Answer
	w.state.Snapshot.Lookup([]byte(qname), uint16(w.qtype), 1, &a)
	if a.Outcome != snapshot.Refused {
		w.out.Zone = rr.Name(qname[a.Zone:]).String()
		w.elsewhere(&a)
	}
	switch a.Outcome {
	case snapshot.Refused:
		w.end("refused", "%s is in no zone of this server: REFUSED", qname)
		if aliases > 0 {
			w.end("alias", "%s is in no zone of this server: the resolver goes on from there", qname)
		}
	case snapshot.Positive:
		w.end("positive", "%s %s is a static record of zone %s", qname, w.qtype, w.out.Zone)
		w.records(&w.out.Answer, qname, a.Answer, true)
	case snapshot.Alias:
		w.end("alias", "%s is a CNAME", qname)
		w.records(&w.out.Answer, qname, a.Answer, true)
		switch {
		case len(a.Target) == 0:
		case aliases == maxAliases:
			w.say("the chain of CNAMEs is longer than %d: the answer ends here", maxAliases)
		default:
			w.follow(rr.Name(a.Target), aliases+1)
		}
	case snapshot.Referral:
		w.end("referral", "%s is below a delegation of zone %s: a referral to its nameservers", qname, w.out.Zone)
		w.records(&w.out.Authority, qname, a.Authority, true)
	case snapshot.NoData:
		w.end("nodata", "%s exists in zone %s but has no %s: NODATA", qname, w.out.Zone, w.qtype)
		w.records(&w.out.Authority, qname, a.Negative(), true)
	case snapshot.NameError:
		w.end("nxdomain", "%s does not exist in zone %s: NXDOMAIN", qname, w.out.Zone)
		w.records(&w.out.Authority, qname, a.Negative(), true)
	case snapshot.Redirect, snapshot.TooLong:
		w.redirected(qname, &a, aliases)
	case snapshot.Steered:
		w.steered(qname, &a, aliases)
	case snapshot.Unready:
		w.end("not ready", "%s is in zone %s, of which nothing has been transferred yet: SERVFAIL", qname, w.out.Zone)
	case snapshot.Unusable:
		w.end("unusable", "%s is in zone %s, of which nothing that is configured can be used; status shows why: SERVFAIL", qname, w.out.Zone)
	case snapshot.Outdated:
		w.end("expired", "%s is in zone %s, which has expired, and is the primary's to answer: SERVFAIL", qname, w.out.Zone)
	}
}

// elsewhere says that the zone lives on another primary.
func (w *walk) elsewhere(a *snapshot.Answer) {
	switch v, elsewhere := a.Elsewhere(); {
	case !elsewhere:
	case v == nil:
		w.say("zone %s lives on another primary", w.out.Zone)
	case a.Expired():
		w.say("zone %s lives on another primary, which had serial %d and has not been heard of for longer than its SOA allows: of what it had, nothing is answered any more", w.out.Zone, v.Serial())
	default:
		w.say("zone %s lives on another primary, which has serial %d; policies and records of this server are laid over it", w.out.Zone, v.Serial())
	}
}

// redirected goes on below the target of a DNAME.
func (w *walk) redirected(qname rr.Name, a *snapshot.Answer, aliases int) {
	owner := rr.Name(qname[a.Answer.Owner:])
	w.records(&w.out.Answer, qname, a.Answer, true)
	if a.Outcome == snapshot.TooLong {
		w.end("yxdomain", "%s is below the DNAME at %s, and the name that this makes of it is longer than 255 octets: YXDOMAIN", qname, owner)
		return
	}
	target := rr.Name(a.Target)
	w.end("dname", "%s is below the DNAME at %s, which makes %s of it", qname, owner, target)
	w.out.Answer = append(w.out.Answer, fmt.Sprintf("%s. %d IN CNAME %s.", qname, binary.BigEndian.Uint32(a.Answer.Wire[6:]), target))
	switch {
	case w.qtype == rr.TypeCNAME || w.qtype == rr.TypeANY:
	case aliases == maxAliases:
		w.say("the chain of aliases is longer than %d: the answer ends here", maxAliases)
	default:
		w.onward(target, aliases+1)
	}
}

func (w *walk) end(outcome, format string, args ...any) {
	w.out.Outcome = outcome
	w.say(format, args...)
}

// shorten takes a record's TTL into account.
func (w *walk) shorten(ttl uint32) {
	if len(w.out.Answer) == 0 || ttl < w.out.TTL {
		w.out.TTL = ttl
	}
}

// onward goes on at a name that a policy leads to, if that is ours.
func (w *walk) onward(target rr.Name, aliases int) {
	var a snapshot.Answer
	if w.state.Snapshot.Lookup([]byte(target), uint16(w.qtype), 1, &a); a.Outcome == snapshot.Refused {
		w.say("%s is in no zone of this server: the resolver goes on from there", target)
		return
	}
	w.follow(target, aliases)
}

func (w *walk) steered(qname rr.Name, a *snapshot.Answer, aliases int) {
	x := a.Policy.Explain(w.state.View, &steer.Request{Client: w.client, Family: a.Family, Random: rand.Uint64(), Now: steer.Moment(time.Now())})
	if x.Unresolved && a.Alone {
		w.out.Text = append(w.out.Text, x.Text...)
		w.say("a CNAME leads there until they are resolved:")
		x = a.Policy.Explain(w.state.View, &steer.Request{Client: w.client, Family: steer.Name, Random: rand.Uint64()})
	}
	w.out.Outcome, w.out.Policy, w.out.Explanation = "steered", a.Policy.Name, &x
	w.out.Text = append(w.out.Text, x.Text...)
	w.out.Scope = max(w.out.Scope, int(x.Scope))
	switch {
	case x.Says != steer.SaysAddresses:
		w.end(strings.ToLower(x.Says.String()), "%s", x.Says)
		if x.Says == steer.SaysNoData || x.Says == steer.SaysNXDomain {
			w.records(&w.out.Authority, qname, a.Negative(), true)
		}
		return
	case x.Unresolved:
		w.end("unresolved", "SERVFAIL until they are")
		return
	case x.Target != "":
		w.shorten(x.TTL)
		w.out.Answer = append(w.out.Answer, fmt.Sprintf("%s. %d IN CNAME %s.", qname, x.TTL, x.Target))
		target, err := rr.ParseName(x.Target)
		if err == nil && w.qtype != rr.TypeCNAME && w.qtype != rr.TypeANY && aliases < maxAliases {
			w.onward(target, aliases+1)
		}
		return
	case len(x.Addresses) == 0 && a.Expired():
		w.end("expired", "that there is nothing of type %s is the primary's to say, and the zone has expired: SERVFAIL", w.qtype)
		return
	case len(x.Addresses) == 0:
		w.out.Outcome = "nodata"
		w.records(&w.out.Authority, qname, a.Negative(), true)
		return
	}
	w.shorten(x.TTL)
	for _, address := range x.Addresses {
		w.out.Answer = append(w.out.Answer, fmt.Sprintf("%s. %d IN %s %s", qname, x.TTL, w.qtype, address))
	}
}

// records spells a set's records. The owner is a suffix of the name that was looked up; a wildcard's is that name.
func (w *walk) records(to *[]string, qname rr.Name, set snapshot.Set, count bool) {
	owner := rr.Name(qname[set.Owner:]).String()
	for b := set.Wire; len(b) >= 12; {
		t, ttl := rr.Type(binary.BigEndian.Uint16(b[2:])), binary.BigEndian.Uint32(b[6:])
		size := 12 + int(binary.BigEndian.Uint16(b[10:]))
		if size > len(b) {
			return
		}
		text, err := rr.FormatData(t, b[12:size])
		if err != nil {
			text = fmt.Sprintf("(%v)", err)
		}
		if count && (w.out.TTL == 0 || ttl < w.out.TTL) {
			w.out.TTL = ttl
		}
		*to = append(*to, fmt.Sprintf("%s. %d IN %s %s", strings.TrimSuffix(owner, "."), ttl, t, text))
		b = b[size:]
	}
}
