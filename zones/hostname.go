package zones

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// hostname checks that an endpoint has either addresses or a hostname, and the latter's spelling.
func (f *faults) hostname(e *Endpoint) {
	switch {
	case e.Hostname != "" && len(e.Addresses) > 0:
		f.add("hostname", "there are addresses too; an endpoint has one of the two, take one out or make it two "+
			"endpoints")
	case e.Hostname != "":
		if err := checkHostname(e.Hostname); err != nil {
			f.add("hostname", "%v", err)
		}
	case len(e.Addresses) == 0:
		f.add("addresses", "an endpoint has at least one address or a hostname; give one, or delete the endpoint")
	}
	if e.Flatten && e.Hostname == "" {
		f.add("flatten", "it says how a hostname is answered, and there is none; take it out")
	}
}

// checkHostname checks the name that an endpoint is given by: letters, digits, hyphens, and the underscores that clouds
// use (RFC 1123 section 2.1).
func checkHostname(s string) error {
	if _, err := netip.ParseAddr(s); err == nil {
		return fmt.Errorf("%s is an address; write addresses: [%s]", s, s)
	}
	if _, err := ParseName(s); err != nil {
		return err
	}
	if s == "." {
		return errors.New("the root is not the name of an endpoint")
	}
	for _, label := range strings.Split(s, ".") {
		for _, c := range []byte(label) {
			if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' {
				continue
			}
			return fmt.Errorf("%q is no hostname: it is made of a-z, 0-9, - and _", s)
		}
	}
	return nil
}
