package chart

import (
	"encoding/xml"
	"flag"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden file anew")

// One file with everything that a chart can have. Look at it in a browser when it changes.
func TestGolden(t *testing.T) {
	curve := func(f func(x float64) float64) (all []Point) {
		for x := 0.; x <= 100; x += 5 {
			all = append(all, Point{x, f(x)})
		}
		return all
	}
	gap := func(x float64) float64 {
		if x > 30 && x < 50 {
			return math.NaN()
		}
		return x * x
	}
	linear := &Chart{
		Title: "A <linear> axis & its marks", X: Axis{Time: true}, Y: Axis{Label: "requests a second"},
		Lines: []Line{
			{Name: "with a gap", Points: curve(gap)},
			{Name: "a name that is too long for the key", Points: curve(func(x float64) float64 {
				return 8000 * (1 - math.Exp(-x/20))
			}), Dots: true},
			{Name: "limit", Points: []Point{{0, 9000}, {100, 9000}}, Colour: Grey, Dash: Dashed},
			{Points: curve(func(x float64) float64 { return 400 * math.Sin(x/5) }), Colour: Red},
		},
		Marks: []Mark{{25, "begins"}, {101, "beyond the axis"}},
	}
	logarithmic := &Chart{
		Title: "A logarithmic axis", X: Axis{Label: "queries a second", Most: 2e5}, Y: Axis{Unit: " ms", Log: true},
		Lines: []Line{{
			Name: "median", Points: []Point{{1e4, 0}, {2e4, .03}, {1e5, .2}, {2e5, 12}, {9e5, 12}},
			Dots: true,
		}},
	}
	var b strings.Builder
	if err := Write(&b, 2, linear, logarithmic, &Chart{Title: "Nothing"}); err != nil {
		t.Fatal(err)
	}
	const file = "testdata/charts.svg"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s differs; go test ./cmd/leeward/chart -update writes it anew", file)
	}
}

// A chart is well-formed whatever its content, and its lines stay within it.
func TestChart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.OneOf(rapid.Just(math.NaN()), rapid.Just(math.Inf(1)), rapid.Just(0.),
			rapid.Float64Range(-1e3, -1), rapid.Float64Range(1, 1e9), rapid.Float64Range(1e-9, 1))
		axis := func(name string) Axis {
			a := Axis{
				Label: rapid.String().Draw(t, name), Unit: rapid.SampledFrom([]string{"", " %", "<"}).Draw(t, "unit"),
				Log: rapid.Bool().Draw(t, "log"), Time: rapid.Bool().Draw(t, "time"),
			}
			if rapid.Bool().Draw(t, "own ends") {
				a.Least = rapid.Float64Range(1, 10).Draw(t, "least")
				a.Most = a.Least * rapid.Float64Range(1.01, 1e4).Draw(t, "most")
			}
			return a
		}
		c := &Chart{Title: rapid.String().Draw(t, "title"), X: axis("x"), Y: axis("y")}
		for range rapid.IntRange(0, 12).Draw(t, "lines") {
			l := Line{
				Name:   rapid.String().Draw(t, "name"),
				Colour: rapid.SampledFrom([]string{"", Red}).Draw(t, "colour"), Dots: rapid.Bool().Draw(t, "dots"),
			}
			for range rapid.IntRange(0, 20).Draw(t, "points") {
				l.Points = append(l.Points, Point{values.Draw(t, "x"), values.Draw(t, "y")})
			}
			c.Lines = append(c.Lines, l)
		}
		c.Marks = []Mark{{values.Draw(t, "mark"), rapid.String().Draw(t, "text")}}
		var b strings.Builder
		if err := Write(&b, 1, c); err != nil {
			t.Fatal(err)
		}
		inside := func(what, x, y string) {
			fx, errX := strconv.ParseFloat(x, 64)
			fy, errY := strconv.ParseFloat(y, 64)
			if errX != nil || errY != nil || !(fx >= left-.1 && fx <= right+.1 && fy >= top-.1 && fy <= bottom+.1) {
				t.Fatalf("%s at %s, %s is outside", what, x, y)
			}
		}
		for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
			token, err := d.Token()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			e, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			attrs := map[string]string{}
			for _, a := range e.Attr {
				attrs[a.Name.Local] = a.Value
			}
			switch e.Name.Local {
			case "circle":
				inside("a dot", attrs["cx"], attrs["cy"])
			case "path":
				for point := range strings.FieldsFuncSeq(attrs["d"], func(r rune) bool {
					return r == 'M' || r == 'L'
				}) {
					x, y, _ := strings.Cut(point, " ")
					inside("a point", x, y)
				}
			case "line":
				for _, name := range []string{"x1", "x2", "y1", "y2"} {
					v, err := strconv.ParseFloat(attrs[name], 64)
					if err != nil || !(v >= 0 && v <= map[bool]float64{true: width, false: height}[name[0] == 'x']) {
						t.Fatalf("%s of a line is %q", name, attrs[name])
					}
				}
			}
		}
	})
}

// The ticks of an axis, which the values choose, are few and different. The values lie between them, and each tick is
// drawn at its value.
func TestTicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Axis{Log: rapid.Bool().Draw(t, "log"), Time: rapid.Bool().Draw(t, "time")}
		span := rapid.Float64Range(.01, 1e7)
		if a.Time {
			span = rapid.Float64Range(1, 1e6)
		}
		values := []float64{span.Draw(t, "one"), span.Draw(t, "other")}
		s := a.rounded(values, 0, 1000)
		all := s.ticks()
		if len(all) < 2 || len(all) > 3*10 || !a.Log && len(all) > 3*ticks {
			t.Fatalf("%d ticks: %v", len(all), all)
		}
		if first, last := all[0].value, all[len(all)-1].value; !a.Time &&
			(min(values[0], values[1]) < first*(1-1e-6) || max(values[0], values[1]) > last*(1+1e-6)) {
			t.Fatalf("%v are not in %v", values, all)
		}
		seen := map[string]bool{}
		for i, k := range all {
			if seen[k.text] {
				t.Fatalf("two ticks say %s: %v", k.text, all)
			}
			seen[k.text] = true
			if i > 0 && k.at <= all[i-1].at {
				t.Fatalf("not in order: %v", all)
			}
			if a.Time {
				continue
			}
			shown := strings.NewReplacer("k", "e3", "M", "e6").Replace(k.text)
			if v, err := strconv.ParseFloat(shown, 64); err != nil || math.Abs(s.place(v)-k.at) > 1 {
				t.Fatalf("%s is drawn at %g, and %g is at %g", k.text, k.at, v, s.place(v))
			}
		}
	})
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", .02: "0.02", 950: "950", 9999: "9999", 12345: "12.35k", 1e5: "100k",
		2.5e6: "2.5M", -2e4: "-20k",
	} {
		if got := Number(v); got != want {
			t.Errorf("%g is %s, want %s", v, got, want)
		}
	}
	for s, want := range map[float64]float64{.3: 1, 2: 2, 9: 10, 48: 60, 7000: 7200, 7201: 14400} {
		if got := period(s); got != want {
			t.Errorf("ticks %g s apart or more are %g s apart, want %g", s, got, want)
		}
	}
}
