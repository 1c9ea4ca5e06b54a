package health

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of what a Monitor may ask for.
const (
	MinInterval  = 100 * time.Millisecond
	MaxInterval  = time.Hour
	MaxHold      = 24 * time.Hour
	MaxThreshold = 100 // of Fall and Rise
	MaxVantages  = 1000
	MaxRedirects = 10
	MaxHeaders   = 32
)

// FieldError says which setting cannot be used, and what to do.
type FieldError struct {
	Field   string // spelled as in documents: "https.status"
	Message string
}

func (e FieldError) Error() string { return e.Field + ": " + e.Message }

// Check names the check as documents do: "http", "https", "tcp", "tls", "grpc", "dns" or "external"; "" if there is
// none.
func (m *Monitor) Check() string {
	for _, c := range m.checks() {
		if c.set {
			return c.name
		}
	}
	return ""
}

type check struct {
	name string
	set  bool
}

func (m *Monitor) checks() [7]check {
	return [...]check{
		{"http", m.HTTP != nil},
		{"https", m.HTTPS != nil},
		{"tcp", m.TCP != nil},
		{"tls", m.TLS != nil},
		{"grpc", m.GRPC != nil},
		{"dns", m.DNS != nil},
		{"external", m.External != nil},
	}
}

// EffectiveInterval returns the time from one probe of an address to the next.
func (m *Monitor) EffectiveInterval() time.Duration { return m.Interval.Or(DefaultInterval) }

// EffectiveTimeout returns how long one probe may take: the monitor's timeout or, by default, DefaultTimeout or the
// interval, whichever is shorter.
func (m *Monitor) EffectiveTimeout() time.Duration {
	return m.Timeout.Or(min(DefaultTimeout, m.EffectiveInterval()))
}

// EffectiveFall returns how many failures in a row make a vantage report down.
func (m *Monitor) EffectiveFall() int {
	if m.Fall == 0 {
		return DefaultFall
	}
	return m.Fall
}

// EffectiveRise returns how many successes in a row make a vantage report up.
func (m *Monitor) EffectiveRise() int {
	if m.Rise == 0 {
		return DefaultRise
	}
	return m.Rise
}

// EffectiveHold returns how soon at the earliest a vantage may report an address up again after it last turned down.
// The default of 0 holds nothing: Rise alone decides.
func (m *Monitor) EffectiveHold() time.Duration {
	if m.Hold == nil {
		return 0
	}
	return m.Hold.Std()
}

// EffectiveVantages returns how many vantages should probe each address: by default DefaultVantages, or as many as the
// quorum needs. If there are fewer vantages, all of them probe it.
func (m *Monitor) EffectiveVantages() int {
	if m.Vantages == 0 {
		return max(DefaultVantages, int(m.Quorum))
	}
	return m.Vantages
}

// DetectionTime returns the longest time from an endpoint's failure to a vantage's report: fall × interval + timeout.
func (m *Monitor) DetectionTime() time.Duration {
	return time.Duration(m.EffectiveFall())*m.EffectiveInterval() + m.EffectiveTimeout()
}

// Validate returns what is wrong with the settings, nil if nothing is.
func (m *Monitor) Validate() []FieldError {
	var l list
	var set, known []string
	for _, c := range m.checks() {
		known = append(known, c.name)
		if c.set {
			set = append(set, c.name)
		}
	}
	switch {
	case len(set) == 0:
		l.add("", "no check is given; give one of %s", strings.Join(known, ", "))
	case len(set) > 1:
		l.add(set[1], "there is a check already (%s); a monitor has exactly one, make another monitor for the other",
			set[0])
	}
	if d := m.EffectiveInterval(); d < MinInterval || d > MaxInterval {
		l.add("interval", "%s is outside %s to %s", d, MinInterval, MaxInterval)
	}
	switch timeout := m.EffectiveTimeout(); {
	case timeout < 0:
		l.add("timeout", "%s is negative", timeout)
	case timeout > m.EffectiveInterval():
		l.add("timeout", "%s is longer than the interval of %s; a probe must end before the next begins",
			timeout, m.EffectiveInterval())
	case timeout < time.Millisecond:
		l.add("timeout", "%s is shorter than any probe; give 1ms or more", timeout)
	}
	l.threshold("fall", m.Fall)
	l.threshold("rise", m.Rise)
	if d := m.EffectiveHold(); d < 0 || d > MaxHold {
		l.add("hold", "%s is outside 0s to %s", d, MaxHold)
	}
	if m.Quorum < All {
		l.add("quorum", "%d is not a quorum; write majority, any, all or a number of vantages such as 2", int(m.Quorum))
	}
	switch {
	case m.Vantages < 0 || m.Vantages > MaxVantages:
		l.add("vantages", "%d is outside 1 to %d", m.Vantages, MaxVantages)
	case m.Vantages != 0 && int(m.Quorum) > m.Vantages:
		l.add("vantages", "only %d vantages probe an address and the quorum is %d of them; raise vantages or "+
			"lower quorum",
			m.Vantages, int(m.Quorum))
	}
	m.validateLoad(&l)
	if m.HTTP != nil {
		m.HTTP.validate(&l, "http")
		if m.HTTP.ServerName != "" {
			l.add("http.serverName", "only an https check verifies a certificate; use https or leave it out")
		}
		if m.HTTP.Insecure {
			l.add("http.insecure", "only an https check verifies a certificate; use https or leave it out")
		}
	}
	if m.HTTPS != nil {
		m.HTTPS.validate(&l, "https")
		l.host("https.serverName", m.HTTPS.ServerName)
	}
	if m.TCP != nil {
		l.port("tcp.port", m.TCP.Port)
	}
	if m.TLS != nil {
		l.port("tls.port", m.TLS.Port)
		l.host("tls.serverName", m.TLS.ServerName)
		if m.TLS.MinValidity < 0 {
			l.add("tls.minValidity", "%s is negative", m.TLS.MinValidity)
		}
	}
	if m.GRPC != nil {
		l.port("grpc.port", m.GRPC.Port)
		l.host("grpc.serverName", m.GRPC.ServerName)
		if !m.GRPC.TLS && m.GRPC.Insecure {
			l.add("grpc.insecure", "only a check with tls: true verifies a certificate; add that or leave insecure out")
		}
	}
	if m.DNS != nil {
		m.DNS.validate(&l)
	}
	return l
}

