package store

import (
	"strings"

	"leeward/zones"
	"leeward/zones/etcd"
)

// Who a resource belongs to is a mark beside it: the owner's name in the key meta/owners/<the resource's key>, so that
// a resource's own value stays the document. A mark counts as long as the resource that it was made for, or given to,
// is there: one that was deleted without its mark (by etcdctl) and made anew belongs to nobody, which shows in that it
// is younger than the mark. Whoever overwrites a resource leaves its owner as it is.

// mark is what an owner's key says, and the revision of it.
type mark struct {
	owner    string
	revision int64
}

// markOf returns the key of a resource's mark.
func markOf(k zones.Key) zones.Key { return etcd.Owners + k }

// marks are those of a listing that reads them.
type marks struct {
	all  map[zones.Key]mark
	born []int64 // of each of the listing's Changes: the revision that it was made at
}

// take takes a mark, and reports whether it was one.
func (m *marks) take(kv etcd.KV) bool {
	k, ok := strings.CutPrefix(kv.Name, etcd.Owners)
	if ok && m != nil {
		m.all[zones.Key(k)] = mark{strings.TrimSpace(string(kv.Value)), kv.Revision}
	}
	return ok
}

// owned returns who each resource belongs to, of those that have an owner.
func (l *Listing) owned() map[zones.Key]string {
	who := make(map[zones.Key]string, len(l.marks.all))
	for i, c := range l.Changes {
		if m, ok := l.marks.all[c.Key]; ok && m.owner != "" && m.revision >= l.marks.born[i] {
			who[c.Key] = m.owner
		}
	}
	return who
}

// mark returns a resource's mark, whether it counts or not.
func (l *Listing) mark(k zones.Key) (mark, bool) {
	if l.marks == nil {
		return mark{}, false
	}
	m, ok := l.marks.all[k]
	return m, ok
}
