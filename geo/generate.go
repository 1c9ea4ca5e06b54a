//go:build ignore

// This program makes country.bin and points.txt, the tables that are compiled in. It is run by go generate with the
// paths of a database of countries in the MaxMind DB format and of tzdata's zone.tab:
//
//	go run generate.go COUNTRIES.mmdb /usr/share/zoneinfo/zone.tab
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"leeward/geo"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: go run generate.go COUNTRIES.mmdb ZONE.TAB")
	}
	if err := countries(os.Args[1], "country.bin"); err != nil {
		log.Fatal(err)
	}
	if err := points(os.Args[2], "points.txt"); err != nil {
		log.Fatal(err)
	}
}

func countries(database, out string) error {
	table, err := geo.Open([]string{database}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var compact bytes.Buffer
	if err := table.WriteCompact(&compact, table.Sources()[0].Built); err != nil {
		return err
	}
	return os.WriteFile(out, compact.Bytes(), 0o644)
}

// capitals are, of the countries with several zones, those where most people are: zone.tab lists its zones from east to
// west, which puts Kaliningrad and Lord Howe first.
var capitals = []string{
	"America/Argentina/Buenos_Aires", "America/Chicago", "America/Nuuk", "America/Guayaquil", "America/Mexico_City",
	"America/Santiago", "America/Sao_Paulo", "America/Toronto", "Africa/Kinshasa", "Antarctica/McMurdo",
	"Asia/Almaty", "Asia/Jakarta", "Asia/Kuala_Lumpur", "Asia/Nicosia", "Asia/Shanghai", "Asia/Tashkent",
	"Asia/Hebron", "Asia/Ulaanbaatar", "Australia/Sydney", "Europe/Berlin", "Europe/Kyiv", "Europe/Lisbon",
	"Europe/Madrid", "Europe/Moscow", "Pacific/Auckland", "Pacific/Majuro", "Pacific/Pohnpei", "Pacific/Port_Moresby",
	"Pacific/Tahiti", "Pacific/Tarawa", "Pacific/Wake",
}

func points(zones, out string) error {
	f, err := os.Open(zones)
	if err != nil {
		return err
	}
	defer f.Close()
	type point struct {
		latitude, longitude float64
		zone                string
	}
	found, undecided := map[string]point{}, map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) < 3 {
			return fmt.Errorf("%s: %q: fewer than three fields", zones, lines.Text())
		}
		if before, ok := found[fields[0]]; ok && !slices.Contains(capitals, fields[2]) {
			if !slices.Contains(capitals, before.zone) {
				undecided[fields[0]] = fields[2]
			}
			continue
		}
		split := 1 + strings.IndexAny(fields[1][1:], "+-")
		latitude, err := degrees(fields[1][:split], 2)
		if err != nil {
			return err
		}
		longitude, err := degrees(fields[1][split:], 3)
		if err != nil {
			return err
		}
		found[fields[0]] = point{latitude, longitude, fields[2]}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	for country, zone := range undecided {
		if p := found[country]; !slices.Contains(capitals, p.zone) {
			return fmt.Errorf("%s: %s has %s, %s and perhaps more zones; add the most peopled one to capitals", zones,
				country,
				p.zone, zone)
		}
	}

	found["XK"] = found["RS"] // Kosovo has no line of its own: tzdata has it in the zone of Belgrade

	var b bytes.Buffer
	for _, country := range slices.Sorted(maps.Keys(found)) {
		p := found[country]
		fmt.Fprintf(&b, "%s %g %g %s\n", country, p.latitude, p.longitude, p.zone)
	}
	return os.WriteFile(out, b.Bytes(), 0o644)
}

// degrees reads ISO 6709: a sign, degrees of so many digits, minutes and perhaps seconds; it gives tenths.
func degrees(s string, digits int) (float64, error) {
	sign, rest := s[:1], s[1:]
	if len(rest) != digits+2 && len(rest) != digits+4 {
		return 0, fmt.Errorf("%q is not a coordinate", s)
	}
	value := 0.0
	for part, unit := digits, 1.0; rest != ""; part, unit = 2, unit/60 {
		n, err := strconv.Atoi(rest[:part])
		if err != nil {
			return 0, fmt.Errorf("%q is not a coordinate: %w", s, err)
		}
		value += float64(n) * unit
		rest = rest[part:]
	}
	if sign == "-" {
		value = -value
	}
	return math.Round(value*10) / 10, nil
}
