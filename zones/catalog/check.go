package catalog

import (
	"time"

	"leeward/zones"
)

// Check validates documents as a whole, with the same code as a server. unread are the problems found while the
// documents were read. What they are about counts as existing, so that nothing is reported twice; they are not in the
// result. Documents with the same key are merged first, as Merge does.
//
// If two resources exclude each other, the later document has the problem.
func Check(docs []zones.Document, unread ...zones.Problem) zones.Problems {
	return CheckAt(time.Now(), docs, unread...)
}

// CheckAt is Check at another time, which matters for overrides that have ended by then.
func CheckAt(now time.Time, docs []zones.Document, unread ...zones.Problem) zones.Problems {
	docs, problems := zones.Merge(docs)
	c := New(func() time.Time { return now })
	c.unread, c.missing = make(map[zones.Key]bool), make(map[string]bool)
	for _, p := range unread {
		if p.Warning || p.Key == "" {
			continue
		}
		c.unread[p.Key] = true
		if e, err := zones.Named(p.Key.Kind(), p.Key.Name()); err == nil && p.Key.Kind() == zones.KindEndpoint {
			c.missing[e.(*zones.Endpoint).Pool] = true
		}
	}
	b := zones.Batch{Revision: int64(len(docs)) + 1, Full: true, Changes: make([]zones.Change, len(docs))}
	for i, d := range docs {
		b.Changes[i] = zones.Change{Key: d.Resource.Key(), Resource: d.Resource, Revision: int64(i) + 1}
	}
	c.Apply(b)
	for _, p := range c.Problems() {
		if p.Revision > 0 {
			d := docs[p.Revision-1]
			p.Position = zones.Position{File: d.File, Line: d.LineOf(p.Field)}
		}
		p.Revision = 0
		problems = append(problems, p)
	}
	problems.Sort()
	return problems
}
