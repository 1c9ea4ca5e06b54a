package console

import (
	"fmt"
	"math"
	"strings"
)

// chart is the map with the regions on it.
type chart struct {
	Width, Height int
	Spots         []spotted
	Arrows        []arrow
	Nowhere       []string // regions without coordinates
	Text          string   // the whole chart in words, for those who do not see it
}

// spotted is a region on the map.
type spotted struct {
	X, Y               int
	Scale              float64 // of its shape
	Below              float64 // how far below the shape its name is, in em
	Name, State, Words string
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
	m := &chart{Width: mapWidth, Height: mapHeight}
	at := map[string]point{}
	var told []string
	for _, r := range rows {
		words, scale := r.Words, 1.
		if p := r.Share; p != nil && p.Counted {
			words += ", " + p.Is() + " of the answers"
			if p.Known {
				words += ", meant " + p.Should()
			}
			scale = smallest + (largest-smallest)*math.Sqrt(p.Minute)
		}
		told = append(told, r.Region.Region+": "+words)
		if r.Latitude == nil || r.Longitude == nil {
			m.Nowhere = append(m.Nowhere, r.Region.Region)
			continue
		}
		p := place(min(max(*r.Latitude, mapSouth), mapNorth), *r.Longitude)
		at[r.Region.Region] = p
		s := spotted{
			X: round(p.X), Y: round(p.Y), Name: r.Region.Region, State: r.State, Words: words,
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
			told = append(told, "clients of "+r.Region.Region+" go to "+to)
		}
	}
	m.Text = strings.Join(told, "; ")
	return m
}

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
