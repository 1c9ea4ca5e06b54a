package document

import "io"

// What reading takes at most, in octets, with what is moved and what is lost to the sizes that Go allocates. Text comes
// on top. TestMeterIsEnough holds it.
const (
	nodeCost    = 240 // of a node, in the list or the object around it
	placeCost   = 128 // of the place of a value of JSON
	problemCost = 512
	yamlCost    = 200 // of a node of the yaml package
	yamlText    = 3   // of an octet that the yaml package reads
)

// meterStep is after how many octets a meter tells.
const meterStep = 32 << 10

// meter counts the octets that reading holds, and tells someone who knows how many there may be. nil counts nothing.
type meter struct {
	take       func(octets int) error
	held, told int
	failed     error // of take; it is not asked again
}

func newMeter(take func(octets int) error) *meter {
	if take == nil {
		return nil
	}
	return &meter{take: take}
}

// add counts octets.
func (m *meter) add(octets int) error {
	if m == nil || m.failed != nil {
		return m.err()
	}
	if m.held += octets; m.held-m.told >= meterStep {
		m.failed = m.take(m.held - m.told)
		m.told = m.held
	}
	return m.failed
}

// must is add within what caught catches.
func (m *meter) must(octets int) {
	if err := m.add(octets); err != nil {
		panic(fault{err})
	}
}

// stay counts octets that no release takes back.
func (m *meter) stay(octets int) error {
	if m == nil || m.failed != nil || octets == 0 {
		return m.err()
	}
	m.failed = m.take(octets)
	return m.failed
}

// mark returns how many octets are held, for release.
func (m *meter) mark() int {
	if m == nil {
		return 0
	}
	return m.held
}

// release lets go of what was added since the mark.
func (m *meter) release(mark int) {
	if m == nil || m.failed != nil {
		return
	}
	if m.held = mark; m.told > m.held {
		m.failed = m.take(m.held - m.told)
		m.told = m.held
	}
}

func (m *meter) err() error {
	if m == nil {
		return nil
	}
	return m.failed
}

// yamlWeight counts what the yaml package makes of the octets that it reads, as nothing else of it can be asked while
// it reads a document. It counts no fewer nodes than there will be: each stands behind one of few characters.
type yamlWeight struct {
	r     io.Reader
	held  *meter
	last  [2]byte // the octets before the next
	nodes int
}

func (w *yamlWeight) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if w.held == nil {
		return n, err
	}
	before := w.nodes
	for _, c := range p[:n] {
		w.octet(c)
	}
	if n == 0 && err != nil {
		w.octet(0)
	}
	if full := w.held.add((w.nodes-before)*yamlCost + n*yamlText); full != nil {
		return 0, full
	}
	return n, err
}

// octet counts the nodes that may come behind the octet before this one.
func (w *yamlWeight) octet(c byte) {
	switch w.last[1] {
	case '-': // an item
		if !yamlWord(c) {
			w.nodes++
		}
	case ':': // a key and its value, unless it is within a text such as an address
		if !yamlWord(w.last[0]) || !yamlWord(c) {
			w.nodes += 2
		}
	case '[':
		w.nodes++
	case ',', '{', '?', '*', '&', '!': // a key and a value, of which each may be empty
		w.nodes += 2
	}
	w.last = [2]byte{w.last[1], c}
}

// yamlWord reports whether a character is part of a text on both of whose sides there are more of its kind.
func yamlWord(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == ':' || c == '.' || c == '/' || c == '-' ||
		c >= 0x80
}
