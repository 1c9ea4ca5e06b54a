//go:build linux

package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/miekg/dns"

	"leeward/integration/lab"
)

// screen is an address, and the text of its page while us is out.
type screen struct {
	name, path string
	says       []string
}

var screens = []screen{
	{"night", "/", []string{
		"us is out since", "Its clients go to eu.", "What is wrong, and what to do",
		"leeward drain region/us --for 1h", "Can I trust this page?", "all 3 answer from revision",
		"How long failovers took", "Its clients go to Pools Endpoints Answers 5 min Meant",
		"The last events", "detect", "Nothing is drained, and nothing is planned.",
	}},
	{"pools", "/pools", []string{"www-eu", "out; no healthy endpoint", "2/2", "0/2"}},
	{"pools-searched", "/pools?q=10.77.2.11", []string{"www-us"}},
	{"policies", "/policies", []string{"www.example.test", "some clients are answered from further down their order"}},
	{"policy", "/policy/www.example.test", []string{
		"when continents [NA]: go to www-us; else to www-eu; else to www-ap",
		"When all is well", "TTL 5 s", "What was answered", "clients are answered as if all were healthy (fail open)",
	}},
	{"explain-empty", "/explain", []string{"Why does a client get this answer?"}},
	{"explain", "/explain?name=www.example.test&type=A&client=198.51.100.7", []string{
		"10.77.1.11",
		"client is located: NA, US", "no healthy endpoint", "available", "ECS scope",
	}},
	{"explain-wrong", "/explain?name=www.example.test&client=nobody", []string{"nobody"}},
	{"explain-then-wrong", "/explain?name=www.example.test&client=198.51.100.7&at=yore", []string{"is not a time"}},
	{"simulate-empty", "/simulate", []string{"What if?", "More clients"}},
	{"simulate", "/simulate?gone=region/eu&how=drained", []string{
		"region/eu drained", "Nothing is changed: the clients that server-eu counted", "No load is known",
	}},
	{"simulate-wrong", "/simulate?gone=mars", []string{"mars", "is no target"}},
	{"drills", "/drills", []string{"There has been no drill yet."}},
	{"history", "/history?of=region/us", []string{"is down", "of www-us/lb-1", "pool www-us is out of the answers"}},
	{"zones", "/zones", []string{"example.test", "lives here", "nobody"}},
	{"servers", "/servers", []string{"server-eu", "server-us", "server-ap", "following", "votes"}},
	{"problems", "/problems", []string{"The newest version of every resource is in service."}},
	{"region", "/region/us", []string{
		"us is out since", "www-us", "Who says what of which address", "server-eu", "lb-1",
		"3 of 3 vantages: connection refused", "of this server's answers", "What if it stayed out?",
	}},
	{"pool", "/pool/www-us", []string{
		"us is out since", "Over the last hours", "www.example.test", "10.77.2.11", "region us",
	}},
	{"endpoint", "/endpoint/www-us/lb-1", []string{"10.77.2.11", "connection refused; reported", "pool www-us"}},
}

var tags = regexp.MustCompile(`(?s)<symbol.*?</symbol>|<[^>]*>`)

