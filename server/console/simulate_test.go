package console_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"leeward/server/console"
	"leeward/zones/steer"
)

// forecast is the forecast for the loss of us-east.
func forecast() *steer.Forecast {
	doubts := []string{"nobody says the load of pool www-us"}
	return &steer.Forecast{Queries: 100, Settled: true, Doubts: doubts, Pools: []steer.PoolForecast{
		{
			Pool: "www-eu", Region: "eu-west", Measured: true, Load: 60, Then: 130, Error: 4, Target: 80, Max: 100,
			Keep: 1, Over: true, Queries: 60, QueriesThen: 100,
		},
		{Pool: "www-us", Region: "us-east", Queries: 40},
	}}
}

// The form leads to a URL that can be sent to others, and the page has the forecast. Input that makes no sense is
// explained beside the form.
func TestSimulate(t *testing.T) {
	var asked console.Supposed
	var fails error
	o := options(night())
	o.Simulate = func(_ context.Context, q console.Supposed) (*steer.Forecast, []string, error) {
		asked = q
		return forecast(), []string{"ns1", "ns2"}, fails
	}
	// Each page comes from another server, because one that has simulated rests for as long as that took.
	page := func(target string) (int, string, string) {
		r, page := get(t, console.New(o), target)
		return r.StatusCode, page, text(page)
	}
	_, plain, read := page("/simulate")
	if !reflect.DeepEqual(asked, console.Supposed{}) || !strings.Contains(read, "What if?") ||
		!strings.Contains(plain, `<option value="region/us-east">`) {
		t.Errorf("the empty form asks for %+v:\n%s", asked, read)
	}
	at := noon.Add(6 * time.Hour)
	_, plain, read = page("/simulate?gone=region/us-east,+pool/www-us&how=down&surge=eu-west=3x&at=2026-11-28T18:00")
	want := console.Supposed{
		Gone: []string{"region/us-east", "pool/www-us"}, Surge: map[string]float64{"eu-west": 3}, At: at,
	}
	if !reflect.DeepEqual(asked, want) {
		t.Errorf("the form asks for %+v, want %+v", asked, want)
	}
	for _, part := range []string{
		"region/us-east and pool/www-us down, 3 times the clients of eu-west, at 2026-11-28 18:00 UTC",
		"Over its max: www-eu (130 of 100).", "Nothing is changed: the clients that ns1 and ns2 counted",
		"nobody says the load of pool www-us", "eu-west 60 100 60 % 100 %", "us-east 40 0 40 % 0 %",
		"www-eu eu-west 60 100 60 % 100 % 60 130 ± 4 80 100 100 % over its max",
		"leeward simulate --down region/us-east,pool/www-us --surge eu-west=3x --at 2026-11-28T18:00:00Z",
		"This page does not change by itself.",
	} {
		if !strings.Contains(read, part) {
			t.Errorf("the page does not say %q:\n%s", part, read)
		}
	}
	for _, bad := range []string{`http-equiv="refresh"`} {
		if strings.Contains(plain, bad) {
			t.Errorf("a page that costs much asks again by itself: %s", bad)
		}
	}
	if _, _, _ = page("/simulate?gone=pool/www-us&how=drained"); !asked.Drained {
		t.Error("what is drained is down")
	}
	asked = console.Supposed{}
	for target, says := range map[string]string{
		"gone=mars":                             `"mars" is no target; write region/REGION`,
		"gone=region/":                          `"region/" is no target`,
		"gone=region/x&how=gone":                "how=gone: write down or drained",
		"surge=eu":                              `"eu" is no surge; write REGION=3x`,
		"surge=eu=1001x":                        `"eu=1001x" is no surge`,
		"surge=eu=NaN":                          "is no surge",
		"at=soon":                               `"soon" is no time; write it as 2026-12-24T18:00`,
		"at=2020-01-01T00:00":                   "write a time to come, within a year",
		"gone=" + strings.Repeat("pool/x,", 21): "21 targets are too many",
	} {
		code, _, read := page("/simulate?" + target)
		if code != 200 || !strings.Contains(read, says) {
			t.Errorf("%s: %d, and does not say %q:\n%s", target, code, says, read)
		}
	}
	if !reflect.DeepEqual(asked, console.Supposed{}) {
		t.Errorf("a question that means nothing was asked: %+v", asked)
	}
	fails = errors.New("there is no region mars")
	if _, _, read := page("/simulate?gone=region/mars"); !strings.Contains(read, fails.Error()) {
		t.Errorf("a region that is not there: %s", read)
	}
	if code, _, _ := page("/simulate?gone=region/x&more=1"); code != 400 {
		t.Errorf("a parameter that is not known: %d", code)
	}
	_, plain, _ = page("/region/us-east")
	if !strings.Contains(plain, `href="/simulate?gone=region%2Fus-east"`) {
		t.Error("the screen of a region does not lead to what its loss would do")
	}
	o.Simulate = nil
	if code, _, _ := page("/simulate"); code != 404 {
		t.Errorf("a process that cannot foresee: %d", code)
	}
}

// Simulations run one at a time, at most one for each address. Those who wait come in turn, and screens go on
// meanwhile.
func TestSimulateTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(night())
		began, end := make(chan string), make(chan struct{})
		o.Simulate = func(_ context.Context, q console.Supposed) (*steer.Forecast, []string, error) {
			began <- q.Gone[0]
			<-end
			return forecast(), []string{"ns1"}, nil
		}
		h := console.New(o)
		ask := func(from string, n int) chan int {
			r := httptest.NewRequest("GET", fmt.Sprintf("/simulate?gone=pool/%d", n), nil)
			r.RemoteAddr = from + ":4711"
			w, done := httptest.NewRecorder(), make(chan int, 1)
			go func() { h.ServeHTTP(w, r); done <- w.Code }()
			return done
		}
		first := ask("192.0.2.1", 1)
		if got := <-began; got != "pool/1" {
			t.Fatal(got)
		}
		if code := <-ask("192.0.2.1", 2); code != http.StatusServiceUnavailable {
			t.Errorf("a second one of the same address is answered %d", code)
		}
		second := ask("192.0.2.2", 3)
		synctest.Wait()
		select {
		case got := <-began:
			t.Fatalf("%s runs beside the first", got)
		default:
		}
		if r, _ := get(t, h, "/"); r.StatusCode != 200 { // while one runs and one waits
			t.Errorf("the first screen meanwhile: %d", r.StatusCode)
		}
		end <- struct{}{}
		if code := <-first; code != 200 {
			t.Errorf("the first is answered %d", code)
		}
		if got := <-began; got != "pool/3" {
			t.Error(got)
		}
		end <- struct{}{}
		if code := <-second; code != 200 {
			t.Errorf("the one that waited is answered %d", code)
		}
	})
}
