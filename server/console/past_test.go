package console_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"leeward/server/console"
	"leeward/server/history"
)

// The page shows the part of the history that was asked for. Without the history, the first screen is still whole.
func TestHistory(t *testing.T) {
	o := options(night())
	var asked history.Query
	var fails error
	o.History = func(_ context.Context, q history.Query) (*history.Page, error) {
		asked = q
		return &history.Page{Since: noon.Add(-time.Hour), InMemory: true, Next: 17, Events: []history.Event{
			{
				Number: 20, Time: noon, Kind: history.Changed, Revision: 52, Of: []string{"policy/www.example.test"},
				Text:    "Policy www.example.test is changed",
				Changes: []history.Change{{Fields: []history.Field{{Path: "ttl", Was: "30s", Is: "20s"}}}},
			},
			{Number: 19, Time: noon, Kind: history.Vantage, Text: "ams sees again", Over: true},
			{
				Number: 18, Time: noon, Kind: history.Problem, Revision: 51, Of: []string{"pool/www-eu"},
				Text: "Pool www-eu: region: no region",
			},
		}}, fails
	}
	h := console.New(o)
	_, page := get(t, h, "/history?of=www.example.test.&after=21")
	if asked.Of != "www.example.test" || asked.After != 21 || asked.Limit != 100 {
		t.Errorf("asked is %+v", asked)
	}
	for path, want := range map[string]history.Kind{
		"/history": history.Vote, "/history?of=pool/www-us": history.Vote, "/history?votes=yes": "",
		"/history?of=vote": "", "/history?of=ns2": "", "/history?of=vantage/ns2": "",
	} {
		_, page := get(t, h, path)
		if told := strings.Contains(page, "Votes are left out"); asked.But != want || told != (want != "") {
			t.Errorf("%s leaves out %q, and says\n%s", path, asked.But, text(page))
		}
	}
	for _, want := range []string{
		"28 November 12:00:00 UTC", "Policy www.example.test is changed", "ttl: 30s → 20s",
		"reaches back to 2026-11-28T11:00",
		"lost when the process ends",
	} {
		if !strings.Contains(text(page), want) {
			t.Errorf("the page does not say %q:\n%s", want, text(page))
		}
	}
	for kind, state := range map[string]string{"vantage": "up", "problem": "note"} {
		shown := regexp.MustCompile(`<svg class="shape ` + state + `"[^>]*><use[^>]*></svg><div><time[^>]*>[^<]*</time> ` +
			`<span class="quiet">` + kind + "[ <]")
		if !shown.MatchString(page) {
			t.Errorf("an event of the kind %s has not the shape of %s:\n%s", kind, state, page)
		}
	}
	for _, want := range []string{`href="/policy/www.example.test"`, `href="?after=17&amp;of=www.example.test."`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	for since, want := range map[string]time.Time{ // a time without a zone is UTC, like all times of the page
		"02:17":            time.Date(2026, 11, 28, 2, 17, 0, 0, time.UTC),
		"11:30:05":         time.Date(2026, 11, 28, 11, 30, 5, 0, time.UTC),
		"13:00":            time.Date(2026, 11, 27, 13, 0, 0, 0, time.UTC), // now it is noon
		"2026-11-27":       time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC),
		"2026-11-27T02:17": time.Date(2026, 11, 27, 2, 17, 0, 0, time.UTC),
		"2h":               noon.Add(-2 * time.Hour),
	} {
		if get(t, h, "/history?since="+since); !asked.Since.Equal(want) {
			t.Errorf("since=%s asks for what is since %v, want %v", since, asked.Since, want)
		}
	}
	if _, page := get(t, h, "/history?since=yore"); !strings.Contains(text(page), "yore") {
		t.Errorf("a time that is none: %s", text(page))
	}
	s := night()
	s.Time = noon.In(time.FixedZone("far", 5*3600))
	far := options(s)
	far.History = o.History
	get(t, console.New(far), "/history?since=11:30")
	if want := noon.Add(-30 * time.Minute); !asked.Since.Equal(want) {
		t.Errorf("11:30 is %v, and not by the clock of the page, %v", asked.Since, want)
	}
	if r, _ := get(t, h, "/history?after=x"); r.StatusCode != 400 {
		t.Errorf("an event that is none: %d", r.StatusCode)
	}
	if _, page := get(t, h, "/"); !strings.Contains(text(page), "The last events") || asked.Limit != 8 {
		t.Errorf("the first screen: %s", text(page))
	}
	fails = errors.New("the disk of the history does not answer")
	if r, page := get(t, console.New(o), "/"); r.StatusCode != 200 || !strings.Contains(text(page), fails.Error()) {
		t.Errorf("the first screen without its history: %d %s", r.StatusCode, text(page))
	}
}
