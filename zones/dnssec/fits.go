package dnssec

import (
	"bytes"

	"leeward/zones/rr"
)

// Fits reports whether a parent's DS records are those that a zone's CDNSKEY records ask for: one or more of each key,
// and none of any other. If the zone asks to have its DS deleted (RFC 8078), no DS fits. All are RDATA. A parent
// chooses the digest type; of a type that is not known here, algorithm and tag tell the key.
func Fits(origin rr.Name, cdnskey, ds [][]byte) bool {
	if len(cdnskey) == 1 && len(cdnskey[0]) >= 4 && cdnskey[0][3] == 0 {
		return len(ds) == 0
	}
	has := make([]bool, len(cdnskey))
	for _, d := range ds {
		own := false
		for i, key := range cdnskey {
			if of(origin, key, d) {
				own, has[i] = true, true
			}
		}
		if !own {
			return false
		}
	}
	for _, one := range has {
		if !one {
			return false
		}
	}
	return len(cdnskey) > 0
}

// of reports whether a DS record is of a key.
func of(origin rr.Name, dnskey, ds []byte) bool {
	if len(ds) < 4 || len(dnskey) < 4 {
		return false
	}
	own, err := DS(origin, dnskey, ds[3])
	if err != nil {
		tag := Tag(dnskey)
		return ds[0] == byte(tag>>8) && ds[1] == byte(tag) && ds[2] == dnskey[3]
	}
	return bytes.Equal(own, ds)
}