// TellsLoad reports whether the check's responses can carry a load.
func (m *Monitor) TellsLoad() bool {
	return m.Load != LoadNone && (m.HTTP != nil || m.HTTPS != nil || m.External != nil)
}

func (m *Monitor) validateLoad(l *list) {
	name, named := strings.CutPrefix(m.Load, LoadNamed)
	switch {
	case m.Load == "", m.Load == LoadNone:
	case m.HTTP == nil && m.HTTPS == nil && m.External == nil:
		l.add("load", "a %s check's answer tells no load; use http or https, or leave it out", m.Check())
	case m.External != nil:
		l.add("load", "an external reporter puts the load into its reports; leave it out")
	case named && name != "" && len(name) <= 256 && !strings.ContainsAny(name, ",= "):
	case !slices.Contains([]string{LoadApplication, LoadCPU, LoadRate}, m.Load):
		l.add("load", "%q is not a metric of the header endpoint-load-metrics; write %s, %s, %s, %sNAME or %s",
			m.Load, LoadApplication, LoadCPU, LoadRate, LoadNamed, LoadNone)
	}
}

// methods are the methods of RFC 9110 section 9 that need nothing but a path.
var methods = []string{"GET", "HEAD", "OPTIONS", "POST"}

func (h *HTTP) validate(l *list, at string) {
	if h.Path != "" && !strings.HasPrefix(h.Path, "/") {
		l.add(at+".path", "%q does not begin with \"/\"; write %q", h.Path, "/"+h.Path)
	}
	if strings.ContainsFunc(h.Path, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }) {
		l.add(at+".path", "%q has a space, a control character or a fragment; escape them as %%20 and the like", h.Path)
	}
	if _, err := ParseStatus(h.Status); err != nil {
		l.add(at+".status", "%v", err)
	}
	if h.Method != "" && !slices.Contains(methods, h.Method) {
		l.add(at+".method", "%q is not a method that a check can have; write one of %s", h.Method,
			strings.Join(methods, ", "))
	}
	if h.Method == "HEAD" && h.Body != "" {
		l.add(at+".body", "the answer to HEAD has no body; use GET or leave body out")
	}
	if len(h.Body) > MaxBody {
		l.add(at+".body", "is longer than the %d bytes that are read of an answer", MaxBody)
	}
	if h.Redirects < 0 || h.Redirects > MaxRedirects {
		l.add(at+".redirects", "%d is outside 0 to %d", h.Redirects, MaxRedirects)
	}
	if h.Protocol != "" && h.Protocol != HTTP1 && h.Protocol != HTTP2 {
		l.add(at+".protocol", "%q is not a protocol that is spoken here; write %s or %s", h.Protocol, HTTP1, HTTP2)
	}
	l.hostPort(at+".host", h.Host)
	l.headers(at+".headers", h.Headers)
}

// CheckHost returns what is wrong with the host to ask for, which may have a port. It returns nil if nothing is.
func CheckHost(field, host string) []FieldError {
	var l list
	l.hostPort(field, host)
	return l
}

// CheckHeaders returns what is wrong with a request's headers, nil if nothing is.
func CheckHeaders(field string, h Headers) []FieldError {
	var l list
	l.headers(field, h)
	return l
}

