package bench

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/rr"
)

// Question is one question.
type Question struct {
	Name rr.Name
	Type rr.Type
}

// ReadNames reads one question a line: a name and, if it is not A, a type. It skips empty lines and lines that begin
// with # or ;.
func ReadNames(file string, r io.Reader) ([]Question, error) {
	var all []Question
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		fields := strings.Fields(text)
		if len(fields) > 2 {
			return nil, fmt.Errorf("%s:%d: %q: write a name and a type, as in \"www.example.test AAAA\"", file, n, text)
		}
		q := Question{Type: rr.TypeA}
		var err error
		if q.Name, err = rr.ParseName(fields[0]); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		if len(fields) == 2 {
			if q.Type, err = rr.ParseType(fields[1]); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, n, err)
			}
		}
		all = append(all, q)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no name in it; write one a line, with a type if it is not A", file)
	}
	return all, nil
}

// standIns is how many names are asked for each wildcard of a zone.
const standIns = 16

// ZoneQuestions returns what a zone can answer: each of its RRsets, and A and AAAA of its policies. For a wildcard it
// draws names.
func ZoneQuestions(origin string, resources []zones.Resource, seed uint64) ([]Question, error) {
	random := rand.New(rand.NewPCG(seed, 0))
	apex, err := rr.ParseName(origin)
	if err != nil {
		return nil, fmt.Errorf("zone %q: %w", origin, err)
	}
	var found bool
	var below []rr.Name // apexes of zones below this one
	for _, r := range resources {
		if z, ok := r.(*zones.Zone); ok {
			name, err := rr.ParseName(z.Origin)
			switch {
			case err != nil:
			case name == apex:
				found = true
			case name.Under(apex):
				below = append(below, name)
			}
		}
	}
	if !found {
		return nil, fmt.Errorf("there is no zone %s; leeward get zone lists what there is", origin)
	}
	all := []Question{{apex, rr.TypeSOA}}
	add := func(name rr.Name, types ...rr.Type) {
		for _, t := range types {
			if !name.IsWildcard() {
				all = append(all, Question{name, t})
				continue
			}
			for range standIns {
				if stand, err := rr.ParseRelative(fmt.Sprintf("w%06x", random.IntN(1<<24)), name.Parent()); err == nil {
					all = append(all, Question{stand, t})
				}
			}
		}
	}
	for _, r := range resources {
		switch r := r.(type) {
		case *zones.Record:
			if r.Origin == origin {
				if set, err := r.Set(); err == nil {
					add(set.Owner, set.Type)
				}
			}
		case *zones.Policy:
			name, err := rr.ParseName(r.Name)
			if err == nil && name.Under(apex) && !slices.ContainsFunc(below, name.Under) {
				add(name, rr.TypeA, rr.TypeAAAA)
			}
		}
	}
	return all, nil
}
