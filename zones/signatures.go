package zones

import (
	"io"
	"io/fs"
	"time"
)

type node struct{}

// Decode reads an etcd value.
func Decode(key Key, value []byte) (Resource, error) { return nil, Problems{} }

// Encode writes an etcd value: canonical JSON without kind and name, one line, stable field order.
func Encode(r Resource) ([]byte, error) { return nil, nil }

// ReadDocuments reads YAML (several documents) and JSON (also arrays and {"items": []}).
func ReadDocuments(file string, r io.Reader) ([]Document, Problems) { return nil, nil }

// ReadMasterFile reads <origin>.zone: its SOA and NS become the Zone, all else Records.
func ReadMasterFile(file, origin string, r io.Reader, folder fs.FS) ([]Document, Problems) {
	return nil, nil
}

// ReadFolder reads all *.yaml, *.yml, *.json and <origin>.zone of a folder, in order of their names. name is put before
// the files' names in positions.
func ReadFolder(name string, folder fs.FS) ([]Document, Problems) { return nil, nil }

// Merge brings documents of one key together: a Zone of a master file with the Zone document that adds to it. Any other
// key that is there twice is a problem.
func Merge(docs []Document) ([]Document, Problems) { return docs, nil }

// MasterFile writes the zone as a master file.
func MasterFile(w io.Writer, zone *Zone, records []*Record) error { return nil }

// WriteYAML writes resources as documents.
func WriteYAML(w io.Writer, rs []Resource) error { return nil }

// WriteJSON writes resources as an array of documents.
func WriteJSON(w io.Writer, rs []Resource) error { return nil }

// Check validates documents as a whole. unread are the problems that reading them found: what they are about counts as
// there, so that nothing is reported twice; they are not in the result.
func Check(docs []Document, unread ...Problem) Problems { return nil }

// Edit is one resource's change: Old is nil for a new one, New for a deleted one.
type Edit struct {
	Key      Key
	Old, New Resource
}

// Diff returns what leads from old to new, in the order of Kinds and then of keys, and how many stay as they are. What
// old has and new lacks is a deletion.
func Diff(old, new []Resource) (edits []Edit, unchanged int) { return nil, 0 }

// PrintDiff prints edits for people.
func PrintDiff(w io.Writer, edits []Edit, unchanged int, colour bool) error { return nil }

// Catalog is the last good version of every resource.
type Catalog struct{}

// Delta is what a Batch changed: Full says that Keys is nil because all is to be looked at.
type Delta struct {
	Revision int64
	Keys     []Key
	Full     bool
}

// Held is a removal that the guard holds back.
type Held struct {
	Key      Key
	Why      string
	Revision int64
}

// NewCatalog returns an empty catalog.
func NewCatalog(now func() time.Time) *Catalog { return nil }

// Apply takes a batch.
func (c *Catalog) Apply(b Batch) Delta { return Delta{} }

// Get returns the effective version, nil if there is none.
func (c *Catalog) Get(k Key) Resource { return nil }

// Each calls f for every effective resource of a kind until it returns false.
func (c *Catalog) Each(kind Kind, f func(Resource) bool) {}

// EachRecord calls f for the records of a zone until it returns false.
func (c *Catalog) EachRecord(origin string, f func(*Record) bool) {}

// RecordsAt returns the records of one owner.
func (c *Catalog) RecordsAt(origin, owner string) []*Record { return nil }

// EndpointsOf returns a pool's endpoints, sorted by name.
func (c *Catalog) EndpointsOf(pool string) []*Endpoint { return nil }

// PoliciesIn returns the policies of a zone, sorted by name.
func (c *Catalog) PoliciesIn(origin string) []*Policy { return nil }

// PoliciesUsing returns the policies that name a pool, sorted by name.
func (c *Catalog) PoliciesUsing(pool string) []*Policy { return nil }

// Problems returns what is wrong, sorted.
func (c *Catalog) Problems() Problems { return nil }

// Held returns what the guard holds back, sorted by key.
func (c *Catalog) Held() []Held { return nil }

// Revision returns the revision of the last batch.
func (c *Catalog) Revision() int64 { return 0 }

// ZoneSerial returns a zone's serial.
func (c *Catalog) ZoneSerial(origin string) uint32 { return 0 }

// ZoneOf returns the longest origin that holds the name, "" if none.
func (c *Catalog) ZoneOf(name string) string { return "" }
