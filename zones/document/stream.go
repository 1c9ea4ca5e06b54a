package document

import (
	"hash/maphash"
	"io"
	"io/fs"
	"slices"

	"leeward/zones"
)

// MasterReader is ReadMaster for who needs few of a file's documents, and so need not hold all of them at once: one
// edited line of a million costs no second zone.
type MasterReader struct {
	File, Origin string
	// Open opens the file, and Folder is where $INCLUDE finds others. Both may be asked several times.
	Open   func() (io.ReadCloser, error)
	Folder fs.FS
	// Begin is called before each reading. What Keep was told before it no longer counts.
	Begin func()
	// Keep is told each Record once it is complete and right. It keeps of it what it wants, and says whether it did.
	Keep func(zones.Document) bool
	// Hold is told each Record that is held from now on. Its error ends the reading, and is among the problems. nil:
	// there is room for all.
	Hold func(zones.Document) error
}

// mostReadings is how often a file is read until all its documents are held until its end. The second reading is for
// sets whose records are in several places; a third is due only where the file changed between the two.
const mostReadings = 3

// Read returns the Zone, if the file has one, and all that is wrong with the file, as ReadMaster would say it. Where
// one is an error, neither the Zone nor what Keep was told is to be used. The error returned is one of Open.
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

// stream is the part of a masterFile that lets go of documents while it reads. A set is complete when a record of
// another owner comes, as nearly all files have the records of an owner together. A set that goes on later is found
// out, and is kept until the end of the file in another reading.
type stream struct {
	keep      func(zones.Document) bool  // nil: read returns all
	hold      func(zones.Document) error // nil: nobody counts
	full      error                      // of hold: the reading is at its end
	streams   bool
	scattered map[uint64]bool  // places in sets of those that are in several parts of the file
	complete  []uint64         // places in sets of those that are complete, in the order of the file
	again     bool             // a set that was complete went on
	current   []zones.Document // sets of the owner that was read last: they may go on in the next line
}

// recent returns a set of the owner that was read last. Where the owner is another one, that one's sets are complete.
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

// begin takes a set that is new.
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

// held has one more document counted.
func (m *masterFile) held(d zones.Document) {
	if m.hold != nil && m.full == nil {
		m.full = m.hold(d)
	}
}

// scatter notes the sets that went on after they were complete: they have begun twice. Sorting eight octets a set at
// the end of the file takes a quarter of the memory that a look-up at each set would.
func (m *masterFile) scatter() {
	slices.Sort(m.complete)
	for i, place := range m.complete {
		if i > 0 && place == m.complete[i-1] {
			m.scattered[place], m.again = true, true
		}
	}
	m.complete = nil
}

// settle ends the sets of the owner that was read last. What is wrong with one is told where all others are checked.
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
