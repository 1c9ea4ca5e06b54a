package chain

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// anchor is that of the IANA: KSK-2017 and KSK-2024.
const anchor = `. DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
`

// hints are the addresses of the root's servers.
const hints = `198.41.0.4 170.247.170.2 192.33.4.12 199.7.91.13 192.203.230.10 192.5.5.241 192.112.36.4
198.97.190.53 192.36.148.17 192.58.128.30 193.0.14.129 199.7.83.42 202.12.27.33`

// Anchor reads DS records of the root, one a line; of an empty text it returns those of the IANA.
func Anchor(text string) (all []*dns.DS, err error) {
	if strings.TrimSpace(text) == "" {
		text = anchor
	}
	z := dns.NewZoneParser(strings.NewReader(text+"\n"), ".", "")
	z.SetDefaultTTL(0)
	for r, ok := z.Next(); ok; r, ok = z.Next() {
		ds, isDS := r.(*dns.DS)
		if !isDS || ds.Hdr.Name != "." {
			return nil, fmt.Errorf("%q is not a DS of the root: write \". DS 20326 8 2 DIGEST\"", r)
		}
		all = append(all, ds)
	}
	if err := z.Err(); err != nil {
		return nil, err
	}
	if len(usable(all)) == 0 {
		return nil, errors.New("there is no DS of an algorithm and digest that is known: " +
			"write \". DS 20326 8 2 DIGEST\"")
	}
	return usable(all), nil
}

// Roots reads addresses of the root's servers; without any, it returns those of the Internet. A port after an address
// is that of all servers of the tree.
func Roots(text []string) (all []netip.Addr, port uint16, err error) {
	if len(text) == 0 {
		text = strings.Fields(hints)
	}
	for i, s := range text {
		at := uint16(53)
		a, err := netip.ParseAddr(s)
		if p, e := netip.ParseAddrPort(s); e == nil {
			a, at, err = p.Addr(), p.Port(), nil
		}
		if err != nil {
			return nil, 0, fmt.Errorf("%s: write an address, or an address with a port", s)
		}
		if i > 0 && at != port {
			return nil, 0, fmt.Errorf("%s: all servers are asked at one port, and that of the first is %d", s, port)
		}
		all, port = append(all, a), at
	}
	return all, port, nil
}
