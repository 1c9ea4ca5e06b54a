package document

import (
	"hash/maphash"
	"io"
	"io/fs"
	"slices"

	"leeward/zones"
)

// MasterReader is ReadMaster for callers that need few of a file's documents, so that not all are in memory at once:
// one edited line of a million does not cost a second zone.
type MasterReader struct {
	File, Origin string
	// Open opens the file, and Folder is where $INCLUDE finds others. Both may be called several times.
	Open   func() (io.ReadCloser, error)
	Folder fs.FS
	// Begin is called before each reading. What Keep was called with before no longer counts.
	Begin func()
	// Keep is called with each Record that is complete and valid. It keeps what it wants, and returns whether it did.
	Keep func(zones.Document) bool
	// Hold is called with each Record that stays in memory from now on. Its error ends the reading and is among the
	// problems. nil: there is room for all.
	Hold func(zones.Document) error
}

// mostReadings is how often a file is read before all its documents are held until its end. The second reading is for
// sets whose records are in several places. A third is needed only if the file changed between the two.
const mostReadings = 3

// Read returns the Zone, if the file has one, and everything that is wrong with the file, as ReadMaster would. If there
// is an error among the problems, neither the Zone nor what Keep was called with may be used. The error is one of Open.
func (r MasterReader) Read() (zone []zones.Document, wrong zones.Problems, err error) {
	seed, scattered := maphash.MakeSeed(), map[uint64]bool{}
	for n := 1; ; n++ {
		text, err := r.Open()
		if err != nil {
			return nil, nil, err
		}
		r.Begin()
		m := masterFile{file: r.File, origin: r.Origin, seed: seed}
		m.stream = stream{keep: r.Keep, hold: r.Hold, streams: n < mostReadings, scattered: scattered}
		zone, wrong = m.read(text, r.Folder)
		text.Close()
		if !m.again || m.full != nil {
			return zone, wrong, nil
		}
	}
}

// stream is the part of a masterFile that releases documents while it reads. A set is complete when a record of another
// owner comes, as nearly all files have an owner's records together. If a set goes on later, that is noticed, and the
// set is held until the end of the file in another reading.
type stream struct {
	keep      func(zones.Document) bool  // nil: read returns all
	hold      func(zones.Document) error // nil: nobody counts
	full      error                      // of hold, which ends the reading
	streams   bool
	scattered map[uint64]bool  // places in sets of those that are in several parts of the file
	complete  []uint64         // places in sets of those that are complete, in the order of the file
	again     bool             // a complete set went on
	current   []zones.Document // sets of the last owner, which may go on in the next line
}

// recent returns a set of the owner that was read last. If the owner is another, the sets of the last one are complete.
func (m *masterFile) recent(owner, kind string) *zones.Record {
	for i := range m.current {
		r := m.current[i].Resource.(*zones.Record)
		if r.Owner != owner {
			m.settle()
			return nil
		}
		if r.Type == kind {
			return r
		}
	}
	return nil
}

// begin takes a new set.
func (m *masterFile) begin(d zones.Document, place uint64) {
	if m.streams && !m.scattered[place] {
		m.complete = append(m.complete, place)
		m.current = append(m.current, d)
		return
	}
	m.sets[place] = int32(len(m.docs))
	m.docs = append(m.docs, d)
	m.held(d)
}

// held counts one more document.
func (m *masterFile) held(d zones.Document) {
	if m.hold != nil && m.full == nil {
		m.full = m.hold(d)
	}
}

// scatter finds the sets that went on after they were complete, as they have begun twice. Sorting eight octets for each
// set at the end of the file takes a quarter of the memory of a look-up at each set.
func (m *masterFile) scatter() {
	slices.Sort(m.complete)
	for i, place := range m.complete {
		if i > 0 && place == m.complete[i-1] {
			m.scattered[place], m.again = true, true
		}
	}
	m.complete = nil
}

// settle completes the sets of the owner that was read last. Their problems are reported with those of all others.
func (m *masterFile) settle() {
	for _, d := range m.current {
		switch {
		case len(read1(d)) > 0:
			m.docs = append(m.docs, d)
		case m.keep(d):
			m.held(d)
		}
	}
	clear(m.current)
	m.current = m.current[:0]
}
