package console_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// all returns the elements of a page that have one of the names, in their order.
func all(n *html.Node, kinds ...string) (found []*html.Node) {
	for x := range n.Descendants() {
		if x.Type == html.ElementNode && slices.Contains(kinds, x.Data) {
			found = append(found, x)
		}
	}
	return found
}

// attr is an element's attribute; "": it has none.
func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// inside is the text of an element.
func inside(n *html.Node) string {
	var b strings.Builder
	for x := range n.Descendants() {
		if x.Type == html.TextNode {
			b.WriteString(x.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// Every screen, whatever its fields hold: nothing but the one script runs, nobody frames it, it only reads, and other
// sites' pages get nothing from it. It can be read and used without seeing it, and without a pointer.
func TestEveryPage(t *testing.T) {
	for _, text := range []string{"plain", `"><b onclick=x> style=x`} {
		h := hostile(t, text)
		for _, target := range everyPage(text) {
			ask := func(method string, header map[string]string) *http.Response {
				w, r := httptest.NewRecorder(), httptest.NewRequest(method, target, nil)
				for k, v := range header {
					r.Header.Set(k, v)
				}
				h.ServeHTTP(w, r)
				return w.Result()
			}
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "X"} {
				if r := ask(method, nil); r.StatusCode != http.StatusMethodNotAllowed {
					t.Errorf("%s %s is answered %d", method, target, r.StatusCode)
				}
			}
			for _, site := range []string{"cross-site", "same-site", "oops"} {
				for _, by := range [][2]string{
					{"no-cors", "image"},
					{"no-cors", "script"},
					{"cors", "empty"},
					{"navigate", "iframe"},
					{"navigate", "object"},
					{"", ""},
				} {
					if r := ask("GET", map[string]string{
						"Sec-Fetch-Site": site, "Sec-Fetch-Mode": by[0], "Sec-Fetch-Dest": by[1],
					}); r.StatusCode != http.StatusForbidden {
						t.Errorf("%s is answered %d to another site's %v", target, r.StatusCode, by)
					}
				}
			}
			r := ask("GET", nil)
			for name, want := range map[string]string{
				"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
					"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
				"Content-Type": "text/html; charset=utf-8", "Set-Cookie": "",
			} {
				if got := strings.Join(r.Header.Values(name), ", "); got != want {
					t.Errorf("%s has the header %s: %q, want %q", target, name, got, want)
				}
			}
			page, err := html.Parse(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			structure(t, target, page)
		}
	}
}

// structure checks what all pages have in common.
func structure(t *testing.T, target string, page *html.Node) {
	t.Helper()
	ids := map[string]bool{}
	labelled := map[string]bool{}
	for _, l := range all(page, "label") {
		labelled[attr(l, "for")] = true
	}
	for n := range page.Descendants() {
		for _, a := range n.Attr {
			switch {
			case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
				t.Errorf("%s: <%s> has the attribute %s=%q", target, n.Data, a.Key, a.Val)
			case a.Key == "tabindex" || a.Key == "accesskey" || a.Key == "autofocus":
				t.Errorf("%s: <%s> has the attribute %s, which changes the way of the keyboard", target, n.Data, a.Key)
			case a.Key == "id" && ids[a.Val]:
				t.Errorf("%s: two elements are %q", target, a.Val)
			case a.Key == "id":
				ids[a.Val] = true
			}
		}
	}
	if n := len(all(page, "h1")); n != 1 {
		t.Errorf("%s has %d headings of the first level", target, n)
	}
	if n := len(all(page, "main")); n != 1 || !ids["main"] {
		t.Errorf("%s has %d main parts", target, n)
	}
	for _, n := range all(page, "iframe", "object", "embed", "style", "base", "img", "audio", "video", "textarea") {
		t.Errorf("%s has a <%s>", target, n.Data)
	}
	for _, n := range all(page, "script") {
		if attr(n, "src") == "" || n.FirstChild != nil {
			t.Errorf("%s has a script of its own", target)
		}
	}
	for _, n := range all(page, "form") {
		if m := attr(n, "method"); m != "" || !strings.HasPrefix(attr(n, "action"), "/") {
			t.Errorf("%s has a form of %s to %s", target, m, attr(n, "action"))
		}
	}
	for _, n := range all(page, "input", "select") {
		if attr(n, "type") != "hidden" && !labelled[attr(n, "id")] {
			t.Errorf("%s: the field %q has no label", target, attr(n, "id"))
		}
		if kind := attr(n, "type"); kind == "password" || kind == "file" {
			t.Errorf("%s has a field of the kind %s", target, kind)
		}
	}
	for _, n := range all(page, "a", "button", "th", "option", "summary") {
		if inside(n) == "" && attr(n, "value") == "" {
			t.Errorf("%s: a <%s> says nothing", target, n.Data)
		}
	}
	for _, n := range all(page, "th") {
		if attr(n, "scope") == "" {
			t.Errorf("%s: the heading %q has no scope", target, inside(n))
		}
	}
	for _, n := range all(page, "svg") {
		role, links := "img", len(all(n, "a"))
		if links > 0 {
			role = "group" // of an img nobody who listens finds the links
		}
		if attr(n, "aria-hidden") != "true" && (attr(n, "role") != role || attr(n, "aria-label") == "" &&
			attr(n, "aria-labelledby") == "" || links > 0 && attr(n, "aria-describedby") == "") {
			t.Errorf("%s: a picture with %d links has no text, or the role %q", target, links, attr(n, "role"))
		}
	}
	for _, n := range all(page, "section", "svg", "nav", "ul") {
		for id := range strings.FieldsSeq(attr(n, "aria-labelledby") + " " + attr(n, "aria-describedby")) {
			if !ids[id] {
				t.Errorf("%s: <%s> is named by %q, which there is not", target, n.Data, id)
			}
		}
	}
	// A shape never stands alone: the same is beside it in words.
	for _, n := range all(page, "svg") {
		if strings.HasPrefix(attr(n, "class"), "shape ") && inside(n.Parent) == "" {
			t.Errorf("%s: a shape has no words beside it", target)
		}
	}
	// Each column says what it means, and so does the text of the page.
	listed := map[string]bool{}
	for _, n := range all(page, "dt") {
		if n.Parent.Parent.Parent != nil && attr(n.Parent.Parent.Parent, "class") == "means" {
			listed[inside(n)] = true
		}
	}
	for _, n := range all(page, "thead") {
		for _, n := range all(n, "th") {
			if attr(n, "title") == "" {
				t.Errorf("%s: the column %q does not say what it means", target, inside(n))
			}
			if !listed[inside(n)] && !strings.HasPrefix(attr(n, "title"), "What the vantage ") {
				t.Errorf("%s: the text does not say what %q means", target, inside(n))
			}
		}
	}
	for _, n := range all(page, "dl") {
		if class := attr(n, "class"); class == "trust" && attr(n.FirstChild, "title") != "" {
			for _, n := range all(n, "dt") {
				if !listed[inside(n)] {
					t.Errorf("%s: the text does not say what %q means", target, inside(n))
				}
			}
		}
	}
}

// Each template is shown by a page of the table. Each of its columns says what it means, even one that the table does
// not show.
func TestEveryTemplate(t *testing.T) {
	files, err := filepath.Glob("pages/*.html")
	if err != nil || len(files) < 10 {
		t.Fatal(err, files)
	}
	h := hostile(t, "plain")
	var shown strings.Builder
	for _, target := range everyPage("plain") {
		_, page := get(t, h, target)
		shown.WriteString(page)
	}
	head := regexp.MustCompile(`<th scope="col"[^>]*>`)
	title := regexp.MustCompile(`<th scope="col"[^>]* title="([^"{]+)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range head.FindAllString(string(text), -1) {
			m := title.FindStringSubmatch(h)
			if m == nil {
				t.Errorf("%s: %s does not say what it means", file, h)
			} else if !strings.Contains(shown.String(), m[1]) {
				t.Errorf("%s: no page shows the column that means %q", file, m[1])
			}
		}
		for _, bad := range []string{"template.HTML", "<style", "|safe"} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%s has %s", file, bad)
			}
		}
	}
}
