//go:build ignore

// This program makes subdivisions.txt, the codes of ISO 3166-2 that places are checked against: a line a country, its
// code first. It is run by go generate with the path of the list in Debian's package iso-codes.
//
//	go run generate.go /usr/share/iso-codes/json/iso_3166-2.json
package main

import (
	"encoding/json"
	"log"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: go run generate.go ISO_3166-2.JSON")
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var list map[string][]struct{ Code string }
	if err := json.Unmarshal(text, &list); err != nil {
		log.Fatal(err)
	}
	parts := map[string][]string{}
	for _, s := range list["3166-2"] {
		country, part, ok := strings.Cut(s.Code, "-")
		if !ok {
			log.Fatalf("%q is no code of a subdivision", s.Code)
		}
		parts[country] = append(parts[country], part)
	}
	var out strings.Builder
	for _, country := range slices.Sorted(maps.Keys(parts)) {
		slices.Sort(parts[country])
		out.WriteString(country + " " + strings.Join(parts[country], " ") + "\n")
	}
	if err := os.WriteFile("subdivisions.txt", []byte(out.String()), 0o644); err != nil {
		log.Fatal(err)
	}
}
