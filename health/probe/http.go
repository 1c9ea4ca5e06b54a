package probe

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"leeward/health"
)

// userAgent is the name of probes in the logs of endpoints.
const userAgent = "leeward-probe"

// maxHeader is how much of a response's status line and headers is read, in octets.
const (
	maxHeader = 64 << 10
	tooLong   = "headers longer than 64 KiB"
)

// place is what an HTTP check asks for. It is always asked at the endpoint's own address.
type place struct {
	secure bool
	port   uint16
	host   string // with the port, unless it is the scheme's own; empty: the address
	path   string // with the query
	method string
}

// http makes a request on a connection of its own and judges the first final response. A redirect is a status like
// others; it is followed only if the monitor says so, and then at the same address. It does not use net/http's client,
// whose connection pool, proxies and redirects are just what a probe must not have.
func (c *checker) http(ctx context.Context, h *health.HTTP, secure bool) outcome {
	at := place{secure: secure, port: h.Port, path: cmp.Or(h.Path, "/"), method: cmp.Or(h.Method, http.MethodGet)}
	if at.port == 0 {
		at.port = schemePort(secure)
	}
	at.host = cmp.Or(c.manner.Host, h.Host)
	if at.host == "" && c.manner.Hostname != "" {
		at.host = withPort(c.manner.Hostname, at.port, secure)
	}
	for hop := 0; ; hop++ {
		o, next := c.ask(ctx, h, at)
		switch {
		case next == nil:
			return o
		case hop == h.Redirects && hop == 0:
			return o
		case hop == h.Redirects:
			return down("more than %d redirects", h.Redirects)
		}
		at = *next
	}
}

// ask makes one request. next is where the response redirects to, nil if it does not.
func (c *checker) ask(ctx context.Context, h *health.HTTP, at place) (o outcome, next *place) {
	var conn net.Conn
	conn, err := c.dial(ctx, "tcp", at.port)
	if err != nil {
		return c.failed(ctx, err), nil
	}
	defer conn.Close()
	if at.secure {
		settings := c.settings(cmp.Or(h.ServerName, withoutPort(at.host)), h.Insecure)
		if h.Protocol == health.HTTP2 {
			settings.NextProtos = []string{"h2"}
		}
		session, err := c.handshake(ctx, conn, settings)
		if err != nil {
			return c.failed(ctx, asProtocol(err)), nil
		}
		if h.Protocol == health.HTTP2 && session.ConnectionState().NegotiatedProtocol != "h2" {
			return down("does not speak HTTP/2"), nil
		}
		conn = session
	}
	request, err := c.request(ctx, h, at)
	if err != nil {
		return outcome{reason: err.Error()}, nil
	}
	exchange := c.first
	if h.Protocol == health.HTTP2 {
		exchange = c.second
	}
	response, read, o := exchange(ctx, conn, request)
	if response == nil {
		return o, nil
	}
	defer response.Body.Close()
	ranges, err := health.ParseStatus(h.Status)
	if err != nil {
		return outcome{reason: err.Error()}, nil
	}
	if !within(ranges, response.StatusCode) {
		return down("status %d", response.StatusCode), at.redirect(request.URL, response)
	}
	o = up()
	o.load = loadOf(response.Header, c.metric)
	if h.Body == "" {
		return o, nil
	}
	read(2 * health.MaxBody) // twice, because chunks have frames
	found, err := contains(response.Body, h.Body)
	switch {
	case found:
		return o, nil
	case err != nil:
		return c.failed(ctx, asProtocol(err)), nil
	}
	return down("body lacks %q", shorten(h.Body)), nil
}

// first speaks HTTP/1.1. It returns the final response and a function that sets how many more octets may be read. If
// there is no response, it returns the outcome.
func (c *checker) first(ctx context.Context, conn net.Conn, request *http.Request) (*http.Response, func(int64),
	outcome,
) {
	if err := request.Write(conn); err != nil {
		return nil, nil, c.failed(ctx, err)
	}
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	response, err := readResponse(bufio.NewReader(limited), request)
	if err != nil {
		if limited.N == 0 {
			return nil, nil, down("%s", tooLong)
		}
		return nil, nil, c.failed(ctx, asProtocol(err))
	}
	return response, func(n int64) { limited.N = n }, outcome{}
}

