//go:build linux

package scenario

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// settle is how long a server may take from a verdict to its answers: for judging and publishing, on a busy machine.
const settle = 500 * time.Millisecond

// TestFailover cuts off a whole region, with its endpoints, its server and its etcd member, while a resolver and a
// constant load watch. The first region is the one with etcd's leader, and then it is another. outage.check says what
// must hold.
func TestFailover(t *testing.T) {
	w := lab.NewWorld(t, lab.Usual)
	witnesses := watch(t, w)
	for _, v := range witnesses {
		lab.Until(t, 60*time.Second, v.region.Server.Name+" has all endpoints up", func() error {
			for _, r := range w.Regions {
				if !v.all(endpointsOf(w, r), "up") {
					return fmt.Errorf("%v", v)
				}
			}
			return nil
		})
	}
	for _, r := range w.Regions { // first, the resolver finds its way, and clients get the right answers
		lab.Until(t, 30*time.Second, "a client in "+r.Name+" gets its own region through the resolver", func() error {
			o := lab.Command(t, w.Client, "", "dig", "+short", "+tries=1", "-b", r.ClientAddress().String(),
				"@10.77.9.1",
				"www.example.test", "A")
			want := fmt.Sprintf("%s\n%s", r.IP(11), r.IP(12))
			got := strings.Fields(o.Stdout)
			slices.Sort(got)
			if strings.Join(got, "\n") != want {
				return fmt.Errorf("it gets %q%s", o.Stdout, o.Stderr)
			}
			return nil
		})
	}

	leader, followers := w.Led(t)
	for _, c := range []struct {
		what   string
		region *lab.Region
	}{{"the region of etcd's leader", leader}, {"another region", followers[0]}} {
		t.Run(c.region.Name, func(t *testing.T) {
			o := &outage{w: w, cut: c.region, witnesses: witnesses}
			o.run(t)
			t.Logf("%s, %s, cut off and healed (TTL %v, interval %v, timeout %v, fall %d, rise %d):\n%v",
				c.what, c.region.Name, lab.Usual.TTL, lab.Usual.Every, lab.Usual.Timeout, lab.Usual.Fall,
				lab.Usual.Rise,
				&o.timeline)
			o.check(t)
		})
	}
}

// outage is one region that is cut off, agreed to be down, healed and back.
type outage struct {
	w         *lab.World
	cut       *lab.Region
	witnesses map[string]*witness
	timeline  timeline
	load      *load

	calm               time.Time // from then on answers are compared with what is allowed
	begin, healed, end time.Time
	recovered          time.Time            // when the server that was cut off had the verdict up on everything again
	outFirst, outLast  map[string]time.Time // by remaining server: its first and last verdict that turned to down
	inFirst, inLast    map[string]time.Time // and those that turned back to up
}

// endpointsOf returns all addresses of the region's endpoints.
func endpointsOf(w *lab.World, r *lab.Region) []netip.Addr {
	all := slices.Clone(r.Addresses(false))
	if w.Yard.IPv6 {
		all = append(all, r.Addresses(true)...)
	}
	return all
}

// families returns the types of address queries that are asked.
func (o *outage) families() []uint16 {
	if o.w.Yard.IPv6 {
		return []uint16{dns.TypeA, dns.TypeAAAA}
	}
	return []uint16{dns.TypeA}
}

func (o *outage) remaining() []*lab.Region {
	return slices.DeleteFunc(slices.Clone(o.w.Regions), func(r *lab.Region) bool { return r == o.cut })
}

