package dnssec

import "testing"

// Entries follow each other through chunks, whole chunk by whole chunk.
func TestEntriesFollowEachOther(t *testing.T) {
	chunk, at := 0, 0
	for n := range uint32(100_000) {
		if at == chunkSize(chunk) {
			chunk, at = chunk+1, 0
		}
		if c, a := place(n); int(c) != chunk || int(a) != at {
			t.Fatalf("entry %d is in chunk %d at %d, not in %d at %d", n, c, a, chunk, at)
		}
		at++
	}
}

// The table finds what was added, even if identities share one word, or the half of a word that slots have.
func TestTableTellsAlikeApart(t *testing.T) {
	words := []uint64{0, 1, 16, 1 << 32, 1<<32 + 1, 5 << 40, 1 << 63}
	var in table
	want := map[Identity]byte{}
	for i, a := range words {
		for j, b := range words {
			for k := range uint64(20) {
				id := Identity{a + k<<20, b ^ k}
				if found := in.find(id); found != nil && want[id] == 0 {
					t.Fatalf("%x is there before it is added", id)
				}
				if want[id] == 0 && (i+j)%3 > 0 {
					want[id] = byte(1 + (i*7+j*3+int(k))%255)
					in.add(id, [SignatureSize]byte{want[id]})
				}
			}
		}
	}
	if in.len() != len(want) || len(want) < 500 {
		t.Fatalf("%d of %d", in.len(), len(want))
	}
	for _, a := range words {
		for _, b := range words {
			for k := range uint64(20) {
				id := Identity{a + k<<20, b ^ k}
				if found := in.find(id); found == nil && want[id] != 0 || found != nil && found[0] != want[id] {
					t.Errorf("%x: found %v, want %d", id, found, want[id])
				}
			}
		}
	}
}
