package console

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/server/history"
	"leeward/zones/steer"
)

// Options are what the screens get their content from. A screen whose function is nil does not exist.
type Options struct {
	ID, Region string // of the process that answers
	TLS        bool   // this process is asked over TLS, and so are the others
	Admin      string // the address that commands ask this process at
	Files      bool   // its resources are files, so commands change nothing
	// Status returns what the server knows. A Status does not change once it is made. Never nil
	Status func(context.Context) (*admin.Status, error)
	// Explain returns a *answer.BadQuestion if something is wrong with the question
	Explain func(name, qtype, client string) (*answer.Explanation, error)
	// ExplainAt does the same for a time in the past. It returns a *history.NotKept for one that is not kept. nil: no
	// past is kept
	ExplainAt func(ctx context.Context, at time.Time, name, qtype, client string) (*answer.Explanation, error)
	History   func(context.Context, history.Query) (*history.Page, error)
	State     func() *answer.State // the state that answers come from, nil before there is one
	// Counts returns what was answered, see (*answer.Responder).Counts. nil: nothing is counted
	Counts func(of string, most int) *answer.Counts
	// PoolCounts returns the same for all pools, without policies. It is nil if Counts is Drills returns the last
	// drills, newest first. With an error it still returns those that could be read
	PoolCounts func(most int) *answer.Counts
	// the last drills, the newest first; an error may come beside those that can be read
	Drills func(context.Context) ([]Drill, error)
	Loads  func(pools []string) *Course // what pools have carried, together
	// Simulate leads today's clients through a situation, and changes nothing. servers are those that counted the
	// clients
	Simulate func(context.Context, Supposed) (f *steer.Forecast, servers []string, err error)

	Changes *Changes // says when answers may have changed; never nil
	Streams int      // the largest number of event streams open at once
	// Waits is told of requests that wait, such as event streams and those not yet in turn. Until goesOn is called,
	// they make room for others. nil: it is not called
	Waits   func(*http.Request) (goesOn func())
	Stopped <-chan struct{} // closed when the process stops
	Log     *slog.Logger    // never nil
}

// New returns the screens. The caller decides who may look.
func New(o Options) http.Handler {
	if o.State == nil {
		o.State = func() *answer.State { return nil }
	}
	if o.Waits == nil {
		o.Waits = func(*http.Request) func() { return func() {} }
	}
	c := &console{Options: o, mux: http.NewServeMux(), streams: listeners{
		most: o.Streams, open: map[*listener]struct{}{}, of: map[string]int{},
	}, turns: newTurns()}
	c.mux.HandleFunc("/assets/{hash}/{file}", asset)
	c.mux.HandleFunc("/events", c.events)
	for _, x := range []struct {
		pattern, name, text, title string
		do                         func(*http.Request, *admin.Status) (string, any, error)
		there                      bool
	}{
		{"/{$}", "night", "Now", "What is broken, and where its clients went", c.night, true},
		{"/pools", "pools", "Pools", "All pools; search by name, region or address", c.poolList, true},
		{"/policies", "policies", "Policies", "The steered names", c.policies, true},
		{"/explain", "explain", "Explain", "Why a client gets an answer", c.explain, o.Explain != nil},
		{"/simulate", "simulate", "What if?", "Where clients would go", c.simulate, o.Simulate != nil},
		{"/drills", "drills", "Drills", "Rehearsals of outages, and their reports", c.drillList, o.Drills != nil},
		{"/drills/{id}", "drills", "", "", c.drillList, o.Drills != nil},
		{"/history", "history", "History", "What happened on this server", c.past, o.History != nil},
		{"/zones", "zones", "Zones", "Zones, serials and transfers", c.zoneList, true},
		{"/servers", "fleet", "Servers", "Servers and vantages", c.fleet, true},
		{
			"/problems", "problems", "Problems", "Resources with a problem, and removals that are held back",
			c.problemList, true,
		},
		{"/region/{name...}", "target", "", "", c.target("region"), true},
		{"/pool/{name...}", "target", "", "", c.target("pool"), true},
		{"/endpoint/{name...}", "target", "", "", c.target("endpoint"), true},
		{"/policy/{name...}", "policy", "", "", c.policy, true},
	} {
		if !x.there {
			continue
		}
		c.screen(x.pattern, x.name, x.do)
		if x.text != "" {
			c.nav = append(c.nav, link{To: strings.TrimSuffix(x.pattern, "{$}"), Text: x.text, Title: x.title})
		}
	}
	c.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, &missing{fmt.Sprintf("There is no %s here.", r.URL.Path)})
	})
	return c.mux
}

type console struct {
	Options
	mux     *http.ServeMux
	shelf   shelf
	names   names
	book    shareBook
	turns   *turns
	drilled reports
	streams listeners
	nav     []link
}

// link leads to a page.
type link struct {
	To, Text, Title string
	Here            bool // it leads to this very page
}

// frame is what stands around every screen.
type frame struct {
	Title           string
	Self, Region    string
	Status          *admin.Status // nil: there is none
	Mood            string        // "well", "meant", "part" or "wrong": how the page looks at a glance
	Nav, Others     []link
	Refresh         bool // the page reloads itself
	Style, Script   string
	Icon, World     string
	Body            any
	Main            template.HTML // Body as its template shows it
	Means           []meaning     // what the figures on it mean
	Failure, Advice string
}