func (o *outage) run(t *testing.T) {
	gone := endpointsOf(o.w, o.cut)
	o.outFirst, o.outLast = map[string]time.Time{}, map[string]time.Time{}
	o.inFirst, o.inLast = map[string]time.Time{}, map[string]time.Time{}
	o.load = startLoad(t, o.w)
	// The load runs, and the resolver's cache is right for both families. After an earlier outage that may take a TTL.
	for _, c := range o.w.Regions {
		for _, qtype := range o.families() {
			o.awaitAnswer(t, "resolver", c, time.Now(), func(s *sighting) bool {
				return s.question.Qtype == qtype &&
					o.whole(s, c)
			})
		}
	}
	o.calm = time.Now()
	for _, c := range o.w.Regions { // a second of answers before the cut
		o.awaitAnswer(t, "resolver", c, o.calm.Add(time.Second), func(*sighting) bool { return true })
	}

	o.begin = time.Now()
	o.timeline.zero = o.begin
	o.w.Yard.Cut(t, o.cut.Host)
	o.timeline.add(o.begin, "cut: endpoints, server and etcd member", o.cut.Name)

	for _, r := range o.remaining() {
		v := o.witnesses[r.Name]
		lab.Until(t, time.Minute, r.Server.Name+" has the verdict down on all of "+o.cut.Name, func() error {
			if !v.all(gone, "down") {
				return fmt.Errorf("%v", v)
			}
			return nil
		})
		o.outFirst[r.Name], o.outLast[r.Name] = v.span(gone, "down", o.begin)
		o.timeline.add(v.detected(gone, o.begin), "detected: its own reports are down", r.Server.Name)
		o.timeline.add(o.outLast[r.Name], "agreed: its verdicts are down", r.Server.Name)
	}
	agreed := o.agreed()

	// The configuration still changes on the remaining servers.
	note := fmt.Sprintf("kind: Record\nname: example.test/during-%s/TXT\ndata: ['\"%s is away\"']\n", o.cut.Name,
		o.cut.Name)
	urls := make([]string, 0, 2)
	for _, r := range o.remaining() {
		urls = append(urls, r.Etcd.Client)
	}
	if a := lab.Command(t, o.remaining()[0].Host, note, lab.Binary, "apply", "--etcd", strings.Join(urls, ","), "-f",
		"-"); a.Code != 0 {
		t.Errorf("apply while %s is cut off: %v", o.cut.Name, a)
	}
	changed := lab.Question{Name: "during-" + o.cut.Name + ".example.test", Qtype: dns.TypeTXT}
	for _, r := range o.remaining() {
		o.awaitRecord(t, r, changed)
	}

	// Until the resolver's caches must have expired. What the clients get in that time is checked afterwards.
	past := agreed.Add(lab.Usual.TTL + 2*time.Second)
	for _, c := range o.w.Regions {
		o.awaitAnswer(t, "resolver", c, past, func(*sighting) bool { return true })
	}
	for _, r := range o.remaining() {
		o.timeline.add(o.first(r.Name, o.cut, o.begin, func(s *sighting) bool { return !s.names(o.cut) }).received,
			"served: first answer without "+o.cut.Name, r.Server.Name)
	}
	if s := o.last("resolver", o.cut, o.begin, past, func(s *sighting) bool { return s.names(o.cut) }); s != nil {
		o.timeline.add(s.sent, "resolver: last answer with "+o.cut.Name, "client in "+o.cut.Name)
	}
	o.timeline.add(o.first("resolver", o.cut, o.begin, func(s *sighting) bool {
		return s.wrong == "" &&
			!s.names(o.cut)
	}).received, "seen: first answer without "+o.cut.Name, "client in "+o.cut.Name)

	o.healed = time.Now()
	o.w.Yard.Heal(t, o.cut.Host)
	o.timeline.add(o.healed, "healed", o.cut.Name)
	for _, r := range o.w.Regions {
		v := o.witnesses[r.Name]
		lab.Until(t, 2*time.Minute, r.Server.Name+" has the verdict up on everything", func() error {
			for _, e := range o.w.Regions {
				if !v.all(endpointsOf(o.w, e), "up") {
					return fmt.Errorf("%v", v)
				}
			}
			return nil
		})
	}
	o.recovered = o.healed
	for _, r := range o.w.Regions {
		if _, last := o.witnesses[o.cut.Name].span(endpointsOf(o.w, r), "up", o.begin); last.After(o.recovered) {
			o.recovered = last
		}
	}
	o.timeline.add(o.recovered, "recovered: its verdicts are up again", o.cut.Server.Name)
	for _, r := range o.remaining() {
		o.inFirst[r.Name], o.inLast[r.Name] = o.witnesses[r.Name].span(gone, "up", o.healed)
		o.timeline.add(o.inLast[r.Name], "agreed: its verdicts are up", r.Server.Name)
		s := o.first(r.Name, o.cut, o.healed, func(s *sighting) bool { return s.names(o.cut) })
		if s.received.IsZero() {
			s = o.awaitAnswer(t, r.Name, o.cut, o.healed, func(s *sighting) bool { return s.names(o.cut) })
		}
		o.timeline.add(s.received, "served: first answer with "+o.cut.Name, r.Server.Name)
	}
	s := o.awaitAnswer(t, "resolver", o.cut, o.healed, func(s *sighting) bool { return s.names(o.cut) })
	o.timeline.add(s.received, "back: first answer with "+o.cut.Name, "client in "+o.cut.Name)
	o.awaitRecord(t, o.cut, changed)
	o.timeline.add(time.Now(), "caught up: knows what changed meanwhile", o.cut.Server.Name)
	s = o.awaitAnswer(t, o.cut.Name, o.cut, time.Now(), func(s *sighting) bool { return s.names(o.cut) })
	o.timeline.add(s.received, "served: own region by the server that was cut", o.cut.Server.Name)
	o.end = time.Now()
	o.load.stop()
}