// TestConsole plays an outage of the endpoints of a region while a browser has the first screen open. Then it goes
// through all screens.
func TestConsole(t *testing.T) {
	lab.Need(t, "chromium")
	plan := lab.Usual
	plan.Reached = true
	w := lab.NewWorld(t, plan)
	eu, us := w.Region("eu"), w.Region("us")
	says := func(what string) {
		t.Helper()
		lab.Until(t, most, "the server says "+what, func() error {
			var s struct{ Headline string }
			_, body, err := eu.Server.Get("/api/v1/status")
			if err == nil {
				err = json.Unmarshal([]byte(body), &s)
			}
			if err == nil && !strings.HasPrefix(s.Headline, what) {
				err = fmt.Errorf("it says %q", s.Headline)
			}
			return err
		})
	}
	says("All 3 regions answer.")
	traffic(t, w)
	open := browser(t)
	b := open(door(t, eu.Server))
	b.look(1280, false)
	b.open("/")
	if got := eval[string](b, "document.querySelector('h1').textContent"); got != "All 3 regions answer." {
		t.Errorf("the page says %q", got)
	}
	b.shoot("calm-light")

	// The open page follows without a reload. It notes when its sentence changed.
	eval[bool](b, `new MutationObserver(() => {
		if (!window.turned && document.querySelector("h1").textContent.startsWith("us is " +
			"out")) window.turned = Date.now();
	}).observe(document.body, {subtree: true, childList: true, characterData: true}) === undefined`)
	began := time.Now()
	for _, e := range us.Endpoints {
		if err := e.Turn(lab.Gone, lab.Pace{}); err != nil {
			t.Fatal(err)
		}
	}
	says("us is out since")
	lab.Until(t, most, "the open page says so", func() error {
		if eval[int64](b, "window.turned || 0") == 0 {
			return fmt.Errorf("it says %q", eval[string](b, "document.querySelector('h1').textContent"))
		}
		return nil
	})
	took := time.UnixMilli(eval[int64](b, "window.turned")).Sub(began)
	bound := time.Duration(lab.Usual.Fall)*lab.Usual.Every + lab.Usual.Timeout
	t.Logf("the open page says that us is out %.2f s after it was cut; servers may take %v to find out, and the page "+
		"is told once a second at most", took.Seconds(), bound)

	before := began.Add(-time.Second).UTC().Format(time.RFC3339Nano)
	screens := append(slices.Clone(screens), screen{
		"explain-then", "/explain?name=www.example.test&type=A&client=198.51.100.7&at=" + before,
		[]string{"What server-eu answered on", "10.77.2.11", "This page does not change by itself."},
	})
	for _, x := range screens {
		b.open(x.path)
		page := b.read()
		for _, want := range append(x.says, "as server-eu in eu sees it", "Also as seen by server-ap, server-us") {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not say %q:\n%s", x.path, want, page)
			}
		}
		others := eval[[]string](b, `[...document.querySelectorAll(".others a")].map((a) => a.href)`)
		want := eval[[]string](b, `["ap", "us"].map((r) =>
			"http://server-" + r + ".example.net" + location.pathname + location.search)`)
		if !slices.Equal(others, want) {
			t.Errorf("%s is linked to as others see it at %q, want %q", x.path, others, want)
		}
		for _, look := range []struct {
			name  string
			width int64
			dark  bool
		}{{"dark-narrow", 360, true}, {"light-narrow", 360, false}, {"dark", 1280, true}, {"light", 1280, false}} {
			if *screenshots == "" && look.name != "dark-narrow" && look.name != "light" {
				continue
			}
			b.look(look.width, look.dark)
			if is := eval[int64](b, "document.documentElement.scrollWidth"); is > look.width {
				t.Errorf("%s is %d pixels wide in a window of %d", x.path, is, look.width)
			}
			for _, alone := range eval[[]string](b, `[...document.querySelectorAll("button.copy")].filter((b) => {
				const word = b.previousElementSibling.lastElementChild.getBoundingClientRect();
				const button = b.getBoundingClientRect();
				return button.top > word.bottom || button.left < word.right || button.right > innerWidth;
			}).map((b) => b.previousElementSibling.textContent)`) {
				t.Errorf("%s, %s: the button that copies %q is not beside its last word", x.path, look.name, alone)
			}
			b.shoot(x.name + "-" + look.name)
			for _, faint := range eval[[]string](b, contrasts) {
				t.Errorf("%s, %s: %s", x.path, look.name, faint)
			}
		}
		b.goThrough(x.path) // in the last look, which is light
	}
	t.Run("keyboard", b.keyboard)
	b.quiet()
	t.Run("without JavaScript", func(t *testing.T) { plain(t, open(b.at), screens) })
}