func (l *list) hostPort(field, host string) {
	if name, port, ok := strings.Cut(host, ":"); ok && !strings.Contains(port, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			l.add(field, "%q has no usable port after the colon", host)
			return
		}
		host = name
	}
	l.host(field, host)
}

// framing are the headers that belong to a request's framing: others would break it.
var framing = []string{
	"connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding",
	"upgrade",
}

func (l *list) headers(field string, h Headers) {
	if len(h) > MaxHeaders {
		l.add(field, "%d headers are more than the %d that there may be", len(h), MaxHeaders)
	}
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		lower := strings.ToLower(name)
		switch {
		case name == "" || strings.ContainsFunc(name, notToken) || len(name) > 256:
			l.add(field, "%q is not the name of a header; it has letters, digits and hyphens, such as X-Probe", name)
		case lower == "host":
			l.add(field+"."+name, "is given by host; write it there")
		case slices.Contains(framing, lower):
			l.add(field+"."+name, "belongs to the connection and cannot be given; leave it out")
		case seen[lower] != "":
			l.add(field+"."+name, "is %s again; give each header once", seen[lower])
		case strings.ContainsFunc(h[name], func(r rune) bool {
			return r < ' ' && r != '\t' || r == 0x7f
		}) || len(h[name]) > 4096:
			l.add(field+"."+name, "has a control character, or more than 4096 octets")
		}
		seen[lower] = name
	}
}

// notToken reports whether a character is not allowed in the name of a header (RFC 9110 section 5.6.2).
func notToken(r rune) bool {
	alphanumeric := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	return !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

func (d *DNS) validate(l *list) {
	name := strings.TrimSuffix(d.Name, ".")
	switch {
	case d.Name == "":
		l.add("dns.name", "is needed: the name to ask for, such as www.example.test")
	case len(name) > 253:
		l.add("dns.name", "is longer than 253 characters")
	default:
		for label := range strings.SplitSeq(name, ".") {
			if d.Name != "." && (label == "" || len(label) > 63) {
				l.add("dns.name", "%q is not a name: each label has 1 to 63 characters", d.Name)
				break
			}
		}
	}
	if _, err := d.TypeCode(); err != nil {
		l.add("dns.type", "%v", err)
	}
}

// TypeCode returns the number of the RR type to ask for. The default is A.
func (d *DNS) TypeCode() (uint16, error) {
	codes := map[string]uint16{
		"": 1, "A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33,
		"NAPTR": 35, "DS": 43, "DNSKEY": 48, "TLSA": 52, "SVCB": 64, "HTTPS": 65, "CAA": 257,
	}
	if code, ok := codes[strings.ToUpper(d.Type)]; ok {
		return code, nil
	}
	if digits, ok := strings.CutPrefix(strings.ToUpper(d.Type), "TYPE"); ok {
		if n, err := strconv.ParseUint(digits, 10, 16); err == nil && n > 0 {
			return uint16(n), nil
		}
	}
	return 0, fmt.Errorf("%q is not a record type; write A, AAAA, SOA, TXT and the like, or TYPE and its number",
		d.Type)
}

// StatusRange is a range of HTTP status codes, including both ends.
type StatusRange struct{ First, Last int }

// ParseStatus reads HTTP.Status: "200-299" or "200,204,301-302". The default is 200 to 299.
func ParseStatus(s string) ([]StatusRange, error) {
	if s == "" {
		return []StatusRange{{200, 299}}, nil
	}
	var ranges []StatusRange
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		a, errA := strconv.Atoi(strings.TrimSpace(first))
		b, errB := strconv.Atoi(strings.TrimSpace(last))
		if errA != nil || errB != nil || a < 100 || b > 599 || a > b {
			return nil, fmt.Errorf("%q is not a status or a range of them; write 200, 200-299 or 200,301-302, within "+
				"100 to 599",
				part)
		}
		ranges = append(ranges, StatusRange{a, b})
	}
	return ranges, nil
}

// MaxBody is how much of an HTTP response's body is read, in octets.
const MaxBody = 64 << 10

type list []FieldError

func (l *list) add(field, format string, args ...any) {
	*l = append(*l, FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (l *list) threshold(field string, n int) {
	if n < 0 || n > MaxThreshold {
		l.add(field, "%d is outside 1 to %d", n, MaxThreshold)
	}
}

func (l *list) port(field string, port uint16) {
	if port == 0 {
		l.add(field, "is needed: a port from 1 to 65535")
	}
}

// host refuses anything but a host name, an address, or an empty string.
func (l *list) host(field, host string) {
	if host == "" {
		return
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		bad := strings.ContainsFunc(label, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		})
		if bad || label == "" || len(label) > 63 || len(host) > 254 {
			l.add(field, "%q is not a host name such as www.example.test", host)
			return
		}
	}
}
