package geo

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

func TestCountries(t *testing.T) {
	known := 0
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			if code := string([]rune{a, b}); KnownCountry(code) {
				known++
				if !KnownContinent(continentOf(code)) {
					t.Errorf("%s is on %q", code, continentOf(code))
				}
				if _, _, ok := pointOf(code); !ok && code != "BV" && code != "HM" {
					// where nobody lives, tzdata has no zone
					t.Errorf("%s has no point", code)
				}
			}
		}
	}
	if known != 249+1 {
		t.Errorf("%d countries, want ISO's 249 and XK", known)
	}
	for _, code := range []string{"", "D", "de", "DEU", "ZZ", "EU", "UK"} {
		if KnownCountry(code) {
			t.Errorf("%q is a known country", code)
		}
	}
	for _, code := range []string{"", "eu", "XX", "US"} {
		if KnownContinent(code) {
			t.Errorf("%q is a known continent", code)
		}
	}
}

// TestCountriesAreTheSystems compares with tzdata's list of ISO codes if that is installed.
func TestCountriesAreTheSystems(t *testing.T) {
	f, err := os.Open("/usr/share/zoneinfo/iso3166.tab")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if code, _, ok := strings.Cut(lines.Text(), "\t"); ok && !strings.HasPrefix(code, "#") && !KnownCountry(code) {
			t.Errorf("%s is not known", lines.Text())
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}
