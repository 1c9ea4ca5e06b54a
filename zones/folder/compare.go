package folder

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"leeward/zones"
	"leeward/zones/disk"
)

// comparison finds, in one look, what changed files say differently from what was delivered.
//
//	find     notes every key that may be different now, with the digest that was delivered
//	gather   merges Zones, and collects problems
//	troubles says which keys are delivered as errors
//	deliver  puts what differs into the batch
type comparison struct {
	*scanner
	now     map[string]*file
	changes []zones.Change
	full    bool
	seen    map[uint64]was // by hash: keys that may be different now, but for Zones
	apart   map[zones.Key]uint64
}

// was is a key that may be different now, and what was delivered of it.
type was struct {
	kept   *kept // whose entry spells the key; nil: key does
	entry  *entry
	key    zones.Key
	had    bool
	digest uint64
}

func (w *was) name() zones.Key {
	if w.kept != nil {
		return w.kept.key(w.entry)
	}
	return w.key
}

// compare takes over the files as they are now, and returns how they differ from what was delivered.
func (s *scanner) compare(now map[string]*file) zones.Batch {
	c := comparison{scanner: s, now: now, full: !s.whole, seen: map[uint64]was{}, apart: map[zones.Key]uint64{}}
	// While a file cannot be read, the others are not everything: what a copy on disk has brought must stay.
	for _, f := range now {
		c.full = c.full && !f.spoiled
	}
	if c.full {
		for name, f := range now {
			if f == s.files[name] { // its documents are delivered and forgotten
				now[name] = s.load(name, f, true)
				c.full = c.full && !now[name].spoiled
			}
		}
	}
	s.whole = s.whole || c.full
	others := c.others()
	if len(others) == 0 && !c.full {
		return zones.Batch{}
	}
	c.find(others)
	s.files = now
	merged, problems := c.gather()
	troubled := c.troubles(problems, merged)
	c.deliverAll()
	for _, w := range c.seen {
		if k := w.name(); k.Kind() != zones.KindZone {
			c.deliver(k, w, troubled)
		}
	}
	c.deliverZones(merged, troubled)
	for _, f := range now {
		f.brought, f.order = nil, nil
	}
	slices.SortFunc(c.changes, func(a, b zones.Change) int { return strings.Compare(string(a.Key), string(b.Key)) })
	s.apart, s.troubled, s.problems = c.apart, troubled, problems
	return zones.Batch{Full: c.full, Changes: c.changes}
}

