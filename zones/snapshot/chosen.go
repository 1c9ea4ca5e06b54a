package snapshot

import (
	"errors"

	"leeward/zones/dnssec"
	"leeward/zones/rr"
	"leeward/zones/steer"
)

// Chosen signs, in advance, the sets of several addresses that policies of signed zones may answer with now. So queries
// find them signed. It signs first what has changed last. One goroutine owns it.
//
// It also drops signatures that are no longer needed.
type Chosen struct {
	// Rest is called after each set. It may block, to keep this work within its share of the machine.
	Rest func()
	// Every says to sign the sets for every state of health, for servers that cannot sign by themselves.
	Every bool

	snapshot *Snapshot
	view     *steer.View
	due      []int32 // numbers of policies; the last one is next
	is       []bool  // by number: the policy is due
	signed   int     // number of zones that are signed
	sweeps   map[*dnssec.Generation]dnssec.Sweep
	data     [][]byte
}

// See notes what is served now.
func (c *Chosen) See(s *Snapshot, v *steer.View) {
	before, was := c.snapshot, c.view
	c.snapshot, c.view = s, v
	if s != before {
		c.signed = 0
		s.Signed(func(rr.Name, *dnssec.Signer) bool { c.signed++; return true })
	}
	if c.signed == 0 {
		c.due = nil
		return
	}
	for len(c.is) < len(s.policies) {
		c.is = append(c.is, false)
	}
	for i, p := range s.policies {
		same := before != nil && i < len(before.policies) && p == before.policies[i]
		if p != nil && !(same && p.SameDuties(was, v)) {
			c.put(int32(i))
		}
	}
}

func (c *Chosen) put(number int32) {
	if !c.is[number] {
		c.is[number] = true
		c.due = append(c.due, number)
	}
}

// Again has everything looked at again, because signatures of another epoch are being made.
func (c *Chosen) Again() {
	for i := range c.is {
		if c.snapshot.policies != nil && i < len(c.snapshot.policies) && c.snapshot.policies[i] != nil {
			c.put(int32(i))
		}
	}
}

// Next signs what the next policy may answer with. more says that other policies are due.
func (c *Chosen) Next() (more bool, err error) {
	if len(c.due) == 0 {
		err = c.idle()
		return len(c.due) > 0, err
	}
	last := len(c.due) - 1
	number := c.due[last]
	c.due = c.due[:last]
	c.is[number] = false
	if int(number) < len(c.snapshot.policies) && c.snapshot.policies[number] != nil {
		err = c.sign(c.snapshot.policies[number], number)
	}
	return true, err
}

// idle ends sweeps for which everything has been kept, and begins those that are due.
func (c *Chosen) idle() error {
	for g, s := range c.sweeps {
		g.SweptChosen(s)
	}
	c.sweeps = nil
	if c.signed == 0 {
		return nil
	}
	c.snapshot.Signed(func(_ rr.Name, signer *dnssec.Signer) bool {
		g := signer.Now()
		if s := g.SweepChosen(); s != (dnssec.Sweep{}) {
			if c.sweeps == nil {
				c.sweeps = map[*dnssec.Generation]dnssec.Sweep{}
			}
			c.sweeps[g] = s
		}
		return true
	})
	if len(c.sweeps) > 0 {
		c.Again()
	}
	return c.snapshot.Sweep()
}

// sign signs the sets of one policy.
func (c *Chosen) sign(p *steer.Policy, number int32) (err error) {
	owner, _ := rr.ParseName(p.Name) // the name was parsed when the policy was compiled
	name := []byte(owner)
	if len(name) == 0 {
		return nil
	}
	var offsets [128]uint8
	z, _ := c.snapshot.zoneOf(name, offsets[:labelsOf(name, &offsets)], false)
	if z == nil || z.signing == nil {
		return nil
	}
	n := z.tree.find(name)
	if n == nil || n.policy() != number || n.cut() || z.hidden(name, n) {
		return nil
	}
	signer := z.signing.signer
	now, next := signer.Generations()
	sign := func(typ rr.Type, data []byte, count int) bool {
		width := len(data) / count
		id := signer.Begin(name, typ, p.TTL)
		c.data = c.data[:0]
		for at := 0; at < len(data); at += width {
			c.data = append(c.data, data[at:at+width])
			signer.Add(&id, data[at:at+width])
		}
		for _, g := range [...]*dnssec.Generation{now, next} {
			if g == nil {
				continue
			}
			set := dnssec.Set{Owner: owner, Type: typ, TTL: p.TTL, Data: c.data}
			if err = g.SignChosen(id, set); errors.Is(err, dnssec.ErrNotHere) {
				err = nil // there may be others
			} else if err != nil {
				return false
			}
		}
		if c.Rest != nil {
			c.Rest()
		}
		return true
	}
	p.Sets(c.view, sign)
	if c.Every && err == nil {
		p.EverySet(c.snapshot.program, sign)
	}
	return err
}
