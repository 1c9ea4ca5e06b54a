package dnssec

import "sync"

// noted is what a generation has signed, recorded for servers without keys.
type noted struct {
	mu    sync.Mutex
	all   map[Digest][SignatureSize]byte
	fresh []Signed // since the last look
}

func newNoted() *noted { return &noted{all: map[Digest][SignatureSize]byte{}} }

func (n *noted) note(one Signed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, there := n.all[one.Digest]; !there {
		n.all[one.Digest] = one.Signature
		n.fresh = append(n.fresh, one)
	}
}

// Note makes signers with these keys record what they sign. It must be called before such a signer is made.
func (k *Keys) Note() { k.notes = true }

// Apart reports whether one process has the keys and another one answers.
func (k *Keys) Apart() bool { return k.notes || k.hand != nil }

// Fresh returns what was signed since the last call. It works only with keys that Note was called for.
func (g *Generation) Fresh() []Signed {
	if g.noted == nil {
		return nil
	}
	g.noted.mu.Lock()
	defer g.noted.mu.Unlock()
	fresh := g.noted.fresh
	g.noted.fresh = nil
	return fresh
}

// Noted returns everything that was signed. It works only with keys that Note was called for.
func (g *Generation) Noted() []Signed {
	if g.noted == nil {
		return nil
	}
	g.noted.mu.Lock()
	defer g.noted.mu.Unlock()
	all := make([]Signed, 0, len(g.noted.all))
	for d, s := range g.noted.all {
		all = append(all, Signed{d, s})
	}
	return all
}
