package console

import (
	"fmt"
	"slices"
	"strings"

	"leeward/server/admin"
)

// trouble is one thing that is wrong: what, since when, who says so, who gets what instead, and what to do.
type trouble struct {
	State   string // "out", "part", "drained" or "note": its shape
	What    string
	Link    string // "": it has no screen
	Text    string // since when, and who says so
	Instead string // who gets what instead
	Do      []advice
}

// advice is what somebody may do about it.
type advice struct{ Text, Command string }

// cases lists what is wrong, worst first.
func (c *console) cases(s *admin.Status) (all []trouble) {
	a := s.Ailing()
	for _, part := range [][]trouble{
		c.outages(s), c.poolless(s), c.servers(s), c.vantages(a), c.endpoints(s, a), c.loads(a),
		c.problems(untold(a), mostAlike), c.held(s, mostAlike),
		c.others(s, a),
	} {
		all = append(all, part...)
	}
	return all
}

func (c *console) outages(s *admin.Status) (all []trouble) {
	for _, o := range s.Outages() {
		t := trouble{State: "out", What: o.Name, Link: "/" + o.Target, Text: "is " + o.Why + "."}
		if kind, _, _ := strings.Cut(o.Target, "/"); kind == "pool" {
			t.What = "Pool " + o.Name
		}
		switch {
		case len(o.To) > 0:
			t.Instead = "Its clients go to " + listed(o.To, 3) + "."
		case len(s.FailingOpen)+len(s.Denied) > 0:
			t.Instead = "Some clients have nowhere to go; see the names below."
		default:
			t.Instead = "No client has it first now."
		}
		if o.Meant {
			t.State = "drained"
			if do := c.restore(o.Target); do != "" {
				t.Do = append(t.Do, advice{"to give it its clients back", do})
			} else {
				t.Do = append(t.Do, advice{"to give it its clients back: delete its Override from the folder", ""})
			}
		} else {
			t.Do = append(t.Do, advice{"to see each vote", c.ask("status", o.Target, "-o", "wide")})
			if !c.Files && len(o.To) > 0 { // somebody else has its clients
				t.Do = append(t.Do, advice{
					"to keep it out when it comes back",
					command("leeward", "drain", o.Target, "--for", "1h", "--reason", "looking into it"),
				})
			}
		}
		all = append(all, t)
	}
	return all
}

// poolless returns the names that have no pool for some clients.
func (c *console) poolless(s *admin.Status) (all []trouble) {
	say := func(name, instead string) {
		all = append(all, trouble{
			State: "out", What: name, Link: "/policy/" + name,
			Text: "has no available pool for some clients.", Instead: instead,
			Do: []advice{{"to see what a client gets", c.ask("explain", name, "A", "--client", "192.0.2.1")}},
		})
	}
	for _, name := range s.FailingOpen[:min(len(s.FailingOpen), mostAlike)] {
		say(name, "It fails open: they are answered as if all its pools were healthy.")
	}
	for _, d := range s.Denied[:min(len(s.Denied), mostAlike)] {
		say(d.Policy, "They get "+d.Says+", as its whenAllDown says.")
	}
	return all
}

// mostAlike is how many cases of one kind are shown one by one.
const mostAlike = 10

// servers returns the servers that are silent, do not follow their source, or cannot keep their copy. A server that has
// lost etcd hears of nobody: that the others are silent belongs to its own case.
func (c *console) servers(s *admin.Status) (all []trouble) {
	off := s.CutOff()
	var silent []string
	moved := map[string]float64{}
	for i := range s.Vantages {
		v := &s.Vantages[i]
		moved[v.ID] = v.AgeSeconds
	}
	for i := range s.Servers {
		if v := &s.Servers[i]; !v.Fresh && v != off {
			silent = append(silent, v.ID)
		}
	}
	for i := range s.Servers {
		v := &s.Servers[i]
		t := trouble{State: "part", What: "Server " + v.ID}
		switch {
		case v == off:
			t.Text = "is cut off from etcd"
			if v.Source.State == "saved copy" {
				t.Text = "has not reached etcd yet"
			}
			if !v.Source.Since.IsZero() {
				t.Text += " since " + since(v.Source.Since, s.Time)
			}
			t.Text += after(": ", v.Source.Error) + "."
			t.Instead = fmt.Sprintf("It answers from revision %d, and only its own probes count.", v.Revision)
			if len(silent) > 0 {
				t.Instead += " It hears nothing of " + listed(silent, 3) + "."
			}
			t.Do = []advice{{"look after etcd: the server goes on by itself when it is back", ""}}
		case !v.Fresh && off != nil:
			continue
		case !v.Fresh:
			t.State, t.Text = "out", "is not heard of."
			if ago := moved[v.ID]; ago > 0 {
				t.Text = "is not heard of for " + admin.Age(ago) + "."
			}
			t.Instead = "If it runs it answers from what it knew last; resolvers ask the other servers. It does not " +
				"vote; the others decide."
			if to := c.address(v.Admin); to != "" {
				t.Do = []advice{{"to see whether it lives", command("leeward", "healthcheck", "--admin", to)}}
			}
		case v.Source.State != "following":
			t.Text = fmt.Sprintf("does not follow its source (%s for %s)%s.", v.Source.State,
				admin.Age(s.Time.Sub(v.Source.Since).Seconds()), after(": ", v.Source.Error))
			t.Instead = fmt.Sprintf("It answers from revision %d, and follows health as its own probes see it.",
				v.Revision)
			if v.Source.State == "history changed" {
				t.Do = []advice{{"to take the new history", command("leeward", "accept", "--dry-run")}}
			} else {
				t.Do = []advice{{"look after etcd: the server goes on by itself when it is back", ""}}
			}
		case v.CopyError != "":
			t.Text, t.Instead = "cannot keep its copy on disk: "+v.CopyError, "It answers; a restart without etcd "+
				"would find an older copy."
		default:
			continue
		}
		all = append(all, t)
	}
	return all
}

