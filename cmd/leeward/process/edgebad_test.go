//go:build !noembed

package process_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	clientv3 "go.etcd.io/etcd/client/v3"

	"leeward/zones/dnssec"
	"leeward/zones/rr"
)

// signedBy returns the signature of one TXT record by a zone's key.
func signedBy(t *testing.T, folder string, origin, owner rr.Name) []dnssec.Signed {
	t.Helper()
	keys, err := dnssec.ReadFolder(folder, origin)
	if err != nil {
		t.Fatal(err)
	}
	keys.Note()
	signer := dnssec.NewSigner(keys, false, time.Now())
	set := dnssec.Set{Owner: owner, Type: rr.TypeTXT, TTL: 60, Data: [][]byte{[]byte("\x05hello")}}
	id := signer.Begin([]byte(owner), set.Type, set.TTL)
	signer.Add(&id, set.Data[0])
	g := signer.Now()
	if err := g.Sign(id, set); err != nil {
		t.Fatal(err)
	}
	return g.Noted()
}

// TestEdgeKeepsWhatIsGood: while a chunk of signatures in etcd is bad in one of all ways, a server without keys that
// runs goes on answering as before. One that starts meanwhile does not answer with what is bad. Both say what is wrong,
// where it can be told, and all is well once the right chunk is there again.
func TestEdgeKeepsWhatIsGood(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.putAll(signedResources(listen(t, "127.0.0.1:0"), nil))
	folder, key := keyFolder(t, "example.test")
	keys := []*dns.DNSKEY{key}
	s := signer(t, c, "sign", folder)
	runs := serve(t, edge("runs", c, ""))
	want := runs.holds(keys)
	name, _ := rr.ParseName("example.test")
	c.awaitAhead(s, name)
	s.end()

	other, _ := rr.ParseName("other.test")
	foreign, _ := keyFolder(t, "other.test")
	strange, _ := keyFolder(t, "example.test")
	epoch := dnssec.EpochAt(name, time.Now()).Number
	good, chunk := c.signatures(), ""
	for k := range good {
		if strings.Contains(k, fmt.Sprintf("/%d/", epoch)) && !strings.HasSuffix(k, dnssec.WholeChunk) {
			chunk = k
		}
	}
	r := dnssec.NewReceived(name, func(_ int64, _ string, err error) { t.Error(err) })
	if !r.Put(epoch, "x", good[chunk]) {
		t.Fatal("the chunk cannot be read")
	}
	all := func() []dnssec.Signed { return slices.Clone(r.Entries(epoch, "x")) }
	forged := all()
	for i := range forged {
		forged[i].Signature[i%dnssec.SignatureSize] ^= 1
	}
	flipped := func(at int) []byte {
		b := bytes.Clone(good[chunk])
		b[at] ^= 0x10
		return b
	}
	older := dnssec.AppendChunk(nil, name, epoch-1, all())
	below := slot(name, epoch-1, chunk[strings.LastIndexByte(chunk, '/')+1:])
	whole := slot(name, epoch-1, dnssec.WholeChunk)

	put := func(values map[string][]byte) { // nil: the key is removed
		t.Helper()
		var ops []clientv3.Op
		for _, k := range slices.Sorted(maps.Keys(values)) {
			if v := values[k]; v != nil {
				ops = append(ops, clientv3.OpPut(k, string(v)))
			} else {
				ops = append(ops, clientv3.OpDelete(k))
			}
		}
		if _, err := c.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range []struct {
		what  string
		bad   map[string][]byte
		runs  string // what a server that runs says; "": nothing, as it has what it needs
		fresh string // what one says that starts; "": it answers
	}{
		{
			"a chunk that the signer of another zone has made",
			map[string][]byte{chunk: dnssec.AppendChunk(nil, other, epoch, signedBy(t, foreign, other, other))},
			"no chunk of signatures of this zone", "no chunk of signatures of this zone",
		},
		{"a bit of a digest is another", map[string][]byte{chunk: flipped(60 + len(name))}, "damaged", "damaged"},
		{"a bit of a signature is", map[string][]byte{chunk: flipped(len(good[chunk]) - 60)}, "damaged", "damaged"},
		{"a bit of the sum is", map[string][]byte{chunk: flipped(len(good[chunk]) - 1)}, "damaged", "damaged"},
		{"it is half written", map[string][]byte{chunk: good[chunk][:len(good[chunk])/2]}, "damaged", "damaged"},
		{"it is empty", map[string][]byte{chunk: {}}, "no chunk of signatures", "no chunk of signatures"},
		{"it is gone", map[string][]byte{chunk: nil}, "", "signatures have not come"},
		{
			"signatures are forged", // which shows where one is looked up, and so not where it is known already
			map[string][]byte{chunk: dnssec.AppendChunk(nil, name, epoch, forged)}, "", "does not hold",
		},
		{
			"it is one of a key that is none of the zone's",
			map[string][]byte{chunk: dnssec.AppendChunk(nil, name, epoch,
				signedBy(t, strange, name, "\x03txt"+name))},
			"", "signatures have not come",
		},
		{
			"it signs records of another owner",
			map[string][]byte{chunk: dnssec.AppendChunk(nil, name, epoch, signedBy(t, folder, name, "\x04evil"+name))},
			"", "signatures have not come",
		},
		{
			"it is one of an earlier day in the place of today's",
			map[string][]byte{chunk: older},
			"of this zone and day", "of this zone and day",
		},
		{
			"an earlier day is put back", map[string][]byte{
				below: older, whole: dnssec.AppendChunk(nil, name, epoch-1, nil),
			}, "", "",
		},
	} {
		put(one.bad)
		if one.runs != "" {
			runs.awaitSaid(strings.TrimPrefix(chunk, "/leeward")+": ", true)
			runs.awaitSaid(one.runs, true)
		}
		fresh := serve(t, edge("fresh", c, ""))
		if one.fresh != "" {
			fresh.awaitSaid(one.fresh, true)
			if got, err := fresh.ask("txt.example.test", dns.TypeTXT, keys); err == nil {
				t.Errorf("%s: one that starts answers %s", one.what, got)
			}
		} else if got := fresh.holds(keys); !slices.Equal(got, want) {
			t.Errorf("%s: one that starts answers\n%s\nand not\n%s", one.what, got, want)
		}
		if got := runs.holds(keys); !slices.Equal(got, want) {
			t.Errorf("%s: one that runs answers\n%s\nand not\n%s", one.what, got, want)
		}
		back := map[string][]byte{}
		for k := range one.bad {
			back[k] = good[k]
		}
		put(back)
		for _, p := range []*member{runs, fresh} {
			if got := p.holds(keys); !slices.Equal(got, want) {
				t.Errorf("%s, and then right: the answers are\n%s\nand not\n%s", one.what, got, want)
			}
			for _, text := range []string{one.runs, one.fresh} {
				if text != "" {
					p.awaitSaid(text, false)
				}
			}
		}
		fresh.end()
	}
}
