//go:build linux

package console

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"leeward/integration/lab"
)

// door lets the browser, which runs on the machine, reach a server in its namespace. It returns the address.
func door(t *testing.T, s *lab.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			outer, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer outer.Close()
				inner, err := s.Host.Dial(net.Dialer{Timeout: 5 * time.Second}, "tcp", s.Admin)
				if err != nil {
					return
				}
				defer inner.Close()
				go func() { _, _ = io.Copy(inner, outer); inner.Close() }()
				_, _ = io.Copy(outer, inner)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// tab is a page of the browser. It keeps the errors on its console.
type tab struct {
	t   *testing.T
	ctx context.Context
	at  string // the server's address

	mu         sync.Mutex
	complaints []string
}

// most is how long one thing in the browser may take on a busy machine.
const most = 60 * time.Second

// browser starts Chromium, and returns a function that opens tabs.
func browser(t *testing.T) func(at string) *tab {
	t.Helper()
	lab.Need(t, "chromium")
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // it runs as root, and only these pages
		chromedp.ExecPath("chromium"), chromedp.Flag("force-color-profile", "srgb"))...)
	t.Cleanup(stop)
	whole, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	if err := chromedp.Do(whole); err != nil {
		t.Fatal(err)
	}
	return func(at string) *tab {
		ctx, end := chromedp.NewContext(whole)
		t.Cleanup(end)
		b := &tab{t: t, ctx: ctx, at: at}
		messages := chromedp.Console(ctx)
		go func() {
			for m, err := range messages {
				if err != nil {
					return
				}
				b.mu.Lock()
				b.complaints = append(b.complaints, m.String()+" "+m.URL)
				b.mu.Unlock()
			}
		}()
		return b
	}
}

// get runs something in the browser, for at most that time.
func get[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() { // the tab's context must live on, so it is not the one that ends
		v, err := chromedp.Run(b.ctx, action)
		done <- outcome{v, err}
	}()
	select {
	case o := <-done:
		if o.err != nil {
			b.t.Fatal(o.err)
		}
		return o.value
	case <-time.After(most):
		b.t.Fatalf("the browser has not done it within %v", most)
		panic("unreachable")
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	get(b, chromedp.Steps(steps...))
}

// order gives the browser a command of its protocol.
func order[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	v, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *tab) open(path string) { b.t.Helper(); b.do(chromedp.Navigate(b.at + path)) }

// eval returns the value of an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression))
}

// read returns the page as people read it.
func (b *tab) read() string {
	b.t.Helper()
	return strings.Join(strings.Fields(eval[string](b, "document.body.innerText")), " ")
}

// source is the page's document, without JavaScript's help.
func (b *tab) source() (html string) {
	b.t.Helper()
	lab.Until(b.t, most, "the browser has the document", func() error {
		root, err := chromedp.Call(b.ctx, dom.GetDocument, dom.GetDocumentParams{})
		if err != nil {
			return err
		}
		// The page may reload itself between the two.
		all, err := chromedp.Call(b.ctx, dom.GetOuterHTML, dom.GetOuterHTMLParams{NodeID: root.Root.NodeID})
		html = all.OuterHTML
		return err
	})
	return html
}

// look sets how wide the window is, and whether it is dark.
func (b *tab) look(width int64, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	order(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 600,
	})
	order(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
}

// shoot saves a picture, if pictures are wanted.
func (b *tab) shoot(name string) {
	b.t.Helper()
	if *screenshots == "" {
		return
	}
	picture := get(b, chromedp.FullScreenshot(100)) // 100: PNG
	if err := os.MkdirAll(*screenshots, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// quiet fails if the browser has reported any error.
func (b *tab) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		b.t.Errorf("the browser complains: %q", b.complaints)
	}
}
