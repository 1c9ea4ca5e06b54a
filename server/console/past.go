package console

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"leeward/server/admin"
	"leeward/server/history"
)

// pastList lists what happened, newest first.
type pastList struct {
	Of, Since string
	Events    []eventRow
	Page      *history.Page
	Older     string // parameters for older events; "": there are none
	Votes     string // parameters for the same with votes; "": they are there
	Problem   string // why the past cannot be shown
	Now       time.Time
}

// eventRow is one event as a page shows it.
type eventRow struct {
	Time     time.Time
	Kind     history.Kind
	State    string // its shape
	Text     string
	Phases   string // of a failover
	Links    []link
	Revision int64
	Fields   []string // what changed
	Undo     string   // the command that reverses a change; "": there is none
}

// lastEvents is how many events the first screen has.
const lastEvents = 8

// mostFields is how many changed fields of an event are shown.
const mostFields = 10

func (c *console) past(r *http.Request, s *admin.Status) (string, any, error) {
	if _, err := pageOf(r, "of", "since", "after", "votes"); err != nil {
		return "", nil, err
	}
	v := r.URL.Query()
	out := &pastList{Of: strings.TrimSpace(v.Get("of")), Since: strings.TrimSpace(v.Get("since")), Now: s.Time}
	q := history.Query{Of: strings.TrimSuffix(out.Of, "."), Limit: perPage}
	voter := slices.ContainsFunc(s.Vantages, func(v admin.Vantage) bool {
		return q.Of == v.ID || q.Of == "vantage/"+v.ID
	})
	if v.Get("votes") == "" && !voter && q.Of != string(history.Vote) {
		q.But = history.Vote
		with := r.URL.Query()
		with.Set("votes", "yes")
		out.Votes = with.Encode()
	}
	var err error
	if q.Since, err = admin.ReadPast("since", out.Since, s.Time.UTC()); err != nil {
		out.Problem = err.Error()
		return "History", out, nil
	}
	if text := v.Get("after"); text != "" {
		if q.After, err = strconv.ParseUint(text, 10, 64); err != nil {
			return "", nil, wrong("after=%s: write the number of an event.", text)
		}
	}
	c.read(r, q, out)
	if out.Page != nil && out.Page.Next > 0 {
		v.Set("after", strconv.FormatUint(out.Page.Next, 10))
		out.Older = v.Encode()
	}
	return "History", out, nil
}

// read reads events. If there are none to be had, it says so.
func (c *console) read(r *http.Request, q history.Query, out *pastList) {
	p, err := c.History(r.Context(), q)
	if err != nil {
		out.Problem = err.Error()
		return
	}
	out.Page = p
	for i := range p.Events {
		x := row(&p.Events[i])
		if e := &p.Events[i]; e.Kind == history.Changed && len(e.Changes) > 0 && x.Revision > 0 && !c.Files {
			x.Undo = command("leeward", "undo", strconv.FormatInt(x.Revision, 10))
		}
		out.Events = append(out.Events, x)
	}
}

// changed puts one changed field into words. Where several resources changed at once, it names its own.
func changed(e *history.Event, resource string, f history.Field) string {
	text := f.Path + ": "
	if len(e.Changes) > 1 {
		text = resource + " " + text
	}
	switch {
	case f.Was == "":
		return text + f.Is + ", was not there"
	case f.Is == "":
		return text + f.Was + " is gone"
	}
	return text + f.Was + " → " + f.Is
}

func row(e *history.Event) eventRow {
	x := eventRow{Time: e.Time, Kind: e.Kind, Text: e.Text, State: "empty", Revision: e.Revision}
	switch e.Kind {
	case history.Verdict, history.Vote:
		if x.State = "up"; e.Turn != nil && e.Turn.To == "down" {
			x.State = "out"
		}
	case history.Failover:
		x.State = "part"
	case history.Override, history.Drill:
		x.State = "drained"
	case history.Vantage, history.Problem:
		if x.State = "note"; e.Over {
			x.State = "up"
		}
	case history.Lost:
		x.State = "note"
	}
	for _, of := range e.Of {
		if kind, _, _ := strings.Cut(of, "/"); kind == "region" || kind == "pool" || kind == "endpoint" ||
			kind == "policy" {
			x.Links = append(x.Links, link{To: "/" + of, Text: of})
		}
	}
	x.Links = x.Links[:min(len(x.Links), 3)]
	if len(e.Changes) == 0 {
		x.Revision = 0 // of the source, which says nothing to people
	}
	for _, ch := range e.Changes {
		for _, f := range ch.Fields {
			if len(x.Fields) < mostFields {
				x.Fields = append(x.Fields, changed(e, ch.Resource, f))
			}
		}
	}
	return x
}
