package admin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"leeward/server/history"
)

// usualEvents is how many events a page has if the request does not say.
const usualEvents = 100

func (h *handler) history(w http.ResponseWriter, r *http.Request) {
	q, err := h.query(r)
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	p, err := h.History(r.Context(), q)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	h.write(w, p)
}

// changes answers with what changed between two revisions.
func (h *handler) changes(w http.ResponseWriter, r *http.Request) {
	v, err := parameters(r, "from", "to")
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	var bounds [2]int64
	for i, name := range []string{"from", "to"} {
		text := v.Get(name)
		if text == "" {
			continue
		}
		if bounds[i], err = strconv.ParseInt(text, 10, 64); err != nil || bounds[i] < 0 {
			fail(w, http.StatusBadRequest, fmt.Errorf("%s %q: write a revision, such as 52", name, text))
			return
		}
	}
	if bounds[1] != 0 && bounds[1] <= bounds[0] {
		fail(w, http.StatusBadRequest, fmt.Errorf("to %d is not after from %d", bounds[1], bounds[0]))
		return
	}
	c, err := h.Changes(r.Context(), bounds[0], bounds[1])
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	h.write(w, c)
}

// query reads the parameters of a request for the history.
func (h *handler) query(r *http.Request) (q history.Query, err error) {
	v, err := parameters(r, "of", "since", "until", "limit", "after", "but")
	if err != nil {
		return q, err
	}
	if q.But = history.Kind(v.Get("but")); q.But != "" && !slices.Contains(history.Kinds, q.But) {
		return q, fmt.Errorf("but %q: write a kind of event, such as vote", q.But)
	}
	now := time.Now().UTC()
	if q.Since, err = ReadPast("since", v.Get("since"), now); err != nil {
		return q, err
	}
	if q.Until, err = ReadPast("until", v.Get("until"), now); err != nil {
		return q, err
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return q, errors.New("since is not before until: nothing is between them")
	}
	q.Of, q.Limit = strings.TrimSuffix(v.Get("of"), "."), usualEvents
	if text := v.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 || q.Limit > history.MostEvents {
			return q, fmt.Errorf("limit %q: write 1 to %d", text, history.MostEvents)
		}
	}
	if text := v.Get("after"); text != "" {
		if q.After, err = strconv.ParseUint(text, 10, 64); err != nil || q.After == 0 {
			return q, fmt.Errorf("after %q: write the number that the page before has as next", text)
		}
	}
	return q, nil
}

// ReadPast reads a time in the past. text is a span back from now ("2h", "90m", "3d"), a time of day ("02:17", the last
// one in now's zone; "02:17Z"), or a date with or without a time. A date is written as in RFC 3339, or as Leeward
// prints it for people: a space for the T, "UTC" for the Z, and now's zone if it names none. ReadPast returns the zero
// time for "". what names the parameter in errors.
func ReadPast(what, text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, nil
	}
	if days, is := strings.CutSuffix(text, "d"); is {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.Add(-time.Duration(n) * 24 * time.Hour), nil
		}
	}
	if span, err := time.ParseDuration(text); err == nil && span >= 0 {
		return now.Add(-span), nil
	}
	full := text
	if date, rest, is := strings.Cut(text, " "); is {
		full = date + "T" + rest
	}
	if utc, is := strings.CutSuffix(full, " UTC"); is {
		full = utc + "Z"
	}
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15:04Z07:00", "2006-01-02",
	} {
		if at, err := time.ParseInLocation(layout, full, now.Location()); err == nil {
			return at, nil
		}
	}
	if on := TimeOfDay(text, now); on != nil {
		if today := on(0); !today.After(now) {
			return today, nil
		}
		return on(-1), nil
	}
	return time.Time{}, fmt.Errorf("%s %q is not a time: write a span such as 2h or 3d, a time such as 02:17 or "+
		"02:17Z (the last one), or RFC 3339", what, text)
}

// TimeOfDay reads a time of day: "02:17" in now's zone, or "02:17Z". on returns that time some days after today. It is
// nil if text is no time of day.
func TimeOfDay(text string, now time.Time) (on func(days int) time.Time) {
	for _, layout := range []string{"15:04", "15:04:05", "15:04Z07:00", "15:04:05Z07:00"} {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		here := now
		if strings.Contains(layout, "Z") {
			here = now.In(t.Location())
		}
		return func(days int) time.Time {
			y, m, d := here.Date()
			return time.Date(y, m, d+days, t.Hour(), t.Minute(), t.Second(), 0, here.Location())
		}
	}
	return nil
}
