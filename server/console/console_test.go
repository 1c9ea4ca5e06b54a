package console_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"leeward/server/admin"
	"leeward/server/console"
	"leeward/zones/steer"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// night is a status in which a region is out.
func night() *admin.Status {
	since := noon.Add(-3 * time.Minute)
	at := func(f float64) *float64 { return &f }
	s := &admin.Status{
		Time: noon, Self: "ns1",
		Servers: []admin.Server{
			{
				ID: "ns1", Region: "eu-west", Admin: "192.0.2.1:8053", Revision: 7, Fresh: true,
				Source: admin.Source{Kind: "etcd", State: "following"},
			},
			{
				ID: "ns2", Region: "us-east", Admin: "192.0.2.2:8053", Revision: 7, Fresh: true,
				Source: admin.Source{Kind: "etcd", State: "following"},
			},
			{
				ID: "ns3", Region: "us-east", Admin: "0.0.0.0:8053", Revision: 6, Fresh: true,
				Source: admin.Source{Kind: "etcd", State: "following"},
			},
		},
		Vantages: []admin.Vantage{{ID: "ns1", Fresh: true}, {ID: "ns2", Fresh: true}, {ID: "ns3", Fresh: true}},
		Regions: []admin.Region{
			{
				Region: "eu-west", Latitude: at(53.3), Longitude: at(-6.3), Pools: 1, Available: 1, Healthy: 1,
				Endpoints: 1,
			},
			{Region: "us-east", Latitude: at(39), Longitude: at(-77.5), Pools: 1, Endpoints: 1},
			{Region: "nowhere", Pools: 1, Available: 1},
		},
		Pools: []admin.Pool{
			{
				Pool: "www-eu", Region: "eu-west", IPv4: steer.FamilyStatus{Available: true, Healthy: 1, Total: 1},
				Healthy: 1, Total: 1,
			},
			{Pool: "www-us", Region: "us-east", IPv4: steer.FamilyStatus{Total: 1}, Total: 1},
		},
		Endpoints: []admin.Endpoint{
			{
				Endpoint: "www-eu/lb-1", Pool: "www-eu", Region: "eu-west",
				Addresses: []admin.Address{{Address: netip.MustParseAddr("192.0.2.10"), Verdict: "up"}},
			},
			{Endpoint: "www-us/lb-1", Pool: "www-us", Region: "us-east", Addresses: []admin.Address{{
				Address: netip.MustParseAddr("192.0.2.20"), Verdict: "down", Since: &since, Down: 2, Up: 1,
				Votes: []admin.Vote{
					{Vantage: "ns1", State: "down", Counted: true, Fresh: true, Reason: "connection refused"},
					{Vantage: "ns2", State: "down", Counted: true, Fresh: true, Reason: "connection refused"},
					{Vantage: "ns3", State: "up", Counted: true, Fresh: true},
				},
			}}},
		},
		Moves:       []admin.Move{{From: "us-east", To: []string{"eu-west"}}},
		FailingOpen: []string{"batch.example.test"},
		Denied:      []admin.Denied{{Policy: "jobs.example.test", Says: "NODATA"}},
		Held:        []admin.Held{{Resource: "zones/example.test", Why: "it has 4,000 records", Revision: 9}},
		Problems: []admin.Problem{{
			Resource: "pools/www-us", Field: "region", InService: admin.InServiceOlder,
			Message: "no region \"x\"",
		}},
	}
	s.Headline = s.Say()
	return s
}

func options(s *admin.Status) console.Options {
	return console.Options{
		ID: "ns1", Region: "eu-west", Admin: "192.0.2.1:8053", Changes: &console.Changes{}, Streams: 2,
		Stopped: make(chan struct{}),
		Log:     slog.New(slog.DiscardHandler),
		Status:  func(context.Context) (*admin.Status, error) { return s, nil },
	}
}

func get(t *testing.T, h http.Handler, target string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
	return w.Result(), w.Body.String()
}

var tags = regexp.MustCompile(`(?s)<symbol.*?</symbol>|<[^>]*>`)

// text returns what a reader sees of a page.
func text(page string) string {
	page = strings.NewReplacer("&#39;", "'", "&#34;", `"`, "&amp;", "&").Replace(tags.ReplaceAllString(page, " "))
	return strings.Join(strings.Fields(page), " ")
}

