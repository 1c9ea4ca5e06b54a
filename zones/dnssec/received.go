package dnssec

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"leeward/zones/rr"
)

// Received is signatures of one zone that others have made. Many goroutines may use it at the same time.
//
// A signature is looked up by what it signs. Before it is handed out for the first time, it is verified with the key.
// If one does not verify, its whole chunk is ignored from then on: whoever wrote it does not have the key.
type Received struct {
	origin rr.Name
	refuse func(epoch int64, chunk string, err error) // called for each chunk that is not used

	mu     sync.RWMutex
	epochs map[int64]*shelf
	puts   atomic.Int64
}

// shelf is what was received for one epoch.
type shelf struct {
	chunks map[string]*chunk
	at     map[Digest]spot
	again  map[Digest][]spot // further ones, with a digest that at has already
}

type chunk struct {
	entries []byte
	checked []atomic.Uint64 // one bit for each entry: it was verified
	refused bool            // the whole chunk is ignored
}

// spot is a place in a chunk.
type spot struct {
	chunk *chunk
	index int32
}

func (s spot) signed() (one Signed) {
	b := s.chunk.entries[int(s.index)*entrySize:]
	return Signed{Digest(b), [SignatureSize]byte(b[len(Digest{}):])}
}

func (s spot) checked() bool { return s.chunk.checked[s.index/64].Load()>>(s.index%64)&1 == 1 }

// NewReceived returns a Received that has nothing yet. refuse is called for each chunk that is not used, by whoever
// finds that out.
func NewReceived(origin rr.Name, refuse func(epoch int64, chunk string, err error)) *Received {
	return &Received{origin: origin, refuse: refuse, epochs: map[int64]*shelf{}}
}

// Version returns a number that grows with each chunk that is accepted.
func (r *Received) Version() int64 { return r.puts.Load() }

// Put accepts a chunk, and replaces the one with that name. It reports whether the chunk is whole and belongs to the
// zone.
func (r *Received) Put(epoch int64, name string, value []byte) bool {
	entries, err := openChunk(value, r.origin, epoch)
	r.puts.Add(1)
	r.mu.Lock()
	r.drop(epoch, name)
	if err == nil {
		s := r.epochs[epoch]
		if s == nil {
			s = &shelf{map[string]*chunk{}, map[Digest]spot{}, map[Digest][]spot{}}
			r.epochs[epoch] = s
		}
		n := len(entries) / entrySize
		c := &chunk{entries: entries, checked: make([]atomic.Uint64, (n+63)/64)}
		s.chunks[name] = c
		for i := range n {
			s.put(spot{c, int32(i)})
		}
	}
	r.mu.Unlock()
	if err != nil {
		r.refuse(epoch, name, err)
	}
	return err == nil
}

func (s *shelf) put(p spot) {
	d := p.signed().Digest
	if _, there := s.at[d]; there {
		s.again[d] = append(s.again[d], p)
	} else {
		s.at[d] = p
	}
}

// all calls f with each place of a digest, until f returns false.
func (s *shelf) all(d Digest, f func(spot) bool) {
	if p, ok := s.at[d]; ok && f(p) {
		for _, p := range s.again[d] {
			if !f(p) {
				return
			}
		}
	}
}

// Drop removes a chunk.
func (r *Received) Drop(epoch int64, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(epoch, name)
}

func (r *Received) drop(epoch int64, name string) {
	s := r.epochs[epoch]
	if s == nil || s.chunks[name] == nil {
		return
	}
	gone := s.chunks[name]
	if delete(s.chunks, name); len(s.chunks) == 0 {
		delete(r.epochs, epoch)
		return
	}
	for i := range len(gone.entries) / entrySize {
		d := spot{gone, int32(i)}.signed().Digest
		left := slices.DeleteFunc(s.again[d], func(p spot) bool { return p.chunk == gone })
		if p, ok := s.at[d]; ok && p.chunk == gone {
			if delete(s.at, d); len(left) > 0 {
				s.at[d], left = left[0], left[1:]
			}
		}
		if s.again[d] = left; len(left) == 0 {
			delete(s.again, d)
		}
	}
}

