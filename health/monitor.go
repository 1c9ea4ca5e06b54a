package health

import "time"

// Monitor is how endpoints are checked: exactly one of the checks, and how results become reports and reports a
// verdict. Its JSON is that of the Monitor resource; zones reads it.
type Monitor struct {
	HTTP     *HTTP     `json:"http,omitempty"`
	HTTPS    *HTTP     `json:"https,omitempty"`
	TCP      *TCP      `json:"tcp,omitempty"`
	TLS      *TLS      `json:"tls,omitempty"`
	GRPC     *GRPC     `json:"grpc,omitempty"`
	DNS      *DNS      `json:"dns,omitempty"`
	External *External `json:"external,omitempty"`

	Interval Duration  `json:"interval,omitempty"` // from probe to probe of one address; DefaultInterval if zero
	Timeout  Duration  `json:"timeout,omitempty"`  // of one probe; DefaultTimeout if zero, never above Interval
	Fall     int       `json:"fall,omitempty"`     // consecutive failures until a vantage reports down; DefaultFall if zero
	Rise     int       `json:"rise,omitempty"`     // consecutive successes until it reports up; DefaultRise if zero
	Hold     *Duration `json:"hold,omitempty"`     // how long an address that turned down is down at least; see EffectiveHold
	Quorum   Quorum    `json:"quorum,omitzero"`    // majority if zero
	Vantages int       `json:"vantages,omitempty"` // how many vantages probe each address, of those there are; DefaultVantages if zero

	// Load says which metric of an http or https check's response is the endpoint's load: one of the Load constants, or
	// LoadNamed and a name. If empty it is LoadApplication, or LoadCPU where a response has none.
	Load string `json:"load,omitempty"`
}

// What a Monitor's Load can be: fields of the message that the header endpoint-load-metrics has (ORCA).
const (
	LoadApplication = "application_utilization"
	LoadCPU         = "cpu_utilization"
	LoadRate        = "rps_fractional"
	LoadNamed       = "named_metrics." // and the metric's name
	LoadNone        = "none"           // whatever responses say
)

// Defaults of what a Monitor leaves out.
const (
	DefaultInterval = 2 * time.Second
	DefaultTimeout  = time.Second
	DefaultFall     = 3
	DefaultRise     = 2
	DefaultVantages = 5
)

// HTTP asks for a path and wants a status, and a body if one is given. In an "https" check the certificate is verified
// for ServerName, or the host that is asked for where that is empty, unless Insecure.
type HTTP struct {
	Port       uint16  `json:"port,omitempty"`       // 80, or 443 for https, if zero
	Path       string  `json:"path,omitempty"`       // "/" if empty
	Host       string  `json:"host,omitempty"`       // the Host header; if empty the endpoint's hostname, else the address
	Headers    Headers `json:"headers,omitempty"`    // sent as well
	Method     string  `json:"method,omitempty"`     // GET if empty
	Status     string  `json:"status,omitempty"`     // "200-299", "200,204,301-302"; 200-299 if empty
	Body       string  `json:"body,omitempty"`       // must occur within the first 64 KiB
	Redirects  int     `json:"redirects,omitempty"`  // how many are followed, 0 to MaxRedirects, all at the same address
	Protocol   string  `json:"protocol,omitempty"`   // HTTP1 or HTTP2; HTTP1 if empty
	ServerName string  `json:"serverName,omitempty"` // https only
	Insecure   bool    `json:"insecure,omitempty"`   // https only: do not verify the certificate
}

// What HTTP.Protocol says. HTTP2 is h2, chosen by ALPN, in an https check, and h2c with prior knowledge in an http
// check (RFC 9113 section 3).
const (
	HTTP1 = "http/1.1"
	HTTP2 = "h2"
)

// Headers are fields of an HTTP request by name.
type Headers map[string]string

// TCP wants a connection to be accepted.
type TCP struct {
	Port uint16 `json:"port"`
}

// TLS wants a handshake with a certificate that is valid for ServerName, and for at least MinValidity more.
type TLS struct {
	Port        uint16   `json:"port"`
	ServerName  string   `json:"serverName,omitempty"`
	MinValidity Duration `json:"minValidity,omitempty"`
	Insecure    bool     `json:"insecure,omitempty"`
}

// GRPC wants SERVING from grpc.health.v1.Health/Check.
type GRPC struct {
	Port       uint16 `json:"port"`
	Service    string `json:"service,omitempty"` // empty: the server as a whole
	TLS        bool   `json:"tls,omitempty"`
	ServerName string `json:"serverName,omitempty"`
	Insecure   bool   `json:"insecure,omitempty"`
}

// DNS wants NOERROR with an answer for a question.
type DNS struct {
	Port uint16 `json:"port,omitempty"` // 53 if zero
	Name string `json:"name"`
	Type string `json:"type,omitempty"` // "A" if empty
}

// External means that something else puts the reports.
type External struct{}
