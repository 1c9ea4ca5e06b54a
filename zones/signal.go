package zones

// A parent that has no DS of a zone yet cannot tell whose CDS it sees. Whoever serves the zone vouches for it by
// publishing the same CDS and CDNSKEY in zones of its own that are signed already: those of the name servers (RFC
// 9615).

// Signals returns the domains below which a zone's CDS and CDNSKEY are published too: one of each name server that is
// not in the zone itself (RFC 9615 section 4.1). They are written as origins are, and may be too long for a name. A
// zone that is not signed, or whose keys and name servers another primary may change, has none.
func (z *Zone) Signals() (domains []string) {
	if !z.Signed() || z.Secondary() {
		return nil
	}
	for _, ns := range z.Nameservers {
		if !Under(ns, z.Origin) {
			domains = append(domains, "_signal."+ns)
		}
	}
	return domains
}

// Vouches reports whether a zone can have the CDS and CDNSKEY of others: it is signed, and all of it is made here.
func (z *Zone) Vouches() bool { return z.Signed() && !z.Secondary() && !z.Lists() }
