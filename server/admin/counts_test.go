package admin_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"leeward/server/admin"
	"leeward/server/answer"
)

func TestCounts(t *testing.T) {
	o := options()
	o.Counts = func(of string, most int) *answer.Counts {
		c := &answer.Counts{Server: "fra"}
		if of == "" || of == "www.example.test" {
			c.Policies = []answer.PolicyCount{{Policy: "www.example.test", Count: answer.Count{Total: uint64(most)}}}
		}
		return c
	}
	h := admin.NewHandler(o)
	for _, c := range []struct {
		query string
		code  int
		total uint64
		says  string
	}{
		{"", 200, 100, ""},
		{"?most=7", 200, 7, ""},
		{"?of=www.example.test&most=10000", 200, 10000, ""},
		{"?most=0", 400, 0, `most="0": write how many rows, 1 to 10000`},
		{"?most=ten", 400, 0, `most="ten": write`},
		{"?of=nobody", 400, 0, `no policy and no pool "nobody"`},
		{"?pool=www", 400, 0, `there is no parameter "pool"; known: of, most`},
	} {
		r := ask(t, h, http.MethodGet, "/api/v1/counts"+c.query, nil)
		text := body(t, r)
		if r.StatusCode != c.code || !strings.Contains(strings.ReplaceAll(text, `\"`, `"`), c.says) {
			t.Errorf("%q: %d %s", c.query, r.StatusCode, text)
			continue
		}
		var got answer.Counts
		err := json.Unmarshal([]byte(text), &got)
		if c.code == 200 && (err != nil || got.Policies[0].Total != c.total) {
			t.Errorf("%q: %s (%v)", c.query, text, err)
		}
	}
}

func TestTop(t *testing.T) {
	o := options()
	var counted *answer.Top
	o.Top = func(most int) *answer.Top {
		if counted != nil {
			counted.Names.Rows = make([]answer.TopRow, most)
		}
		return counted
	}
	h := admin.NewHandler(o)
	get := func(query string, code int, says string) string {
		t.Helper()
		r := ask(t, h, http.MethodGet, "/api/v1/top"+query, nil)
		text := body(t, r)
		if r.StatusCode != code || !strings.Contains(strings.ReplaceAll(text, `\"`, `"`), says) {
			t.Errorf("%q: %d %s", query, r.StatusCode, text)
		}
		return text
	}
	get("", 404, "start it with --count-top")
	counted = &answer.Top{Server: "fra"}
	get("?most=0", 400, `most="0": write how many rows`)
	get("?of=www", 400, `there is no parameter "of"; known: most`)
	var got answer.Top
	if err := json.Unmarshal([]byte(get("?most=7", 200, `"fra"`)), &got); err != nil || len(got.Names.Rows) != 7 {
		t.Errorf("%+v (%v)", got, err)
	}
}
