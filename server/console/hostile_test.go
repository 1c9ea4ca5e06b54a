package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"leeward/server/admin"
	"leeward/server/answer"
	"leeward/server/console"
	"leeward/server/history"
	"leeward/zones/steer"
)

// fill puts the text into every string below v, and an element into every list.
func fill(v reflect.Value, text string, depth int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		if v.Type().Elem() != reflect.TypeFor[time.Time]() && depth < 9 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), text, depth+1)
		}
	case reflect.Struct:
		switch v.Addr().Interface().(type) {
		case *time.Time, *netip.Addr:
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), text, depth+1)
			}
		}
	case reflect.Slice:
		if depth < 9 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			for i := range v.Len() {
				fill(v.Index(i), text, depth+1)
			}
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), text, depth+1)
		}
	}
}

// hostile returns screens in which every field holds the text.
func hostile(t *testing.T, text string) http.Handler {
	t.Helper()
	var s admin.Status
	fill(reflect.ValueOf(&s).Elem(), text, 0)
	s.Time = noon
	for i := range s.Servers {
		s.Servers[i].Fresh = i == 0
	}
	for i := range s.Pools {
		s.Pools[i].Load.Known = true
	}
	for i := range s.Planned {
		s.Planned[i].From = &noon
	}
	for _, kind := range []string{"region", "pool", "endpoint"} {
		s.Overrides = append(s.Overrides, admin.Override{Target: kind + "/" + text, State: "drain", Reason: text})
	}
	for i := range s.Signing.List {
		s.Signing.List[i].Zone = "example.test" // this zone exists
	}
	s.Headline = text
	o := options(&s)
	state := stateOf(t, resources)
	o.State = func() *answer.State { return state }
	o.ID, o.Region, o.Admin = text, text, text
	o.Explain = func(string, string, string) (*answer.Explanation, error) {
		e := &answer.Explanation{Explanation: &steer.Explanation{}}
		fill(reflect.ValueOf(e).Elem(), text, 0)
		return e, nil
	}
	o.ExplainAt = func(context.Context, time.Time, string, string, string) (*answer.Explanation, error) {
		return o.Explain("", "", "")
	}
	o.History = func(context.Context, history.Query) (*history.Page, error) {
		p := &history.Page{}
		fill(reflect.ValueOf(p).Elem(), text, 0)
		return p, nil
	}
	o.Counts = func(string, int) *answer.Counts {
		c := &answer.Counts{}
		fill(reflect.ValueOf(c).Elem(), text, 0)
		return c
	}
	o.PoolCounts = func(most int) *answer.Counts { return o.Counts("", most) }
	o.Simulate = func(context.Context, console.Supposed) (*steer.Forecast, []string, error) {
		f := &steer.Forecast{}
		fill(reflect.ValueOf(f).Elem(), text, 0)
		for i := range f.Pools {
			f.Pools[i].Measured = true
		}
		return f, []string{text}, nil
	}
	o.Drills = func(context.Context) ([]console.Drill, error) {
		d := make([]console.Drill, 1)
		fill(reflect.ValueOf(&d[0]).Elem(), text, 0)
		d[0].ID, d[0].Seconds = "x", []float64{0, 1}
		return d, errors.New(text)
	}
	o.Loads = func([]string) *console.Course {
		return &console.Course{
			Times: []time.Time{noon, noon.Add(time.Minute)}, Load: []float64{math.NaN(), math.Inf(1)},
			Target: []float64{1, 1e300}, Answers: []float64{-1, 1},
		}
	}
	return admin.NewHandler(admin.Options{Pages: console.New(o), TLS: true, Log: o.Log})
}

// everyPage returns addresses of all screens, with forms filled in with the text.
func everyPage(text string) []string {
	return []string{
		"/", "/pools", "/pools?q=x", "/pools?" + url.Values{"q": {text}}.Encode(),
		"/policies", "/policies?" + url.Values{"q": {text}}.Encode(), "/policy/www.example.test",
		"/region/" + pathOf(text), "/pool/" + pathOf(text), "/endpoint/" + pathOf(text),
		"/explain", "/explain?name=x&client=y", "/explain?" + url.Values{
			"name": {text}, "client": {text}, "type": {text}, "at": {"2h"},
		}.Encode(), "/explain?" + url.Values{"name": {text}, "at": {text}}.Encode(),
		"/simulate", "/simulate?gone=region/x&how=drained&surge=x=2x", "/simulate?" + url.Values{
			"gone": {text}, "surge": {text}, "at": {text}, "how": {text},
		}.Encode(),
		"/history", "/history?" + url.Values{"of": {text}, "since": {"2h"}}.Encode(),
		"/history?" + url.Values{"since": {text}}.Encode(),
		"/drills", "/drills/x", "/zones", "/servers", "/problems",
		"/policy/" + pathOf(text), "/nowhere/" + pathOf(text),
	}
}

// Whatever names, errors and labels hold, and in whichever field: none of it runs, none of it breaks out of its place,
// no control character reaches the browser, and the page stays of bounded size.
func TestHostile(t *testing.T) {
	for _, text := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `javascript:alert(1)`,
		`{{.}}</title><script>`, "</svg><script>x</script>", "//evil.example/", "&lt;script&gt;", "${x}`x`",
		"a\x00\x07\x1b[31m\x7f\u0085b", "\u202egnp.exe\u2066", "\xff\xfe broken", "line\u2028end",
		strings.Repeat("x", 255), strings.Repeat("é", 127), strings.Repeat("\x1b", 255),
	} {
		h := hostile(t, text)
		for _, target := range everyPage(text) {
			w, page := get(t, h, target)
			missing := strings.HasPrefix(target, "/nowhere/") || strings.HasPrefix(target, "/policy/%") ||
				strings.HasPrefix(target, "/endpoint/") && strings.Contains(text, "/") // no pool has it in its name
			if w.StatusCode != 200 && !missing {
				t.Errorf("%q: %s is answered %d: %s", text, target, w.StatusCode, page)
			}
			sane(t, text, target, page)
		}
	}
}

func pathOf(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		b.WriteString("%" + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
	}
	return b.String()
}

func sane(t *testing.T, text, target, page string) {
	t.Helper()
	for _, r := range page {
		if r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			t.Fatalf("%q: %s has the character %U", text, target, r)
		}
	}
	if strings.Count(page, "<script") != 1 || strings.Count(page, "<img") != 0 ||
		strings.Contains(page, "javascript:alert(1)\"") && strings.Contains(page, `href="javascript`) {
		t.Errorf("%q: %s lets a tag through:\n%s", text, target, page)
	}
	for _, bad := range []string{" onmouseover='", ` onerror=alert(1)>`, `href="//evil`, `href="javascript`} {
		if strings.Contains(page, bad) {
			t.Errorf("%q: %s has %s", text, target, bad)
		}
	}
	if len(page) > 216<<10 {
		t.Errorf("%q: %s has %d octets", text, target, len(page))
	}
	if _, err := json.Marshal(page); err != nil {
		t.Error(err)
	}
}
