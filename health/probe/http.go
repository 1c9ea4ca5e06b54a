package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"leeward/health"
)

// userAgent is how probes name themselves in the logs of what they probe.
const userAgent = "leeward-probe"

// maxHeader is how much of an answer's status line and headers is read, in bytes.
const maxHeader = 64 << 10

// http asks once, on a connection of its own, and takes the first final answer for what it is: a redirect is a status, and
// not followed. net/http's client is left out, as its pool of connections, proxies and redirects are all that a probe must
// not have.
func (c *checker) http(ctx context.Context, h *health.HTTP, secure bool) outcome {
	port := h.Port
	if port == 0 {
		port = 80
		if secure {
			port = 443
		}
	}
	var conn net.Conn
	conn, err := c.dial(ctx, "tcp", port)
	if err != nil {
		return c.failed(ctx, err)
	}
	defer conn.Close()
	if secure {
		name := h.ServerName
		if name == "" {
			name = withoutPort(h.Host)
		}
		session, err := c.handshake(ctx, conn, name, h.Insecure)
		if err != nil {
			return c.failed(ctx, err)
		}
		conn = session
	}
	request, err := c.request(h, port, secure)
	if err != nil {
		return outcome{reason: err.Error()}
	}
	if err := request.Write(conn); err != nil {
		return c.failed(ctx, err)
	}
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	response, err := readResponse(bufio.NewReader(limited), request)
	if err != nil {
		if limited.N == 0 {
			return down("headers longer than %d KiB", maxHeader>>10)
		}
		return c.failed(ctx, asProtocol(err))
	}
	defer response.Body.Close()
	ranges, err := health.ParseStatus(h.Status)
	if err != nil {
		return outcome{reason: err.Error()}
	}
	if !within(ranges, response.StatusCode) {
		return down("status %d", response.StatusCode)
	}
	o := up()
	o.load = loadOf(response.Header)
	if h.Body == "" {
		return o
	}
	limited.N = 2 * health.MaxBody // chunks have a frame of their own
	found, err := contains(response.Body, h.Body)
	switch {
	case found:
		return o
	case err != nil:
		return c.failed(ctx, asProtocol(err))
	}
	return down("body lacks %q", shorten(h.Body))
}

// request is what the monitor asks for, addressed to the target.
func (c *checker) request(h *health.HTTP, port uint16, secure bool) (*http.Request, error) {
	path := h.Path
	if path == "" {
		path = "/"
	}
	at := netip.AddrPortFrom(c.address, port).String()
	if port == 80 && !secure || port == 443 && secure {
		at = strings.TrimSuffix(at, fmt.Sprintf(":%d", port))
	}
	target, err := url.Parse("http://" + at + path)
	if err != nil {
		return nil, fmt.Errorf("the path %q cannot be asked for: %w", h.Path, err)
	}
	request := &http.Request{
		Method: h.Method, URL: target, Host: h.Host, Close: true, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {userAgent}, "Accept": {"*/*"}},
	}
	if request.Method == "" {
		request.Method = http.MethodGet
	}
	if request.Host == "" {
		request.Host = at
	}
	return request, nil
}

// readResponse reads the first answer that is not an interim one (RFC 9110 15.2).
func readResponse(r *bufio.Reader, request *http.Request) (*http.Response, error) {
	for range 8 {
		response, err := http.ReadResponse(r, request)
		if err != nil || response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
	}
	return nil, errors.New("nothing but interim answers")
}

// contains reads up to MaxBody bytes until the text has been seen.
func contains(body io.Reader, text string) (bool, error) {
	seen := make([]byte, 0, 4096)
	body = io.LimitReader(body, health.MaxBody)
	for {
		if len(seen) == cap(seen) {
			seen = append(seen, 0)[:len(seen)]
		}
		n, err := body.Read(seen[len(seen):cap(seen)])
		from := max(0, len(seen)-len(text)+1)
		seen = seen[:len(seen)+n]
		if bytes.Contains(seen[from:], []byte(text)) {
			return true, nil
		}
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

func within(ranges []health.StatusRange, code int) bool {
	for _, r := range ranges {
		if r.First <= code && code <= r.Last {
			return true
		}
	}
	return false
}

// asProtocol replaces what net/http says of an answer that is none by plain words.
func asProtocol(err error) error {
	if text := err.Error(); strings.HasPrefix(text, "malformed HTTP") {
		return errors.New("not HTTP")
	}
	return err
}

func withoutPort(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
