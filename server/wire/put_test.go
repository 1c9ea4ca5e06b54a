package wire

// The forms of an RRset, as tests write them.

func (b *Builder) Set(s Section, records []byte, count, owner int) bool {
	return b.Put(s, &RRset{Owner: uint16(owner), Data: records, Count: uint16(count)})
}

func (b *Builder) SetFrom(first int, s Section, records []byte, count, owner int) bool {
	return b.Put(s, &RRset{Owner: uint16(owner), Data: records, Count: uint16(count), First: uint16(max(first, 0))})
}

func (b *Builder) SetNames(s Section, records []byte, count, owner int, name []byte, at int) bool {
	r := &RRset{Owner: uint16(owner), Data: records, Count: uint16(count)}
	if _, names := Embedded(uint16(records[2])<<8 | uint16(records[3])); names > 0 {
		r.Name, r.NameAt = name, uint16(at)
	}
	return b.Put(s, r)
}

func (b *Builder) Addresses(s Section, owner int, ttl uint32, addresses []byte, width int) bool {
	kind := TypeA
	if width == 16 {
		kind = TypeAAAA
	}
	return b.Put(s, &RRset{
		Owner: uint16(owner), Type: kind, TTL: ttl, Data: addresses,
		Count: uint16(len(addresses) / width),
	})
}
