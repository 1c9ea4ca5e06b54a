package document

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"leeward/zones"
	"leeward/zones/catalog"
	"leeward/zones/sourcetest"
)

func TestDecodeUndoesEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := sourcetest.Resource(t)
		if problems := zones.Validate(r); len(problems) > 0 {
			t.Fatalf("%+v: %v", r, problems)
		}
		value, err := zones.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(r.Key(), value)
		if err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		if d := cmp.Diff(r, back, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
			t.Fatalf("%s: %s", value, d)
		}
		var yaml bytes.Buffer
		if err := WriteYAML(&yaml, []zones.Resource{r}); err != nil {
			t.Fatal(err)
		}
		docs, problems := Read("x.yaml", bytes.NewReader(yaml.Bytes()))
		if len(problems) > 0 || len(docs) != 1 || !zones.Same(docs[0].Resource, r) {
			t.Fatalf("%s: %v", yaml.String(), problems)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []struct{ key, value string }{
		{"zones/example.test", `{"nameservers":["ns1.example.test"],"hostmaster":"a.b@example.test","ttl":"300s"}`},
		{"records/example.test/@/MX", `{"ttl":"1h","data":["10 mail"]}`},
		{"policies/www.example.test", `{"rules":[{"when":{"countries":["DE"]},"failover":[{"a":1,"b":2},"c"]},{"nearest":["a"],"bias":{"a":"5%"}}]}`},
		{"maps/m", `{"prefixes":{"192.0.2.0/24":["eu"],"AS1":["us"]}}`},
		{"monitors/m", `{"https":{"status":200},"quorum":2}`},
		{"endpoints/a/b", `{"addresses":["2001:db8::1"],"weight":0}`},
		{"overrides/region/eu", `{"state":"drain","until":"2026-11-27T00:00:00Z"}`},
		{"pools/a", `{"region":"\u0065u","minHealthy":"50%"}`},
	} {
		f.Add(seed.key, []byte(seed.value))
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		r, err := Decode(zones.Key(key), value)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		if r.Key() != zones.Key(key) {
			t.Errorf("key %q came back as %q", key, r.Key())
		}
		again, err := zones.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Decode(zones.Key(key), again); err != nil || !zones.Same(r, back) {
			t.Errorf("%s encoded as %s: %v", value, again, err)
		}
	})
}

func FuzzReadDocuments(f *testing.F) {
	f.Add("a.yaml", []byte("kind: Pool\nname: a\nregion: eu\n---\nkind: Region\nname: eu\n"))
	f.Add("a.json", []byte(`[{"kind":"Region","name":"eu"}]`))
	f.Add("a.yaml", []byte("kind: Policy\nname: a.b\nrules: &r [*r]\n"))
	f.Add("a.yaml", []byte("kind: Policy\nname: a.b\nrules:\n  - failover: [{a: 1}, b]\n"))
	f.Fuzz(func(t *testing.T, file string, text []byte) {
		docs, problems := Read(file, bytes.NewReader(text))
		for _, p := range problems {
			if p.Message == "" || p.File != file {
				t.Errorf("%+v", p)
			}
		}
		catalog.Check(docs, problems...)
		var b bytes.Buffer
		if err := WriteYAML(&b, zones.Resources(docs)); err != nil {
			t.Fatal(err)
		}
		if again, problems := Read("again.yaml", bytes.NewReader(b.Bytes())); len(problems) > 0 ||
			len(again) != len(docs) {
			t.Errorf("%d documents written as\n%s\nread as %d: %v", len(docs), b.String(), len(again), problems)
		}
	})
}
