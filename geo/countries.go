package geo

// KnownContinent reports whether the code is one of the seven that databases use: AF, AN, AS, EU, NA, OC, SA.
func KnownContinent(code string) bool {
	switch code {
	case "AF", "AN", "AS", "EU", "NA", "OC", "SA":
		return true
	}
	return false
}

// KnownCountry reports whether the code is one of ISO 3166-1 (alpha-2, capitals), or XK, which databases use for
// Kosovo.
func KnownCountry(code string) bool { return continentOf(code) != "" }

// continentOf returns a country's continent, as GeoNames and the databases that follow it count: Cyprus and all of
// Russia in Europe, Turkey and the Caucasus in Asia. It returns "" for an unknown country.
func continentOf(country string) string {
	switch country {
	case "AO", "BF", "BI", "BJ", "BW", "CD", "CF", "CG", "CI", "CM", "CV", "DJ", "DZ", "EG", "EH", "ER", "ET", "GA",
		"GH", "GM", "GN", "GQ", "GW", "KE", "KM", "LR", "LS", "LY", "MA", "MG", "ML", "MR", "MU", "MW", "MZ", "NA",
		"NE", "NG", "RE", "RW", "SC", "SD", "SH", "SL", "SN", "SO", "SS", "ST", "SZ", "TD", "TG", "TN", "TZ", "UG",
		"YT", "ZA", "ZM", "ZW":
		return "AF"
	case "AQ", "BV", "GS", "HM", "TF":
		return "AN"
	case "AE", "AF", "AM", "AZ", "BD", "BH", "BN", "BT", "CC", "CN", "GE", "HK", "ID", "IL", "IN", "IO", "IQ",
		"IR", "JO", "JP", "KG", "KH", "KP", "KR", "KW", "KZ", "LA", "LB", "LK", "MM", "MN", "MO", "MV", "MY", "NP",
		"OM", "PH", "PK", "PS", "QA", "SA", "SG", "SY", "TH", "TJ", "TM", "TR", "TW", "UZ", "VN", "YE":
		return "AS"
	case "AD", "AL", "AT", "AX", "BA", "BE", "BG", "BY", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FO", "FR",
		"GB", "GG", "GI", "GR", "HR", "HU", "IE", "IM", "IS", "IT", "JE", "LI", "LT", "LU", "LV", "MC", "MD", "ME",
		"MK", "MT", "NL", "NO", "PL", "PT", "RO", "RS", "RU", "SE", "SI", "SJ", "SK", "SM", "UA", "VA", "XK":
		return "EU"
	case "AG", "AI", "AW", "BB", "BL", "BM", "BQ", "BS", "BZ", "CA", "CR", "CU", "CW", "DM", "DO", "GD", "GL", "GP",
		"GT", "HN", "HT", "JM", "KN", "KY", "LC", "MF", "MQ", "MS", "MX", "NI", "PA", "PM", "PR", "SV", "SX", "TC",
		"TT", "US", "VC", "VG", "VI":
		return "NA"
	case "AS", "AU", "CK", "CX", "FJ", "FM", "GU", "KI", "MH", "MP", "NC", "NF", "NR", "NU", "NZ", "PF", "PG", "PN",
		"PW",
		"SB", "TK", "TL", "TO", "TV", "UM", "VU", "WF", "WS":
		return "OC"
	case "AR", "BO", "BR", "CL", "CO", "EC", "FK", "GF", "GY", "PE", "PY", "SR", "UY", "VE":
		return "SA"
	}
	return ""
}

// CountryNumbers bounds the numbers of countries: 0 is an address whose country is not known.
const CountryNumbers = 1 + 26*26

// CountryNumber returns a number for a country's code, such as "ES", which is the same in all tables; 0 if it is none.
func CountryNumber(code string) uint16 {
	if len(code) != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' {
		return 0
	}
	return 1 + uint16(code[0]-'A')*26 + uint16(code[1]-'A')
}

// CountryCode returns the code that has the number; "" for 0.
func CountryCode(number uint16) string {
	if number == 0 || number >= CountryNumbers {
		return ""
	}
	number--
	return string([]byte{'A' + byte(number/26), 'A' + byte(number%26)})
}

// Countries cuts the addresses by the countries of their locations, by number. It returns nil if that would take more
// than most octets.
func (t *Table) Countries(most int) *Areas {
	numbers := make([]uint16, len(t.locations))
	for i := range t.locations {
		numbers[i] = CountryNumber(t.locations[i].Country)
	}
	return t.ByPlace(numbers, most)
}
