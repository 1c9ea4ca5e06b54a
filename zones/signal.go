package zones

// A parent that has no DS of a zone yet cannot tell whose CDS it sees. Whoever serves the zone vouches for the CDS by
// publishing the same CDS and CDNSKEY in zones that are signed already: those of the name servers (RFC 9615).

// Signals returns the domains below which a zone's CDS and CDNSKEY are published too: one for each name server that is
// not in the zone itself (RFC 9615 section 4.1). They are spelled like origins, and may be too long for a name. A zone
// has none if it is not signed, or if another primary may change its keys and name servers: see SignalsOf.
func (z *Zone) Signals() (domains []string) {
	if !z.Signed() || z.Secondary() {
		return nil
	}
	return z.SignalsOf(z.Nameservers)
}

// SignalsOf is Signals for a zone that is signed and has these name servers.
func (z *Zone) SignalsOf(servers []string) (domains []string) {
	for _, ns := range servers {
		if !Under(ns, z.Origin) {
			domains = append(domains, "_signal."+ns)
		}
	}
	return domains
}

// Vouches reports whether a zone can have the CDS and CDNSKEY of others: it is signed, and all of it is made here.
func (z *Zone) Vouches() bool { return z.Signed() && !z.Secondary() && !z.Lists() }
