package house

import (
	"bytes"
	"flag"
	"fmt"
	"html"
	"os"
	"slices"
	"strings"
	"testing"
)

var drawHouse = flag.Bool("draw-house", false, "draw docs/images/house.svg anew from what the packages import")

const housePicture = "../../docs/images/house.svg"

// TestHousePicture compares the picture in docs/architecture.md with one drawn from the imports, so that it cannot be
// out of date.
func TestHousePicture(t *testing.T) {
	want := drawHouseOf(list(t, ""))
	if *drawHouse {
		if err := os.WriteFile(housePicture, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(housePicture)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/images/house.svg is not what the packages import now; draw it anew: " +
			"go test ./integration/house -run TestHousePicture -draw-house")
	}
}

// TestHouseTable: docs/architecture.md has a line for every room.
func TestHouseTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list(t, "") {
		path, _ := strings.CutPrefix(p.ImportPath, module+"/")
		if !bytes.Contains(text, []byte("| `"+path+"` |")) && !bytes.Contains(text, []byte("| `"+path+"`, ")) &&
			!bytes.Contains(text, []byte(", `"+path+"` |")) {
			t.Errorf("docs/architecture.md does not say what lives in %s: add a line to the table of rooms", path)
		}
	}
}

// floors sorts rooms by height: each is above everything that it imports.
func floors(imports map[string][]string) [][]string {
	height := map[string]int{}
	var of func(room string) int
	of = func(room string) int {
		if _, known := height[room]; !known {
			height[room] = 0
			for _, i := range imports[room] {
				height[room] = max(height[room], of(i)+1)
			}
		}
		return height[room]
	}
	var all [][]string
	for room := range imports {
		for h := of(room); len(all) <= h; {
			all = append(all, nil)
		}
		all[of(room)] = append(all[of(room)], room)
	}
	for _, f := range all {
		slices.Sort(f)
	}
	return all
}

// direct removes the imports that a room also has through another one, so that the picture stays readable.
func direct(imports map[string][]string) map[string][]string {
	var reaches func(from, to string) bool
	reaches = func(from, to string) bool {
		return slices.ContainsFunc(imports[from], func(i string) bool { return i == to || reaches(i, to) })
	}
	out := map[string][]string{}
	for room, is := range imports {
		for _, i := range is {
			if !slices.ContainsFunc(is, func(other string) bool { return other != i && reaches(other, i) }) {
				out[room] = append(out[room], i)
			}
		}
	}
	return out
}

// drawHouseOf draws the rooms, floor above floor, with a line from each room down to those that it imports.
func drawHouseOf(packages []listed) []byte {
	imports := map[string][]string{}
	for _, p := range packages {
		room, _ := strings.CutPrefix(p.ImportPath, module+"/")
		if strings.HasPrefix(room, "integration") {
			continue // tests of the whole house are not in it
		}
		imports[room] = nil
		for _, i := range p.Imports {
			if ours, ok := strings.CutPrefix(i, module+"/"); ok {
				imports[room] = append(imports[room], ours)
			}
		}
		slices.Sort(imports[room])
	}
	const letter, high, apart, floor = 7.4, 26, 14, 74
	all := floors(imports)
	broad := func(room string) float64 { return float64(len(room))*letter + 16 }
	// One column for each top folder, as broad as its broadest floor.
	columns := []string{"cmd", "server", "zones", "health", "geo"}
	top := func(room string) string { first, _, _ := strings.Cut(room, "/"); return first }
	on := func(h int, column string) (rooms []string, total float64) {
		for _, r := range all[h] {
			if top(r) == column {
				rooms, total = append(rooms, r), total+broad(r)+apart
			}
		}
		return rooms, total
	}
	type box struct{ x, y, w float64 }
	boxes := map[string]box{}
	width := 20.
	for _, column := range columns {
		most := 0.
		for h := range all {
			_, total := on(h, column)
			most = max(most, total)
		}
		for h := range all {
			rooms, total := on(h, column)
			x := width + (most-total)/2
			for _, r := range rooms {
				boxes[r] = box{x, float64(20 + (len(all)-1-h)*floor), broad(r)}
				x += broad(r) + apart
			}
		}
		width += most + 10
	}
	var b bytes.Buffer
	fmt.Fprintf(&b,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" font-family="monospace" font-size="12">`+"\n",
		width, len(all)*floor)
	fmt.Fprintf(&b, "<title>The rooms of the house: each imports only what is below it</title>\n")
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n")
	lines := direct(imports)
	for _, rooms := range slices.Backward(all) {
		for _, r := range rooms {
			from := boxes[r]
			for _, i := range lines[r] {
				to := boxes[i]
				fmt.Fprintf(&b, `<line x1="%.0f" y1="%.0f" x2="%.0f" y2="%.0f" stroke="#9aa7b4"/>`+"\n",
					from.x+from.w/2, from.y+high, to.x+to.w/2, to.y)
			}
		}
	}
	fills := map[string]string{
		"cmd": "#f3e8d8", "server": "#dce9f7", "zones": "#e2f0dc", "health": "#f7dede",
		"geo": "#ece2f5",
	}
	for _, rooms := range slices.Backward(all) {
		for _, r := range rooms {
			at := boxes[r]
			fmt.Fprintf(&b, `<rect x="%.0f" y="%.0f" width="%.0f" height="%d" rx="4" fill="%s" stroke="#55606b"/>`+"\n",
				at.x, at.y, at.w, high, fills[top(r)])
			fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" text-anchor="middle">%s</text>`+"\n", at.x+at.w/2, at.y+17,
				html.EscapeString(r))
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
