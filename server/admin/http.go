package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"leeward/server/answer"
	"leeward/server/history"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options are what the handler gets its answers from.
type Options struct {
	// Ready returns nil once a snapshot is served, and before that why it is not. nil: always ready
	Ready   func() error
	Status  func(context.Context) (*Status, error) // nil: answered 404
	PoolsOf func(name string) []string             // of the policy at that name; may be nil
	// A *answer.BadQuestion is answered 400. nil: answered 404
	Explain func(name, qtype, client string) (*answer.Explanation, error)
	// ExplainAt explains an answer of the past. It returns a *history.NotKept for a time that is not kept. nil: no past
	// is kept.
	ExplainAt func(ctx context.Context, at time.Time, name, qtype, client string) (*answer.Explanation, error)
	Counts    func(of string, most int) *answer.Counts // nil: answered 404
	Top       func(most int) *answer.Top               // nil: 404, as when it returns nil: not counted here
	// nil: answered 404
	History func(context.Context, history.Query) (*history.Page, error)
	// Changes returns what changed after one revision, up to and including another. nil: answered 404
	Changes func(ctx context.Context, from, to int64) (*history.Revisions, error)

	Metrics prometheus.Gatherer // nil: answered 404
	// Pages serves all other paths, for people. nil: they get a list of the paths, in plain text
	Pages http.Handler
	// Token returns the token that a request must have now, as "Authorization: Bearer …". nil or "": none is needed
	Token func() string
	Log   *slog.Logger // never nil

	TLS        bool // requests come over TLS, by a name that the certificate has
	ClientCert bool // a request must come with a client certificate that was verified
	// URL is where people reach the interface, if that is not the address that it listens on. Its host is a name of
	// this server.
	URL string
}

// page is one path below the root.
type page struct {
	path, about string
	by          callers
	serve       http.HandlerFunc
}

// callers says who may ask for a path.
type callers int

const (
	programs callers = iota // with the token and the certificate, if these are required
	people                  // the same, in a browser: links on other sites may lead here
	anybody                 // it reveals nothing, and those who ask (containers, load balancers) carry no credentials
)

// NewHandler returns the admin interface. It only reads: any method but GET and HEAD is answered 405.
//
// Without a token or TLS, the Host of a request must be an address or localhost. Otherwise a web page in the operator's
// browser could reach the interface by a name of its own that resolves to loopback.
func NewHandler(o Options) http.Handler {
	h := &handler{Options: o}
	pages := []page{
		{"/healthz", "200 while the process lives", anybody, h.healthz},
		{"/readyz", "200 once a snapshot is served, 503 before", anybody, h.readyz},
	}
	if o.Metrics != nil {
		metrics := promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{ErrorLog: promLog{o.Log}})
		pages = append(pages, page{"/metrics", "figures for Prometheus", programs, metrics.ServeHTTP})
	}
	if o.Status != nil {
		pages = append(pages, page{"/api/v1/status?of=", "servers, regions, pools, endpoints with each vantage's " +
			"vote, problems (JSON)", programs, h.status})
	}
	if o.Explain != nil {
		pages = append(pages, page{
			"/api/v1/explain?name=&type=&client=", "why that client gets that answer (JSON)",
			programs, h.explain,
		})
	}
	if o.Counts != nil {
		pages = append(pages, page{
			"/api/v1/counts?of=&most=", "queries and answers by type, pool, policy and rule (JSON)", programs, h.counts,
		})
	}
	if o.Top != nil {
		pages = append(pages, page{
			"/api/v1/top?most=", "who asks most, and for which names, with --count-top (JSON)", programs, h.top,
		})
	}
	if o.History != nil {
		pages = append(pages, page{
			"/api/v1/history?of=&since=&until=&limit=&after=", "what happened, the newest first (JSON)",
			programs, h.history,
		})
	}
	if o.Changes != nil {
		pages = append(pages, page{
			"/api/v1/changes?from=&to=", "resources that changed between two revisions, before and after (JSON)",
			programs, h.changes,
		})
	}
	mux := http.NewServeMux()
	for _, p := range pages {
		path, _, _ := strings.Cut(p.path, "?")
		mux.HandleFunc(path, h.guard(p.by, p.serve))
	}
	list := h.guard(people, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, "Leeward, an authoritative DNS server that is a global load balancer.\n\n")
		for _, p := range pages {
			fmt.Fprintf(w, "%-38s %s\n", p.path, p.about)
		}
	})
	mux.HandleFunc("/api", list)
	if o.Pages != nil {
		mux.HandleFunc("/", h.guard(people, o.Pages.ServeHTTP))
	} else {
		mux.HandleFunc("/{$}", list)
	}
	for path, by := range map[string]callers{"/api/": programs, "/": people} {
		if path == "/" && o.Pages != nil {
			continue
		}
		mux.HandleFunc(path, h.guard(by, func(w http.ResponseWriter, r *http.Request) {
			fail(w, http.StatusNotFound, fmt.Errorf("there is no %s here; /api lists what there is", r.URL.Path))
		}))
	}
	return mux
}

type handler struct{ Options }

