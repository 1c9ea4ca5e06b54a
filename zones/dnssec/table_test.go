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