// after returns a text behind what leads to it, and nothing if there is no text.
func after(lead, text string) string {
	if text == "" {
		return ""
	}
	return lead + text
}

func (c *console) vantages(a *admin.Status) (all []trouble) {
	for i := range a.Vantages {
		v := &a.Vantages[i]
		t := trouble{State: "part", What: "Vantage " + v.ID}
		switch {
		case !v.Fresh:
			t.Text = fmt.Sprintf("is stale: it last moved %s ago.", admin.Age(v.AgeSeconds))
		case len(v.BlindTo) > 0:
			t.Text = "is blind to " + listed(v.BlindTo, 3) + ": it alone sees most of unrelated endpoints down there."
		default:
			t.Text = "is blind: it alone sees most of unrelated endpoints down."
		}
		t.Instead = "It does not vote; the others decide."
		t.Do = []advice{{"look at its network: " + v.ID + " in " + orUnknown(v.Region), ""}}
		all = append(all, t)
	}
	return all
}

func orUnknown(region string) string {
	if region == "" {
		return "a region that it does not say"
	}
	return region
}

// endpoints returns the endpoints that are down or whose hostname does not resolve, one case for each pool. If the pool
// is out, its own case already covers them.
func (c *console) endpoints(s, a *admin.Status) (all []trouble) {
	told := s.Gone()
	has := func(target string) bool { _, is := told[target]; return is }
	of := map[string][]*admin.Endpoint{}
	var pools []string
	for i := range a.Endpoints {
		e := &a.Endpoints[i]
		if has("pool/"+e.Pool) || has("region/"+e.Region) {
			continue
		}
		if of[e.Pool] == nil {
			pools = append(pools, e.Pool)
		}
		of[e.Pool] = append(of[e.Pool], e)
	}
	totals := map[string]int{}
	for i := range s.Endpoints {
		totals[s.Endpoints[i].Pool]++
	}
	for _, pool := range pools {
		total, first := totals[pool], of[pool][0]
		t := trouble{
			State: "part", What: "Pool " + pool, Link: "/pool/" + pool, Instead: "The others of the pool answer.",
		}
		var parts []string
		for _, e := range of[pool][:min(len(of[pool]), 3)] {
			parts = append(parts, endpointWords(s, e))
		}
		t.Text = fmt.Sprintf("has %d of %d endpoints that are not as they should be: %s.", len(of[pool]), total,
			listed(append(parts, make([]string, len(of[pool])-len(parts))...), 3))
		if meant := first.Override; meant != "" {
			t.State = "drained"
			if do := c.restore("endpoint/" + first.Endpoint); do != "" {
				t.Do = append(t.Do, advice{"to give it its clients back", do})
			}
		} else {
			t.Do = append(t.Do, advice{"to see each vote", c.ask("status", "pool/"+pool, "-o", "wide")})
		}
		all = append(all, t)
	}
	return all
}

// endpointWords says what is wrong with an endpoint, since when, and by whose votes.
func endpointWords(s *admin.Status, e *admin.Endpoint) string {
	_, name, _ := strings.Cut(e.Endpoint, "/")
	switch h := e.Hostname; {
	case e.Override != "":
		return name + " (" + map[string]string{
			"drain": "drained", "down": "set down",
			"up": "held up",
		}[e.Override] + ")"
	case h != nil && h.Error != "":
		return name + " (" + h.Name + " does not resolve: " + h.Error + ")"
	}
	for i := range e.Addresses {
		if ad := &e.Addresses[i]; ad.Verdict == "down" {
			return name + " (" + verdictWords(s, ad) + ")"
		}
	}
	return name
}

// verdictWords says since when an address has its verdict, who says so, and the reason that most of them give.
func verdictWords(s *admin.Status, a *admin.Address) string {
	text := a.Verdict
	if a.Since != nil {
		text += " since " + since(*a.Since, s.Time)
	}
	if says := a.Says(); says != "" {
		text += ", " + says
	}
	return text
}