// screen registers a page. do returns the title and what the template shows.
func (c *console) screen(pattern, name string, do func(*http.Request, *admin.Status) (string, any, error)) {
	var gate gate // one for each screen: one that waits for a disk or for etcd holds up no other
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.Path + "?" + r.URL.Query().Encode()
		p, err := c.shelf.fresh(key), error(nil)
		if p == nil {
			p, err = func() (*sheet, error) {
				if !slow(name, r) {
					leave, err := c.turn(r, gate.enter)
					if err != nil {
						return nil, err
					}
					defer leave() // before the page is sent: a slow reader holds up nobody
				}
				return c.shelf.get(key, func() (*sheet, error) { return c.make(r, name, do) })
			}()
		}
		if err != nil {
			c.fail(w, r, err)
			return
		}
		secure(w.Header())
		p.send(w, r, http.StatusOK)
	})
}

// slow reports whether a page waits for its turn (turns), so that it does not hold up those who ask for a quick one.
func slow(name string, r *http.Request) bool {
	return name == "simulate" || name == "explain" && strings.TrimSpace(r.URL.Query().Get("at")) != ""
}

// turn waits for the request's turn. Meanwhile its connection makes room for others.
func (c *console) turn(r *http.Request, enter func(context.Context, string) (leave func(), err error),
) (leave func(), err error) {
	defer c.Waits(r)()
	return enter(r.Context(), addressOf(r))
}

// make makes a page from a status.
func (c *console) make(r *http.Request, name string, do func(*http.Request, *admin.Status) (string, any, error),
) (*sheet, error) {
	s, err := c.Status(r.Context())
	if err != nil {
		return nil, err
	}
	title, body, err := do(r, s)
	if err != nil {
		return nil, err
	}
	f := c.frame(r, s, title)
	f.Body = body
	if x, is := body.(interface{ still() bool }); is && x.still() {
		f.Refresh = false
	}
	return render(name, f)
}

// frame returns what surrounds a screen.
func (c *console) frame(r *http.Request, s *admin.Status, title string) *frame {
	f := &frame{
		Title: title, Self: c.ID, Region: c.Region, Status: s, Mood: "well", Refresh: true,
		Style: style, Script: script, Icon: icon, World: world,
	}
	if s == nil {
		f.Mood, f.Refresh = "wrong", false
		return f
	}
	switch {
	case !s.Wrong():
	case onlyMeant(s):
		f.Mood = "meant"
	case s.Hurts():
		f.Mood = "wrong"
	default:
		f.Mood = "part"
	}
	for _, l := range c.nav {
		l.Here = l.To == r.URL.Path
		f.Nav = append(f.Nav, l)
	}
	for _, v := range s.Servers {
		if v.ID == c.ID {
			continue
		}
		to := c.other(v.Admin)
		if to != "" {
			to += r.URL.RequestURI()
		}
		f.Others = append(f.Others, link{To: to, Text: v.ID, Title: "The same screen as " + v.ID + " sees it"})
	}
	return f
}

// address returns the URL of another server's admin interface, or "" if its address names no host that can be asked.
func (c *console) address(admin string) string {
	scheme, whole := "http://", false // whole: it names its scheme, so the port may be the scheme's default
	if rest, plain := strings.CutPrefix(admin, "http://"); plain {
		admin, whole = rest, true
	} else if rest, secure := strings.CutPrefix(admin, "https://"); c.TLS || secure {
		scheme, admin, whole = "https://", rest, secure
	}
	u, err := url.Parse(scheme + admin)
	if err != nil || u.Port() == "" && !whole || slices.Contains([]string{"", "0.0.0.0", "::"}, u.Hostname()) ||
		strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return ""
	}
	return scheme + u.Host
}

// other returns the URL of another server's admin interface for a browser, or "" if none leads there. A loopback
// address is useless to a browser elsewhere. It counts only if this server is also asked at loopback, at a different
// address.
func (c *console) other(admin string) string {
	to := c.address(admin)
	u, err := url.Parse(to)
	if err != nil || to == "" {
		return ""
	}
	if own, err := url.Parse(c.address(c.Admin)); loopback(u) && (err != nil || !loopback(own) || own.Host == u.Host) {
		return ""
	}
	return to
}

func loopback(u *url.URL) bool {
	a, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && a.IsLoopback()
}

// missing is the error for a screen that does not exist: 404.
type missing struct{ text string }

func (m *missing) Error() string { return m.text }

// fail shows what went wrong, and what to do.
func (c *console) fail(w http.ResponseWriter, r *http.Request, err error) {
	code, advice := http.StatusServiceUnavailable, "The server is busy or stopping. Ask again in a moment, or ask "+
		"another server."
	var gone *missing
	var bad *answer.BadQuestion
	var busy *busyError
	switch {
	case errors.As(err, &busy):
		advice = "Ask again in a moment."
		w.Header().Set("Retry-After", "5")
	case errors.As(err, &gone):
		code, advice = http.StatusNotFound, "The first page shows what there is."
	case errors.As(err, &bad):
		code, advice = http.StatusBadRequest, "Change the question and ask again."
	default:
		c.Log.Debug("console: a screen could not be made", "path", r.URL.Path, "err", err)
	}
	f := c.frame(r, nil, "Not shown")
	f.Nav, f.Failure, f.Advice = c.nav, err.Error(), advice
	p, broken := render("failure", f)
	if broken != nil {
		http.Error(w, err.Error(), code)
		return
	}
	secure(w.Header())
	p.send(w, r, code)
}

// policy is the Content-Security-Policy: nothing from elsewhere, nothing inline, and nobody may frame a page.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer") // a URL may name a client
	h.Set("X-Content-Type-Options", "nosniff")
}
