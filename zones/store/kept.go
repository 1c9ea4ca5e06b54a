package store

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strings"

	"leeward/zones"
)

// kept is what a scanner remembers of a file's resources once they are delivered, Zones aside: their keys, where they
// stand, and 64 bits that tell their content from another. Nothing in it is a pointer but its three parts, and a record
// takes some 50 octets. Two keys or contents that hash alike by accident would pass for one; of a million records, the
// odds are one in thirty million.
type kept struct {
	prefix  string   // of all keys
	text    string   // the rest of the keys, one after the other
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

// digests makes hashes that differ from process to process, so that nobody can write two keys that hash alike.
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

// keep remembers documents whose keys all begin with the prefix and are there once. order says which document each entry
// is of.
func (d digests) keep(prefix string, docs []zones.Document) (k kept, order []uint32) {
	k.prefix = prefix
	var text strings.Builder
	type numbered struct {
		entry
		doc uint32
	}
	all := make([]numbered, 0, len(docs))
	places := map[string]uint32{}
	for i := range docs {
		doc := &docs[i]
		if _, ok := doc.Resource.(*zones.Zone); ok {
			continue
		}
		key := doc.Resource.Key()
		place, known := places[doc.File]
		if !known {
			place = uint32(len(k.places))
			places[doc.File] = place
			k.places = append(k.places, doc.File)
		}
		rest := string(key)[len(prefix):]
		all = append(all, numbered{entry{
			hash: d.ofKey(key), digest: d.of(doc.Resource), text: uint32(text.Len()), length: uint32(len(rest)),
			line: uint32(doc.Line), place: place,
		}, uint32(i)})
		text.WriteString(rest)
	}
	slices.SortFunc(all, func(a, b numbered) int { return cmp.Compare(a.hash, b.hash) })
	k.text = strings.Clone(text.String())
	k.entries, order = make([]entry, len(all)), make([]uint32, len(all))
	for i := range all {
		k.entries[i], order[i] = all[i].entry, all[i].doc
	}
	return k, order
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

// differ calls f with each key that is in one of two versions of a file only, or says something else in them: with its
// entry in each, nil where there is none. It returns how many it has looked at.
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

// homes says which files a key is in, by its hash: nearly always one.
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