// second does the same with HTTP/2, with a connection for each request. Its flow control windows bound how much an
// endpoint can make this process hold.
func (c *checker) second(ctx context.Context, conn net.Conn, request *http.Request) (*http.Response, func(int64),
	outcome,
) {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	given := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	transport := &http.Transport{
		DialContext: given, DialTLSContext: given, Protocols: &protocols, MaxResponseHeaderBytes: maxHeader,
		DisableCompression: true,
		HTTP2: &http.HTTP2Config{
			MaxReadFrameSize: 16 << 10, MaxReceiveBufferPerStream: 128 << 10, MaxReceiveBufferPerConnection: 128 << 10,
		},
	}
	client, err := transport.NewClientConn(ctx, request.URL.Scheme, conn.RemoteAddr().String())
	if err != nil {
		return nil, nil, c.failed(ctx, asProtocol(err))
	}
	response, err := client.RoundTrip(request)
	if err != nil {
		return nil, nil, c.failed(ctx, asProtocol(err))
	}
	return response, func(int64) {}, outcome{}
}

// redirect returns where a response redirects to, nil if it does not or if that cannot be asked for. The endpoint's own
// address is asked whatever the new host is: what another address serves says nothing about this endpoint.
func (at place) redirect(asked *url.URL, response *http.Response) *place {
	switch response.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect,
		http.StatusPermanentRedirect:
	default:
		return nil
	}
	asked.Host = cmp.Or(at.host, asked.Host)
	to, err := asked.Parse(response.Header.Get("Location"))
	if err != nil || response.Header.Get("Location") == "" || to.Scheme != "http" && to.Scheme != "https" ||
		to.Hostname() == "" {
		return nil
	}
	next := place{secure: to.Scheme == "https", host: to.Host, path: to.RequestURI(), method: at.method}
	next.port = schemePort(next.secure)
	if text := to.Port(); text != "" {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return nil
		}
		next.port = uint16(port)
	}
	if at.method == http.MethodPost && response.StatusCode < 307 { // RFC 9110 section 15.4
		next.method = http.MethodGet
	}
	return &next
}

func schemePort(secure bool) uint16 {
	if secure {
		return 443
	}
	return 80
}

// withPort returns a host for the Host header.
func withPort(host string, port uint16, secure bool) string {
	if port == schemePort(secure) {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// request returns the request that the monitor and the endpoint ask for.
func (c *checker) request(ctx context.Context, h *health.HTTP, at place) (*http.Request, error) {
	own := netip.AddrPortFrom(c.address, at.port).String()
	if at.port == schemePort(at.secure) {
		own = strings.TrimSuffix(own, ":"+strconv.Itoa(int(at.port)))
	}
	scheme := "http"
	if at.secure {
		scheme = "https"
	}
	target, err := url.Parse(scheme + "://" + own + at.path)
	if err != nil {
		return nil, fmt.Errorf("the path %q cannot be asked for: %w", at.path, err)
	}
	request := &http.Request{
		Method: at.method, URL: target, Host: cmp.Or(at.host, own), Close: true, Proto: "HTTP/1.1", ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     http.Header{"User-Agent": {userAgent}, "Accept": {"*/*"}},
	}
	for _, lines := range []string{h.Headers.Lines(), c.manner.Headers} {
		// the endpoint's headers override the monitor's
		for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\r\n"), "\r\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				request.Header.Set(name, value)
			}
		}
	}
	return request.WithContext(ctx), nil
}

// readResponse reads the first response that is not an interim one (RFC 9110 section 15.2).
func readResponse(r *bufio.Reader, request *http.Request) (*http.Response, error) {
	for range 8 {
		response, err := http.ReadResponse(r, request)
		if err != nil || response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
	}
	return nil, errors.New("nothing but interim answers")
}

// contains reads up to MaxBody octets until it has seen the text.
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

// asProtocol replaces net/http's words for a response that is not one by plain words.
func asProtocol(err error) error {
	text := err.Error()
	for _, c := range [...]struct{ says, plain string }{
		{"malformed HTTP", "not HTTP"},
		{"tls: no application protocol", "does not speak HTTP/2"},
		{"COMPRESSION_ERROR", tooLong}, // net/http's word for a string longer than the limit
		{"response header list larger", tooLong},
		{"server response headers exceeded", tooLong},
		{"looked like an HTTP/1.1 header", "not HTTP/2"},
		{"http2: frame too large", "not HTTP/2"},
		{"connection error: ", "not HTTP/2"},
		{"client conn could not be established", "not HTTP/2"},
	} {
		if strings.Contains(text, c.says) {
			return errors.New(c.plain)
		}
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
