package zones

import (
	"io"
	"io/fs"
	"time"
)

// ReadMasterFile reads <origin>.zone: its SOA and NS become the Zone, all else Records.
func ReadMasterFile(file, origin string, r io.Reader, folder fs.FS) ([]Document, Problems) {
	return nil, nil
}

// MasterFile writes the zone as a master file.
func MasterFile(w io.Writer, zone *Zone, records []*Record) error { return nil }

// Check validates documents as a whole. unread are the problems that reading them found: what they are about counts as
// there, so that nothing is reported twice; they are not in the result.
func Check(docs []Document, unread ...Problem) Problems { return nil }

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
