package console

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

var drawWorld = flag.Bool("draw-world", false, "draw assets/world.svg anew from testdata/land-110m.json")

// land is the part of TopoJSON that world-atlas uses for land.
type land struct {
	Objects struct {
		Land struct{ Geometries []struct{ Arcs [][][]int } }
	}
	Arcs      [][][2]float64
	Transform struct{ Scale, Translate [2]float64 }
}

// drawn returns the map as SVG: one path in half units of the map, relative, so that it is small.
func drawn(l *land) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f">`+
		`<path id="land" transform="scale(.5)" d="`, mapWidth, mapHeight)
	for _, g := range l.Objects.Land.Geometries {
		for _, polygon := range g.Arcs {
			for _, ring := range polygon {
				b.WriteString(l.ring(ring))
			}
		}
	}
	b.WriteString(`"/></svg>` + "\n")
	return b.Bytes()
}

// ring returns the path of one closed line; "" if it is south of the map, or smaller than the map can show. A line
// that crosses the antimeridian is drawn at both edges.
func (l *land) ring(arcs []int) string {
	var line [][2]float64 // longitude, latitude
	north, east, west := -90.0, 0.0, 0.0
	for _, n := range arcs {
		at, part := [2]float64{}, [][2]float64(nil)
		for _, step := range l.Arcs[max(n, ^n)] { // each is relative to the one before
			at[0], at[1] = at[0]+step[0], at[1]+step[1]
			part = append(part, [2]float64{
				at[0]*l.Transform.Scale[0] + l.Transform.Translate[0],
				at[1]*l.Transform.Scale[1] + l.Transform.Translate[1],
			})
		}
		if n < 0 { // it runs backwards
			slices.Reverse(part)
		}
		for _, p := range part {
			if len(line) > 0 {
				p[0] += 360 * math.Round((line[len(line)-1][0]-p[0])/360)
			}
			north, east, west = max(north, p[1]), max(east, p[0]), min(west, p[0])
			line = append(line, p)
		}
	}
	if north < mapSouth {
		return ""
	}
	path := trace(line, 0)
	if east > 180.5 {
		path += trace(line, -360)
	}
	if west < -180.5 {
		path += trace(line, 360)
	}
	return path
}

// trace returns the path of a line, shifted east by so many degrees.
func trace(line [][2]float64, shift float64) string {
	var path strings.Builder
	last, steps := [2]int{}, 0
	for _, x := range line {
		if math.Abs(x[0]+shift) > 180.01 {
			continue
		}
		p := place(min(max(x[1], mapSouth-10), mapNorth+8), x[0]+shift)
		to := [2]int{int(math.Round(2 * p.X)), int(math.Round(2 * p.Y))}
		switch {
		case path.Len() == 0:
			fmt.Fprintf(&path, "M%d %dl", to[0], to[1])
		case to != last:
			text := fmt.Sprintf("%d %d", to[0]-last[0], to[1]-last[1])
			if steps > 0 && text[0] != '-' {
				text = " " + text
			}
			path.WriteString(strings.ReplaceAll(text, " -", "-"))
			steps++
		}
		last = to
	}
	if steps < 3 {
		return ""
	}
	return path.String() + "z"
}

// The map is made from the data. Draw it anew with: go test ./server/console -run TestWorld -draw-world
func TestWorld(t *testing.T) {
	text, err := os.ReadFile("testdata/land-110m.json")
	if err != nil {
		t.Fatal(err)
	}
	var l land
	if err := json.Unmarshal(text, &l); err != nil {
		t.Fatal(err)
	}
	want := drawn(&l)
	if *drawWorld {
		if err := os.WriteFile("assets/world.svg", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("assets/world.svg")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("assets/world.svg is not what testdata/land-110m.json gives (%v): go test ./server/console -run "+
			"TestWorld -draw-world", err)
	}
	if len(got) > 40<<10 {
		t.Errorf("the map has %d octets", len(got))
	}
}

// Well-known places are in the right spot: the middle, the edges, and north is up.
func TestPlace(t *testing.T) {
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 0.5 {
			t.Errorf("%s is %.1f, want %.1f", what, got, want)
		}
	}
	near("the middle", place(0, 0).X, mapWidth/2)
	near("the western edge", place(0, -180).X, 0)
	near("the eastern edge", place(0, 180).X, mapWidth)
	near("the northern edge", place(mapNorth, 20).Y, 0)
	near("the southern edge", place(mapSouth, 20).Y, mapHeight)
	dublin, virginia := place(53.3, -6.3), place(39, -77.5)
	if dublin.Y >= virginia.Y || dublin.X <= virginia.X {
		t.Errorf("Dublin is at %v, Virginia at %v", dublin, virginia)
	}
}
