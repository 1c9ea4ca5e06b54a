package main

import (
	"fmt"
	"strings"
	"time"

	"leeward/cmd/leeward/screen"
	"leeward/server/admin"
	"leeward/zones/steer"
)

// farthest is how far ahead something may be planned. A time beyond it has most likely a wrong year.
const farthest = 366 * 24 * time.Hour

// whenHelp says how to write a time.
const whenHelp = "22:00 (here, the next one), 22:00Z or 22:00+01:00, +30m, or RFC 3339"

// parseWhen reads a time to come, in whole seconds: a time of the day, a span from now, or RFC 3339. A time of the day
// is the next such time, in the location of now unless it names a zone.
func parseWhen(s string, now time.Time) (time.Time, error) {
	at, err := readWhen(strings.TrimSpace(s), now)
	switch {
	case err != nil:
		return time.Time{}, misused("--at %q is not a time: write %s", s, whenHelp)
	case at.Before(now):
		return time.Time{}, misused("--at %s is %s ago; leave --at out to begin now", s, screen.AboutBetween(at, now))
	case at.Sub(now) > farthest:
		return time.Time{}, misused("--at %s is in %s; the most is a year ahead", s, screen.AboutBetween(now, at))
	}
	return at, nil
}

// readPast reads a time that has passed, see admin.ReadPast.
func readPast(flag, s string, now time.Time) (time.Time, error) {
	at, err := admin.ReadPast(flag, s, now)
	if err != nil {
		return at, usageError{err}
	}
	return at, nil
}

func readWhen(s string, now time.Time) (time.Time, error) {
	if strings.HasPrefix(s, "+") {
		span, err := time.ParseDuration(s[1:])
		if err != nil || span <= 0 {
			return time.Time{}, fmt.Errorf("no span")
		}
		return now.Add(min(span, 2*farthest)).Truncate(time.Second).Add(time.Second), nil
	}
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at.Truncate(time.Second), nil
	}
	if on := admin.TimeOfDay(s, now); on != nil {
		for day := range 2 {
			if at := on(day); at.After(now) {
				return at, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("no time")
}

// spoken spells a time with its zone, and in UTC if the zone is another: "22:00 CET (21:00 UTC)".
func spoken(at, now time.Time) string {
	text := steer.OnClock(at, now)
	if _, offset := at.In(now.Location()).Zone(); offset != 0 {
		text += " (" + steer.OnClock(at.UTC(), now.UTC()) + ")"
	}
	return text
}

// ahead says when something is planned: "from 22:00 UTC until 23:00 UTC, in 3h".
func ahead(from, until *time.Time, now time.Time) string {
	text := "from " + spoken(*from, now)
	if until != nil {
		text += " until " + spoken(*until, now)
	}
	return text + ", in " + screen.AboutBetween(now, *from)
}
