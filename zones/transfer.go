package zones

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"leeward/zones/rr"
)

// Transfer is who may take a zone away whole (RFC 5936, RFC 1995), who is told when it changes (RFC 1996), and where it
// comes from if it lives elsewhere.
type Transfer struct {
	// Who may transfer the zone: an address or prefix, "key NAME", or both in one text, which then must both hold.
	// Nobody may if it is left out.
	Allow []string `json:"allow,omitempty" range:"at most 100" example:"[192.0.2.0/24, key xfer]"`

	// The servers that are told of each new serial: "ADDRESS" or "ADDRESS:PORT", with " key NAME" after it to sign the
	// message. Several keys are tried in their order, so that one can be rolled.
	Notify []string `json:"notify,omitempty" range:"at most 100" example:"[192.0.2.53 key xfer]"`

	// The addresses that notifications are sent from. Each server takes the one that it has. Without one of the
	// family, it sends from the address that it listens on.
	NotifySource []string `json:"notifySource,omitempty" range:"at most 100" example:"[192.0.2.1]"`

	// The servers that the zone is transferred from, in the order in which they are asked, written as in notify. The
	// zone lives there: its SOA, NS and records are theirs. Policies and records are laid over them.
	Primaries []string `json:"primaries,omitempty" range:"at most 100" example:"[192.0.2.1 key xfer]"`

	// The addresses that primaries are asked from; chosen as for notifySource.
	TransferSource []string `json:"transferSource,omitempty" range:"at most 100" example:"[192.0.2.53]"`

	// Who may say that the zone has changed, beside the primaries, written as in allow.
	AllowNotify []string `json:"allowNotify,omitempty" range:"at most 100" example:"[192.0.2.0/24]"`

	// Any new text has the zone transferred whole, once, whatever its serial.
	Retransfer string `json:"retransfer,omitempty" range:"at most 64 octets" example:"2026-11-28"`

	// Says that the zone, which comes from primaries, is a catalog zone (RFC 9432): its members are zones that live
	// there too.
	Catalog bool `json:"catalog,omitempty" default:"false" example:"true"`

	// Makes the zone a catalog zone of Leeward's own zones (RFC 9432): "*" for every zone, or an origin, with " group
	// NAME" after it for its group. If both name a zone, the origin counts.
	Members []string `json:"members,omitempty" range:"at most 10000" example:"[\"*\"]"`

	// For a zone that is here because a catalog zone lists it: "CATALOG LABEL". The server writes it, into its copy on
	// disk too. Leave it out.
	Member string `json:"member,omitempty" example:"catalog.test label"`
}

// Catalog reports whether the zone is a catalog zone (RFC 9432).
func (z *Zone) Catalog() bool { return z.Secondary() && z.Transfer.Catalog }

// MemberOf returns the catalog zone that lists the zone, and the label under which it does. Both are "" if the zone is
// configured by itself.
func (z *Zone) MemberOf() (catalog, label string) {
	if z.Transfer == nil {
		return "", ""
	}
	catalog, label, _ = strings.Cut(z.Transfer.Member, " ")
	return catalog, label
}

// NewMember returns a member of a catalog zone. It lives where the catalog does, and has all of the catalog's Transfer.
// A new label has the zone transferred whole (RFC 9432 section 5.4).
func (z *Zone) NewMember(name rr.Name, label string) (*Zone, error) {
	r, err := Named(KindZone, NameText(name))
	if err != nil {
		return nil, err
	}
	t := *z.Transfer
	t.Catalog, t.Members, t.Member, t.Retransfer = false, nil, z.Origin+" "+label, label
	if len(label) > mostRetransfer { // it has escapes
		t.Retransfer = fmt.Sprintf("%x", sha256.Sum256([]byte(label)))
	}
	m := r.(*Zone)
	m.Transfer = &t
	return m, nil
}

// Peer is what one text of a Transfer says.
type Peer struct {
	Prefix  netip.Prefix   // of Allow; not valid: any address
	Address netip.AddrPort // of Notify and Primaries
	Key     string         // name of the TSIG key, lower case; "": none
	Others  []string       // keys that are tried after it, of Notify and Primaries
}

// Each returns the peer once for each of its keys, in their order.
func (p Peer) Each() []Peer {
	all := []Peer{{Prefix: p.Prefix, Address: p.Address, Key: p.Key}}
	for _, key := range p.Others {
		all = append(all, Peer{Prefix: p.Prefix, Address: p.Address, Key: key})
	}
	return all
}

// Has reports whether the key is one of the peer's.
func (p Peer) Has(key string) bool {
	return key != "" && (p.Key == key || slices.Contains(p.Others, key))
}

// Equal reports whether two peers are the same.
func (p Peer) Equal(q Peer) bool { return p.String() == q.String() }

