package admin_test

import (
	"context"
	"testing"
	"time"

	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/server/history"
)

// A time without a zone is UTC, whatever the server's own zone is.
func TestTimesAreUTC(t *testing.T) {
	var got []time.Time
	o := options()
	o.History = func(_ context.Context, q history.Query) (*history.Page, error) {
		got = append(got, q.Since, q.Until)
		return &history.Page{}, nil
	}
	o.ExplainAt = func(_ context.Context, at time.Time, _, _, _ string) (*answer.Explanation, error) {
		got = append(got, at)
		return &answer.Explanation{}, nil
	}
	h := admin.NewHandler(o)
	local := time.Local
	t.Cleanup(func() { time.Local = local })
	for _, zone := range []int{0, -9, 14} {
		time.Local = time.FixedZone("elsewhere", zone*3600)
		for text, want := range map[string]string{
			"02:17": "02:17Z", "02:17:30": "02:17:30Z", "2026-11-28T02:17": "2026-11-28T02:17:00Z",
			"2026-11-28": "2026-11-28T00:00:00Z",
		} {
			// The test reads both on the same day, unless midnight falls between them.
			for tries := 3; ; tries-- {
				got = nil
				ask(t, h, "GET", "/api/v1/history?since="+text, nil)
				ask(t, h, "GET", "/api/v1/history?since="+want, nil)
				ask(t, h, "GET", "/api/v1/history?until="+text, nil)
				ask(t, h, "GET", "/api/v1/explain?name=www.example.test&client=192.0.2.1&at="+text, nil)
				if len(got) != 7 || got[0].IsZero() {
					t.Fatalf("%s was not asked for: %v", text, got)
				}
				if got[0].Equal(got[2]) && got[0].Equal(got[5]) && got[0].Equal(got[6]) {
					break
				}
				if tries == 0 {
					t.Fatalf("%d h from UTC, %s is %v, until %v, at %v; %s is %v",
						zone, text, got[0], got[5], got[6], want, got[2])
				}
			}
		}
	}
}

// However a time is printed for people, it can be read back.
func TestReadPast(t *testing.T) {
	zone := time.FixedZone("elsewhere", 2*3600)
	now := time.Date(2026, 11, 29, 11, 4, 0, 0, zone)
	for text, want := range map[string]string{
		"":                          "0001-01-01T00:00:00Z",
		"90m":                       "2026-11-29T09:34:00+02:00",
		"3d":                        "2026-11-26T11:04:00+02:00",
		"02:17":                     "2026-11-29T02:17:00+02:00",
		"12:00":                     "2026-11-28T12:00:00+02:00",
		"11:03:41Z":                 "2026-11-28T11:03:41Z",
		"2026-11-28":                "2026-11-28T00:00:00+02:00",
		"2026-11-28 02:17":          "2026-11-28T02:17:00+02:00",
		" 2026-11-28 02:17:30 ":     "2026-11-28T02:17:30+02:00",
		"2026-11-28 02:17:30.5":     "2026-11-28T02:17:30.5+02:00",
		"2026-11-28 02:17 UTC":      "2026-11-28T02:17:00Z",
		"2026-11-28 02:17:30 UTC":   "2026-11-28T02:17:30Z",
		"2026-11-28T02:17Z":         "2026-11-28T02:17:00Z",
		"2026-11-28T02:17:30-03:30": "2026-11-28T02:17:30-03:30",
	} {
		at, err := admin.ReadPast("--at", text, now)
		exact, bad := time.Parse(time.RFC3339Nano, want)
		if err != nil || bad != nil || !at.Equal(exact) {
			t.Errorf("%q is %v, %v; want %v", text, at, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-2h", "2026-13-01 02:17", "02:17 on Monday", "2026-11-28  02:17"} {
		if at, err := admin.ReadPast("--at", text, now); err == nil {
			t.Errorf("%q is %v, want an error", text, at)
		}
	}
}
