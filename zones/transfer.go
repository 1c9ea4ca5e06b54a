package zones

import (
	"fmt"
	"net/netip"
	"strings"

	"leeward/zones/rr"
)

// Transfer is who may take a zone away whole (RFC 5936, RFC 1995), who is told when it changes (RFC 1996), and where it comes from
// if it lives elsewhere.
type Transfer struct {
	// Allow are those who may transfer the zone: an address or prefix, "key NAME", or both in one text, which then must both hold.
	// Nobody if empty.
	Allow []string `json:"allow,omitempty"`

	// Notify are the servers told of each new serial: "ADDRESS" or "ADDRESS:PORT", with " key NAME" behind it to have it signed.
	Notify []string `json:"notify,omitempty"`

	// Primaries are the servers that the zone is transferred from, in the order in which they are asked, written as those of Notify
	// are: the zone lives there. Its SOA, its NS and its records are theirs; Policies and Records are laid over them.
	Primaries []string `json:"primaries,omitempty"`
}

// Peer is one text of a Transfer, read.
type Peer struct {
	Prefix  netip.Prefix   // of Allow; not valid: any address
	Address netip.AddrPort // of Notify and Primaries
	Key     string         // name of the TSIG key, lower case; "": none
}

func (p Peer) String() string {
	s := ""
	switch {
	case p.Address.IsValid():
		s = p.Address.String()
	case p.Prefix.IsValid():
		s = p.Prefix.String()
	}
	if p.Key != "" {
		s = strings.TrimSpace(s + " key " + p.Key)
	}
	return s
}

// splitKey takes " key NAME" off the end.
func splitKey(text string) (rest, key string, err error) {
	words := strings.Fields(text)
	for i, w := range words {
		if w != "key" {
			continue
		}
		if len(words) != i+2 {
			return "", "", fmt.Errorf("%q: after \"key\" stands the name of one key", text)
		}
		name, err := domainName(strings.ToLower(rr.TrimDot(words[i+1])))
		if err != nil {
			return "", "", fmt.Errorf("%q: %w", text, err)
		}
		return strings.Join(words[:i], " "), name.String(), nil
	}
	return strings.Join(words, " "), "", nil
}

// ParseAllow reads one text of Transfer.Allow.
func ParseAllow(text string) (p Peer, err error) {
	rest, key, err := splitKey(text)
	p.Key = key
	switch {
	case err != nil:
		return p, err
	case rest == "" && key == "":
		return p, fmt.Errorf("%q is neither an address, a prefix nor a key; write 192.0.2.0/24, or key xfer", text)
	case rest == "":
		return p, nil
	}
	if a, err := netip.ParseAddr(rest); err == nil && a.Zone() == "" {
		a = a.Unmap()
		p.Prefix = netip.PrefixFrom(a, a.BitLen())
		return p, nil
	}
	p.Prefix, err = parsePrefix(rest)
	if err != nil && strings.Contains(rest, "/") {
		return p, err
	}
	if err != nil {
		return p, fmt.Errorf("%q is neither an address, a prefix nor a key; write 192.0.2.0/24, key xfer, or 192.0.2.0/24 key xfer", text)
	}
	return p, nil
}

// ParseServer reads one text of Transfer.Notify or Transfer.Primaries.
func ParseServer(text string) (p Peer, err error) {
	rest, key, err := splitKey(text)
	if err != nil {
		return p, err
	}
	p.Key = key
	if a, err := netip.ParseAddr(strings.Trim(rest, "[]")); err == nil {
		p.Address = netip.AddrPortFrom(a.Unmap(), 53)
	} else if a, err := netip.ParseAddrPort(rest); err == nil && a.Port() != 0 {
		p.Address = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	} else {
		return p, fmt.Errorf("%q is not the address of a server; write 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353, with key NAME behind it where one is wanted", text)
	}
	if a := p.Address.Addr(); a.IsUnspecified() || a.IsMulticast() {
		return p, fmt.Errorf("%q is nobody's address", text)
	}
	return p, nil
}

// Holds reports whether one of Allow lets somebody in: from that address, with that key; "" is none.
func (t *Transfer) Holds(from netip.Addr, key string) bool {
	if t == nil {
		return false
	}
	for _, text := range t.Allow {
		p, err := ParseAllow(text)
		if err == nil && (!p.Prefix.IsValid() || p.Prefix.Contains(from)) && (p.Key == "" || p.Key == key) {
			return true
		}
	}
	return false
}

// servers reads a list, leaving out what cannot be read, which validation does not let pass.
func servers(list []string) (all []Peer) {
	for _, text := range list {
		if p, err := ParseServer(text); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// NotifyServers returns Notify, read.
func (t *Transfer) NotifyServers() []Peer {
	if t == nil {
		return nil
	}
	return servers(t.Notify)
}

// PrimaryServers returns Primaries, read.
func (t *Transfer) PrimaryServers() []Peer {
	if t == nil {
		return nil
	}
	return servers(t.Primaries)
}

// Secondary reports whether the zone lives on another primary.
func (z *Zone) Secondary() bool { return z.Transfer != nil && len(z.Transfer.Primaries) > 0 }

// mostPeers is how many texts a list of a Transfer may have.
const mostPeers = 100

func (f *faults) transfer(z *Zone) {
	t := z.Transfer
	if t == nil {
		return
	}
	check := func(list string, texts []string, parse func(string) (Peer, error)) {
		if len(texts) > mostPeers {
			f.add("transfer."+list, "%d are more than %d", len(texts), mostPeers)
			return
		}
		seen := map[string]bool{}
		for i, text := range texts {
			p, err := parse(text)
			if err != nil {
				f.add(item("transfer."+list, i), "%v", err)
				continue
			}
			if seen[p.String()] {
				f.add(item("transfer."+list, i), "%s is there twice; take one out", text)
			}
			seen[p.String()] = true
		}
	}
	check("allow", t.Allow, ParseAllow)
	check("notify", t.Notify, ParseServer)
	check("primaries", t.Primaries, ParseServer)
	if z.Secondary() {
		f.secondary(z)
	}
}

// secondary notes what a zone that lives on another primary has no say in.
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
		{"serialOffset", z.SerialOffset != 0},
	} {
		if x.set {
			f.add(x.field, "the zone lives on transfer.primaries, and its SOA and NS come from there; take %s out", x.field)
		}
	}
	if len(z.Update) > 0 {
		f.add("update", "the zone lives on transfer.primaries: it is updated there; take update out")
	}
}