// agreed returns when all remaining servers had the verdict.
func (o *outage) agreed() (last time.Time) {
	for _, at := range o.outLast {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// awaitAnswer waits for a sighting of server and client that was asked after a time and for which ok holds.
func (o *outage) awaitAnswer(t *testing.T, server string, client *lab.Region, after time.Time,
	ok func(*sighting) bool,
) (found *sighting) {
	t.Helper()
	lab.Until(t, time.Minute, fmt.Sprintf("an answer of %s for a client in %s", server, client.Name), func() error {
		all := o.load.sightings(func(s *sighting) bool {
			return s.server == server && s.client == client && s.sent.After(after)
		})
		for _, s := range all {
			if s.wrong == "" && ok(s) {
				found = s
				return nil
			}
		}
		if len(all) == 0 {
			return fmt.Errorf("there is none")
		}
		last := all[len(all)-1]
		return fmt.Errorf("the last of %d is %v %s", len(all), last.addresses, last.wrong)
	})
	return found
}

// awaitRecord waits until the region's server, asked from its own namespace, has the record.
func (o *outage) awaitRecord(t *testing.T, r *lab.Region, q lab.Question) {
	t.Helper()
	lab.Until(t, time.Minute, r.Server.Name+" answers "+q.String(), func() error {
		m, err := lab.Ask(r.Host, r.Server.DNS, q)
		if err != nil {
			return err
		}
		if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 {
			return fmt.Errorf("it is %v", lab.VerdictOf(m))
		}
		return nil
	})
}

func (o *outage) first(server string, client *lab.Region, after time.Time, ok func(*sighting) bool) *sighting {
	for _, s := range o.load.sightings(func(s *sighting) bool {
		return s.server == server && s.client == client &&
			s.sent.After(after)
	}) {
		if s.wrong == "" && ok(s) {
			return s
		}
	}
	return &sighting{}
}

func (o *outage) last(server string, client *lab.Region, after, before time.Time,
	ok func(*sighting) bool,
) (last *sighting) {
	for _, s := range o.load.sightings(func(s *sighting) bool {
		return s.server == server && s.client == client && s.sent.After(after) && s.sent.Before(before)
	}) {
		if s.wrong == "" && ok(s) && (last == nil || s.sent.After(last.sent)) {
			last = s
		}
	}
	return last
}

// check compares every answer of the outage with what was allowed when it was asked for.
func (o *outage) check(t *testing.T) {
	for _, r := range o.remaining() {
		v, gone := o.witnesses[r.Name], endpointsOf(o.w, o.cut)
		for _, x := range []struct {
			verdict       string
			after, before time.Time
			first, last   map[string]time.Time
		}{{"down", o.begin, o.healed, o.outFirst, o.outLast}, {"up", o.healed, o.end, o.inFirst, o.inLast}} {
			first, last := x.first[r.Name], x.last[r.Name]
			v.widen(gone, x.verdict, x.after, x.before, &first, &last)
			x.first[r.Name], x.last[r.Name] = first, last
		}
	}
	agreed := o.agreed()
	var direct, resolved, inside int
	complain := func(s *sighting, format string, args ...any) {
		t.Errorf("%+.3f s to %+.3f s, %s, client in %s, %v: %v %s: %s", s.sent.Sub(o.begin).Seconds(),
			s.received.Sub(o.begin).Seconds(),
			s.server, s.client.Name, s.question, s.addresses, s.wrong, fmt.Sprintf(format, args...))
	}
	for _, s := range o.load.sightings(func(s *sighting) bool { return s.sent.After(o.calm) }) {
		switch {
		case s.server == "resolver":
			resolved++
			switch {
			case s.wrong != "":
				complain(s, "a resolver's client must always be answered")
			case s.client != o.cut && !o.whole(s, s.client) && (s.received.Before(o.healed) ||
				s.sent.After(o.recovered.Add(lab.Usual.TTL+time.Second))):
				// Between healed and recovered the resolver can reach a server that was alone for longer than reports
				// stay fresh. By its own reports all other regions are down, and its answers live for a TTL.
				complain(s, "clients of regions that stay must not notice anything")
			case s.sent.After(agreed.Add(lab.Usual.TTL+time.Second)) && s.received.Before(o.healed) && s.names(o.cut):
				// A query that was under way when the link was healed may be answered by the server that was alone.
				complain(s, "the verdict was at %+.3f s, so TTL + 1 s has passed", agreed.Sub(o.begin).Seconds())
			}
		case strings.HasPrefix(s.server, "inside "):
			inside++
			if s.wrong != "" {
				complain(s, "a server answers its own region, cut off or not")
			}
		case s.server == o.cut.Name && s.received.After(o.begin):
			// It cannot be reached, and then it learns what it missed. run has waited until its answers are right
			// again.
		default:
			direct++
			if s.wrong != "" {
				complain(s, "a remaining server answers every query")
				continue
			}
			if s.client != o.cut {
				if !o.whole(s, s.client) {
					complain(s, "want both endpoints of %s", s.client.Name)
				}
				continue
			}
			next := o.w.Region(o.cut.Order[1])
			outFirst, outLast, inFirst, inLast := o.outFirst[s.server], o.outLast[s.server], o.inFirst[s.server],
				o.inLast[s.server]
			switch {
			case s.server == o.cut.Name: // before the cut
				fallthrough
			case s.received.Before(outFirst), s.sent.After(inLast.Add(settle)):
				if !o.whole(s, o.cut) {
					complain(s, "want both endpoints of %s", o.cut.Name)
				}
			case s.sent.After(outLast.Add(settle)) && s.received.Before(inFirst):
				if !o.whole(s, next) {
					complain(s, "want both endpoints of %s", next.Name)
				}
			default: // while single addresses turn, one by one
				for _, a := range s.addresses {
					if !slices.Contains(o.cut.Addresses(a.Is6()), a) && !slices.Contains(next.Addresses(a.Is6()), a) {
						complain(s, "want endpoints of %s or %s", o.cut.Name, next.Name)
					}
				}
			}
		}
	}
	t.Logf("%d direct answers, %d from inside the regions, %d through the resolver, in %v", direct, inside, resolved,
		o.end.Sub(o.begin).Round(time.Millisecond))
	for _, r := range o.remaining() {
		if n := len(o.load.sightings(func(s *sighting) bool { return s.server == r.Name })); n < 100 {
			t.Errorf("only %d queries were put to %s: too few to mean anything", n, r.Server.Name)
		}
	}
	o.sameVerdicts(t)
}

// whole says whether the answer has both endpoints of the region.
func (o *outage) whole(s *sighting, r *lab.Region) bool {
	return slices.Equal(s.addresses, r.Addresses(s.question.Qtype == dns.TypeAAAA))
}

// sameVerdicts compares the verdicts of all servers once everything is back, and waits until none has a problem. A
// cluster whose third member has just returned may be slow to write, which is a problem for as long as it lasts.
func (o *outage) sameVerdicts(t *testing.T) {
	t.Helper()
	first := o.witnesses[o.w.Regions[0].Name]
	for _, r := range o.w.Regions {
		lab.Until(t, 30*time.Second, r.Server.Name+" agrees with the others and has no problems", func() error {
			if want, got := first.String(), o.witnesses[r.Name].String(); got != want {
				return fmt.Errorf("verdicts differ:\n%s\n%s: %s", want, r.Server.Name, got)
			}
			var p lab.StatusPage
			if err := r.Server.Status(&p); err != nil {
				return err
			}
			if len(p.Problems) != 0 || len(p.Held) != 0 {
				b, _ := json.Marshal(p)
				return fmt.Errorf("its status is %s", b)
			}
			return nil
		})
	}
}
