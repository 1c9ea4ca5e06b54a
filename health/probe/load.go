package probe

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// loadHeader carries an endpoint's load in an HTTP response (ORCA: open request cost aggregation).
const loadHeader = "endpoint-load-metrics"

// loadOf reads the load that a response reports: application_utilization, or cpu_utilization where there is none. Its
// header is "TEXT name=value, name=value" or "JSON {…}". 0 where there is none that can be read.
func loadOf(h http.Header) float64 {
	format, rest, _ := strings.Cut(strings.TrimSpace(h.Get(loadHeader)), " ")
	values := map[string]float64{}
	switch format {
	case "TEXT":
		for pair := range strings.SplitSeq(rest, ",") {
			name, value, _ := strings.Cut(pair, "=")
			if f, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
				values[strings.TrimSpace(name)] = f
			}
		}
	case "JSON":
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(rest), &object) != nil {
			return 0
		}
		for name, raw := range object {
			if f, err := strconv.ParseFloat(string(raw), 64); err == nil {
				values[name] = f
			}
		}
	}
	for _, name := range [...]string{"application_utilization", "applicationUtilization", "cpu_utilization", "cpuUtilization"} {
		if f, ok := values[name]; ok && f >= 0 && !math.IsInf(f, 0) {
			return f
		}
	}
	return 0
}
