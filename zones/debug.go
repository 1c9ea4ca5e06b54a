package zones

import "fmt"

// DebugLabel is the label below the apex of a zone that its debug name begins with.
const DebugLabel = "_leeward"

// debug checks who may ask the zone's debug name.
func (f *faults) debug(z *Zone) {
	if len(z.Debug) == 0 {
		return
	}
	if z.Lists() || z.Catalog() {
		f.add("debug", "a catalog zone is read by its secondaries only, so nobody could ask; take debug out")
		return
	}
	f.peers("debug", z.Debug, parseDebug)
}

// parseDebug reads one text of Zone.Debug. It refuses a text that allows everybody, because the debug name tells what
// clients should not know.
func parseDebug(text string) (Peer, error) {
	p, err := ParseAllow(text)
	if err == nil && p.Key == "" && p.Prefix.Bits() == 0 {
		err = fmt.Errorf("%q is everybody; give the addresses of those who may ask, or a key", text)
	}
	return p, err
}

// Debuggers returns what Debug says. It leaves out texts that cannot be read; validation refuses those.
func (z *Zone) Debuggers() (all []Peer) {
	for _, text := range z.Debug {
		if p, err := parseDebug(text); err == nil {
			all = append(all, p)
		}
	}
	return all
}
