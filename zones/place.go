package zones

import (
	"fmt"
	"strings"
)

// continents are the codes of the location databases.
const continents = "AF AN AS EU NA OC SA"

// countries are the officially assigned codes of ISO 3166-1 alpha-2, and XK, which location databases have for Kosovo.
const countries = "" +
	"AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT " +
	"BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH " +
	"ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT " +
	"HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS " +
	"LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI " +
	"NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG " +
	"SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG " +
	"UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"

// codeIn reports whether a two-letter code is in a list of them.
func codeIn(list, code string) bool {
	for ; len(list) >= 2; list = list[min(3, len(list)):] {
		if list[:2] == code {
			return true
		}
	}
	return false
}

func checkContinent(s string) error {
	upper := strings.ToUpper(s)
	switch {
	case len(s) == 2 && codeIn(continents, s):
		return nil
	case len(s) == 2 && codeIn(continents, upper):
		return fmt.Errorf("%q: codes are written in capitals; write %s", s, upper)
	}
	return fmt.Errorf("%q is not a continent; they are %s", s, strings.ReplaceAll(continents, " ", ", "))
}

func checkCountry(s string) error {
	upper := strings.ToUpper(s)
	switch {
	case knownCountry(s):
		return nil
	case knownCountry(upper):
		return fmt.Errorf("%q: codes are written in capitals; write %s", s, upper)
	case upper == "UK":
		return fmt.Errorf("%q: the code of the United Kingdom is GB; write GB", s)
	case upper == "EU":
		return fmt.Errorf("%q is a continent, not a country; write continents: [EU]", s)
	}
	return fmt.Errorf("%q is not a country; write its two letters of ISO 3166-1, such as DE", s)
}

// knownCountry reports whether a code is a country's, or one that ISO 3166-1 leaves to its users. An operator's own
// location database may have the latter.
func knownCountry(s string) bool {
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return false
	}
	return codeIn(countries, s) || s == "AA" || s == "ZZ" || s[0] == 'X' || s[0] == 'Q' && s[1] >= 'M'
}

func checkSubdivision(s string) error {
	country, part, ok := strings.Cut(s, "-")
	good := ok && part != "" && len(part) <= 3
	for _, c := range []byte(part) {
		good = good && ('A' <= c && c <= 'Z' || '0' <= c && c <= '9')
	}
	switch {
	case good && knownCountry(country):
		return nil
	case s != strings.ToUpper(s) && checkSubdivision(strings.ToUpper(s)) == nil:
		return fmt.Errorf("%q: codes are written in capitals; write %s", s, strings.ToUpper(s))
	case good:
		return fmt.Errorf("%q: %w", s, checkCountry(country))
	}
	return fmt.Errorf("%q is not a subdivision; write it as ISO 3166-2 has it, such as US-CA", s)
}