// find returns the key's signature of input. It verifies the signature unless that was done before.
func (r *Received) find(epoch int64, key *Key, input []byte) (found [SignatureSize]byte, ok bool) {
	d := digestOf(input)
	var tries []spot
	r.mu.RLock()
	if s := r.epochs[epoch]; s != nil {
		s.all(d, func(p spot) bool {
			if !p.chunk.refused {
				tries = append(tries, p)
			}
			ok = ok || !p.chunk.refused && p.checked()
			return !ok
		})
	}
	r.mu.RUnlock()
	if ok {
		return tries[len(tries)-1].signed().Signature, true
	}
	for _, p := range tries {
		one := p.signed()
		if verify(key.DNSKEY(), input, one.Signature[:]) {
			p.chunk.checked[p.index/64].Or(1 << (p.index % 64))
			return one.Signature, true
		}
		r.forged(epoch, p.chunk)
	}
	return found, false
}

// forged has the chunk ignored from now on.
func (r *Received) forged(epoch int64, c *chunk) {
	r.mu.Lock()
	var name string
	if s := r.epochs[epoch]; s != nil && !c.refused {
		for n, one := range s.chunks {
			if one == c {
				name = n
			}
		}
	}
	c.refused = true
	r.mu.Unlock()
	if name != "" {
		r.refuse(epoch, name, errChunkForged)
	}
}

// Has reports whether exactly this signature is there, and whether a different one is there in its place.
func (r *Received) Has(epoch int64, one Signed) (there, other bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if s := r.epochs[epoch]; s != nil {
		s.all(one.Digest, func(p spot) bool {
			same := p.signed().Signature == one.Signature
			there, other = there || same, other || !same
			return true
		})
	}
	return there, other
}

// Forged returns the names of an epoch's chunks that were refused, or that have a different signature in place of this
// one.
func (r *Received) Forged(epoch int64, one Signed) (names []string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := r.epochs[epoch]
	if s == nil {
		return nil
	}
	s.all(one.Digest, func(p spot) bool {
		if p.signed().Signature != one.Signature {
			for name, c := range s.chunks {
				if c == p.chunk {
					names = append(names, name)
				}
			}
		}
		return true
	})
	return names
}

// Chunks returns how many signatures each chunk of an epoch has, by the chunk's name.
func (r *Received) Chunks(epoch int64) map[string]int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := map[string]int{}
	if s := r.epochs[epoch]; s != nil {
		for name, c := range s.chunks {
			all[name] = len(c.entries) / entrySize
		}
	}
	return all
}

// Entries returns the signatures of a chunk.
func (r *Received) Entries(epoch int64, name string) (all []Signed) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if s := r.epochs[epoch]; s != nil && s.chunks[name] != nil {
		c := s.chunks[name]
		for i := range len(c.entries) / entrySize {
			all = append(all, spot{c, int32(i)}.signed())
		}
	}
	return all
}

// Epochs returns the numbers of the epochs for which there is anything, in order.
func (r *Received) Epochs() []int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.epochs))
}

// WholeChunk is the name of a chunk without signatures. It says that everything that a zone has by configuration was
// written before it.
const WholeChunk = "whole"

// newest returns the last epoch, up to the given one, for which everything was written. If there is none, it returns
// the last for which anything was. If there is nothing up to that epoch, it does the same for the first one after it.
func (r *Received) newest(upTo Epoch) (e Epoch, any bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	whole := false
	for _, late := range [...]bool{false, true} {
		for n, s := range r.epochs {
			is := s.chunks[WholeChunk] != nil
			if n > upTo.Number == late && (!any || is && !whole || is == whole && upTo.fits(n, e.Number)) {
				e, any, whole = upTo.numbered(n), true, is
			}
		}
		if any {
			break
		}
	}
	return e, any
}
