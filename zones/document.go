package zones

// Document is a resource and where it was read.
type Document struct {
	Resource Resource
	Position
	tree   *node // its fields, for the lines of problems found later; nil if they are not known
	master bool  // a Zone that a master file has brought
}

// Documents wraps resources that no file has brought, such as those in etcd.
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
