//go:build linux

package scenario

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"leeward/integration/lab"
)

// tally is the counts of one track, or of all tracks of a server.
type tally struct {
	queries, wrong, refused, lost, excused int
	// kind → tenths of a second in which it occurred
	slots map[string]map[int64]bool
	// of the regions in the answers to one question, the most
	changes int
	turns   int // of the addresses
}

func (y *tally) count(kind string, n *int, s *sighting) {
	*n++
	if y.slots == nil {
		y.slots = map[string]map[int64]bool{}
	}
	if y.slots[kind] == nil {
		y.slots[kind] = map[int64]bool{}
	}
	y.slots[kind][s.sent.UnixMilli()/100] = true
}

func (y *tally) seconds(kind string) float64 { return float64(len(y.slots[kind])) / 10 }

// fault says what is wrong with the result of a query, by the promises in force and the excused losses.
func (x *scenario) fault(s *sighting) (kind, why string) {
	// one without addresses has an answer that never changes
	if kind, why = x.failure(s); kind != "" || len(s.addresses) == 0 {
		return kind, why
	}
	if s.server == "resolver" {
		var all []promises
		for k, ps := range x.promised {
			if k.client == s.client.Name && k.server != "resolver" {
				all = append(all, ps)
			}
		}
		why = stale(all, s, x.story.plan.TTL)
	} else {
		why = x.promised[trackKey{s.server, s.client.Name}].broken(s, x.well)
	}
	if why != "" {
		return "wrong", why
	}
	return "", ""
}

// failure says what is wrong with the result of a query, whatever was true: a missing response without an excuse, a
// refusal, or nonsense.
func (x *scenario) failure(s *sighting) (kind, why string) {
	excused := func(windows []lab.Window) bool {
		return slices.ContainsFunc(windows, func(w lab.Window) bool { return w.Holds(s.sent) })
	}
	switch {
	case s.lost:
		windows := x.losses[s.server]
		if s.question.Network == "tcp" {
			windows = slices.Concat(windows, x.losses[overTCP(s.server)])
		}
		if excused(windows) {
			return "excused", s.wrong
		}
		return "lost", s.wrong
	case s.limited && excused(x.losses[s.server]): // what waited while it stood still comes all at once
		return "excused", s.wrong
	case s.refused && excused(x.losses[refusing(s.server)]):
		return "excused", s.wrong
	case s.refused:
		return "refused", s.wrong
	case s.wrong != "":
		return "wrong", s.wrong
	}
	return "", ""
}

// well says whether an endpoint was well at any time in a span.
func (x *scenario) well(a netip.Addr, from, until time.Time) bool {
	for _, r := range x.w.Regions {
		if i := slices.Index(r.Addresses(a.Is6()), a); i >= 0 {
			return r.Endpoints[i].WellBetween(from, until)
		}
	}
	return false
}

