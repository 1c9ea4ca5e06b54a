package console

import (
	"fmt"
	"path"
	"slices"
	"time"

	"leeward/server/admin"
)

// trust is one line of "can I trust this page?".
type trust struct {
	Well        bool
	What, Text  string
	Explanation string // what the figure means
}

// trusts says how far the content of a page can be trusted, one line for each reason to doubt it. Well lines are shown
// quietly.
func trusts(s *admin.Status) (all []trust) {
	add := func(well bool, what, text, explanation string) {
		all = append(all, trust{well, what, text, explanation})
	}
	var silent, behind, cut []string
	newest := int64(0)
	for _, v := range s.Servers {
		if v.Fresh {
			newest = max(newest, v.Revision)
		}
	}
	for _, v := range s.Servers {
		switch {
		case !v.Fresh:
			silent = append(silent, v.ID)
		case v.Source.State != "following":
			cut = append(cut, v.ID+" ("+v.Source.State+")")
		case v.Source.Kind == "etcd" && v.Revision < newest:
			behind = append(behind, fmt.Sprintf("%s (%d)", v.ID, v.Revision))
		}
	}
	heard := len(s.Servers) - len(silent)
	text := fmt.Sprintf("all %d answer from revision %d", heard, newest)
	switch {
	case heard == 0:
		text = "none is heard of"
	case len(behind) > 0:
		text = fmt.Sprintf("the newest revision is %d; behind it: %s", newest, listed(behind, 4))
	case len(silent) > 0:
		text = fmt.Sprintf("%d of %d servers answer from revision %d", heard, len(s.Servers), newest)
	case heard == 1:
		text = fmt.Sprintf("%s answers from revision %d", s.Servers[0].ID, newest)
	case heard == 2:
		text = fmt.Sprintf("both answer from revision %d", newest)
	}
	add(len(behind) == 0 && heard > 0, "Revision", text,
		"The revision of the newest resource in the answers. It is the same on all servers, except for a moment "+
			"after a change.")
	text = "all follow it"
	switch {
	case len(cut) > 0 && len(silent) > 0:
		text = "not followed by " + listed(cut, 4) + "; not heard of: " + listed(silent, 4)
	case len(cut) > 0:
		text = "not followed by " + listed(cut, 4)
	case len(silent) > 0:
		text = "not heard of: " + listed(silent, 4) + "; the others follow it"
	}
	add(len(cut)+len(silent) == 0, "Source", text,
		"Where resources come from. A server that is cut off answers from the last resources that it knew.")
	if len(s.Watches) > 0 {
		lag, late := 0.0, false
		for i := range s.Watches {
			lag, late = max(lag, s.Watches[i].LagSeconds), late || s.Watches[i].Late()
		}
		add(!late, "Watch lag", admin.Age(lag), "How long ago etcd's watches last sent something, that "+
			"nothing has changed.")
	}
	var stale, blind []string
	for _, v := range s.Vantages {
		switch {
		case !v.Fresh:
			stale = append(stale, v.ID)
		case v.Blind:
			blind = append(blind, v.ID)
		}
	}
	text = fmt.Sprintf("%d vote", len(s.Vantages)-len(stale)-len(blind))
	if len(stale) > 0 {
		text += "; stale: " + listed(stale, 4)
	}
	if len(blind) > 0 {
		text += "; blind, and abstaining: " + listed(blind, 4)
	}
	add(len(stale)+len(blind) == 0, "Vantages", text,
		"The processes that probe. A verdict is what most of those that vote say.")
	if n := s.StaleVerdicts + s.Unwatched; n > 0 {
		add(false, "Verdicts", fmt.Sprintf("%d addresses stand on old votes, %d nobody watches", s.StaleVerdicts,
			s.Unwatched),
			"Addresses that no vantage has reported for longer than detection takes. The last verdict stands.")
	}
	text = "nothing"
	if n := len(s.Held); n > 0 {
		text = fmt.Sprintf("%d removals", n)
		if n == 1 {
			text = "1 removal"
		}
	}
	add(len(s.Held) == 0, "Held back", text, "Removals that looked like accidents; they wait for leeward accept.")
	text = "none"
	if n := len(s.Problems); n > 0 {
		text = fmt.Sprintf("%d", n)
	}
	add(len(s.Problems) == 0, "Problems", text, "Resources whose newest version is not in service as it is.")
	for _, g := range s.Geo {
		text := path.Base(g.File)
		if !g.Built.IsZero() {
			text += ", built " + g.Built.UTC().Format("2006-01-02") + fmt.Sprintf(", %.0f days old",
				s.Time.Sub(g.Built).Hours()/24)
		}
		add(g.Error == "", "Locations", text, "The database that says where clients are: "+g.File)
	}
	if d := s.Database; d != nil && d.QuotaBytes > 0 {
		add(d.Problem == "", "etcd", fmt.Sprintf("%.0f %% of its quota in use",
			100*float64(d.Bytes)/float64(d.QuotaBytes)),
			"When the database reaches its quota etcd takes no more writes. Answers go on.")
	}
	if n := len(s.Following); n > 0 {
		well := !slices.ContainsFunc(s.Following, func(x admin.Following) bool { return x.State != "current" })
		text := fmt.Sprintf("%d zones live elsewhere, all current", n)
		if !well {
			text = fmt.Sprintf("%d zones live elsewhere, not all current", n)
		}
		add(well, "Transfers", text, "Zones that this server has from other primaries.")
	}
	if g := s.Signing; g != nil {
		all = append(all, signatures(g, s.Time))
	}
	return all
}

// signatures says for how long the signatures of signed zones are valid.
func signatures(g *admin.Signing, now time.Time) trust {
	t := trust{What: "Signatures", Explanation: "Until when the first signature of a signed zone is valid. " +
		"Leeward signs again each day, so all are valid for at least twelve days."}
	ill := 0
	for i := range g.List {
		if !g.List[i].Well() {
			ill++
		}
	}
	first := g.Nearest()
	t.Well = ill == 0 && g.KeptError == ""
	switch {
	case first == nil:
		t.Text = "never expire"
	case first.State == admin.SignedExpired:
		t.Text = "of " + first.Zone + " have expired"
	default:
		t.Text = fmt.Sprintf("hold for %s (%s)", admin.Age(first.Expires.Sub(now).Seconds()), first.Zone)
	}
	if ill > 0 {
		t.Text += fmt.Sprintf("; %d of %d signed zones are not as they should be", ill, g.Zones)
	}
	if g.KeptError != "" {
		t.Text += "; they cannot be kept on disk"
	}
	return t
}