// others returns the names of files that have changed or are gone.
func (c *comparison) others() []string {
	var names []string
	for name, f := range c.now {
		if f != c.files[name] {
			names = append(names, name)
		}
	}
	for name := range c.files {
		if c.now[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// find notes every key that may be different now, with what was delivered of it. Then it brings homes up to date.
func (c *comparison) find(others []string) {
	for key := range c.scanner.apart {
		c.note(was{key: key})
	}
	for key := range c.troubled {
		c.note(was{key: key})
	}
	for _, name := range others {
		if f := c.now[name]; f != nil {
			for _, p := range f.problems.Errors() {
				if p.Key != "" {
					c.note(was{key: p.Key})
				}
			}
		}
	}
	if c.full {
		size := 0
		for _, f := range c.now {
			size += len(f.kept.entries)
		}
		c.homes = newHomes(size)
		for _, name := range slices.Sorted(maps.Keys(c.now)) {
			for _, e := range c.now[name].kept.entries {
				c.homes.add(e.hash, c.now[name].number)
			}
		}
		return
	}
	if c.homes.one == nil {
		c.homes = newHomes(0)
	}
	type move struct {
		hash uint64
		file uint32
		in   bool
	}
	var moves []move
	for _, name := range others {
		none := &file{number: c.number(name)}
		before, after := c.files[name], c.now[name]
		if before == nil {
			before = none
		}
		if after == nil {
			after = none
		}
		c.work.resources += differ(&before.kept, &after.kept, func(a, b *entry) {
			if b != nil {
				c.note(was{kept: &after.kept, entry: b})
			} else {
				c.note(was{kept: &before.kept, entry: a})
			}
			if (a == nil) != (b == nil) {
				moves = append(moves, move{either(a, b).hash, none.number, b != nil})
			}
		})
	}
	for _, m := range moves {
		if m.in {
			c.homes.add(m.hash, m.file)
		} else {
			c.homes.remove(m.hash, m.file)
		}
	}
}

func either(a, b *entry) *entry {
	if a != nil {
		return a
	}
	return b
}

// note remembers what was delivered of a key. Call it while files and homes are still the old ones.
func (c *comparison) note(w was) {
	hash := c.hash(&w)
	if _, known := c.seen[hash]; known {
		return
	}
	if f, i := c.winner(hash, c.files); f != nil {
		w.had, w.digest = true, f.kept.entries[i].digest
	}
	if len(c.scanner.apart) > 0 {
		if digest, ok := c.scanner.apart[w.name()]; ok {
			w.had, w.digest = true, digest
		}
	}
	c.seen[hash] = w
}

func (c *comparison) hash(w *was) uint64 {
	if w.kept != nil {
		return w.entry.hash
	}
	return c.digests.ofKey(w.key)
}

// winner returns the file whose resource counts for a key, the first by name, and the number of its entry there.
func (s *scanner) winner(hash uint64, files map[string]*file) (first *file, i int) {
	name := ""
	s.homes.of(hash, func(number uint32) {
		if n := s.names[number]; files[n] != nil && (first == nil || n < name) {
			first, name = files[n], n
		}
	})
	if first != nil {
		i, _ = first.kept.find(hash)
	}
	return first, i
}

// gather merges Zones, and collects all problems of the files, including keys that are in two of them.
func (c *comparison) gather() (merged map[zones.Key]zones.Resource, problems zones.Problems) {
	var docs []zones.Document
	for _, name := range slices.Sorted(maps.Keys(c.now)) {
		f := c.now[name]
		docs, problems = append(docs, f.zones...), append(problems, f.problems...)
	}
	docs, wrong := zones.Merge(docs)
	problems = append(problems, wrong...)
	merged = make(map[zones.Key]zones.Resource, len(docs))
	for _, d := range docs {
		merged[d.Resource.Key()] = d.Resource
	}
	var twice zones.Problems
	for hash, numbers := range c.homes.more {
		first, i := c.winner(hash, c.now)
		for _, number := range numbers {
			f := c.now[c.names[number]]
			if f == nil || f == first {
				continue
			}
			at, _ := f.kept.find(hash)
			e := &f.kept.entries[at]
			twice = append(twice, zones.Problem{
				Position: f.kept.position(e), Key: f.kept.key(e), Code: zones.CodeConflict,
				Message: fmt.Sprintf("it is there already at %s; take one out",
					first.kept.position(&first.kept.entries[i])),
			})
		}
	}
	slices.SortFunc(twice, func(a, b zones.Problem) int {
		if order := strings.Compare(a.File, b.File); order != 0 {
			return order
		}
		return a.Line - b.Line
	})
	return merged, append(problems, twice...)
}

// troubles returns what is delivered as an error, by the key of a resource or of a file.
func (c *comparison) troubles(problems zones.Problems, merged map[zones.Key]zones.Resource) map[zones.Key]string {
	troubled := map[zones.Key]string{}
	for _, p := range problems.Errors() {
		k := p.Key
		if k != "" && merged[k] == nil {
			if f, _ := c.winner(c.digests.ofKey(k), c.now); f != nil {
				k = ""
			}
		} else {
			k = ""
		}
		if k == "" { // it is about the file, or about the second of two documents
			k = zones.Key("files/" + p.File)
		}
		if troubled[k] != "" {
			troubled[k] += "; "
		}
		troubled[k] += p.String()
	}
	c.withhold(merged, troubled)
	for k := range troubled {
		if hash := c.digests.ofKey(k); c.seen[hash] == (was{}) {
			c.seen[hash] = was{key: k}
		}
	}
	return troubled
}

// withhold makes an error of each Zone that an unread file has more of: served without that part, it would deny names
// that exist.
func (c *comparison) withhold(merged map[zones.Key]zones.Resource, troubled map[zones.Key]string) {
	for _, name := range slices.Sorted(maps.Keys(c.now)) {
		for _, origin := range c.now[name].partial {
			key := zones.KeyOf(zones.KindZone, origin)
			delete(merged, key)
			if troubled[key] != "" {
				troubled[key] += "; "
			}
			troubled[key] += name + " cannot be read as a whole, and has some of the zone; see there"
		}
	}
}

// deliverAll delivers everything, if that is due.
func (c *comparison) deliverAll() {
	if !c.full {
		return
	}
	c.changes = make([]zones.Change, 0, len(c.homes.one)+len(c.homes.more)+len(c.now))
	for _, f := range c.now {
		c.work.resources += len(f.brought)
		for _, r := range f.brought {
			key := r.Key()
			if len(c.homes.more) > 0 {
				if first, _ := c.winner(c.digests.ofKey(key), c.now); first != f {
					continue
				}
			}
			c.changes = append(c.changes, zones.Change{Key: key, Resource: r})
		}
		f.brought = nil // free it now: what comes next needs the memory
	}
}

// deliver delivers a key that is different now.
func (c *comparison) deliver(key zones.Key, w was, troubled map[zones.Key]string) {
	f, i := c.winner(c.hash(&w), c.now)
	if f == nil {
		c.lacking(key, w, troubled)
		if w.had && troubled[key] != "" {
			c.apart[key] = w.digest // its last good version stays
		}
		return
	}
	digest := f.kept.entries[i].digest
	if c.full || w.had && w.digest == digest && c.troubled[key] == "" {
		return // deliverAll did it, or nothing differs
	}
	hash := f.kept.entries[i].hash
	if c.document(f, hash) == nil {
		c.again(f)
	}
	if r := c.document(f, hash); r != nil {
		c.changes = append(c.changes, zones.Change{Key: key, Resource: r})
		return
	}
	// The file is being changed right now. What is in service stays until it can be read.
	if c.apart[key] = w.digest; !w.had {
		c.apart[key] = ^digest
	}
}

// lacking delivers that a key cannot be read, or that no file has it any more.
func (c *comparison) lacking(key zones.Key, w was, troubled map[zones.Key]string) {
	text, before := troubled[key], c.troubled[key]
	switch {
	case text != "" && (text != before || c.full):
		c.changes = append(c.changes, zones.Change{Key: key, Err: errors.New(text)})
	case text == "" && (w.had || before != "") && !c.full:
		c.changes = append(c.changes, zones.Change{Key: key})
	}
}

// again reads an unchanged file for a resource that another file had before it, and has no longer.
func (c *comparison) again(f *file) {
	same := func(a, b entry) bool { return a.hash == b.hash && a.digest == b.digest }
	g := c.load(c.names[f.number], f, true)
	if g.spoiled || !slices.EqualFunc(f.kept.entries, g.kept.entries, same) {
		f.stamps = map[string]disk.Stamp{c.dir: {}} // the wrong one, so that the file is read again
		return
	}
	f.brought, f.order = g.brought, nil
}

// deliverZones delivers Zones. There are few, so it compares them all.
func (c *comparison) deliverZones(merged map[zones.Key]zones.Resource, troubled map[zones.Key]string) {
	now := make(map[zones.Key]uint64, len(merged))
	for key, r := range merged {
		now[key] = c.digests.of(r)
		if before, had := c.zones[key]; c.full || !had || before != now[key] || c.troubled[key] != "" {
			c.changes = append(c.changes, zones.Change{Key: key, Resource: r})
		}
	}
	gone := map[zones.Key]bool{} // or cannot be read
	for key := range c.zones {
		gone[key] = true
	}
	for _, keys := range []map[zones.Key]string{troubled, c.troubled} {
		for key := range keys {
			gone[key] = key.Kind() == zones.KindZone
		}
	}
	for key := range gone {
		if merged[key] != nil || !gone[key] {
			continue
		}
		digest, had := c.zones[key]
		c.lacking(key, was{had: had}, troubled)
		if had && troubled[key] != "" {
			now[key] = digest
		}
	}
	c.zones = now
}