func (p Peer) String() string {
	s := ""
	switch {
	case p.Address.IsValid():
		s = p.Address.String()
	case p.Prefix.IsValid():
		s = p.Prefix.String()
	}
	if p.Key != "" {
		s = strings.TrimSpace(s + " key " + strings.Join(append([]string{p.Key}, p.Others...), " key "))
	}
	return s
}

// mostKeys is how many keys a peer may have.
const mostKeys = 4

// splitKeys takes one or more " key NAME" off the end.
func splitKeys(text string) (rest string, keys []string, err error) {
	words := strings.Fields(text)
	at := slices.Index(words, "key")
	if at < 0 {
		return strings.Join(words, " "), nil, nil
	}
	for pair := range slices.Chunk(words[at:], 2) {
		if pair[0] != "key" || len(pair) < 2 {
			return "", nil, fmt.Errorf("%q: \"key\" is followed by the name of one key", text)
		}
		name, err := ParseName(strings.ToLower(rr.TrimDot(pair[1])))
		switch {
		case err != nil:
			return "", nil, fmt.Errorf("%q: %w", text, err)
		case slices.Contains(keys, name.String()):
			return "", nil, fmt.Errorf("%q: key %s is there twice; take one out", text, name)
		case len(keys) == mostKeys:
			return "", nil, fmt.Errorf("%q: a server has at most %d keys", text, mostKeys)
		}
		keys = append(keys, name.String())
	}
	return strings.Join(words[:at], " "), keys, nil
}

// ParseAllow reads one text of Transfer.Allow.
func ParseAllow(text string) (p Peer, err error) {
	rest, keys, err := splitKeys(text)
	if len(keys) > 0 {
		p.Key = keys[0]
	}
	switch {
	case err != nil:
		return p, err
	case len(keys) > 1:
		return p, fmt.Errorf("%q: give each key a text of its own", text)
	case rest == "" && p.Key == "":
		return p, fmt.Errorf("%q is neither an address, a prefix nor a key; write 192.0.2.0/24, or key xfer", text)
	case rest == "":
		return p, nil
	}
	if a, err := netip.ParseAddr(rest); err == nil && a.Zone() == "" {
		a = a.Unmap()
		p.Prefix = netip.PrefixFrom(a, a.BitLen())
		return p, nil
	}
	p.Prefix, err = ParsePrefix(rest)
	if err != nil && strings.Contains(rest, "/") {
		return p, err
	}
	if err != nil {
		return p, fmt.Errorf("%q is neither an address, a prefix nor a key; write 192.0.2.0/24, key xfer, or "+
			"192.0.2.0/24 key xfer", text)
	}
	return p, nil
}

// ParseServer reads one text of Transfer.Notify or Transfer.Primaries.
func ParseServer(text string) (p Peer, err error) {
	rest, keys, err := splitKeys(text)
	if err != nil {
		return p, err
	}
	if len(keys) > 0 {
		p.Key = keys[0]
	}
	if len(keys) > 1 {
		p.Others = keys[1:]
	}
	if a, err := netip.ParseAddr(strings.Trim(rest, "[]")); err == nil {
		p.Address = netip.AddrPortFrom(a.Unmap(), 53)
	} else if a, err := netip.ParseAddrPort(rest); err == nil && a.Port() != 0 {
		p.Address = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	} else {
		return p, fmt.Errorf("%q is not the address of a server; write 192.0.2.53, 192.0.2.53:5353 or "+
			"[2001:db8::53]:5353, with key NAME after it if it has one", text)
	}
	if a := p.Address.Addr(); a.IsUnspecified() || a.IsMulticast() {
		return p, fmt.Errorf("%q is nobody's address", text)
	}
	return p, nil
}

// Holds reports whether Allow lets somebody in, from that address and with that key; "" is no key.
func (t *Transfer) Holds(from netip.Addr, key string) bool {
	return t != nil && holds(t.Allow, from, key)
}

// MayNotify is Holds for AllowNotify.
func (t *Transfer) MayNotify(from netip.Addr, key string) bool {
	return t != nil && holds(t.AllowNotify, from, key)
}

func holds(list []string, from netip.Addr, key string) bool {
	for _, text := range list {
		if p, err := ParseAllow(text); err == nil && p.Holds(from, key) {
			return true
		}
	}
	return false
}

// Holds reports whether a text of Allow lets somebody in, from that address and with that key; "" is no key.
func (p Peer) Holds(from netip.Addr, key string) bool {
	return (!p.Prefix.IsValid() || p.Prefix.Contains(from)) && (p.Key == "" || p.Key == key)
}

