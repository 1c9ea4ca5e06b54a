package process

import (
	"log/slog"
	"testing"
	"time"

	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// TestSignatoryCompares: a signer compares all that it has signed with etcd after a chunk has lost anything. It does
// not when a chunk has grown, which its own small ones do all the time.
func TestSignatoryCompares(t *testing.T) {
	name, err := rr.ParseName("example.test.")
	if err != nil {
		t.Fatal(err)
	}
	signed := func(which ...byte) (value []byte) {
		var all []dnssec.Signed
		for _, w := range which {
			all = append(all, dnssec.Signed{
				Digest: dnssec.Digest{w}, Signature: [dnssec.SignatureSize]byte{w},
			})
		}
		return dnssec.AppendChunk(nil, name, 7, all)
	}
	for _, c := range []struct {
		what          string
		before, after []byte
		compares      bool
	}{
		{"is new", nil, signed(1, 2), false},
		{"has grown", signed(1, 2), signed(1, 2, 3), false},
		{"is the same", signed(1, 2), signed(1, 2), false},
		{"has lost one", signed(1, 2), signed(1), true},
		{"has others", signed(1, 2), signed(1, 3, 4), true},
		{"cannot be read", signed(1, 2), []byte("x"), true},
	} {
		g := newSignatory(nil, slog.New(slog.DiscardHandler), time.Now)
		watch, s := g.watch(), slot{"example.test", 7, "1"}
		if c.before != nil {
			watch.put(s, c.before, 1)
		}
		watch.put(s, c.after, 2)
		if got := g.zone("example.test").changed; got != c.compares {
			t.Errorf("a chunk %s: all is compared again: %v, want %v", c.what, got, c.compares)
		}
	}

	g := newSignatory(nil, slog.New(slog.DiscardHandler), time.Now)
	watch, s := g.watch(), slot{"example.test", 7, "1"}
	watch.put(s, signed(1), 1)
	watch.drop(s)
	if !g.zone("example.test").changed {
		t.Error("after a chunk is gone nothing is compared")
	}
}
