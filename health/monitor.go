package health

import "time"

// Monitor is how endpoints are checked: exactly one of the checks, and how results become reports and reports a
// verdict.
type Monitor struct {
	// Asks for a path over HTTP, and wants a status.
	HTTP *HTTP `json:"http,omitempty"`
	// Asks for a path over HTTPS, and wants a status.
	HTTPS *HTTP `json:"https,omitempty"`
	// Wants a connection to be accepted.
	TCP *TCP `json:"tcp,omitempty"`
	// Wants a handshake with a valid certificate.
	TLS *TLS `json:"tls,omitempty"`
	// Wants SERVING from the gRPC health service.
	GRPC *GRPC `json:"grpc,omitempty"`
	// Wants NOERROR and an answer to a question.
	DNS *DNS `json:"dns,omitempty"`
	// Something else puts the reports: docs/external.md.
	External *External `json:"external,omitempty" example:"{}"`

	// The time from one probe of an address to the next.
	Interval Duration `json:"interval,omitempty" inherit:"yes" default:"2s" range:"100ms to 1h" example:"5s"`
	// How long one probe may take, at most the interval.
	Timeout Duration `json:"timeout,omitempty" inherit:"yes" default:"1s, at most interval" range:"1ms to interval" example:"500ms"`
	// How many failures in a row make a vantage report down.
	Fall int `json:"fall,omitempty" inherit:"yes" default:"3" range:"1 to 100" example:"2"`
	// How many successes in a row make a vantage report up.
	Rise int `json:"rise,omitempty" inherit:"yes" default:"2" range:"1 to 100" example:"3"`
	// How long an address that has turned down stays down at least.
	Hold *Duration `json:"hold,omitempty" inherit:"yes" default:"0s" range:"0s to 24h" example:"30s"`
	// How many of the vantages that have a fresh report must say down for the verdict to be down.
	Quorum Quorum `json:"quorum,omitzero" inherit:"yes" default:"majority" range:"majority | any | all | a number" example:"2"`
	// How many vantages probe each address, of those there are.
	Vantages int `json:"vantages,omitempty" inherit:"yes" default:"5, or the quorum where that is more" range:"1 to 1000" example:"3"`

	// Which figure of the response's endpoint-load-metrics header (ORCA) is the endpoint's load, for http and https
	// checks: application_utilization, cpu_utilization, rps_fractional, named_metrics.NAME or none.
	Load string `json:"load,omitempty" inherit:"yes" default:"application_utilization, else cpu_utilization" example:"rps_fractional"`
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
	// The port to connect to.
	Port uint16 `json:"port,omitempty" default:"80 for http, 443 for https" range:"1 to 65535" example:"8080"`
	// The path to ask for.
	Path string `json:"path,omitempty" default:"/" example:"/healthz"`
	// The Host header. For https it is the name in TLS too.
	Host string `json:"host,omitempty" default:"the endpoint's hostname, else its address" example:"www.example.test"`
	// Headers that are sent as well.
	Headers Headers `json:"headers,omitempty" range:"at most 32" example:"{X-Probe: leeward}"`
	// The request's method.
	Method string `json:"method,omitempty" default:"GET" range:"GET | HEAD | OPTIONS | POST" example:"HEAD"`
	// The statuses that pass, from 100 to 599: codes and ranges.
	Status string `json:"status,omitempty" default:"200-299" example:"200,301-302"`
	// Text that must occur within the first 64 KiB of the response's body.
	Body string `json:"body,omitempty" range:"at most 65536 octets" example:"ok"`
	// How many redirects are followed, all at the same address.
	Redirects int `json:"redirects,omitempty" default:"0" range:"0 to 10" example:"1"`
	// HTTP/2 is agreed on by ALPN in an https check, and spoken at once (h2c) in an http check.
	Protocol string `json:"protocol,omitempty" default:"http/1.1" range:"http/1.1 | h2" example:"h2"`
	// The name that the certificate must be for.
	ServerName string `json:"serverName,omitempty" only:"https" default:"the host that is asked for" example:"www.example.test"`
	// Do not verify the certificate.
	Insecure bool `json:"insecure,omitempty" only:"https" default:"false" example:"true"`
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
	// The port to connect to.
	Port uint16 `json:"port" range:"1 to 65535" example:"25"`
}

// TLS wants a handshake with a certificate that is valid for ServerName, and for at least MinValidity more.
type TLS struct {
	// The port to connect to.
	Port uint16 `json:"port" range:"1 to 65535" example:"853"`
	// The name that the certificate must be for.
	ServerName string `json:"serverName,omitempty" default:"the endpoint's host" example:"www.example.test"`
	// How much longer the certificate must be valid.
	MinValidity Duration `json:"minValidity,omitempty" default:"0s" example:"168h"`
	// Do not verify the certificate.
	Insecure bool `json:"insecure,omitempty" default:"false" example:"true"`
}

// GRPC wants SERVING from grpc.health.v1.Health/Check.
type GRPC struct {
	// The port to connect to.
	Port uint16 `json:"port" range:"1 to 65535" example:"50051"`
	// The service to ask for. Without it, the server as a whole.
	Service string `json:"service,omitempty" example:"shop.Cart"`
	// Connect by TLS.
	TLS bool `json:"tls,omitempty" default:"false" example:"true"`
	// The name that the certificate must be for.
	ServerName string `json:"serverName,omitempty" default:"the endpoint's host" example:"cart.example.test"`
	// With tls: do not verify the certificate.
	Insecure bool `json:"insecure,omitempty" default:"false" example:"true"`
}

// DNS wants NOERROR with an answer for a question.
type DNS struct {
	// The port to ask at.
	Port uint16 `json:"port,omitempty" default:"53" range:"1 to 65535" example:"5353"`
	// The name to ask for.
	Name string `json:"name" example:"www.example.test"`
	// The type to ask for: A, AAAA, SOA, TXT and the like, or TYPE and a number.
	Type string `json:"type,omitempty" default:"A" example:"AAAA"`
}

// External means that something else puts the reports.
type External struct{}
