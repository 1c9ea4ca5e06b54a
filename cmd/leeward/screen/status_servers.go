package screen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"leeward/server/admin"
)

// servers lists the servers, and where they listen if that is wanted.
func (s status) servers(wide bool) *Table {
	t := &Table{Heads: []string{"SERVER", "REGION", "REVISION", "SOURCE", "SNAPSHOT", "PROBLEMS", "HELD"}}
	if wide {
		t.Heads = append(t.Heads, "LISTEN", "ADMIN", "VERSION")
	}
	for _, v := range slices.Concat(s.Servers, s.Signers) {
		source, c := v.Source.State, Green
		if v.Source.State != "following" {
			c = Red
			if !v.Source.Since.IsZero() {
				source += " for " + admin.Age(s.Time.Sub(v.Source.Since).Seconds())
			}
		}
		name := Cell{v.ID, Bold}
		if v.ID == s.Self {
			name.Text += " *"
		}
		switch {
		case v.Signs:
			name.Text += " (signs)"
		case v.NoProbe:
			name.Text += " (no probes)"
		}
		age := Cell{admin.Age(v.SnapshotAgeSeconds), Plain}
		if !v.Fresh {
			name.Colour, age = Red, Cell{"not heard of", Red}
		}
		if v.CopyError != "" {
			age = Cell{age.Text + ", not kept", Red}
		}
		row := []Cell{
			name,
			{Text: v.Region},
			{Text: strconv.FormatInt(v.Revision, 10)},
			{source, c},
			age,
			count(v.Problems),
			count(v.Held),
		}
		if wide {
			row = append(row, Cell{Text: strings.Join(v.Listen, " ")}, Cell{Text: v.Admin}, Cell{v.Version, Grey})
		}
		t.Add(row...)
	}
	return t
}

// failing says what is wrong with servers' sources and copies. Servers with the same fault share a line.
func (s status) failing() *Table {
	t := &Table{}
	var texts []string
	who := map[string][]string{}
	note := func(id, text string) {
		if who[text] == nil {
			texts = append(texts, text)
		}
		who[text] = append(who[text], id)
	}
	for _, v := range slices.Concat(s.Servers, s.Signers) {
		if v.Source.Error != "" {
			note(v.ID, v.Source.Error)
		}
		if v.CopyError != "" {
			note(v.ID, "the copy on disk is not kept: "+v.CopyError)
		}
		if t := v.Written.Trouble(); t != "" {
			note(v.ID, t)
		}
	}
	for _, text := range texts {
		t.Add(Cell{strings.Join(who[text], ", "), Bold}, Cell{Text: text})
	}
	return t
}

// database shows how much of its quota etcd uses.
func (s status) database() *Table {
	t := &Table{Heads: []string{"ETCD'S DATABASE", "IN USE", "QUOTA", ""}}
	if d := s.Database; d != nil {
		c := Green
		if d.Problem != "" {
			c = Red
		}
		t.Add(Cell{mebibytes(d.Bytes), c}, Cell{Text: mebibytes(d.UsedBytes)}, Cell{Text: mebibytes(d.QuotaBytes)},
			Cell{d.Problem, c})
	}
	return t
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// watches shows how old our knowledge of etcd may be, and how many votes and verdicts count although they are stale.
func (s status) watches() *Table {
	t := &Table{Heads: []string{"WATCH ON", "LAG", "STALE VOTES", "STALE VERDICTS", "UNWATCHED"}}
	for _, w := range s.Watches {
		l := Cell{admin.Age(w.LagSeconds), Green}
		if w.Late() {
			l.Colour = Red
		}
		row := []Cell{{Text: w.Watch}, l}
		if w.Watch == "reports" {
			row = append(row, count(s.StaleVotes), count(s.StaleVerdicts), count(s.Unwatched))
		}
		t.Add(row...)
	}
	return t
}

// failover shows how long failovers took.
func (s status) failover() *Table {
	t := &Table{Heads: []string{"FAILOVER", "TO", "ADDRESSES", "LAST", "MEAN", "WORST"}}
	for _, p := range s.Failover {
		t.Add(Cell{p.Phase, Bold}, verdict(p.To), Cell{Text: strconv.Itoa(p.Count)}, Cell{Text: Took(p.LastSeconds)},
			Cell{Text: Took(p.MeanSeconds)}, Cell{Text: Took(p.WorstSeconds)})
	}
	return t
}

// vantages lists vantages that are not servers, and servers that do not vote.
func (s status) vantages() *Table {
	t := &Table{Heads: []string{"VANTAGE", "REGION", "STATE", "REPORTS", "MOVED"}}
	for _, v := range s.Vantages {
		if v.Server && v.Fresh && !v.Blind {
			continue
		}
		state := Cell{"votes", Green}
		switch {
		case !v.Fresh:
			state = Cell{"stale", Red}
		case len(v.BlindTo) > 0:
			state = Cell{"blind to " + strings.Join(v.BlindTo, ", ") + ", abstains", Yellow}
		case v.Blind:
			state = Cell{"blind, abstains", Yellow}
		}
		if v.Reason != "" {
			state.Text += ": " + v.Reason
		}
		t.Add(Cell{v.ID, Bold}, Cell{Text: v.Region}, state, Cell{Text: strconv.Itoa(v.Reports)},
			Cell{Text: admin.Age(v.AgeSeconds) + " ago"})
	}
	return t
}