// judge counts what was wrong, refused and lost, prints the picture, and fails the test if there is more than allowed.
func (x *scenario) judge() {
	t := x.t
	perServer := map[string]*tally{}
	total := &tally{}
	complaints := 0
	faults := map[*sighting]string{}
	for _, k := range x.tracks.each() {
		y := perServer[k.server]
		if y == nil {
			y = &tally{}
			perServer[k.server] = y
		}
		last, changes := map[lab.Question]string{}, map[lab.Question]int{}
		addresses, turns := map[lab.Question]string{}, map[lab.Question]int{}
		for _, s := range k.sightings {
			y.queries++
			total.queries++
			kind, why := x.fault(s)
			faults[s] = kind
			switch kind {
			case "wrong":
				y.count(kind, &y.wrong, s)
				total.count(kind, &total.wrong, s)
			case "refused":
				y.count(kind, &y.refused, s)
				total.count(kind, &total.refused, s)
			case "lost":
				y.count(kind, &y.lost, s)
				total.count(kind, &total.lost, s)
			case "excused":
				y.count(kind, &y.excused, s)
				total.count(kind, &total.excused, s)
			}
			if kind != "" && kind != "excused" {
				if complaints++; complaints <= 20 {
					t.Logf("%s: %s, asked %v for clients in %s at %.3f s, answered after %v %v: %s", kind, s.server,
						s.question,
						s.client.Name,
						s.sent.Sub(x.zero).Seconds(), s.received.Sub(s.sent).Round(time.Millisecond), s.addresses, why)
				}
			}
			if len(s.addresses) > 0 && k.server != "resolver" {
				label := x.named(s.addresses)
				if last[s.question] != "" && last[s.question] != label {
					changes[s.question]++
				}
				last[s.question] = label
				text := fmt.Sprint(s.addresses)
				if addresses[s.question] != "" && addresses[s.question] != text {
					turns[s.question]++
				}
				addresses[s.question] = text
			}
		}
		for _, n := range changes {
			y.changes, total.changes = max(y.changes, n), max(total.changes, n)
		}
		for _, n := range turns {
			y.turns, total.turns = max(y.turns, n), max(total.turns, n)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s (row %s): %s\n\n%s\n%s\n", x.story.name, x.story.row, x.story.title, x.picture(faults),
		x.happened())
	fmt.Fprintf(&b,
		"| asked | queries | wrong | s | refused | s | lost | s | lost while it may | s | changes of region | of "+
			"endpoints |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	rows := []string{}
	for _, r := range x.w.Regions {
		rows = append(rows, r.Name)
	}
	for _, name := range append(rows, "resolver", "all") {
		y := perServer[name]
		if name == "all" {
			y = total
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %.1f | %d | %.1f | %d | %.1f | %d | %.1f | %d | %d |\n", name, y.queries,
			y.wrong,
			y.seconds("wrong"),
			y.refused, y.seconds("refused"), y.lost, y.seconds("lost"), y.excused, y.seconds("excused"), y.changes,
			y.turns)
	}
	if s := x.stalls.Between(x.zero, x.end); s > 0 {
		fmt.Fprintf(&b, "the machine stood still for %v in all; bounds were given that\n", s.Round(time.Millisecond))
	}
	t.Log(b.String())
	for _, l := range []struct {
		what string
		got  float64
		def  float64
	}{
		{"wrong", float64(total.wrong), 0},
		{"refused", float64(total.refused), 0},
		{"lost", float64(total.lost), 0},
		{"changes", float64(total.changes), -1},
		{"changes of endpoints", float64(total.turns), -1},
		{"wrong-seconds", total.seconds("wrong"), -1},
		{"refused-seconds", total.seconds("refused"), -1},
		{"lost-seconds", total.seconds("lost"), -1},
	} {
		most, given := x.story.limits[l.what]
		if !given {
			most = l.def
		}
		if most >= 0 && l.got > most {
			t.Errorf("%s: %v, at most %v is allowed", l.what, l.got, most)
		}
	}
}

// named returns the regions of addresses, such as "eu" or "eu+us".
func (x *scenario) named(addresses []netip.Addr) string {
	var names []string
	for _, r := range x.w.Regions {
		if slices.ContainsFunc(addresses, func(a netip.Addr) bool { return slices.Contains(r.Addresses(a.Is6()), a) }) {
			names = append(names, r.Name)
		}
	}
	return strings.Join(names, "+")
}

// pictureWidth is about how many columns a picture has.
const pictureWidth = 110

// picture draws each track as a line. Each piece of time has the region in the answers, in a small letter if they have
// only some of its endpoints. "+" is several regions, "x" nothing, "!" a wrong answer, and "R" a refusal.
func (x *scenario) picture(faults map[*sighting]string) string {
	whole := x.end.Sub(x.zero)
	piece := 100 * time.Millisecond
	for _, p := range []time.Duration{200, 250, 500, 1000, 2000, 5000} {
		if whole/piece <= pictureWidth {
			break
		}
		piece = p * time.Millisecond
	}
	width := int(whole/piece) + 1
	column := func(at time.Time) int { return min(max(int(at.Sub(x.zero)/piece), 0), width-1) }
	var b strings.Builder
	const margin = 26
	line := func(label, text string) {
		fmt.Fprintf(&b, "%-*s%s\n", margin, label, strings.TrimRight(text, " "))
	}
	scale := []byte(strings.Repeat(" ", width+8))
	second := max(int(time.Second/piece), 1)
	step := second
	for step < 10 {
		step *= 2
	}
	for c := 0; c < width; c += step {
		copy(scale[c:], fmt.Sprintf("|%v", time.Duration(c)*piece))
	}
	line("", string(scale))
	marks := []byte(strings.Repeat(" ", width+40))
	free := 0
	for _, e := range x.events {
		if e.letter != "" {
			c := max(column(e.at), free)
			if c < len(marks) {
				marks[c] = e.letter[0]
			}
			free = c + 1
		}
	}
	line("what happens", string(marks))
	server := ""
	for _, k := range x.tracks.each() {
		if k.server != server {
			server = k.server
			label := "server " + server
			if server == "resolver" {
				label = "resolver"
			}
			line(label, "")
		}
		pieces := make([][]*sighting, width)
		for _, s := range k.sightings {
			if s.sent.After(x.zero) && s.sent.Before(x.end) {
				pieces[column(s.sent)] = append(pieces[column(s.sent)], s)
			}
		}
		drawn := make([]byte, width)
		for c, ss := range pieces {
			drawn[c] = x.glyph(ss, faults)
		}
		line("  clients in "+k.client, string(drawn))
	}
	return b.String()
}

func (x *scenario) glyph(ss []*sighting, faults map[*sighting]string) byte {
	lost, seen, whole := false, "", true
	for _, s := range ss {
		switch faults[s] {
		case "wrong":
			return '!'
		case "refused":
			return 'R'
		case "lost", "excused":
			lost = true
		}
		if len(s.addresses) > 0 {
			name := x.named(s.addresses)
			if seen != "" && seen != name {
				seen = "+"
			} else {
				seen = name
			}
			whole = whole && len(s.addresses) == 2
		}
	}
	switch {
	case lost:
		return 'x'
	case seen == "":
		return ' '
	case strings.Contains(seen, "+"):
		return '+'
	case !whole:
		return seen[0]
	}
	return seen[0] - 'a' + 'A'
}

// happened lists what was done and what was seen to hold, by time.
func (x *scenario) happened() string {
	slices.SortStableFunc(x.events, func(a, b happening) int { return a.at.Compare(b.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "| %8s |   | %-84s | %-22s |\n|---------:|---|%s|%s|\n", "s", "", "", strings.Repeat("-", 86),
		strings.Repeat("-", 24))
	for _, e := range x.events {
		note := ""
		switch {
		case e.letter != "":
		case e.failed && e.limit > 0:
			note = fmt.Sprintf("NOT within %v", e.limit)
		case e.failed:
			note = "BROKEN"
		default:
			note = fmt.Sprintf("%.2f s of %v", e.took.Seconds(), e.limit)
		}
		text := e.text
		if e.letter == "" {
			text = "  " + text
		}
		fmt.Fprintf(&b, "| %8.3f | %1s | %-84s | %-22s |\n", e.at.Sub(x.zero).Seconds(), e.letter, text, note)
	}
	return b.String()
}
