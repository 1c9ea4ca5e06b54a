package zones

import (
	"fmt"
	"slices"
)

// Document is a resource and where it was read.
type Document struct {
	Resource Resource
	Position
	Lines  Lines // for problems found later; nil: not known
	Master bool  // a Zone from a master file
}

// Lines knows where the fields of a document stand.
type Lines interface {
	// LineOf returns the line that a path such as "rules[0].failover[1]" leads to, or the line of the nearest thing
	// above it.
	LineOf(field string) int
}

// Documents wraps resources that come from no file, such as those in etcd.
func Documents(rs ...Resource) []Document {
	docs := make([]Document, len(rs))
	for i, r := range rs {
		docs[i].Resource = r
	}
	return docs
}

// Resources takes the documents' resources out.
func Resources(docs []Document) []Resource {
	rs := make([]Resource, len(docs))
	for i, d := range docs {
		rs[i] = d.Resource
	}
	return rs
}

// Merge joins documents that have the same key if one is the Zone of a master file: the Zone document only adds to it.
// If any other key appears twice, Merge leaves the later document out and reports a problem. The order stays the same.
func Merge(docs []Document) ([]Document, Problems) {
	first := make(map[Key]int, len(docs))
	merged := make([]Document, 0, len(docs))
	var problems Problems
	for _, d := range docs {
		key := d.Resource.Key()
		at, twice := first[key]
		if !twice {
			first[key] = len(merged)
			merged = append(merged, d)
			continue
		}
		before := merged[at]
		if a, b, ok := masterFirst(before, d); ok {
			zone, wrong := mergeZone(a, b)
			merged[at].Resource, merged[at].Master = zone, true
			problems = append(problems, wrong...)
			continue
		}
		problems = append(problems, Problem{
			Position: d.Position, Key: key, Code: CodeConflict,
			Message: "it is there already" + atPosition(before.Position) + "; take one out",
		})
	}
	return merged, problems
}

func atPosition(p Position) string {
	if p.File == "" {
		return ""
	}
	return " at " + p.String()
}

// masterFirst returns the two documents with a master file's Zone first, if one is such a Zone.
func masterFirst(a, b Document) (master, other Document, ok bool) {
	if b.Master {
		a, b = b, a
	}
	_, isZone := a.Resource.(*Zone)
	return a, b, isZone && a.Master && !b.Master
}

// mergeZone adds to a master file's zone what only the document has. Where both say something, the master file wins.
func mergeZone(master, doc Document) (*Zone, Problems) {
	z, more := *master.Resource.(*Zone), doc.Resource.(*Zone)
	var problems Problems
	differs := func(field, file, doc2 string) {
		problems = append(problems, Problem{
			Position: Position{doc.File, doc.LineOf(field)}, Key: z.Key(), Field: field, Warning: true,
			Message: fmt.Sprintf("the master file says %s, which counts; take %s out here or change it there", file,
				doc2),
		})
	}
	for _, ns := range more.Nameservers {
		if !slices.Contains(z.Nameservers, ns) {
			z.Nameservers = append(slices.Clip(z.Nameservers), ns)
		}
	}
	text := func(field string, have *string, add string) {
		switch {
		case *have == "":
			*have = add
		case add != "" && add != *have:
			differs(field, *have, add)
		}
	}
	span := func(field string, have *TTL, add TTL) {
		switch {
		case have.IsZero():
			*have = add
		case !add.IsZero() && add != *have:
			differs(field, have.String(), add.String())
		}
	}
	if more.Hostmaster != "" && more.RName() != z.RName() {
		differs("hostmaster", z.Hostmaster, more.Hostmaster)
	}
	text("primary", &z.Primary, more.Primary)
	span("ttl", &z.TTL, more.TTL)
	span("soaTTL", &z.SOATTL, more.SOATTL)
	span("negativeTTL", &z.NegativeTTL, more.NegativeTTL)
	span("refresh", &z.Refresh, more.Refresh)
	span("retry", &z.Retry, more.Retry)
	span("expire", &z.Expire, more.Expire)
	if z.DNSSEC == nil {
		z.DNSSEC = more.DNSSEC
	}
	if z.SerialOffset == 0 {
		z.SerialOffset = more.SerialOffset
	}
	z.Transfer, z.Update, z.Order = more.Transfer, more.Update, more.Order
	return &z, problems
}

// LineOf returns the line of a field, as near as it is known.
func (d Document) LineOf(field string) int {
	if d.Lines == nil || field == "" {
		return d.Line
	}
	return d.Lines.LineOf(field)
}
