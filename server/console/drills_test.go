package console_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"leeward/server/console"
)

// Drills are listed, and each has a page. If they cannot be read, the screen says so instead of being empty.
func TestDrills(t *testing.T) {
	o := options(night())
	reads := 0
	fails := error(nil)
	o.Drills = func(ctx context.Context) ([]console.Drill, error) {
		reads++
		if _, limited := ctx.Deadline(); !limited {
			t.Error("reading drills may take for ever")
		}
		return []console.Drill{{
			ID: "2026-11-25T10:00:00Z", Target: "region/us-east", By: "ops", Outcome: "failed", Ended: true,
			Headline: "The drill of region/us-east failed after 4 min.", Facts: [][2]string{{"ramp", "2 min"}},
			Pools:   []console.DrillPool{{Pool: "www-eu", Region: "eu-west", Most: "98", Max: "90", Lost: "none"}},
			Events:  []console.DrillEvent{{Seconds: 241, Text: "www-eu carries 98, beyond its max"}},
			Seconds: []float64{0, 120, 240},
			Course: []console.Line{
				{Name: "eu-west", Values: []float64{60, math.NaN(), 100}},
				{Name: "us-east", Values: []float64{40, 20, 0}},
			},
		}}, fails
	}
	h := console.New(o)
	_, page := get(t, h, "/drills")
	if !strings.Contains(page, `href="/drills/2026-11-25T10:00:00Z"`) || !strings.Contains(text(page), "failed ops") {
		t.Errorf("the list: %s", text(page))
	}
	_, page = get(t, h, "/drills/2026-11-25T10:00:00Z")
	for _, want := range []string{
		"failed after 4 min", "ramp 2 min", "241.0 s www-eu carries 98", "us-east 0 %",
		"leeward drills 2026-11-25T10:00:00Z",
	} {
		if !strings.Contains(text(page), want) {
			t.Errorf("the report does not say %q:\n%s", want, text(page))
		}
	}
	if !strings.Contains(page, "us-east: least 0 %, most 40 %, last 0 %") ||
		!strings.Contains(page, `class="line-1" d="M56 `) {
		t.Errorf("the course is not drawn:\n%s", page)
	}
	if r, _ := get(t, h, "/drills/other"); r.StatusCode != 404 {
		t.Errorf("a drill that is not there: %d", r.StatusCode)
	}
	if reads != 1 {
		t.Errorf("etcd was asked %d times within a moment", reads)
	}
	fails = errors.New("etcd does not answer")
	if _, page := get(t, console.New(o), "/drills"); !strings.Contains(text(page), fails.Error()) ||
		!strings.Contains(text(page), "failed ops") {
		t.Errorf("drills of which some cannot be read: %s", text(page))
	}
}

// The load of pools is drawn, with its start time. A gap shows where it is unknown, and the text says so.
func TestCourse(t *testing.T) {
	o := options(night())
	var asked []string
	of := &console.Course{
		Times: []time.Time{noon.Add(-2 * time.Hour), noon.Add(-time.Hour), noon},
		Load:  []float64{40, math.NaN(), 75}, Target: []float64{80, 80, 80},
		Answers: []float64{math.NaN(), 120, 150}, Left: 2,
	}
	o.Loads = func(pools []string) *console.Course { asked = pools; return of }
	_, page := get(t, console.New(o), "/region/eu-west")
	if len(asked) != 1 || asked[0] != "www-eu" {
		t.Errorf("asked for %q", asked)
	}
	for _, want := range []string{
		"load 75", "target 80", "answers 150", "10:00 UTC 12:00 UTC", "Since 28 November 10:00:00 UTC",
		"Of 2 of its pools nothing is kept",
	} {
		if !strings.Contains(text(page), want) {
			t.Errorf("the page does not say %q:\n%s", want, text(page))
		}
	}
	of = &console.Course{}
	if _, page := get(t, console.New(o), "/pool/www-eu"); !strings.Contains(text(page), "Nothing is kept yet.") {
		t.Errorf("before the first moment: %s", text(page))
	}
	if _, page := get(t, console.New(o), "/endpoint/www-eu/lb-1"); strings.Contains(page, "Over the last hours") {
		t.Error("an endpoint has a course of its pool")
	}
}

// The page links to a server at the address with which it was started, over TLS if it says so. It does not link to a
// loopback address, which is the reader's own machine, unless this server is there too.
func TestOthers(t *testing.T) {
	s := night()
	for admin, want := range map[string]string{
		"http://192.0.2.2:8053": "http://192.0.2.2:8053", "https://ns2.example.test": "https://ns2.example.test",
		"http://ns2.example.test": "http://ns2.example.test", "https://ns2.example.test/x": "", "ns2.example.test": "",
		"127.0.0.1:8053": "", "localhost:8053": "", "[::1]:8053": "", "https://127.0.0.1:8053": "",
		"192.0.2.2:8053": "http://192.0.2.2:8053", "https://192.0.2.2:8053": "https://192.0.2.2:8053",
		"[2001:db8::1]:8053": "http://[2001:db8::1]:8053", "ns2.example.test:8053": "http://ns2.example.test:8053",
		"0.0.0.0:8053": "", "[::]:8053": "", "": "", "https://": "", "192.0.2.2": "",
		"ns2@evil.example:8053": "", "192.0.2.2:8053/evil": "", "javascript:alert(1)": "", "https://https://x:1": "",
		"192.0.2.2:8053?x": "", "192.0.2.2:8053#x": "",
	} {
		s.Servers[1].Admin = admin
		_, page := get(t, console.New(options(s)), "/pools")
		link := `<a href="` + want + `/pools"`
		if want == "" && strings.Contains(page, "as ns2 sees it") || want != "" && !strings.Contains(page, link) {
			t.Errorf("a server at %q is not linked to as %q", admin, want)
		}
	}
	o := options(s)
	o.Admin = "127.0.0.1:8053"
	for admin, linked := range map[string]bool{
		"127.0.0.1:8054": true, "127.0.0.1:8053": false, "localhost:8055": true,
	} {
		s.Servers[1].Admin = admin
		if _, page := get(t, console.New(o), "/pools"); strings.Contains(page, `href="http://`+admin) != linked {
			t.Errorf("a server at %s, seen from one at 127.0.0.1:8053: linked to is %v", admin, !linked)
		}
	}
	// The command line says where this server is reached.
	o.Admin = "https://ns1.example.test"
	if _, page := get(t, console.New(o), "/"); !strings.Contains(text(page), "--admin https://ns1.example.test") {
		t.Error("commands do not say where this server is reached")
	}
}
