package transfer

import (
	"slices"
	"strings"
	"time"
)

// Following is the state of one zone that lives on another primary.
type Following struct {
	Zone      string
	Primaries []string
	Serial    uint32 // the primary's; 0 before the first transfer
	Sets      int
	// "current", "failing" (the last refresh failed), "expired" or "waiting" (for the first transfer)
	State      string
	Refreshing bool
	From       string    // the primary that last answered
	Checked    time.Time // when it did; zero: never
	Since      time.Time // when the version with this serial came
	Next       time.Time // the next refresh
	Expires    time.Time // zero: there is no version yet
	Error      string
}

// Following returns the state of all zones that live on other primaries, sorted by name.
func (s *Secondary) Following() []Following {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Following, 0, len(s.zones))
	for _, z := range s.zones {
		f := Following{
			Zone: z.name, State: z.state(), Refreshing: z.busy, From: z.from, Checked: z.checked, Since: z.since,
			Next:    z.next,
			Expires: z.expires(), Error: z.failed,
		}
		for _, p := range z.peers {
			f.Primaries = append(f.Primaries, p.String())
		}
		if z.version != nil {
			f.Serial, f.Sets = z.version.Serial(), z.version.Sets()
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b Following) int { return strings.Compare(a.Zone, b.Zone) })
	return all
}

func (z *elsewhere) state() string {
	switch {
	case z.version == nil:
		return "waiting"
	case z.expired:
		return "expired"
	case z.failed != "":
		return "failing"
	}
	return "current"
}
