package control

import (
	"strings"

	"leeward/zones"
	"leeward/zones/document"
	"leeward/zones/rr"
)

// A question about a moment of the past meets few of the resources: what stands at its name, above it, and at the
// wildcards there, and what policies among that name. Of everything else it matters only that a name exists: a wildcard
// stands for no name that exists, and a name exists if there is anything below it. So for each of those names one
// witness is taken along, something that stands below it.

// question is what is asked: a name, and those that CNAMEs and DNAMEs lead to.
type question struct {
	way  map[string]bool // the names asked for, and those above them, as policies are called
	near map[string]bool // these, and the wildcards just below them
}

func newQuestion(name rr.Name) *question {
	q := &question{map[string]bool{}, map[string]bool{}}
	q.ask(name)
	return q
}

// ask adds a name. It reports whether the name is new.
func (q *question) ask(name rr.Name) bool {
	text := pastName(name)
	if text == "" || q.way[text] {
		return false
	}
	for ; text != ""; text = zones.ParentName(text) {
		q.way[text], q.near[text] = true, true
		q.near[zones.FullName("*", text)] = true
	}
	return true
}

// pastName is how resources call a name, which may have come from the data of a record, and so in upper case.
func pastName(n rr.Name) string { return strings.ToLower(zones.NameText(n)) }

// met is what a question meets of a moment.
type met struct {
	zones     map[string]*zones.Zone // all that there were, by origin
	resources []zones.Resource

	q         *question
	witnessed map[witnessed]bool
}

// witnessed is a name that exists in a zone.
type witnessed struct{ origin, name string }

// within returns the origin of the zone that a name is in, or "".
func (m *met) within(name string) string {
	for ; name != "" && m.zones[name] == nil; name = zones.ParentName(name) {
	}
	return name
}

// wants reports whether what stands at a name in a zone is met. If it is only as a witness, for is for what.
func (m *met) wants(origin, name string) (wanted bool, witness witnessed) {
	if m.q.near[name] {
		return true, witness
	}
	for name != "" && name != origin && !m.q.near[name] {
		name = zones.ParentName(name)
	}
	witness = witnessed{origin, name}
	return name != "" && name != origin && !m.witnessed[witness], witness // the apex exists anyway
}

// take takes what stands at a name in a zone, if it is met.
func (m *met) take(origin, name string, get func() (zones.Resource, error)) error {
	wanted, witness := m.wants(origin, name)
	if !wanted {
		return nil
	}
	r, err := get()
	if err == nil {
		m.resources, m.witnessed[witness] = append(m.resources, r), true
	}
	return err
}

// meet returns what a question meets.
func (p *past) meet(q *question) (*met, error) {
	m := &met{zones: map[string]*zones.Zone{}, q: q, witnessed: map[witnessed]bool{}}
	t := &then{past: p, differ: map[zones.Kind][]zones.Key{}}
	for key := range p.changed {
		t.differ[key.Kind()] = append(t.differ[key.Kind()], key)
	}
	t.each(zones.KindZone, func(_ zones.Key, get func() (zones.Resource, error)) {
		if r, err := get(); t.note(err) {
			m.zones[r.(*zones.Zone).Origin] = r.(*zones.Zone)
		}
	})
	for origin, z := range m.zones {
		if q.near[origin] {
			m.resources = append(m.resources, z)
		}
	}
	for r := range p.now.Records(func(origin, owner string) bool {
		wanted, _ := m.wants(origin, zones.FullName(owner, origin))
		return wanted
	}) {
		if _, differs := p.changed[r.Key()]; !differs {
			at := r.(*zones.Record)
			t.note(m.take(at.Origin, zones.FullName(at.Owner, at.Origin), func() (zones.Resource, error) {
				return r, nil
			}))
		}
	}
	for _, key := range t.differ[zones.KindRecord] {
		if r, err := zones.Named(zones.KindRecord, key.Name()); t.note(err) && p.changed[key] != nil {
			r := r.(*zones.Record)
			t.note(m.take(r.Origin, zones.FullName(r.Owner, r.Origin), func() (zones.Resource, error) {
				return p.read(key)
			}))
		}
	}
	t.each(zones.KindPolicy, func(key zones.Key, get func() (zones.Resource, error)) {
		if origin := m.within(key.Name()); origin != "" {
			t.note(m.take(origin, key.Name(), get))
		}
	})
	m.follow(t)
	return m, t.wrong
}

// follow takes what is named by what is taken, the endpoints of pools, and overrides.
func (m *met) follow(t *then) {
	taken := map[zones.Key]bool{}
	take := func(key zones.Key, get func() (zones.Resource, error)) {
		if r, err := get(); t.note(err) {
			m.resources, taken[key] = append(m.resources, r), true
		}
	}
	named := map[zones.Key]func() (zones.Resource, error){}
	for _, kind := range []zones.Kind{zones.KindRegion, zones.KindPool, zones.KindMonitor, zones.KindMap} {
		t.each(kind, func(key zones.Key, get func() (zones.Resource, error)) { named[key] = get })
	}
	t.each(zones.KindDefaults, take)
	for from := 0; from < len(m.resources); {
		next := m.resources[from:]
		from = len(m.resources)
		for _, r := range next {
			for ref := range zones.References(r) {
				if key := ref.Key(); !taken[key] && named[key] != nil {
					take(key, named[key])
				}
			}
		}
	}
	t.each(zones.KindEndpoint, func(key zones.Key, get func() (zones.Resource, error)) {
		if pool, _, _ := strings.Cut(key.Name(), "/"); taken[zones.KeyOf(zones.KindPool, pool)] {
			take(key, get)
		}
	})
	t.each(zones.KindOverride, func(key zones.Key, get func() (zones.Resource, error)) {
		if taken[(&zones.Override{Target: key.Name()}).TargetKey()] {
			take(key, get)
		}
	})
}

// then goes through the resources of a moment, but Records.
type then struct {
	*past
	differ map[zones.Kind][]zones.Key // the keys of what differs from now
	wrong  error                      // the first error
}

// note keeps the first error. It reports whether there is none.
func (t *then) note(err error) bool {
	if t.wrong == nil {
		t.wrong = err
	}
	return err == nil
}

// each calls f for what there was of a kind: its key, and what returns it.
func (t *then) each(kind zones.Kind, f func(zones.Key, func() (zones.Resource, error))) {
	for key, r := range t.now.Each(kind) {
		if _, differs := t.changed[key]; !differs {
			f(key, func() (zones.Resource, error) { return t.now.Pinned(r), nil })
		}
	}
	for _, key := range t.differ[kind] {
		if t.changed[key] != nil {
			f(key, func() (zones.Resource, error) { return t.read(key) })
		}
	}
}

// read returns a resource that differs from now as it was then.
func (p *past) read(key zones.Key) (zones.Resource, error) {
	r, err := document.Decode(key, p.changed[key])
	if err != nil {
		err = p.lacks("the history has a version of %s that this leeward does not read: %v", key, err)
	}
	return r, err
}
