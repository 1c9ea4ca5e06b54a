//go:build !noembed

package process_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"leeward/cmd/leeward/process"
)

// Five hundred clients hold what they can of the admin interface, from one address and from many: event streams,
// connections that say nothing, requests that never end, pages that nobody reads, and simulations. Meanwhile others'
// pages, streams, metrics and readiness are answered, and so are queries.
func TestPagesStarveNobody(t *testing.T) {
	const clients = 500
	c := newCluster(t)
	c.putAll(resources)
	p := serve(t, settings("a", c))
	p.awaitAnswer("www.example.test", "192.0.2.1")
	p.awaitReady()
	dial := func(from string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Minute}
		return d.Dial("tcp", p.Admin)
	}
	request := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" }
	victim := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return dial("127.0.2.1")
		},
	}}
	others := func(t *testing.T) {
		t.Helper()
		for range 3 {
			for _, path := range []string{
				"/", "/pools", "/policy/www.example.test", "/metrics", "/readyz", "/api/v1/status",
			} {
				r, err := victim.Get("http://" + p.Admin + path)
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				_, err = io.Copy(io.Discard, r.Body)
				r.Body.Close()
				if err != nil || r.StatusCode != http.StatusOK {
					t.Errorf("%s: %s, %v", path, r.Status, err)
				}
			}
			if got := p.answer("www.example.test"); got != "192.0.2.1" {
				t.Errorf("a query is answered %q", got)
			}
		}
	}
	t.Run("fifty that ask again and again from one address", func(t *testing.T) {
		done := make(chan struct{})
		var wait sync.WaitGroup
		defer wait.Wait()
		defer close(done)
		for i := range 50 {
			wait.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					conn, err := dial("127.0.1.1")
					if err != nil {
						continue
					}
					_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
					_, _ = io.WriteString(conn, request(fmt.Sprintf("/policies?from=%d", i)))
					_, _ = io.CopyN(io.Discard, conn, 1<<10)
					conn.Close()
				}
			})
		}
		others(t)
	})
	for name, first := range map[string]func(i int) string{
		"streams": func(int) string { return request("/events") },
		"silent":  func(int) string { return "" },
		"slow":    func(int) string { return "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-" },
		"deaf":    func(i int) string { return request(fmt.Sprintf("/policies?from=%d", i)) + request("/metrics") },
		"simulate": func(i int) string {
			return request(fmt.Sprintf("/simulate?gone=pool/www-eu&surge=us-east=%dx", i))
		},
	} {
		for crowd, addresses := range map[string]int{"one address": 1, "many addresses": 200} {
			t.Run(name+" from "+crowd, func(t *testing.T) {
				for i := range clients {
					from := fmt.Sprintf("127.0.1.%d", 1+i%addresses)
					conn, err := dial(from)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					_, _ = io.WriteString(conn, first(i)) // one that had to make room is closed already
				}
				others(t)
				r, err := victim.Get("http://" + p.Admin + "/events")
				if err != nil {
					t.Fatal(err)
				}
				defer r.Body.Close()
				if crowd == "one address" && r.StatusCode != http.StatusOK {
					t.Errorf("an event stream beside those of one address: %s", r.Status)
				}
			})
		}
	}
}

// Other servers are told where people reach a server, even if that is not the address on which it listens.
func TestAdminURL(t *testing.T) {
	c := newCluster(t)
	c.putAll(resources)
	o := settings("a", c)
	o.AdminURL = "https://ns1.example.net"
	p := serve(t, o)
	p.await("its status says where it is reached", func() string {
		r, err := http.Get("http://" + p.Admin + "/api/v1/status")
		if err != nil {
			return err.Error()
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return err.Error()
		}
		if !strings.Contains(string(text), `"admin": "https://ns1.example.net"`) &&
			!strings.Contains(string(text), `"admin":"https://ns1.example.net"`) {
			return string(text)
		}
		return ""
	})
	for text, well := range map[string]bool{
		"": true, "https://ns1.example.net": true, "http://10.0.0.1:8053": true, "https://[2001:db8::1]:8443": true,
		"ns1.example.net": false, "10.0.0.1:8053": false, "ftp://ns1": false, "https://": false, "https://:8053": false,
		"https://ns1/console": false, "https://me@ns1": false, "https://ns1?x": false, "https://ns1#x": false,
		"javascript:alert(1)": false, "https://ns 1": false,
	} {
		if err := process.CheckAdminURL(text); (err == nil) != well {
			t.Errorf("%q: %v", text, err)
		}
	}
}