// traffic lets a client of each region query the server of eu again and again. It returns once some have been answered.
func traffic(t *testing.T, w *lab.World) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() { stop(); all.Wait() })
	server := w.Region("eu").IP(1) + ":53"
	for _, r := range w.Regions {
		q := lab.Question{
			Name: "www.example.test", Qtype: dns.TypeA, Client: netip.PrefixFrom(r.ClientAddress(), 24),
		}
		all.Go(func() {
			for pause := time.NewTicker(20 * time.Millisecond); ; {
				_, _ = lab.Ask(w.Client, server, q)
				select {
				case <-ctx.Done():
					pause.Stop()
					return
				case <-pause.C:
				}
			}
		})
	}
	lab.Until(t, most, "the clients that ask are counted", func() error {
		_, body, err := w.Region("eu").Server.Get("/simulate?gone=region/eu")
		if err == nil && !strings.Contains(body, "that server-eu counted") {
			err = errors.New("nobody has counted them")
		}
		return err
	})
}

// keyboard uses the page with Tab and Enter alone.
func (b *tab) keyboard(t *testing.T) {
	b.open("/")
	focus := "(document.activeElement.textContent || document.activeElement.id).trim()"
	b.do(chromedp.KeyEvent(kb.Tab))
	if got := eval[string](b, focus); got != "Skip to the content" {
		t.Fatalf("the first is %q", got)
	}
	seen := map[string]bool{}
	for _, at := range b.tabs(60) {
		if !at.Visible && at.Index >= 0 {
			t.Errorf("%q does not show that it has the focus", at.Name)
		}
		seen[at.Name] = true
	}
	for _, want := range []string{"Leeward", "Now", "Pools", "Explain", "us", "Copy", "For programs"} {
		if !seen[want] {
			t.Errorf("the keyboard does not reach %q", want)
		}
	}
	// The skip link leads past the header. Space copies a command, and opens the meaning of figures.
	b.open("/")
	b.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter), chromedp.KeyEvent(kb.Tab))
	if !eval[bool](b, `document.getElementById("main").contains(document.activeElement)`) {
		t.Errorf("after the skip link comes %q", eval[string](b, focus))
	}
	b.do(chromedp.Focus("button.copy"), chromedp.KeyEvent(" "))
	lab.Until(t, most, "Space copies the command", func() error {
		if !eval[bool](b, `document.querySelector("button.copy").textContent === "Copied" ||
			getSelection().toString() === document.querySelector("code.do").textContent`) {
			return errors.New("it does not")
		}
		return nil
	})
	b.do(chromedp.Focus("summary"), chromedp.KeyEvent(" "))
	if !eval[bool](b, `document.querySelector("details").open`) {
		t.Error("Space does not open what the figures mean")
	}
	b.open("/")
	way := b.tabs(20)
	explain := slices.IndexFunc(way, func(at place) bool { return at.Name == "Explain" })
	if explain < 0 {
		t.Fatal("Tab does not reach Explain")
	}
	b.open("/")
	b.tabs(explain + 1)
	b.do(chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#client"))
	b.do(chromedp.Focus("#name"), chromedp.KeyEvent("www.example.test"), chromedp.KeyEvent(kb.Tab),
		chromedp.KeyEvent(kb.Tab),
		chromedp.KeyEvent("198.51.100.7"), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible("#steps"))
	if page := b.read(); !strings.Contains(page, "10.77.1.11") {
		t.Errorf("the form explains\n%s", page)
	}
}

