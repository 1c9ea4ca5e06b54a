package vantage

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"leeward/health"
)

// Heartbeat is the value of vantages/<vantage>. It is small, because it is written again and again and etcd keeps each
// one. What a server says of itself is in vantages/<vantage>/server. Earlier versions wrote that here, and it is still
// read.
type Heartbeat struct {
	Vantage  string          `json:"vantage,omitempty"` // what the key says, or left out
	Region   string          `json:"region,omitempty"`
	Sequence uint64          `json:"sequence"`      // another one with each heartbeat, above those of the reports before it
	Run      uint64          `json:"run,omitempty"` // sequence with which this run began: reports below it are older
	Time     time.Time       `json:"time"`          // the vantage's clock, for people
	Every    health.Duration `json:"every"`         // between two heartbeats
	Stale    health.Duration `json:"stale"`         // how long the reports hold after a heartbeat
	Server   json.RawMessage `json:"server,omitempty"`
}

// pool is the value of reports/<vantage>/<pool>: all that a vantage reports on the pool.
type pool struct {
	Vantage  string          `json:"vantage,omitempty"`
	Sequence uint64          `json:"sequence,omitempty"`
	Time     time.Time       `json:"time,omitzero"`
	ValidFor health.Duration `json:"validFor,omitempty"` // of a reporter that has no heartbeat

	Endpoints map[string]map[string]entry `json:"endpoints"` // by endpoint and address, or "*" for all of its addresses

	Load *poolLoad `json:"load,omitempty"` // what the pool as a whole carries; nil: nothing is known of that
}

// poolLoad is a health.Measure.
type poolLoad struct {
	Carried   health.Load        `json:"carried,omitzero"`
	Offered   health.Load        `json:"offered,omitzero"`
	Unsaid    bool               `json:"unsaid,omitempty"`
	Endpoints map[string]bearing `json:"endpoints,omitempty"`
}

// bearing is a health.Standing; what is left out is as with health.Steady.
type bearing struct {
	Load   health.Load `json:"load,omitzero"`
	Warmth *float64    `json:"warmth,omitempty"`
	Factor *float64    `json:"factor,omitempty"`
	Doubt  bool        `json:"doubt,omitempty"`
}

func loadOf(m *health.Measure) *poolLoad {
	l := &poolLoad{Carried: m.Load, Offered: m.Offered, Unsaid: m.Unsaid, Endpoints: map[string]bearing{}}
	for name, s := range m.Endpoints {
		of := bearing{Load: s.Load, Doubt: s.Doubt}
		if s.Warmth != 1 {
			of.Warmth = &s.Warmth
		}
		if s.Factor != 1 {
			of.Factor = &s.Factor
		}
		l.Endpoints[name] = of
	}
	return l
}

// measure is the opposite of loadOf. It refuses values that no vantage of this version writes.
func (l *poolLoad) measure(vantage, pool string) (*health.Measure, error) {
	m := &health.Measure{
		Vantage: vantage, Pool: pool, Load: l.Carried, Offered: l.Offered, Unsaid: l.Unsaid,
		Endpoints: make(map[string]health.Standing, len(l.Endpoints)),
	}
	for name, of := range l.Endpoints {
		s := health.Standing{Load: of.Load, Warmth: 1, Factor: 1, Doubt: of.Doubt}
		if of.Warmth != nil {
			if s.Warmth = *of.Warmth; !(s.Warmth >= 0 && s.Warmth <= 1) {
				return nil, fmt.Errorf("load.endpoints.%s.warmth: %g is outside 0 to 1", name, s.Warmth)
			}
		}
		if of.Factor != nil {
			if s.Factor = *of.Factor; !(s.Factor >= health.LeastFactor && s.Factor <= health.MostFactor) {
				return nil, fmt.Errorf("load.endpoints.%s.factor: %g is outside %g to %g",
					name, s.Factor, health.LeastFactor, health.MostFactor)
			}
		}
		m.Endpoints[name] = s
	}
	return m, nil
}

// entry is one report.
type entry struct {
	State   health.State    `json:"state"`
	Reason  string          `json:"reason,omitempty"`
	Held    time.Time       `json:"held,omitzero"` // until when it is down although it has come up
	Latency health.Duration `json:"latency,omitempty"`
	Load    health.Load     `json:"load,omitzero"`
}

// everyAddress stands for all addresses of an endpoint, in place of one.
const everyAddress = "*"

