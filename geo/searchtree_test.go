package geo

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter"
)

// rewire makes a database whose search tree is given by node, which returns each node's two records of 32 bits.
func rewire(t *testing.T, count int, node func(i int) (zero, one uint32)) []byte {
	t.Helper()
	model := database(t, mmdbwriter.Options{DatabaseType: "GeoLite2-Country", RecordSize: 32},
		entry{"2001:db8::/32", city("", "DE", "", 0, 0)})
	at := bytes.Index(model, []byte("node_count")) + len("node_count")
	if model[at]>>5 != 6 { // an unsigned integer of 32 bits
		t.Fatalf("the node count is of type %d", model[at]>>5)
	}
	size := int(model[at] & 0x1f)
	nodes := 0
	for _, b := range model[at+1 : at+1+size] {
		nodes = nodes<<8 | int(b)
	}
	var tree []byte
	for i := range count {
		zero, one := node(i)
		tree = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(tree, zero), one)
	}
	rest := bytes.Clone(model[8*nodes:])
	at -= 8 * nodes
	for i := range size {
		rest[at+size-i] = byte(count >> (8 * i))
	}
	return append(tree, rest...)
}

func TestTreesThatAreNone(t *testing.T) {
	const n = 120
	for what, node := range map[string]func(i int) (uint32, uint32){
		"a circle":              func(i int) (uint32, uint32) { return uint32((i + 1) % n), n + 16 },
		"a circle on the right": func(i int) (uint32, uint32) { return n + 16, uint32((i + 1) % n) },
		// the last is n: empty
		"two ways down, to data": func(i int) (uint32, uint32) { return uint32(i + 1), uint32(i + 1) },
		"two ways down, to IPv4": func(i int) (uint32, uint32) {
			if i < 96 {
				return uint32(i + 1), uint32(i + 1)
			}
			return n, n
		},
	} {
		_, err := readLayer(rewire(t, n, node))
		if err == nil || !strings.Contains(err.Error(), "the search tree") ||
			!strings.Contains(err.Error(), "fetch it again") {
			t.Errorf("%s: error %v", what, err)
		}
	}
	// The same without damage: it shows that rewire makes readable databases.
	if _, err := readLayer(rewire(t, n, func(i int) (uint32, uint32) { return uint32(i + 1), n + 16 })); err != nil {
		t.Errorf("a tree: %v", err)
	}
}
