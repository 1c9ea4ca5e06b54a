package console

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// chart is the map with the regions on it.
type chart struct {
	Width, Height int
	Spots         []spotted
	Arrows        []arrow
	Nowhere       []string // regions without coordinates
	Text          string   // the whole chart in sentences, for those who do not see it
}

// spotted is a region on the map.
type spotted struct {
	X, Y        int
	Scale       float64 // of its shape
	Below       float64 // how far below the shape its name is, in em
	Name, State string
	Says        string // a sentence
}

// mostLabel is how many characters of a name stand on the map; its title has all of it.
const mostLabel = 20

// Label is the name as it stands on the map.
func (s spotted) Label() string {
	if all := []rune(s.Name); len(all) > mostLabel {
		return string(all[:mostLabel-1]) + "…"
	}
	return s.Name
}

// arrow shows where the clients of a region go that is out.
type arrow struct {
	Path, Head string
	Title      string
}

// draw places regions on the map. It returns nil if none has coordinates.
func draw(rows []regionRow) *chart {
	m := &chart{Width: mapWidth, Height: mapHeight, Text: spoken(rows)}
	at := map[string]point{}
	for _, r := range rows {
		scale := 1.
		if p := r.Share; p != nil && p.Counted {
			scale = smallest + (largest-smallest)*math.Sqrt(p.Minute)
		}
		if r.Latitude == nil || r.Longitude == nil {
			m.Nowhere = append(m.Nowhere, r.Region.Region)
			continue
		}
		p := place(min(max(*r.Latitude, mapSouth), mapNorth), *r.Longitude)
		at[r.Region.Region] = p
		s := spotted{
			X: round(p.X), Y: round(p.Y), Name: r.Region.Region, State: r.State, Says: r.sentence(),
			Scale: math.Round(100*scale) / 100, Below: 1 + math.Round(75*max(1, scale))/100,
		}
		m.Spots = append(m.Spots, s)
	}
	if len(at) == 0 {
		return nil
	}
	for _, r := range rows {
		from, placed := at[r.Region.Region]
		for i, to := range r.To {
			p, there := at[to]
			if !placed || !there || i >= mostArrows {
				continue
			}
			m.Arrows = append(m.Arrows, bow(from, p, "clients of "+r.Region.Region+" go to "+to))
		}
	}
	return m
}

// spoken tells of all regions, those first that need somebody: who listens may stop there.
func spoken(rows []regionRow) string {
	var told []string
	counts := map[string]int{}
	for _, group := range []string{"out", "part", "drained", "up", "empty"} {
		for i := range rows {
			if rows[i].State == group {
				counts[group]++
				told = append(told, rows[i].sentence())
			}
		}
	}
	var parts []string
	for _, group := range []struct{ state, one, many string }{
		{"out", "is out", "are out"},
		{"part", "answers in part", "answer in part"},
		{"drained", "is taken out by an operator", "are taken out by an operator"},
		{"up", "answers", "answer"},
		{"empty", "has no pool", "have no pool"},
	} {
		switch n := counts[group.state]; {
		case n == 1:
			parts = append(parts, "1 "+group.one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, group.many))
		}
	}
	whole := fmt.Sprintf("Of %d regions, %s.", len(rows), listed(parts, len(parts)))
	if len(rows) == 1 {
		whole = "There is one region."
	}
	if slices.ContainsFunc(rows, func(r regionRow) bool { return r.Share != nil && r.Share.Counted }) {
		whole += " Shares are of the answers that this server gave in the last minute."
	}
	return strings.Join(append([]string{whole}, told...), " ")
}

// sentence tells of one region: its state, its share of the answers, and where its clients go.
func (r *regionRow) sentence() string {
	name := r.Region.Region
	text := name + " " + r.Words // "answers"
	switch {
	case r.State == "out":
		text = name + " is out"
	case r.State == "drained":
		text = name + " is " + r.Words + " by an operator"
	case r.State == "empty":
		text = name + " has no pool"
	case r.State == "part" && r.Available < r.Pools:
		text = fmt.Sprintf("%s answers in part, with %d of %d pools", name, r.Available, r.Pools)
	case r.State == "part" && r.Healthy < r.Endpoints:
		text = fmt.Sprintf("%s answers, with %d of %d endpoints up", name, r.Healthy, r.Endpoints)
	case r.State == "part":
		text = name + " answers, and carries more than its target"
	}
	if p := r.Share; p != nil && p.Counted {
		if text += ", and gave " + p.Is() + " of the answers"; p.Known {
			text += ", where " + p.Should() + " were meant"
		}
	}
	if len(r.To) > 0 {
		text += "; its clients go to " + listed(r.To, mostTold)
	}
	return text + "."
}

// mostTold is how many regions a sentence names to which the clients of another go.
const mostTold = 4

// A region without answers is drawn at the smallest scale, and one that gives all answers at the largest. The area
// shows the share.
const smallest, largest = .75, 1.7

// mostArrows is how many arrows lead away from a region.
const mostArrows = 2

// bow returns an arrow from one place to another that bends to the north and leaves room for both shapes.
func bow(from, to point, title string) arrow {
	const room = 16
	dx, dy := to.X-from.X, to.Y-from.Y
	length := math.Hypot(dx, dy)
	if length < 2*room+8 {
		return arrow{Title: title}
	}
	bend := min(length*.22, 70)
	middle := point{(from.X + to.X) / 2, (from.Y+to.Y)/2 - bend}
	toward := func(p, q point, by float64) point {
		l := math.Hypot(q.X-p.X, q.Y-p.Y)
		return point{p.X + (q.X-p.X)/l*by, p.Y + (q.Y-p.Y)/l*by}
	}
	a, b := toward(from, middle, room), toward(to, middle, room)
	// The head is a triangle with its point at b.
	back := toward(b, middle, 12)
	side := point{-(back.Y - b.Y) * .5, (back.X - b.X) * .5}
	return arrow{
		Path: fmt.Sprintf("M%d %dQ%d %d %d %d", round(a.X), round(a.Y), round(middle.X), round(middle.Y),
			round(back.X), round(back.Y)),
		Head: fmt.Sprintf("M%d %dL%d %dL%d %dz", round(b.X), round(b.Y), round(back.X+side.X), round(back.Y+side.Y),
			round(back.X-side.X), round(back.Y-side.Y)),
		Title: title,
	}
}

func round(f float64) int { return int(math.Round(f)) }
