package snapshot

import "leeward/zones/rr"

type slot struct {
	number  int32
	region  string
	aliases bool
	hosts   []string // of its endpoints
}

// placed is a policy and where it is in the snapshot.
type placed struct {
	number int32
	origin string
	name   rr.Name
}

// placement indexes the policies in the snapshot by name, and also by origin. There can be as many origins as policies,
// so nothing may look at all policies for one origin.
type placement struct {
	named map[string]*placed
	in    map[string]map[string]*placed // by origin and name
}

func (p *placement) put(name string, at *placed) {
	p.named[name] = at
	if p.in[at.origin] == nil {
		p.in[at.origin] = map[string]*placed{}
	}
	p.in[at.origin][name] = at
}

func (p *placement) drop(name string) {
	origin := p.named[name].origin
	delete(p.named, name)
	if delete(p.in[origin], name); len(p.in[origin]) == 0 {
		delete(p.in, origin)
	}
}

// numbers hands out small numbers, and reuses those that are returned.
type numbers struct {
	next int32
	free []int32
}

func (n *numbers) take() int32 {
	if last := len(n.free) - 1; last >= 0 {
		x := n.free[last]
		n.free = n.free[:last]
		return x
	}
	n.next++
	return n.next - 1
}

func (n *numbers) put(x int32) { n.free = append(n.free, x) }