func entryOf(r health.Report) entry {
	return entry{
		State: r.State, Reason: r.Reason, Load: r.Load,
		Held: r.Held.Round(time.Millisecond), Latency: health.Duration(r.Latency.Round(10 * time.Microsecond)),
	}
}

// addressText is the key of a target in a value.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return everyAddress
	}
	return a.String()
}

func misnamed(said, key string) error {
	return fmt.Errorf("vantage: %q is not what the key says, %q; put it under its own name", said, key)
}

// readHeartbeat reads a value of vantages/<vantage>.
func readHeartbeat(vantage string, value []byte) (*Heartbeat, error) {
	var h Heartbeat
	if err := json.Unmarshal(value, &h); err != nil {
		return nil, fmt.Errorf("not a heartbeat: %w", err)
	}
	if h.Vantage != "" && h.Vantage != vantage {
		return nil, misnamed(h.Vantage, vantage)
	}
	if h.Sequence == 0 {
		return nil, errors.New("sequence: is missing; give a number that grows with each heartbeat")
	}
	if h.Stale < 0 || h.Stale.Std() > health.MaxStale {
		return nil, fmt.Errorf("stale: %s is outside 0s to %s; a vantage that stops would be believed for that long",
			h.Stale, health.MaxStale)
	}
	h.Vantage = vantage
	return &h, nil
}

// readPool reads a value of reports/<vantage>/<pool>. A fault in one endpoint costs only that one: bad names it, and
// the error says why. A value that cannot be read at all has an error and no bad endpoint.
//
// If a reporter gives no sequence, or says how long its report holds, the revision of the key is the sequence: each put
// of such a reporter is a new report.
func readPool(
	vantage, name string, value []byte, revision int64,
) (reports []health.Report, m *health.Measure, bad []string, err error) {
	var v struct {
		pool
		Endpoints map[string]json.RawMessage `json:"endpoints"`
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return nil, nil, nil, fmt.Errorf("not a report: %w", err)
	}
	if v.Vantage != "" && v.Vantage != vantage {
		return nil, nil, nil, misnamed(v.Vantage, vantage)
	}
	if v.Endpoints == nil {
		return nil, nil, nil, errors.New(`endpoints: is missing; write {"endpoints": {"lb-1": {"*": {"state": "up"}}}}`)
	}
	if v.Load != nil {
		if m, err = v.Load.measure(vantage, name); err != nil {
			return nil, nil, nil, err
		}
	}
	sequence := v.Sequence
	if sequence == 0 || v.ValidFor > 0 {
		sequence = uint64(revision)
	}
	if m != nil {
		m.Sequence = sequence
	}
	var problems []error
	for _, endpoint := range slices.Sorted(maps.Keys(v.Endpoints)) {
		of, err := readEndpoint(v.Endpoints[endpoint])
		if endpoint == "" || strings.Contains(endpoint, "/") {
			err = errors.New("is not an endpoint's name; write it without its pool")
		}
		if err != nil {
			bad = append(bad, name+"/"+endpoint)
			problems = append(problems, fmt.Errorf("endpoints.%s: %w", endpoint, err))
			continue
		}
		for address, e := range of {
			reports = append(reports, health.Report{
				Vantage: vantage, Target: health.Target{Endpoint: name + "/" + endpoint, Address: address},
				State: e.State, Sequence: sequence, Time: v.Time, Reason: e.Reason, Held: e.Held,
				Latency: e.Latency.Std(), Load: e.Load, ValidFor: v.ValidFor.Std(),
			})
		}
	}
	return reports, m, bad, errors.Join(problems...)
}

// readEndpoint reads what a value says of one endpoint, by address; the zero Addr is every address.
func readEndpoint(raw json.RawMessage) (map[netip.Addr]entry, error) {
	var byText map[string]struct {
		entry
		State *health.State `json:"state"`
	}
	if err := json.Unmarshal(raw, &byText); err != nil {
		return nil, err
	}
	of := make(map[netip.Addr]entry, len(byText))
	for text, e := range byText {
		var address netip.Addr
		if text != everyAddress {
			var err error
			if address, err = netip.ParseAddr(text); err != nil {
				return nil, fmt.Errorf("%q is not an address; write one, or * for all of the endpoint's", text)
			}
		}
		if e.State == nil {
			return nil, fmt.Errorf("%s: state: is missing; write up, down or unknown", text)
		}
		e.entry.State = *e.State
		of[address.Unmap()] = e.entry
	}
	return of, nil
}
