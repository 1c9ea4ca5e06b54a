package console

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

//go:embed pages
var pages embed.FS

// templates are the screens by name, each within the frame.
var templates = func() map[string]*template.Template {
	outside := template.Must(template.New("frame.html").Funcs(words).ParseFS(pages, "pages/frame.html"))
	all := map[string]*template.Template{}
	files, err := fs.Glob(pages, "pages/*.html")
	if err != nil {
		panic(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(path.Base(file), ".html"); name != "frame" {
			all[name] = template.Must(template.Must(outside.Clone()).ParseFS(pages, file))
		}
	}
	return all
}()

// meaning says what a figure means. Pages show it where the pointer rests on the figure and, for those who have no
// pointer, in a list below.
type meaning struct{ Name, Text string }

var (
	titled = regexp.MustCompile(`<(?:th|h2|label)\b[^>]* title="([^"{]+)"[^>]*>([^<{]+)<`)
	used   = regexp.MustCompile(`{{template "(\w+)"`)
)

// meanings are those of the headings on each screen. They are found in its template, and in the parts of the frame that
// it uses.
var meanings = func() map[string][]meaning {
	read := func(name string) string {
		text, err := pages.ReadFile("pages/" + name + ".html")
		if err != nil {
			panic(err)
		}
		return string(text)
	}
	parts := map[string]string{}
	for _, part := range strings.Split(read("frame"), `{{define "`)[1:] {
		name, text, _ := strings.Cut(part, `"}}`)
		parts[name] = text
	}
	all := map[string][]meaning{}
	for name := range templates {
		text := read(name)
		seen := map[string]bool{}
		for begin := 0; begin < len(text); { // parts used by parts are added at the end
			from := text[begin:]
			begin = len(text)
			for _, m := range used.FindAllStringSubmatch(from, -1) {
				if !seen[m[1]] {
					seen[m[1]] = true
					text += parts[m[1]]
				}
			}
		}
		for _, m := range titled.FindAllStringSubmatch(text, -1) {
			all[name] = append(all[name], meaning{m[2], m[1]})
		}
	}
	return all
}()

// meant returns the meanings of what a page shows.
func meant(name string, main []byte, body any) (all []meaning) {
	for _, m := range meanings[name] {
		if !slices.Contains(all, m) && bytes.Contains(main, []byte(` title="`+m.Text+`"`)) {
			all = append(all, m)
		}
	}
	if x, is := body.(interface{ means() []meaning }); is {
		all = append(all, x.means()...)
	}
	return all
}

// sheet is a page as it is sent, plain and compressed. It never changes.
type sheet struct{ plain, packed []byte }

// render makes a page.
func render(name string, f *frame) (*sheet, error) {
	var main, b bytes.Buffer
	if err := templates[name].ExecuteTemplate(&main, "body", f); err != nil {
		return nil, fmt.Errorf("the page %s: %w", name, err)
	}
	f.Main = template.HTML(main.Bytes()) // html/template has escaped it
	f.Means = meant(name, main.Bytes(), f.Body)
	if err := templates[name].Execute(&b, f); err != nil {
		return nil, fmt.Errorf("the page %s: %w", name, err)
	}
	s := &sheet{plain: visible(b.Bytes())}
	s.packed = pack(s.plain)
	return s, nil
}

// packers are writers that have packed a page. Each holds 1.3 MB, more than all else that a page needs.
var packers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is valid
	return z
}}

func pack(b []byte) []byte {
	var packed bytes.Buffer
	z := packers.Get().(*gzip.Writer)
	z.Reset(&packed)
	_, _ = z.Write(b) // a Buffer never fails
	_ = z.Close()
	z.Reset(io.Discard)
	packers.Put(z)
	return packed.Bytes()
}

func (s *sheet) send(w http.ResponseWriter, r *http.Request, code int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	write(w, r, code, s.plain, s.packed)
}

// write sends one of two encodings of the same content.
func write(w http.ResponseWriter, r *http.Request, code int, plain, packed []byte) {
	body := plain
	w.Header().Add("Vary", "Accept-Encoding")
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		body = packed
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // whoever does not take it is gone
	}
}

// takesGzip reports whether an Accept-Encoding names gzip with a weight above 0 (RFC 9110 section 12.5.3).
func takesGzip(accepts string) bool {
	for coding := range strings.SplitSeq(accepts, ",") {
		name, weight, _ := strings.Cut(coding, ";")
		_, q, weighed := strings.Cut(weight, "=")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			f, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			return !weighed || err == nil && f > 0
		}
	}
	return false
}

// visible spells out what a screen would hide or obey: control characters, characters that change the direction of
// text, and octets that are not UTF-8. The whole page goes through it, so that no field is forgotten.
func visible(page []byte) []byte {
	hidden := func(r rune, size int) bool {
		return r == utf8.RuneError && size <= 1 || r != '\n' && r != '\t' && unicode.In(r, unicode.Cc, unicode.Cf,
			unicode.Zl, unicode.Zp)
	}
	var out []byte // nil: nothing is hidden yet
	for i := 0; i < len(page); {
		r, size := utf8.DecodeRune(page[i:])
		if hidden(r, size) {
			if out == nil {
				out = append(make([]byte, 0, len(page)+64), page[:i]...)
			}
			if r == utf8.RuneError {
				out = fmt.Appendf(out, `\x%02x`, page[i])
			} else if r < 0x80 {
				out = fmt.Appendf(out, `\x%02x`, r)
			} else {
				out = fmt.Appendf(out, `\u%04x`, r)
			}
		} else if out != nil {
			out = append(out, page[i:i+size]...)
		}
		i += size
	}
	if out == nil {
		return page
	}
	return out
}

// shelf keeps pages for a moment, so that a screen that many people watch is made only once.
type shelf struct {
	mu     sync.Mutex
	places map[string]*spot
}

// spot is the page of one URL.
type spot struct {
	mu    sync.Mutex // held while it is made: others wait and get the same
	at    time.Time
	sheet *sheet
}

const (
	keptFor  = 250 * time.Millisecond
	mostKept = 64 // number of URLs; beyond that all are forgotten
)

// fresh returns the page of a URL if it was made within keptFor, or nil if it must be made.
func (x *shelf) fresh(key string) *sheet {
	x.mu.Lock()
	s := x.places[key]
	x.mu.Unlock()
	if s == nil || !s.mu.TryLock() { // it is being made
		return nil
	}
	defer s.mu.Unlock()
	if s.sheet == nil || time.Since(s.at) >= keptFor {
		return nil
	}
	return s.sheet
}

// get returns the page of a URL if it was made within keptFor, or else makes it. It does not keep errors.
func (x *shelf) get(key string, do func() (*sheet, error)) (*sheet, error) {
	x.mu.Lock()
	if x.places == nil || x.places[key] == nil && len(x.places) >= mostKept {
		x.places = map[string]*spot{}
	}
	s := x.places[key]
	if s == nil {
		s = &spot{}
		x.places[key] = s
	}
	x.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sheet != nil && time.Since(s.at) < keptFor {
		return s.sheet, nil
	}
	sheet, err := do()
	if err == nil {
		s.sheet, s.at = sheet, time.Now()
	}
	return sheet, err
}