// guard passes on the requests that may read, and refuses the others.
func (h *handler) guard(by callers, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		token := ""
		if h.Token != nil {
			token = h.Token()
		}
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			header.Set("Allow", "GET, HEAD")
			fail(w, http.StatusMethodNotAllowed, errors.New("this interface only reads; change resources in etcd "+
				"(leeward apply) or in the folder"))
		case by == anybody:
			next(w, r)
		case h.ClientCert && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0):
			fail(w, http.StatusUnauthorized, errors.New("present a client certificate that an authority in the "+
				"server's --admin-client-ca has signed "+
				"(leeward status: --admin-cert FILE --admin-key FILE)"))
		case token == "" && !h.TLS && !local(r.Host) && !h.named(r.Host):
			fail(w, http.StatusForbidden,
				fmt.Errorf("the name %q is not this server's; ask by address or as localhost, or start it with "+
					"--admin-url, the URL that people have", r.Host))
		case crossed(r, by):
			fail(w, http.StatusForbidden, errors.New("another site's page asks for this in your browser; open the "+
				"address yourself"))
		case token != "" && !knows(r, token):
			header.Add("WWW-Authenticate", `Bearer realm="leeward"`)
			header.Add("WWW-Authenticate", `Basic realm="leeward: any name, the token as password", charset="UTF-8"`)
			wrong := "the token is not this server's; give the one that its --admin-token-file or --admin-token has"
			if r.Header.Get("Authorization") == "" {
				wrong = "this server asks for its token: give --admin-token-file FILE or LEEWARD_ADMIN_TOKEN " +
					"(other clients send the header \"Authorization: Bearer TOKEN\")"
			}
			fail(w, http.StatusUnauthorized, errors.New(wrong))
		default:
			next(w, r)
		}
	}
}

// knows reports whether the request has the token: as Bearer, or as the password of Basic with any user name, which is
// what browsers can send. It compares in constant time.
func knows(r *http.Request, token string) bool {
	scheme, sent, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sent = strings.TrimSpace(sent)
	if _, password, basic := r.BasicAuth(); basic {
		sent = password
	} else if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	got, want := sha256.Sum256([]byte(sent)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// crossed reports whether a browser asks on behalf of another site's page (Fetch Metadata). Following a link to a
// screen is allowed, since the other page cannot see the result. Clients that are not browsers do not send the header.
func crossed(r *http.Request, by callers) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return by != people || r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}

// named reports whether the Host header is that of the URL at which people reach this server.
func (o *Options) named(host string) bool {
	u, err := url.Parse(o.URL)
	return err == nil && u.Host != "" && strings.EqualFold(host, u.Host)
}

// local reports whether the Host header is an address or localhost.
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

func (h *handler) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "ok")
}

func (h *handler) readyz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if h.Ready != nil {
		if err := h.Ready(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
	}
	fmt.Fprintln(w, "ok")
}

func (h *handler) status(w http.ResponseWriter, r *http.Request) {
	v, err := parameters(r, "of")
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	s, err := h.Status(r.Context())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	if of := v.Get("of"); of != "" {
		var pools []string
		if h.PoolsOf != nil {
			pools = h.PoolsOf(of)
		}
		if s, err = s.Narrow(of, pools); err != nil {
			fail(w, http.StatusBadRequest, err)
			return
		}
	}
	h.write(w, s)
}

// parameters reads a request's parameters. It fails if one is not known, or is given twice.
func parameters(r *http.Request, known ...string) (url.Values, error) {
	v := r.URL.Query()
	for name, values := range v {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("there is no parameter %q; known: %s", name, strings.Join(known, ", "))
		}
		if len(values) > 1 {
			return nil, fmt.Errorf("the parameter %q is given %d times; give it once", name, len(values))
		}
	}
	return v, nil
}

func (h *handler) explain(w http.ResponseWriter, r *http.Request) {
	v, err := parameters(r, "name", "type", "client", "at")
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	at, err := ReadPast("at", v.Get("at"), time.Now().UTC())
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	var e *answer.Explanation
	switch {
	case at.IsZero():
		e, err = h.Explain(v.Get("name"), v.Get("type"), v.Get("client"))
	case h.ExplainAt == nil:
		err = &answer.BadQuestion{Message: "at: this process keeps no record of past answers; leave it out"}
	default:
		e, err = h.ExplainAt(r.Context(), at, v.Get("name"), v.Get("type"), v.Get("client"))
	}
	if lacks := (*history.NotKept)(nil); errors.As(err, &lacks) {
		fail(w, http.StatusNotFound, err)
		return
	}
	if bad := (*answer.BadQuestion)(nil); errors.As(err, &bad) {
		fail(w, http.StatusBadRequest, err)
		return
	}
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	h.write(w, e)
}

func (h *handler) write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	switch err := e.Encode(v); err.(type) {
	case nil:
	case *json.MarshalerError, *json.UnsupportedValueError, *json.UnsupportedTypeError: // nothing has been sent
		h.Log.Error("admin: an answer cannot be written as JSON", "err", err)
		fail(w, http.StatusInternalServerError, fmt.Errorf("the answer cannot be written: %w", err))
	default:
		h.Log.Debug("admin: a page was not sent whole", "err", err)
	}
}

// Failure is the JSON of an answer that is not 200. It says what is wrong and what to do.
type Failure struct {
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, code int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(Failure{err.Error()})
}

// promLog writes to the log what the metrics page complains about.
type promLog struct{ log *slog.Logger }

func (p promLog) Println(v ...any) { p.log.Error("metrics", "err", fmt.Sprint(v...)) }
