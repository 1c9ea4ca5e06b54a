package snapshot

import (
	"bytes"
	"fmt"

	"leeward/zones/rr"
)

// Member is a zone that a catalog zone lists (RFC 9432 section 4.1).
type Member struct {
	Name  rr.Name
	Label string  // the unique label that lists it, as text
	Owner rr.Name // catalog zone that may take it over (the coo property, section 4.4.1); "": none
}

// catalogVersion is the only version of the schema, in the form of a TXT (RFC 9432 section 4.3.1).
var catalogVersion = []byte{1, '2'}

// Members reads the version as a catalog zone, in the order of its tree. An error says why the catalog is broken, in
// which case it says nothing about members (RFC 9432 section 5.1). Unknown properties are ignored.
func (v *Version) Members() ([]Member, error) {
	under := func(label string, n rr.Name) rr.Name {
		return rr.Name(string([]byte{byte(len(label))}) + label + string(n))
	}
	schema, list := under("version", v.origin), under("zones", v.origin)
	n := v.tree.find([]byte(schema))
	if n == nil {
		return nil, fmt.Errorf("there is no %s TXT, which gives the catalog's version", schema)
	}
	count, wire := n.set(rr.TypeTXT)
	if count != 1 || !bytes.Equal(wire[recordHead:], catalogVersion) {
		return nil, fmt.Errorf("%s does not have the single TXT \"2\", the version that is known here", schema)
	}
	var broken error
	var all []Member
	var nodes []rr.Name // of all
	owners := map[rr.Name]rr.Name{}
	by := map[rr.Name]string{}
	v.Each(func(name []byte, typ rr.Type, count int, wire []byte) bool {
		owner := rr.Name(name)
		if typ != rr.TypePTR || owner == list || !owner.Under(list) {
			return true
		}
		depth := owner.Labels() - list.Labels()
		coo := depth == 2 && bytes.HasPrefix(name, []byte("\x03coo"))
		if depth != 1 && !coo {
			return true // it is an unknown property
		}
		if count != 1 {
			broken = fmt.Errorf("%s has %d PTR, where one is allowed", owner, count)
			return false
		}
		target, _, err := rr.CutName(bytes.ToLower(wire[recordHead:]))
		if err != nil {
			broken = fmt.Errorf("%s PTR: %w", owner, err)
			return false
		}
		if coo {
			owners[owner.Parent()] = target
			return true
		}
		label := rr.TrimDot(rr.Name(string(name[:1+int(name[0])]) + "\x00").String())
		if other, twice := by[target]; twice {
			broken = fmt.Errorf("%s is a member twice, by the labels %s and %s", target, other, label)
			return false
		}
		by[target] = label
		all, nodes = append(all, Member{Name: target, Label: label}), append(nodes, owner)
		return true
	})
	if broken != nil {
		return nil, broken
	}
	for i, node := range nodes {
		all[i].Owner = owners[node]
	}
	return all, nil
}