// The first screen says what is broken, who says so, who gets what instead, and what to do.
func TestNight(t *testing.T) {
	s := night()
	r, page := get(t, console.New(options(s)), "/")
	if r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, page)
	}
	read := text(page)
	for _, want := range []string{
		s.Headline,
		"us-east is out since 11:57 UTC (2 of 3 vantages: connection refused). Its clients go to eu-west.",
		"leeward status region/us-east -o wide --admin http://192.0.2.1:8053",
		"leeward drain region/us-east --for 1h --reason 'looking into it'",
		"batch.example.test has no available pool for some clients. It fails open",
		"jobs.example.test has no available pool for some clients. They get NODATA",
		"zones/example.test was removed, and the removal is held back: it has 4,000 records It stays in service. if " +
			"it " +
			"was meant: leeward accept zones/example.test",
		"pools/www-us region: no region \"x\" The version before it stays in service.",
		"the newest revision is 7; behind it: ns3 (6)",
		"Map of the regions Of 3 regions, 1 is out and 2 answer. us-east is out; its clients go to eu-west. " +
			"eu-west answers. nowhere answers. ",
		"as ns1 in eu-west sees it",
	} {
		if !strings.Contains(read, want) {
			t.Errorf("the page does not say %q:\n%s", want, read)
		}
	}
	for _, want := range []string{`href="http://192.0.2.2:8053/"`, `class="wrong"`, `http-equiv="refresh"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if strings.Contains(page, "0.0.0.0") {
		t.Error("a server that listens everywhere is linked to nowhere")
	}
}

// If nothing is wrong the page is calm. It distinguishes what operators have taken out from what broke.
func TestMood(t *testing.T) {
	s := &admin.Status{Time: noon, Servers: []admin.Server{{
		ID: "ns1", Fresh: true,
		Source: admin.Source{State: "following"},
	}}}
	if _, page := get(t, console.New(options(s)), "/"); !strings.Contains(page, `<body class="well">`) {
		t.Errorf("a server alone without resources: %s", page[:800])
	}
	s = night()
	s.Servers[2].Revision, s.FailingOpen, s.Denied, s.Held, s.Problems = 7, nil, nil, nil, nil
	s.Endpoints[1].Addresses[0].Verdict = "up"
	s.Overrides = []admin.Override{{Target: "region/us-east", State: "drain", Reason: "kernel"}}
	if _, page := get(t, console.New(options(s)), "/"); !strings.Contains(page, `<body class="meant">`) ||
		!strings.Contains(text(page), "leeward restore region/us-east") {
		t.Errorf("a region that is drained: %s", text(page))
	}
	s = calm()
	s.Vantages[1].Blind = true
	s.Headline = s.Say()
	if _, page := get(t, console.New(options(s)), "/"); !strings.Contains(page, `<body class="part">`) ||
		!strings.Contains(text(page), "1 of 3 vantages does not vote: ns2 (blind).") {
		t.Errorf("all regions answer and a vantage is blind: %s", text(page))
	}
}

// calm is night without what is wrong.
func calm() *admin.Status {
	s := night()
	s.Servers[2].Revision, s.FailingOpen, s.Denied, s.Held, s.Problems, s.Moves = 7, nil, nil, nil, nil, nil
	s.Endpoints[1].Addresses[0].Verdict = "up"
	s.Regions[1].Available, s.Pools[1].IPv4 = 1, steer.FamilyStatus{Available: true, Healthy: 1, Total: 1}
	return s
}

// A name wider than the map is cut there, and its title has it in full.
func TestLongNameOnTheMap(t *testing.T) {
	s := calm()
	s.Regions[0].Region = strings.Repeat("é", 60)
	_, page := get(t, console.New(options(s)), "/")
	for _, want := range []string{
		`text-anchor="middle">` + strings.Repeat("é", 19) + "…</text>",
		"<title>" + strings.Repeat("é", 60) + " answers.</title>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

// A server that has lost etcd hears of no other server. The page says so once, and does not blame the others.
func TestCutOff(t *testing.T) {
	s := calm()
	s.Servers[0].Source = admin.Source{
		Kind: "etcd", State: "cut off", Since: noon.Add(-time.Minute), Error: "connection refused",
	}
	for i := 1; i < 3; i++ {
		s.Servers[i].Fresh, s.Vantages[i].Fresh = false, false
	}
	s.Watches = []admin.Watch{{Watch: "reports", LagSeconds: 60}}
	s.Problems = []admin.Problem{
		{Resource: "vantages/ns1", InService: admin.InServiceNewest, Message: "etcd cannot be written to"},
	}
	s.Headline = s.Say()
	_, page := get(t, console.New(options(s)), "/")
	want := "What is wrong, and what to do Server ns1 is cut off from etcd since 11:59 UTC (60s): connection " +
		"refused. It answers from revision 7, and only its own probes count. It hears nothing of ns2 and ns3. look " +
		"after etcd: the server goes on by itself when it is back Where"
	if read := text(page); !strings.Contains(read, want) {
		t.Errorf("it says\n%s\nwithout\n%s", read, want)
	}
	// On another server's page, only that server has not been heard of. The page says so once, and says what it is as a
	// vantage.
	s = calm()
	s.Servers[1].Fresh, s.Vantages[1].Fresh, s.Vantages[1].AgeSeconds = false, false, 22
	s.Headline = s.Say()
	_, page = get(t, console.New(options(s)), "/")
	want = "Server ns2 is not heard of for 22s. If it runs it answers from what it knew last; resolvers ask the " +
		"other servers. It does not vote; the others decide. to see whether it lives: leeward healthcheck --admin " +
		"http://192.0.2.2:8053 Where"
	if read := text(page); !strings.Contains(read, want) ||
		!strings.Contains(read, "2 of 3 servers answer from revision 7") {
		t.Errorf("it says\n%s\nwithout\n%s", read, want)
	}
}

// A page takes nothing from elsewhere, runs only our own script, and cannot be framed.
func TestHeaders(t *testing.T) {
	_, page := get(t, console.New(options(night())), "/")
	for _, bad := range []string{"<style", " style=", " onclick=", " onload=", "javascript:", `src="http`, "<script>"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	for _, target := range []string{"/", "/nowhere"} {
		r, _ := get(t, console.New(options(night())), target)
		csp := r.Header.Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'",
			"script-src 'self'",
		} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy is %q without %s", target, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy is %q", target, csp)
		}
	}
}

