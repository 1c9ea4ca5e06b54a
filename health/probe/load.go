package probe

import (
	"encoding/json"
	"net/http"
	"strings"

	"leeward/health"
)

// loadHeader is the HTTP response header with an endpoint's load (ORCA, open request cost aggregation; the protobuf
// message is xds.data.orca.v3.OrcaLoadReport).
const loadHeader = "endpoint-load-metrics"

// maxLoadHeader is the longest header that is read, in octets: room for some hundreds of metrics.
const maxLoadHeader = 16 << 10

// loadOf reads the load from a response, in the forms that Envoy and gRPC write: "TEXT name=value, name=value" or "JSON
// {…}", which is the message in protobuf's JSON. metric is the Monitor's Load. If it is empty, application_utilization
// counts, or else cpu_utilization. The load is unknown if none can be read: a missing header is not a load of 0.
func loadOf(h http.Header, metric string) health.Load {
	value := strings.TrimSpace(h.Get(loadHeader))
	if value == "" || metric == health.LoadNone || len(value) > maxLoadHeader {
		return health.Load{}
	}
	format, rest, _ := strings.Cut(value, " ")
	var read func(metric string) (string, bool)
	switch format {
	case "TEXT":
		read = func(metric string) (string, bool) { return textMetric(rest, metric) }
	case "JSON":
		var message map[string]json.RawMessage
		if json.Unmarshal([]byte(rest), &message) != nil {
			return health.Load{}
		}
		read = func(metric string) (string, bool) { return jsonMetric(message, metric) }
	default:
		return health.Load{}
	}
	metrics := []string{metric}
	if metric == "" {
		metrics = []string{health.LoadApplication, health.LoadCPU}
	}
	for _, m := range metrics {
		if text, ok := read(m); ok {
			f, err := health.ParseNumber(strings.TrimSpace(text))
			if err != nil {
				return health.Load{}
			}
			return health.LoadOf(f)
		}
	}
	return health.Load{}
}

// textMetric finds a metric in "name=value,name=value". It returns an empty value if the metric is there twice.
func textMetric(pairs, metric string) (found string, ok bool) {
	for pair := range strings.SplitSeq(pairs, ",") {
		if name, value, _ := strings.Cut(pair, "="); strings.TrimSpace(name) == metric {
			if ok {
				return "", true
			}
			found, ok = value, true
		}
	}
	return found, ok
}

// jsonMetric finds a metric in a message. Its fields may be spelled as in its definition or in camel case.
func jsonMetric(message map[string]json.RawMessage, metric string) (string, bool) {
	if name, named := strings.CutPrefix(metric, health.LoadNamed); named {
		var values map[string]json.RawMessage
		if json.Unmarshal(field(message, strings.TrimSuffix(health.LoadNamed, ".")), &values) != nil {
			return "", false
		}
		raw, ok := values[name]
		return number(raw), ok
	}
	raw := field(message, metric)
	return number(raw), raw != nil
}

func field(message map[string]json.RawMessage, name string) json.RawMessage {
	if raw, ok := message[name]; ok {
		return raw
	}
	head, tail, _ := strings.Cut(name, "_")
	if tail == "" {
		return nil
	}
	return message[head+strings.ToUpper(tail[:1])+tail[1:]]
}

// number returns the digits of a JSON number, which protobuf may also write as a string.
func number(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}
