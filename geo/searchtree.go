package geo

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/oschwald/maxminddb-golang/v2"
)

// checkTree makes sure that a walk through all networks ends. In the format's search tree, nodes refer to nodes. In a
// damaged file they may form circles, or many may refer to one: 96 nodes are enough for 2^96 networks, and the library
// would walk them all. checkTree takes the same turns as the library and counts them, which takes 60 ms for 6 million
// nodes.
func checkTree(data []byte, m *maxminddb.Metadata) error {
	if m.NodeCount >= 1<<32 {
		return fmt.Errorf("damaged (%d nodes); fetch it again", m.NodeCount)
	}
	nodes := uint32(m.NodeCount)
	copied := nodes // root of the IPv4 tree, if other nodes may refer to it too; nodes: there is none
	if m.IPVersion == 6 {
		root, depth := uint32(0), 0
		for ; depth < 96 && root < nodes; depth++ {
			root, _ = children(data, root, m.RecordSize)
		}
		if root < nodes {
			copied = root
		}
	}
	type branch struct {
		node  uint32
		depth uint8
		v6    bool // one of the first 96 bits is 1
	}
	bits := uint8(128)
	if m.IPVersion == 4 {
		bits = 32
	}
	// A tree has one leaf more than nodes. The slack is for writers that share equal subtrees.
	left := 8*uint64(nodes) + 8
	rest := []branch{{}}
	for len(rest) > 0 {
		at := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		if left--; left == 0 {
			return errors.New("damaged (the search tree has many more networks than nodes); fetch it again")
		}
		if at.node >= nodes || at.node == copied && at.v6 {
			continue
		}
		if at.depth == bits {
			return errors.New("damaged (the search tree is deeper than an address is long); fetch it again")
		}
		zero, one := children(data, at.node, m.RecordSize)
		rest = append(rest,
			branch{one, at.depth + 1, at.v6 || m.IPVersion == 6 && at.depth < 96},
			branch{zero, at.depth + 1, at.v6})
	}
	return nil
}

// children returns the two records of a node, which starts at octet node × size/4. Opening the database has checked
// that all nodes are within data.
func children(data []byte, node uint32, size uint) (zero, one uint32) {
	b := data[uint64(node)*uint64(size/4):]
	switch size {
	case 24:
		return binary.BigEndian.Uint32(b) >> 8, binary.BigEndian.Uint32(b[2:]) & (1<<24 - 1)
	case 28: // the middle byte has the upper bits of both
		return binary.BigEndian.Uint32(b)>>8 | uint32(b[3]&0xf0)<<20, binary.BigEndian.Uint32(b[3:]) & (1<<28 - 1)
	}
	return binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
}
