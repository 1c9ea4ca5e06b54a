package store

import (
	"strings"

	"leeward/zones"
	"leeward/zones/etcd"
)

// The owner of a resource is kept in a mark beside it: the key meta/owners/<the resource's key> holds the owner's name.
// So the value of the resource is still the document. Overwriting a resource does not change its owner.
//
// A mark counts only for the resource that it was made for. If etcdctl deletes the resource without its mark, and
// somebody makes it anew, the new one is younger than the mark and belongs to nobody.

// mark is what an owner's key says, and its revision.
type mark struct {
	owner    string
	revision int64
}

// markOf returns the key of a resource's mark.
func markOf(k zones.Key) zones.Key { return etcd.Owners + k }

// marks are all marks of a listing that reads them.
type marks struct {
	all  map[zones.Key]mark
	born []int64 // for each of the listing's Changes, the revision at which its key was made
}

// take adds a key to the marks, and reports whether it was a mark.
func (m *marks) take(kv etcd.KV) bool {
	k, ok := strings.CutPrefix(kv.Name, etcd.Owners)
	if ok && m != nil {
		m.all[zones.Key(k)] = mark{strings.TrimSpace(string(kv.Value)), kv.Revision}
	}
	return ok
}

// owned returns the owners of all resources that have one.
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