// contrasts is everything in the page that is too faint to read, by WCAG 2.2 AA: the contrast of each text, and of each
// field's placeholder, with what is behind it.
const contrasts = `(() => {
	const parts = (c) => c.match(/[\d.]+/g).map(Number);
	const light = (c) => parts(c).slice(0, 3).reduce((sum, v, i) => {
		v /= 255;
		return sum + [.2126, .7152, .0722][i] * (v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
	}, 0);
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const c = getComputedStyle(e).backgroundColor;
			if ((parts(c)[3] ?? 1) > 0) return c;
		}
		return "rgb(255, 255, 255)";
	};
	const faint = new Set();
	const test = (e, style, what) => {
		const front = e.closest("svg") ? style.fill : style.color, size = parseFloat(style.fontSize);
		const least = size >= 24 || size >= 18.66 && style.fontWeight >= 600 ? 3 : 4.5;
		const [a, b] = [light(front), light(behind(e))].sort((a, b) => b - a);
		const is = (a + .05) / (b + .05);
		if (is < least) faint.add(what + " has a contrast of " + is.toFixed(2));
	};
	document.querySelectorAll("details").forEach((d) => { d.open = true; });
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim();
		if (text && e.checkVisibility() && !e.closest("title, desc, script, noscript, datalist"))
			test(e, getComputedStyle(e), text);
	}
	document.querySelectorAll("[placeholder]").forEach((e) => {
		test(e, getComputedStyle(e, "::placeholder"), "the suggestion " + e.placeholder);
	});
	document.querySelectorAll("details").forEach((d) => { d.open = false; });
	return [...faint];
})()`

// usable is all controls on a page.
const usable = `[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary")]
	.filter((e) => e.checkVisibility())`

// place is where the focus is on a page.
type place struct {
	Index      int // of the controls; -1: outside of the page
	Name, What string
	Visible    bool // people see that it has the focus
}

// tabs presses Tab n times. It returns where the focus was after each. The page itself notes that, so that the browser
// is asked only once.
func (b *tab) tabs(n int) []place {
	b.t.Helper()
	eval[bool](b, `(() => {
		window.way = [];
		window.here = () => {
			const e = document.activeElement, s = getComputedStyle(e), box = e.getBoundingClientRect();
			way.push({
				Index: `+usable+`.indexOf(e), Name: (e.textContent || e.id).trim(), What: e.outerHTML.slice(0, 120),
				Visible: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 &&
					box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
			});
		};
		addEventListener("keydown", here, true);
		return true;
	})()`)
	for range n {
		order(b, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeRawKeyDown, Key: "Tab", Code: "Tab", WindowsVirtualKeyCode: 9,
		})
	}
	return eval[[]place](b, `(removeEventListener("keydown", here, true), here(), way.slice(1))`)
}

// goThrough reaches every control of a page by Tab alone, in the order of the page, checks that the focus is visible,
// and leaves the page again.
func (b *tab) goThrough(path string) {
	b.t.Helper()
	// The page must not change meanwhile. This mark says that it has been fetched once.
	eval[bool](b, `(document.getElementById("main").setAttribute("data-still", ""), true)`)
	// A field for a time has parts, and each is a stop of its own.
	count := eval[struct{ Usable, Times int }](b, `({
		Usable: `+usable+`.length, Times: document.querySelectorAll("input[type=datetime-local]").length,
	})`)
	next, out := 0, false
	for _, at := range b.tabs(count.Usable + 8*count.Times + 1) {
		if at.Index < 0 {
			out = true
			break
		}
		if at.Index != next && at.Index != next-1 {
			b.t.Errorf("%s: after %d comes %d: %s", path, next-1, at.Index, at.What)
		}
		if !at.Visible {
			b.t.Errorf("%s: the focus cannot be seen: %s", path, at.What)
		}
		next = at.Index + 1
	}
	if next != count.Usable || !out {
		b.t.Errorf("%s: Tab reaches %d of %d, and comes out: %v", path, next, count.Usable, out)
	}
}

// plain reads all screens without JavaScript.
func plain(t *testing.T, b *tab, screens []screen) {
	b.t = t
	order(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.look(1280, false)
	for _, x := range screens {
		b.open(x.path)
		page := strings.Join(strings.Fields(tags.ReplaceAllString(b.source(), " ")), " ")
		page = strings.ReplaceAll(page, " :", ":") // a tag ended before it
		for _, want := range x.says {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not say %q:\n%s", x.path, want, page)
			}
		}
		if strings.Contains(page, "Copy") {
			t.Errorf("%s ran a script", x.path)
		}
		b.shoot(x.name + "-plain")
	}
}
