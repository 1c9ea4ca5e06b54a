package control_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leeward/cmd/leeward/control"
	"leeward/cmd/leeward/screen"
	"leeward/server/admin"
	"leeward/zones"
)

// A planned drain has no effect, and is not listed as in force, until it begins. It ends by itself. Beside it, the
// status shows the effects of policies' schedules.
func TestPlannedDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		now := time.Now().UTC() // midnight
		from, until := now.Add(time.Minute).Format(time.RFC3339), now.Add(2*time.Minute).Format(time.RFC3339)
		b.Batch(zones.Batch{Revision: 5, Full: true, Changes: changes(t, resources+
			"schedule: [{from: "+from+", until: "+until+", weights: {www-us: 150%}}]\n"+
			"---\nkind: Override\nname: region/eu-west\nstate: drain\nfrom: "+from+"\nuntil: "+until+
			"\nreason: routers\n", 5)})
		for _, step := range []struct{ answer, overrides, planned, shifts string }{
			{
				"192.0.2.1", "", "drain of region/eu-west  from 00:01 UTC until 00:02 UTC, in 60s (routers)\n",
				"www.example.test         www-us at 100 % of its weight, 150 % at 00:01 UTC, back to 100 % at " +
					"00:02 UTC\n",
			},
			{
				"192.0.2.2", "region/eu-west  drain  60s   routers\n", "",
				"www.example.test  www-us at 150 % of its weight, back to 100 % at 00:02 UTC\n",
			},
			{"192.0.2.1", "", "", ""},
		} {
			if got := b.answer("www.example.test"); got != step.answer {
				t.Errorf("%s: answer %q, want %q", time.Now().UTC(), got, step.answer)
			}
			var text strings.Builder
			if err := b.Do(t.Context(), func(i control.Inside) {
				s := i.Summary(time.Now()).Status()
				s = &admin.Status{Time: s.Time, Overrides: s.Overrides, Planned: s.Planned, Shifts: s.Shifts}
				if err := screen.Wide(&text, s, false); err != nil {
					t.Error(err)
				}
			}); err != nil {
				t.Fatal(err)
			}
			want := ""
			if step.overrides != "" {
				want = "OVERRIDE        STATE  LEFT  REASON\n" + step.overrides
			}
			if step.planned+step.shifts != "" {
				if want != "" {
					want += "\n"
				}
				want += "PLANNED" + "\n" + step.planned + step.shifts
			}
			if want == "" {
				want = "nothing here yet: no server, no resource\n"
			}
			if text.String() != want {
				t.Errorf("status:\n%swant:\n%s", text.String(), want)
			}
			time.Sleep(time.Minute)
		}
	})
}