// servers reads a list. It leaves out what cannot be read; validation refuses that.
func servers(list []string) (all []Peer) {
	for _, text := range list {
		if p, err := ParseServer(text); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// NotifyServers returns the servers in Notify.
func (t *Transfer) NotifyServers() []Peer {
	if t == nil {
		return nil
	}
	return servers(t.Notify)
}

// PrimaryServers returns the servers in Primaries.
func (t *Transfer) PrimaryServers() []Peer {
	if t == nil {
		return nil
	}
	return servers(t.Primaries)
}

// parseSender reads one text of Transfer.NotifySource or Transfer.TransferSource.
func parseSender(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return a, fmt.Errorf("%q is not the address of a server; write 192.0.2.53 or 2001:db8::53, without a port",
			text)
	}
	return a.Unmap(), nil
}

// sources reads a list in the same way as servers.
func sources(list []string) (all []netip.Addr) {
	for _, text := range list {
		if a, err := parseSender(text); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// NotifySources returns the addresses in NotifySource.
func (t *Transfer) NotifySources() []netip.Addr {
	if t == nil {
		return nil
	}
	return sources(t.NotifySource)
}

// TransferSources returns the addresses in TransferSource.
func (t *Transfer) TransferSources() []netip.Addr {
	if t == nil {
		return nil
	}
	return sources(t.TransferSource)
}

// Secondary reports whether the zone lives on another primary.
func (z *Zone) Secondary() bool { return z.Transfer != nil && len(z.Transfer.Primaries) > 0 }

// mostPeers is how many texts a list of a Transfer may have.
const mostPeers = 100

// mostRetransfer is how long Transfer.Retransfer may be, in octets.
const mostRetransfer = 64

// peers checks a list of texts that parse can read.
func (f *faults) peers(field string, texts []string, parse func(string) (Peer, error)) {
	if len(texts) > mostPeers {
		f.add(field, "%d are more than %d", len(texts), mostPeers)
		return
	}
	seen := map[string]bool{}
	for i, text := range texts {
		p, err := parse(text)
		if err != nil {
			f.add(Item(field, i), "%v", err)
			continue
		}
		if seen[p.String()] {
			f.add(Item(field, i), "%s is there twice; take one out", text)
		}
		seen[p.String()] = true
	}
}

func (f *faults) transfer(z *Zone) {
	t := z.Transfer
	if t == nil {
		return
	}
	check := func(list string, texts []string, parse func(string) (Peer, error)) {
		f.peers("transfer."+list, texts, parse)
	}
	check("allow", t.Allow, ParseAllow)
	check("notify", t.Notify, ParseServer)
	check("primaries", t.Primaries, ParseServer)
	check("allowNotify", t.AllowNotify, ParseAllow)
	source := func(text string) (p Peer, err error) {
		a, err := parseSender(text)
		if err == nil {
			p.Prefix = netip.PrefixFrom(a, a.BitLen())
		}
		return p, err
	}
	check("notifySource", t.NotifySource, source)
	check("transferSource", t.TransferSource, source)
	if len(t.NotifySource) > 0 && len(t.Notify) == 0 {
		f.add("transfer.notifySource", "it does nothing without transfer.notify; give that, or take it out")
	}
	if len(t.Retransfer) > mostRetransfer {
		f.add("transfer.retransfer", "more than %d octets; a time or a number is enough", mostRetransfer)
	}
	if catalog, label := z.MemberOf(); t.Member != "" && (catalog == "" || label == "" || t.Catalog) {
		f.add("transfer.member", "%q is not written by a server for a member of a catalog zone; take it out", t.Member)
	}
	f.members(z)
	if z.Secondary() {
		f.secondary(z)
		return
	}
	for _, x := range []struct {
		field string
		set   bool
	}{
		{"transferSource", len(t.TransferSource) > 0},
		{"allowNotify", len(t.AllowNotify) > 0},
		{"retransfer", t.Retransfer != ""},
		{"catalog", t.Catalog},
		{"member", t.Member != ""},
	} {
		if x.set {
			f.add("transfer."+x.field,
				"it is about zones that live elsewhere, and there are no transfer.primaries; give some, or take it out")
		}
	}
}

// secondary refuses settings that a zone that lives on another primary takes from there.
func (f *faults) secondary(z *Zone) {
	for _, x := range []struct {
		field string
		set   bool
	}{
		{"nameservers", len(z.Nameservers) > 0},
		{"hostmaster", z.Hostmaster != ""},
		{"primary", z.Primary != ""},
		{"soaTTL", !z.SOATTL.IsZero()},
		{"negativeTTL", !z.NegativeTTL.IsZero()},
		{"refresh", !z.Refresh.IsZero()},
		{"retry", !z.Retry.IsZero()},
		{"expire", !z.Expire.IsZero()},
	} {
		if x.set {
			f.add(x.field, "the zone lives on transfer.primaries, and its SOA and NS come from there; take %s out",
				x.field)
		}
	}
	if len(z.Transfer.Members) > 0 {
		f.add("transfer.members",
			"the zone lives on transfer.primaries, and its records come from there; take one of the two out")
	}
	if len(z.Update) > 0 {
		f.add("update", "the zone lives on transfer.primaries: it is updated there; take update out")
	}
}