// loads returns the pools that carry more than their target.
func (c *console) loads(a *admin.Status) (all []trouble) {
	for i := range a.Pools {
		p := &a.Pools[i]
		if l := p.LoadStatus; l != nil && l.Load.Known && l.Target > 0 && (l.Load.Value > l.Target || l.Keep < 1) {
			t := trouble{State: "part", What: "Pool " + p.Pool, Link: "/pool/" + p.Pool}
			t.Text = fmt.Sprintf("carries %s of a target of %s", admin.Figure(l.Load.Value), admin.Figure(l.Target))
			if l.Max > 0 && l.Load.Value > l.Max {
				t.Text += fmt.Sprintf(", beyond the max of %s at which it breaks", admin.Figure(l.Max))
			}
			t.Text += "."
			t.Instead = "It keeps its clients."
			if l.Keep < 1 {
				t.Instead = fmt.Sprintf("It keeps %.0f %% of its clients; the others go to the next pools of their "+
					"order.", 100*l.Keep)
			}
			if l.Wanted > p.Total {
				t.Do = []advice{{fmt.Sprintf("%d endpoints would carry it; it has %d", l.Wanted, p.Total), ""}}
			}
			all = append(all, t)
		}
	}
	return all
}

// untold leaves out the problems that other cases tell.
func untold(a *admin.Status) *admin.Status {
	rest := *a
	rest.Problems = slices.DeleteFunc(slices.Clone(a.Problems), func(p admin.Problem) bool { return a.Overloaded(&p) })
	return &rest
}

// problems returns the resources whose newest version is not in service as written.
func (c *console) problems(s *admin.Status, most int) (all []trouble) {
	for i := range s.Problems[:min(len(s.Problems), most)] {
		p := &s.Problems[i]
		t := trouble{State: "note", What: p.Resource, Link: "/problems", Text: p.Message}
		if p.Field != "" {
			t.Text = p.Field + ": " + p.Message
		}
		switch p.InService {
		case admin.InServiceOlder:
			t.Instead = "The version before it stays in service."
		case admin.InServiceNone:
			t.Instead = "Nothing of it is in service."
		default:
			t.Instead = "It is in service as far as it goes."
		}
		all = append(all, t)
	}
	return all
}

// held returns the removals that wait for an operator's decision.
func (c *console) held(s *admin.Status, most int) (all []trouble) {
	for i := range s.Held[:min(len(s.Held), most)] {
		h := &s.Held[i]
		all = append(all, trouble{
			State: "note", What: h.Resource, Link: "/problems", Text: "was removed, and the removal is held back: " +
				h.Why,
			Instead: "It stays in service.", Do: []advice{c.accept(h.Resource)},
		})
	}
	return all
}

// accept returns the advice that lets a removal happen.
func (c *console) accept(key string) advice {
	if c.Files {
		return advice{"if it was meant, with the folder that the server reads", "leeward accept --files FOLDER"}
	}
	return advice{"if it was meant", command("leeward", "accept", key)}
}

// others returns what is wrong with watches, etcd's database, location databases and transfers.
func (c *console) others(s, a *admin.Status) (all []trouble) {
	note := func(what, text, instead string) {
		all = append(all, trouble{State: "note", What: what, Text: text, Instead: instead})
	}
	for _, w := range a.Watches {
		note("The watch on "+w.Watch, "has said nothing for "+admin.Age(w.LagSeconds)+".", "What came last stands.")
	}
	if a.Database != nil {
		note("etcd's database", a.Database.Problem, "")
	}
	for _, g := range a.Geo {
		note("Location database "+g.File, g.Error, "The one before stays in service.")
	}
	for _, x := range a.Secondaries[:min(len(a.Secondaries), mostAlike)] {
		text := "has not answered yet that it knows the new serial."
		if x.Error != "" {
			text = "could not be notified of the new serial: " + x.Error
		}
		note("Secondary "+x.Server+" of "+x.Zone, text, "It has an older version until it asks by itself.")
	}
	for i := range s.Signers {
		v := &s.Signers[i]
		switch {
		case !v.Fresh:
			note("Signer "+v.ID, "is not heard of.", "Servers without keys have another signer, or go on for 13 days "+
				"with the signatures that they have.")
		case v.Source.State != "following":
			note("Signer "+v.ID, "does not follow its source ("+v.Source.State+").", "New configuration "+
				"waits for another signer.")
		case v.Written.Trouble() != "":
			note("Signer "+v.ID, v.Written.Trouble()+".", "Servers without keys go on with the signatures there are.")
		}
	}
	if a.Signing != nil {
		for _, z := range a.Signing.List[:min(len(a.Signing.List), mostAlike)] {
			note("Signatures of "+z.Zone, z.Words(s.Time), z.Remedy())
		}
		if e := a.Signing.KeptError; e != "" {
			note("Signatures on disk", "cannot be kept: "+e, "A restart makes them again.")
		}
	}
	for _, x := range a.Following[:min(len(a.Following), mostAlike)] {
		instead := "What came last is answered."
		if x.State == "expired" || x.State == "waiting" {
			instead = "Only its policies are answered."
		}
		note("Zone "+x.Zone, "is "+x.State+" at its primary. "+x.Error, instead)
	}
	return all
}
