package main

import (
	"strings"
	"testing"
	"time"
)

func TestParseWhen(t *testing.T) {
	utc := time.Date(2026, 11, 28, 19, 0, 0, 500e6, time.UTC)
	berlin := time.FixedZone("CET", 3600)
	for _, tt := range []struct {
		now  time.Time
		in   string
		want string // RFC 3339, or what the error says
	}{
		{utc, "22:00", "2026-11-28T22:00:00Z"},
		{utc, "19:00", "2026-11-29T19:00:00Z"}, // that was half a second ago
		{utc, "19:00:01", "2026-11-28T19:00:01Z"},
		{utc, "00:00", "2026-11-29T00:00:00Z"},
		{utc.In(berlin), "22:00", "2026-11-28T22:00:00+01:00"},
		{utc.In(berlin), "20:00", "2026-11-29T20:00:00+01:00"},
		{utc.In(berlin), "22:00Z", "2026-11-28T22:00:00Z"},
		{utc, "22:00+01:00", "2026-11-28T22:00:00+01:00"},
		{utc, "00:30+09:00", "2026-11-30T00:30:00+09:00"}, // it is 04:00 there
		{utc, "+30m", "2026-11-28T19:30:01Z"},
		{utc, "+1s", "2026-11-28T19:00:02Z"},
		{utc, "2026-12-24T08:00:00+01:00", "2026-12-24T08:00:00+01:00"},
		{utc, "2026-11-28T18:00:00Z", "is 1h ago"},
		{utc, "2028-11-28T18:00:00Z", "the most is a year ahead"},
		{utc, "+20000h", "the most is a year ahead"},
		{utc, "+0s", "is not a time"},
		{utc, "+-3m", "is not a time"},
		{utc, "-3m", "is not a time"},
		{utc, "24:00", "is not a time"},
		{utc, "10 pm", "is not a time"},
		{utc, "2026-12-24T08:00:00", "is not a time"}, // in which zone?
		{utc, "", "is not a time"},
	} {
		got, err := parseWhen(tt.in, tt.now)
		text := got.Format(time.RFC3339)
		if err != nil {
			text = err.Error()
		}
		if err == nil && text != tt.want || !strings.Contains(text, tt.want) {
			t.Errorf("%q at %s: %s, want %s", tt.in, tt.now, text, tt.want)
		}
	}
}

func TestAhead(t *testing.T) {
	now := time.Date(2026, 11, 28, 19, 0, 0, 0, time.UTC)
	from, until := now.Add(3*time.Hour), now.Add(29*time.Hour)
	if got, want := ahead(&from, &until, now), "from 22:00 UTC until 2026-11-30 00:00 UTC, in 3h"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	cet := now.In(time.FixedZone("CET", 3600))
	if got, want := ahead(&from, nil, cet), "from 23:00 CET (22:00 UTC), in 3h"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