// Clients that accept compression get pages and assets compressed, with the same content.
func TestCompressed(t *testing.T) {
	h := console.New(options(night()))
	_, page := get(t, h, "/")
	targets := []string{"/"}
	for _, m := range regexp.MustCompile(`"(/assets/[^"#]+)`).FindAllStringSubmatch(page, -1) {
		targets = append(targets, m[1])
	}
	if len(targets) != 5 {
		t.Fatalf("the page has the assets %q", targets[1:])
	}
	for _, target := range targets {
		plain, want := get(t, h, target)
		for accepts, packed := range map[string]bool{
			"gzip, br": true, "br;q=1, GZIP;q=0.5": true, "gzip;q=0": false,
			"": false,
		} {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", target, nil)
			r.Header.Set("Accept-Encoding", accepts)
			h.ServeHTTP(w, r)
			got := w.Body.String()
			if is := w.Header().Get("Content-Encoding") == "gzip"; is != packed {
				t.Fatalf("%s with %q: packed is %v", target, accepts, is)
			} else if is {
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(z)
				if err != nil {
					t.Fatal(err)
				}
				got = string(b)
			}
			if got != want || w.Header().Get("Content-Type") != plain.Header.Get("Content-Type") {
				t.Errorf("%s with %q is another one", target, accepts)
			}
		}
	}
	if r, _ := get(t, h, "/assets/old/console.css"); r.StatusCode != 404 {
		t.Errorf("an asset of another version: %d", r.StatusCode)
	}
}

// A page that cannot be shown says why, and what to do.
func TestFailures(t *testing.T) {
	o := options(night())
	o.Status = func(context.Context) (*admin.Status, error) { return nil, errors.New("the server is stopping") }
	r, page := get(t, console.New(o), "/")
	if r.StatusCode != 503 || !strings.Contains(text(page), "the server is stopping") ||
		!strings.Contains(text(page), "another server") {
		t.Errorf("%d %s", r.StatusCode, text(page))
	}
	if r, page := get(t, console.New(o), "/<b>x"); r.StatusCode != 404 || strings.Contains(page, "<b>x") {
		t.Errorf("%d %s", r.StatusCode, page)
	}
}

// A search finds pools by a part of their name or region, and by the whole address of an endpoint.
func TestPoolsAreFound(t *testing.T) {
	h := console.New(options(night()))
	for q, want := range map[string]string{
		"": "eu us", "www": "eu us", "east": "us", "www-eu": "eu", "192.0.2.20": "us", "::ffff:192.0.2.20": "us",
		"192.0.2.1": "", "192.0.2": "", "x": "",
	} {
		_, page := get(t, h, "/pools?q="+url.QueryEscape(q))
		var got []string
		for _, pool := range []string{"eu", "us"} {
			if strings.Contains(page, `href="/pool/www-`+pool+`"`) {
				got = append(got, pool)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q finds %v, want %s", q, got, want)
		}
	}
}
