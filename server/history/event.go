// Package history keeps what happened on one server: verdicts and votes that changed, failovers, changes of resources
// and versions of them that were refused, drains and other overrides, drills, sources and vantages lost and found,
// parents told of keys, starts and stops.
//
// Nobody waits for it. Add puts an Event into a bounded queue. One goroutine (Journal.Run) puts it into words, keeps it
// in memory and, with a folder, appends it to a file. If the queue is full, events are dropped, and the history says
// how many, and of which time. The package knows nothing about zones: changes of resources come in as text.
package history

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// Kind is what an event is about.
type Kind string

// The kinds of events.
const (
	Verdict  Kind = "verdict"  // the verdict on an address changed
	Vote     Kind = "vote"     // a vantage's report on an address changed
	Failover Kind = "failover" // a pool left the answers or came back, with the phases that were measured
	Changed  Kind = "change"   // resources changed
	Override Kind = "override" // an override was put, changed or removed, or began or ended
	Drill    Kind = "drill"    // the same for a drill, or a drill was given up
	Source   Kind = "source"   // the source of the resources was lost or found
	Server   Kind = "server"   // this server started or stopped
	Lost     Kind = "lost"     // events are missing here
	Clock    Kind = "clock"    // the clock of this machine was set
	Vantage  Kind = "vantage"  // a vantage turned blind, fell silent, came or went
	Problem  Kind = "problem"  // a version of a resource was refused, or a removal held back
	Parent   Kind = "parent"   // the parent of a signed zone was told of new CDS
)

// Kinds lists all kinds.
var Kinds = []Kind{
	Verdict, Vote, Failover, Changed, Override, Drill, Source, Server, Lost, Clock, Vantage, Problem, Parent,
}

// Sighted is the kind of an event that only says what the server saw. Such events are kept apart (see EachSight), and
// no page has them.
const Sighted Kind = "sight"

// Event is something that happened. Its JSON is described in docs/admin.md. Fields may be added, but not renamed.
type Event struct {
	Number uint64    `json:"number"` // of this server's events; it always grows, even if the clock is set back
	Time   time.Time `json:"time"`   // by this server's clock
	Kind   Kind      `json:"kind"`
	// Begins marks an event of the kind Sighted that a reader can begin with, as it repeats everything before it.
	Begins bool `json:"begins,omitempty"`
	// Of is what the event is about, and what that belongs to: "endpoint/www-eu/lb-1", "pool/www-eu", "region/eu-west",
	// "policy/www.example.test", "record/example.test/www/A", "name/www.example.test", "vantage/fra".
	Of       []string `json:"of,omitempty"`
	Text     string   `json:"text"`               // in a sentence
	Revision int64    `json:"revision,omitempty"` // for a change

	Turn    *Turn    `json:"turn,omitempty"`    // for a verdict or a vote
	Phases  *Phases  `json:"phases,omitempty"`  // for a failover
	Changes []Change `json:"changes,omitempty"` // for changes of resources; at most MostChanges
	More    int      `json:"more,omitempty"`    // changes of the same revision that are not in Changes
	Missed  *Missed  `json:"missed,omitempty"`  // for lost events
	Anew    bool     `json:"anew,omitempty"`    // from here on the source has another history; revisions begin again
	Over    bool     `json:"over,omitempty"`    // what was wrong with a vantage, a resource or a parent is so no longer

	// Inner is kept but never shown. The event is also about the targets that its text names.
	Inner json.RawMessage `json:"inner,omitempty"`
	// Sight is what the server saw, for an event of the kind Sighted; see EachSight.
	Sight json.RawMessage `json:"sight,omitempty"`

	// Holds is roughly how many octets the event, and what completes it, hold while it waits. It counts as at least a
	// thousand.
	Holds int `json:"-"`
	// Again names what the event is about among those that may happen again and again; see again.go. Empty: every
	// event is kept.
	Again string `json:"-"`

	fill       func(*Event)  // completes the event, in the writer's goroutine
	kept       chan struct{} // for the kind flushed: closed once everything before it is kept
	everywhere bool          // it goes into every book
}

