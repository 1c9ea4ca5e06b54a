package dnssec

import (
	"bytes"
	"slices"
	"sort"
)

// Chain is the owners of a zone's NSEC or NSEC3 records, in order. It never changes: Edit makes another one, which
// shares with this one all that is the same.
//
// Owners are kept as keys: strings of octets that sort as the records are linked (OrderKey, or a hash followed by its
// name). Keys lie in blocks of some 64, so that a change copies one block and the list of blocks.
type Chain struct {
	blocks []block // none of them is empty
	count  int
}

type block struct {
	data []byte
	ends []uint16 // where each key ends
}

// blockMost is how many keys a block holds. A key has at most 512 octets, so offsets in a block fit in 16 bits.
const blockMost = 96

func (b *block) key(i int) []byte {
	start := uint16(0)
	if i > 0 {
		start = b.ends[i-1]
	}
	return b.data[start:b.ends[i]:b.ends[i]]
}

// Len returns how many owners there are.
func (c *Chain) Len() int {
	if c == nil {
		return 0
	}
	return c.count
}

// Find returns the last key that is not above the given one, or the very last if all are above it. It also returns the
// key that follows, or the first one after the last. exact says that at is the key itself. The chain must not be empty.
func (c *Chain) Find(key []byte) (at, next []byte, exact bool) {
	i := sort.Search(len(c.blocks), func(i int) bool { return bytes.Compare(c.blocks[i].key(0), key) > 0 }) - 1
	if i < 0 {
		last := &c.blocks[len(c.blocks)-1]
		return last.key(len(last.ends) - 1), c.blocks[0].key(0), false
	}
	b := &c.blocks[i]
	n := sort.Search(len(b.ends), func(n int) bool { return bytes.Compare(b.key(n), key) > 0 }) - 1
	at = b.key(n)
	switch {
	case n+1 < len(b.ends):
		next = b.key(n + 1)
	case i+1 < len(c.blocks):
		next = c.blocks[i+1].key(0)
	default:
		next = c.blocks[0].key(0)
	}
	return at, next, bytes.Equal(at, key)
}

// Before returns the last key below the given one, or the very last if there is none. The chain must not be empty.
func (c *Chain) Before(key []byte) []byte {
	i := sort.Search(len(c.blocks), func(i int) bool { return bytes.Compare(c.blocks[i].key(0), key) >= 0 }) - 1
	if i < 0 {
		i = len(c.blocks) - 1
		return c.blocks[i].key(len(c.blocks[i].ends) - 1)
	}
	b := &c.blocks[i]
	return b.key(sort.Search(len(b.ends), func(n int) bool { return bytes.Compare(b.key(n), key) >= 0 }) - 1)
}

// Each calls f with every key, in order.
func (c *Chain) Each(f func(key []byte)) {
	if c == nil {
		return
	}
	for i := range c.blocks {
		for n := range c.blocks[i].ends {
			f(c.blocks[i].key(n))
		}
	}
}

// Edit returns the chain with some keys added and others removed. It ignores keys that are already there, or already
// missing. It sorts both lists in place; they must have no key in common. The chain may be nil.
func (c *Chain) Edit(put, drop [][]byte) *Chain {
	slices.SortFunc(put, bytes.Compare)
	slices.SortFunc(drop, bytes.Compare)
	out := &Chain{}
	if c == nil || len(c.blocks) == 0 {
		out.add(slices.CompactFunc(put, bytes.Equal))
		return out
	}
	for i := range c.blocks {
		// keys below the first one of the next block belong to this block
		mine := func(list *[][]byte) [][]byte {
			n := len(*list)
			if i+1 < len(c.blocks) {
				next := c.blocks[i+1].key(0)
				n = sort.Search(n, func(n int) bool { return bytes.Compare((*list)[n], next) >= 0 })
			}
			cut := (*list)[:n]
			*list = (*list)[n:]
			return cut
		}
		p, d := mine(&put), mine(&drop)
		if len(p)+len(d) == 0 {
			out.blocks = append(out.blocks, c.blocks[i])
			out.count += len(c.blocks[i].ends)
			continue
		}
		out.add(c.blocks[i].merge(p, d))
	}
	return out
}

// merge returns the block's keys with some added and others removed.
func (b *block) merge(put, drop [][]byte) [][]byte {
	all := make([][]byte, 0, len(b.ends)+len(put))
	for n := range b.ends {
		k := b.key(n)
		for len(put) > 0 && bytes.Compare(put[0], k) < 0 {
			all, put = append(all, put[0]), put[1:]
		}
		for len(put) > 0 && bytes.Equal(put[0], k) {
			put = put[1:]
		}
		if _, gone := slices.BinarySearchFunc(drop, k, bytes.Compare); !gone {
			all = append(all, k)
		}
	}
	return slices.CompactFunc(append(all, put...), bytes.Equal)
}

// add appends keys as blocks of equal size.
func (c *Chain) add(all [][]byte) {
	c.count += len(all)
	for parts := (len(all) + blockMost - 1) / blockMost; len(all) > 0; parts-- {
		n := (len(all) + parts - 1) / parts
		size := 0
		for _, k := range all[:n] {
			size += len(k)
		}
		b := block{data: make([]byte, 0, size), ends: make([]uint16, 0, n)}
		for _, k := range all[:n] {
			b.data = append(b.data, k...)
			b.ends = append(b.ends, uint16(len(b.data)))
		}
		c.blocks = append(c.blocks, b)
		all = all[n:]
	}
}

// AppendOrderKey appends a key for a name without the labels of its zone. Such keys compare as names do (RFC 4034
// section 6.1). A key has the labels from right to left; each ends with 0, and octets 0 and 1 within it are escaped.
// name is in wire form and lower case. above says where each of its labels begins, without those of the zone.
func AppendOrderKey(dst, name []byte, above []uint8) []byte {
	for i := len(above) - 1; i >= 0; i-- {
		at := int(above[i])
		for _, c := range name[at+1 : at+1+int(name[at])] {
			if c <= 1 {
				dst = append(dst, 1)
				c++
			}
			dst = append(dst, c)
		}
		dst = append(dst, 0)
	}
	return dst
}

// AppendKeyName appends the labels that a key stands for, in wire form, without those of the zone.
func AppendKeyName(dst, key []byte) []byte {
	for end := len(key); end > 0; {
		start := end - 1 // start of the last label: after the 0 that ends the one before
		for start > 0 && key[start-1] != 0 {
			start--
		}
		at := len(dst)
		dst = append(dst, 0)
		for i := start; i < end-1; i++ {
			c := key[i]
			if c == 1 {
				i++
				c = key[i] - 1
			}
			dst = append(dst, c)
		}
		dst[at] = byte(len(dst) - at - 1)
		end = start
	}
	return dst
}
