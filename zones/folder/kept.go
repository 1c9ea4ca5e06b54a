package folder

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strings"

	"leeward/zones"
)

// kept is what a scanner remembers of a file's resources once they are delivered, except Zones: their keys, their
// lines, and 64 bits of a hash of their content. It has three pointers in all, and a record takes some 50 octets. Two
// keys that hash alike by accident would pass for one; among a million records the odds are one in thirty million.
type kept struct {
	prefix  string   // of all keys
	text    string   // the rest of each key, one after the other
	places  []string // the file, and those that it includes
	entries []entry  // sorted by hash
}

// entry is one resource of a file.
type entry struct {
	hash   uint64 // of the key
	digest uint64 // of what it says
	text   uint32 // where the rest of the key begins
	length uint32 // of that
	line   uint32
	place  uint32 // in places
}

// digests makes hashes with seeds of this process, so that nobody can write two keys that hash alike.
type digests struct{ key, content maphash.Seed }

func newDigests() digests { return digests{maphash.MakeSeed(), maphash.MakeSeed()} }

func (d digests) ofKey(k zones.Key) uint64 { return maphash.String(d.key, string(k)) }

// of returns a digest of what a resource says.
func (d digests) of(r zones.Resource) uint64 {
	var h maphash.Hash
	h.SetSeed(d.content)
	var number [8]byte
	write := func(n uint64) {
		binary.LittleEndian.PutUint64(number[:], n)
		h.Write(number[:])
	}
	switch r := r.(type) {
	case *zones.Record: // there are many of these
		write(uint64(r.TTL.Or(-1)))
		for _, text := range r.Data {
			write(uint64(len(text)))
			h.WriteString(text)
		}
		return h.Sum64()
	case *zones.Zone:
		if r.Serial != nil {
			write(1 + uint64(*r.Serial))
		}
	}
	value, err := zones.Encode(r)
	if err != nil {
		h.WriteString(err.Error())
	}
	h.Write(value)
	return h.Sum64()
}

// keeper builds a kept from a file's documents, one by one. All keys begin with the prefix, and each comes once.
type keeper struct {
	digests
	kept
	rest   strings.Builder // of kept.text
	before *kept           // what was last delivered of the file; nil: nothing
	place  map[string]uint32
}

// keep returns an empty keeper, with room for as much as there was before.
func (d digests) keep(prefix string, before *kept) *keeper {
	k := &keeper{digests: d, kept: kept{prefix: prefix}, before: before, place: map[string]uint32{}}
	if before != nil {
		k.entries = make([]entry, 0, len(before.entries)+len(before.entries)/64)
		k.rest.Grow(len(before.text) + len(before.text)/64)
	}
	return k
}

// add remembers a document, and reports whether it differs from before. Zones are not remembered, and always differ.
func (k *keeper) add(doc zones.Document) bool {
	if _, ok := doc.Resource.(*zones.Zone); ok {
		return true
	}
	key := doc.Resource.Key()
	place, known := k.place[doc.File]
	if !known {
		place = uint32(len(k.places))
		k.place[doc.File] = place
		k.places = append(k.places, doc.File)
	}
	rest := string(key)[len(k.prefix):]
	e := entry{
		hash: k.ofKey(key), digest: k.of(doc.Resource), text: uint32(k.rest.Len()), length: uint32(len(rest)),
		line: uint32(doc.Line), place: place,
	}
	k.entries = append(k.entries, e)
	k.rest.WriteString(rest)
	if k.before == nil {
		return true
	}
	i, had := k.before.find(e.hash)
	return !had || k.before.entries[i].digest != e.digest
}

// done returns what is remembered.
func (k *keeper) done() kept {
	slices.SortFunc(k.entries, func(a, b entry) int { return cmp.Compare(a.hash, b.hash) })
	k.text = k.rest.String() // its own octets, not a copy
	if cap(k.entries)-len(k.entries) > len(k.entries)/32 {
		k.entries = slices.Clone(k.entries)
	}
	return k.kept
}

// twice reports whether a key is there more than once.
func (k *keeper) twice() bool {
	slices.SortFunc(k.entries, func(a, b entry) int { return cmp.Compare(a.hash, b.hash) })
	for i := 1; i < len(k.entries); i++ {
		if k.entries[i].hash == k.entries[i-1].hash {
			return true
		}
	}
	return false
}

// brought is an entry of an index of resources that are not delivered yet.
type brought struct {
	hash uint64 // of its key
	at   uint32 // its place among them
}

// index returns an index of resources by the hashes of their keys.
func (d digests) index(rs []zones.Resource) []brought {
	all := make([]brought, len(rs))
	for i, r := range rs {
		all[i] = brought{d.ofKey(r.Key()), uint32(i)}
	}
	slices.SortFunc(all, func(a, b brought) int { return cmp.Compare(a.hash, b.hash) })
	return all
}

func (k *kept) key(e *entry) zones.Key {
	return zones.Key(k.prefix + k.text[e.text:e.text+e.length])
}

func (k *kept) position(e *entry) zones.Position {
	return zones.Position{File: k.places[e.place], Line: int(e.line)}
}

// find returns the number of the entry of a key.
func (k *kept) find(hash uint64) (int, bool) {
	return slices.BinarySearchFunc(k.entries, hash, func(e entry, hash uint64) int { return cmp.Compare(e.hash, hash) })
}

// differ calls f for each key that two versions of a file do not have alike, with its entry in each version; nil if it
// has none. It returns how many keys it looked at.
func differ(before, after *kept, f func(before, after *entry)) (looked int) {
	a, b := before.entries, after.entries
	looked = max(len(a), len(b))
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].hash < b[0].hash:
			f(&a[0], nil)
			a = a[1:]
		case len(a) == 0 || b[0].hash < a[0].hash:
			f(nil, &b[0])
			b = b[1:]
		default:
			if a[0].digest != b[0].digest {
				f(&a[0], &b[0])
			}
			a, b = a[1:], b[1:]
		}
	}
	return looked
}

// homes knows which files a key is in, by the key's hash: nearly always one file.
type homes struct {
	one  map[uint64]uint32   // the number of the file
	more map[uint64][]uint32 // of keys that are in several files: those files
}

func newHomes(size int) homes {
	return homes{one: make(map[uint64]uint32, size), more: map[uint64][]uint32{}}
}

// of calls f with each file that a key is in.
func (h *homes) of(hash uint64, f func(file uint32)) {
	if several, ok := h.more[hash]; ok {
		for _, file := range several {
			f(file)
		}
	} else if file, ok := h.one[hash]; ok {
		f(file)
	}
}

func (h *homes) add(hash uint64, file uint32) {
	if several, ok := h.more[hash]; ok {
		h.more[hash] = append(several, file)
	} else if other, ok := h.one[hash]; ok {
		h.more[hash] = []uint32{other, file}
		delete(h.one, hash)
	} else {
		h.one[hash] = file
	}
}

func (h *homes) remove(hash uint64, file uint32) {
	several, ok := h.more[hash]
	if !ok {
		delete(h.one, hash)
		return
	}
	several = slices.DeleteFunc(several, func(f uint32) bool { return f == file })
	if h.more[hash] = several; len(several) == 1 {
		h.one[hash] = several[0]
		delete(h.more, hash)
	}
}