// Turn is how a verdict or a vote changed.
type Turn struct {
	Endpoint string `json:"endpoint"`
	Address  string `json:"address"`
	Vantage  string `json:"vantage,omitempty"` // for a vote
	From     string `json:"from"`              // "up", "down" or "unknown"
	To       string `json:"to"`
	Why      string `json:"why,omitempty"`
}

// Phases is how long the parts of a failover took, in seconds; see docs/admin.md. The address that took longest counts.
type Phases struct {
	Detect  float64 `json:"detect,omitempty"` // 0: this server's own probes did not find it
	Agree   float64 `json:"agree"`
	Publish float64 `json:"publish"`
}

// Change is how one resource changed.
type Change struct {
	Resource string  `json:"resource"`       // its key, such as "pools/www-eu"
	What     string  `json:"what"`           // "added", "changed" or "deleted"
	Revision int64   `json:"revision"`       // of this version, or when a deletion was seen
	From     int64   `json:"from,omitempty"` // the revision of the version before; 0: there was none, or it is not known
	Fields   []Field `json:"fields,omitempty"`

	// The values, encoded, without secrets. They are kept but never shown.
	Was json.RawMessage `json:"was,omitempty"`
	Is  json.RawMessage `json:"is,omitempty"`
}

// Field is the change of one field, as `leeward apply` prints it.
type Field struct {
	Path string `json:"path"`
	Was  string `json:"was,omitempty"` // "": it is new
	Is   string `json:"is,omitempty"`  // "": it is gone
}

// Missed says which events are missing.
type Missed struct {
	Events  uint64    `json:"events"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	Changes bool      `json:"changes,omitempty"` // there are changes of resources among them
}

// Bounds of one event. Longer texts are shortened.
const (
	MostChanges = 100
	mostText    = 1000
	mostOf      = 64
)

// about reports whether the event is about a target, with its kind ("pool/www-eu") or without it ("www-eu"). A kind of
// event ("verdict") is also a target.
func (e *Event) about(target string) bool {
	if target == "" || target == string(e.Kind) {
		return true
	}
	for _, of := range e.Of {
		if _, name, _ := strings.Cut(of, "/"); of == target || name == target {
			return true
		}
	}
	name, err := json.Marshal(strings.TrimPrefix(target, "endpoint/"))
	return err == nil && len(e.Inner) > 0 && bytes.Contains(e.Inner, name)
}

// shown returns the event without what is only kept.
func (e Event) shown() Event {
	e.Inner, e.fill = nil, nil
	if len(e.Changes) > 0 {
		e.Changes = append([]Change{}, e.Changes...)
		for i := range e.Changes {
			e.Changes[i].Was, e.Changes[i].Is = nil, nil
		}
	}
	return e
}

// bound shortens what is too long.
func (e *Event) bound() {
	e.Text = cut(e.Text)
	if len(e.Of) > mostOf {
		e.Of = e.Of[:mostOf]
	}
	if e.Turn != nil {
		e.Turn.Why = cut(e.Turn.Why)
	}
	if n := len(e.Changes); n > MostChanges {
		e.Changes, e.More = e.Changes[:MostChanges], e.More+n-MostChanges
	}
	for i := range e.Changes {
		for k := range e.Changes[i].Fields {
			f := &e.Changes[i].Fields[k]
			f.Was, f.Is = cut(f.Was), cut(f.Is)
		}
		if n := len(e.Changes[i].Fields); n > MostChanges {
			e.Changes[i].Fields = append(e.Changes[i].Fields[:MostChanges:MostChanges], Field{Path: "…"})
		}
	}
}

// cut shortens a text between two characters.
func cut(s string) string {
	if len(s) <= mostText {
		return s
	}
	at := mostText
	for at > 0 && s[at]&0xC0 == 0x80 {
		at--
	}
	return s[:at] + "…"
}
