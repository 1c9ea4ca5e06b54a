package dnssec

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"leeward/zones/rr"
)

// edge is a place without private keys: a zone's public keys, and what was received.
type edge struct {
	*Keys
	hand    *Hand
	refused []string
}

func newEdge(t *testing.T, k *Keys, at time.Time) *edge {
	t.Helper()
	e := &edge{}
	e.hand = &Hand{Received: NewReceived(k.origin, func(_ int64, name string, err error) {
		e.refused = append(e.refused, name+": "+err.Error())
	})}
	e.hand.Vouch([]byte("of this server"))
	paper, err := HandOut(HandedOut{Keys: k, Made: at}, nil)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadHandOut(k.origin, paper, nil, at, e.hand)
	if err != nil {
		t.Fatal(err)
	}
	e.Keys = read.Keys
	return e
}

// someSets are sets of a zone: single addresses, sets of several, and keys.
func someSets(k *Keys) (all []Set) {
	for i := range byte(20) {
		all = append(all, Set{
			Owner: "\x03www" + k.origin, Type: rr.TypeA, TTL: 60, Data: [][]byte{{192, 0, 2, i}, {192, 0, 2, 100 + i}},
		})
	}
	return append(all, Set{Owner: k.origin, Type: rr.TypeDNSKEY, TTL: 3600, Data: k.At(time.Time{}).DNSKEY})
}

// rrsigs signs sets in a generation, and returns the RDATA of all RRSIGs; missing is how many sets have none.
func rrsigs(t *testing.T, s *Signer, g *Generation, sets []Set) (all []byte, missing int) {
	t.Helper()
	for _, set := range sets {
		id := s.Begin([]byte(set.Owner), set.Type, set.TTL)
		for _, d := range set.Data {
			s.Add(&id, d)
		}
		if err := g.Sign(id, set); err == ErrNotHere {
			missing++
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		before := len(all)
		var made bool
		if all, made = g.AppendRRSIGs(all, id, []byte(set.Owner), set.Type, set.TTL); !made || len(all) == before {
			t.Fatal("a set that is signed has no RRSIG")
		}
	}
	return all, missing
}

// TestEdgeAnswersTheSame: a server without private keys has the same signatures as one with them, of several keys and
// algorithms, even after a restart.
func TestEdgeAnswersTheSame(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	origin := rr.Name("\x07example\x04test\x00")
	var keys []TimedKey
	for _, a := range []Algorithm{ECDSAP256, Ed25519} {
		for _, flags := range []uint16{FlagsCSK, FlagZone} {
			k, err := Generate(origin, flags, a)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, TimedKey{Key: k, Times: Times{Activate: at.Add(-time.Hour).Truncate(time.Second)}})
		}
	}
	k, err := NewKeys(origin, keys...)
	if err != nil {
		t.Fatal(err)
	}
	k.Note()
	signer := NewSigner(k, false, at)
	sets := someSets(k)
	want, _ := rrsigs(t, signer, signer.Now(), sets)
	number := signer.Now().Epoch.Number

	e := newEdge(t, k, at)
	fresh := signer.Now().Fresh()
	half := len(fresh) / 2
	e.hand.Received.Put(number, "1", AppendChunk(nil, origin, number, slices.Clone(fresh[:half])))
	mine := NewSigner(e.Keys, false, at)
	if _, missing := rrsigs(t, mine, mine.Now(), sets); missing == 0 {
		t.Fatal("nothing is missing of half of the signatures")
	}
	e.hand.Received.Put(number, "2", AppendChunk(nil, origin, number, slices.Clone(fresh[half:])))
	got, missing := rrsigs(t, mine, mine.Now(), sets)
	if missing != 0 || !bytes.Equal(got, want) {
		t.Fatalf("%d sets are missing; equal: %v", missing, bytes.Equal(got, want))
	}
	if NewSigner(e.Keys, false, at) != mine || mine.With(e.Keys, false, at) != mine {
		t.Error("the zone has two signers")
	}

	path := filepath.Join(t.TempDir(), "kept")
	if done, err := mine.Keep(path, mine.Now()); !done || err != nil {
		t.Fatal(done, err)
	}
	again := newEdge(t, k, at)
	if again.hand.Kept, err = ReadKept(path, again.Keys); err != nil {
		t.Fatal(err)
	}
	later := at.AddDate(0, 0, 12) // nothing newer has arrived
	back := NewSigner(again.Keys, false, later)
	got, missing = rrsigs(t, back, back.Now(), sets)
	if missing != 0 || !bytes.Equal(got, want) || back.Now().Epoch.Number != number {
		t.Fatalf("after a restart %d sets are missing, epoch %d of %d", missing, back.Now().Epoch.Number, number)
	}
	other := newEdge(t, k, at)
	for _, key := range other.Keys.All() {
		key.hand.Vouch([]byte("of another server"))
	}
	if _, err := ReadKept(path, other.Keys); err == nil {
		t.Error("the file of another server is read")
	}
}

// TestChunksNotUsed: a chunk that is cut short, damaged, of another zone or day, or forged does not count, and an error
// says which and why. Good chunks beside it do.
func TestChunksNotUsed(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	origin := rr.Name("\x07example\x04test\x00")
	k := keptKey(t, origin)
	k.Note()
	signer := NewSigner(k, false, at)
	sets := someSets(k)
	want, _ := rrsigs(t, signer, signer.Now(), sets)
	n := signer.Now().Epoch.Number
	good := signer.Now().Fresh()
	whole := AppendChunk(nil, origin, n, slices.Clone(good))
	forged := slices.Clone(good)
	for i := range forged {
		forged[i].Signature[i%SignatureSize] ^= 1
	}
	stranger := keptKey(t, origin)
	stranger.Note()
	other := NewSigner(stranger, false, at)
	rrsigs(t, other, other.Now(), sets)
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 1
	for name, c := range map[string]struct {
		value []byte
		why   string // "": it is not read, as nothing asks for its content
	}{
		"empty":    {nil, errChunkForeign.Error()},
		"half":     {whole[:len(whole)/2], errChunkBroken.Error()},
		"less":     {whole[:len(whole)-1], errChunkBroken.Error()},
		"damaged":  {damaged, errChunkBroken.Error()},
		"old":      {AppendChunk(nil, origin, n-1, slices.Clone(good)), errChunkForeign.Error()},
		"foreign":  {AppendChunk(nil, "\x05other\x04test\x00", n, slices.Clone(good)), errChunkForeign.Error()},
		"forged":   {AppendChunk(nil, origin, n, forged), errChunkForged.Error()},
		"stranger": {AppendChunk(nil, origin, n, other.Now().Fresh()), ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEdge(t, k, at)
			e.hand.Received.Put(n, "bad", c.value)
			mine := NewSigner(e.Keys, false, at)
			if got, missing := rrsigs(t, mine, mine.Now(), sets); missing != len(sets) || len(got) > 0 {
				t.Fatalf("%d of %d sets are missing", missing, len(sets))
			}
			e.hand.Received.Put(n, "good", whole)
			if got, missing := rrsigs(t, mine, mine.Now(), sets); missing > 0 || !bytes.Equal(got, want) {
				t.Fatalf("%d sets are missing beside a good chunk", missing)
			}
			want := ""
			if c.why != "" {
				want = "bad: " + c.why
			}
			if said := strings.Join(e.refused, "\n"); said != want {
				t.Errorf("it says %q, want %q", said, want)
			}
		})
	}
}

// TestReceivedForgets: a chunk that is replaced or dropped no longer counts. Signatures that other chunks have too
// stay.
func TestReceivedForgets(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	origin := rr.Name("\x07example\x04test\x00")
	r := NewReceived(origin, func(int64, string, error) { t.Error("a chunk was refused") })
	e := EpochAt(origin, at)
	one := func(i byte) Signed { return Signed{Digest: Digest{i}, Signature: [SignatureSize]byte{i}} }
	r.Put(e.Number, "a", AppendChunk(nil, origin, e.Number, []Signed{one(1), one(2)}))
	r.Put(e.Number, "b", AppendChunk(nil, origin, e.Number, []Signed{one(2), one(3)}))
	has := func(want string) {
		t.Helper()
		got := ""
		for i := range byte(5) {
			if there, _ := r.Has(e.Number, one(i)); there {
				got += string('0' + rune(i))
			}
		}
		if got != want {
			t.Errorf("there are %s and should be %s", got, want)
		}
	}
	has("123")
	r.Drop(e.Number, "a")
	has("23")
	r.Put(e.Number, "b", AppendChunk(nil, origin, e.Number, []Signed{one(4)}))
	has("4")
	r.Drop(e.Number, "b")
	has("")
	if len(r.Epochs()) > 0 {
		t.Error("an epoch without chunks is there")
	}
}

// TestHandOut: a handout is accepted if one of the zone's keys has signed it, but not if only strangers have.
func TestHandOut(t *testing.T) {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	origin := rr.Name("\x07example\x04test\x00")
	first, second := keptKey(t, origin), keptKey(t, origin)
	second.all[0].Times = Times{Publish: at, Activate: at.Add(time.Hour), Inactive: at.Add(2 * time.Hour)}
	second.all[0].Role = RoleCSK
	both, err := NewKeys(origin, first.all[0], second.all[0])
	if err != nil {
		t.Fatal(err)
	}
	hand := &Hand{Received: NewReceived(origin, nil)}
	read := func(k, had *Keys) (*Keys, error) {
		t.Helper()
		roll := &Roll{Kind: RollsEntry, Step: "sign", Began: at, New: []Place{second.all[0].Place()}}
		out := HandedOut{k, at, 12, roll}
		paper, err := HandOut(out, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ReadHandOut(origin, paper, had, at, hand)
		if err == nil && (!got.Made.Equal(at) || got.Revision != 12 || !got.Same(&out)) {
			t.Errorf("%+v became %+v", out, got)
		}
		return got.Keys, err
	}
	one, err := read(first, nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := read(both, one)
	if err != nil {
		t.Fatal(err)
	}
	for i := range both.all {
		if a, b := both.all[i], two.all[i]; !a.same(b.Key) || a.Times != b.Times || a.Role != b.Role {
			t.Errorf("%v %v became %v %v", a.Times, a.Role, b.Times, b.Role)
		}
	}
	if _, err := read(second, two); err != nil {
		t.Errorf("a key that the zone has is not enough: %v", err)
	}
	if _, err := read(second, one); err == nil {
		t.Error("the keys of a stranger are taken")
	}
	paper, _ := HandOut(HandedOut{Keys: both, Made: at, Roll: &Roll{Kind: RollsZSK, Step: "publish", Began: at}}, nil)
	for _, change := range [][2]string{{"Inactive", "Activate"}, {`"publish"`, `"delete"`}} {
		altered := bytes.Replace(paper, []byte(change[0]), []byte(change[1]), 1)
		if _, err := ReadHandOut(origin, altered, one, at, hand); err == nil || bytes.Equal(altered, paper) {
			t.Errorf("a handout with %s in place of %s is taken", change[1], change[0])
		}
	}
	other := strings.Replace(string(paper), "example", "another", 1)
	for _, paper := range []string{"", "{}", string(paper[:len(paper)/2]), other} {
		if _, err := ReadHandOut(origin, []byte(paper), nil, at, hand); err == nil {
			t.Errorf("%.40q is taken", paper)
		}
	}
}

// TestHandOutTimes: keys come out of a handout with their times, even those that a later step of a roll sets. So they
// do what they do at the source.
func TestHandOutTimes(t *testing.T) {
	origin := name(t, "example.test")
	made := []*Key{key(t, "example.test", ECDSAP256), key(t, "example.test", Ed25519)}
	rapid.Check(t, func(r *rapid.T) {
		var all []TimedKey
		for _, k := range made {
			timed := TimedKey{Key: k}
			timed.Times.each(func(name string, at *time.Time) {
				switch hours := rapid.IntRange(-2, 50).Draw(r, name); hours {
				case -2:
				case -1:
					*at = Never
				default:
					*at = day0.Add(time.Duration(hours) * time.Hour)
				}
			})
			all = append(all, timed)
		}
		keys, err := NewKeys(origin, all...)
		if err != nil {
			r.Fatal(err)
		}
		paper, err := HandOut(HandedOut{Keys: keys, Made: day0}, nil)
		if err != nil {
			r.Fatal(err)
		}
		out, err := ReadHandOut(origin, paper, nil, day0, nil)
		if err != nil {
			r.Fatal(err)
		}
		at := day0.Add(time.Duration(rapid.IntRange(0, 60).Draw(r, "now")) * time.Hour)
		if !out.Keys.Equal(keys) || !out.Keys.At(at).same(keys.At(at)) {
			r.Fatalf("what comes out is not what went in: %+v", all)
		}
	})
}

// TestHandOutLinks: a server may have been away for any time, while keys came and went. It follows the links to the
// present keys if they are there and whole. It follows none that was forged, or that leads from a key that it knows to
// be gone.
func TestHandOutLinks(t *testing.T) {
	origin := name(t, "example.test")
	rapid.Check(t, func(r *rapid.T) {
		now := day0
		make := func() TimedKey {
			a := rapid.SampledFrom([]Algorithm{ECDSAP256, Ed25519}).Draw(r, "algorithm")
			return TimedKey{Key: key(t, "example.test", a), Times: Times{Publish: now, Activate: now}}
		}
		first := make()
		all := []TimedKey{first}
		var papers [][]byte
		var had []*Keys // by edition: the keys of a server that has read it
		hand := func() {
			k, err := NewKeys(origin, all...)
			if err != nil {
				r.Skip(err) // two with the same tag
			}
			var before []byte
			if n := len(papers); n > 0 {
				before = papers[n-1]
			}
			paper, err := HandOut(HandedOut{Keys: k, Made: now}, before)
			if err != nil {
				r.Fatal(err)
			}
			out, err := ReadHandOut(origin, paper, nil, now, nil)
			if err != nil || !out.Keys.Equal(k) {
				r.Fatal(err)
			}
			papers, had = append(papers, paper), append(had, out.Keys)
		}
		hand()
		for range rapid.IntRange(1, 6).Draw(r, "rolls") {
			all = append(slices.Clone(all), make()) // the new one comes,
			hand()
			now = now.Add(time.Hour)
			all = slices.Clone(all)
			all[0].Times.Inactive, all[0].Times.Delete = now, now // the old one is gone,
			now = now.Add(72 * time.Hour)
			hand()
			all = all[1:] // and is cleared away
			hand()
		}
		last := papers[len(papers)-1]
		for i, k := range had {
			if _, err := ReadHandOut(origin, last, k, now, nil); err != nil {
				r.Fatalf("who has the keys of %d of %d: %v", i, len(had), err)
			}
		}

		// With any octet changed, nothing comes out but what was handed out.
		spoilt := bytes.Clone(last)
		spoilt[rapid.IntRange(0, len(spoilt)-1).Draw(r, "at")] ^= byte(rapid.IntRange(1, 255).Draw(r, "by"))
		if out, err := ReadHandOut(origin, spoilt, had[0], now, nil); err == nil && !out.Keys.Equal(had[len(had)-1]) {
			r.Fatal("keys that nobody has handed out are taken")
		}

		// A handout by a stranger with links of the zone, and links by a key that the receiver knows to be gone.
		strange, err := NewKeys(origin, make())
		if err != nil {
			r.Fatal(err)
		}
		theirs, err := HandOut(HandedOut{Keys: strange, Made: now.Add(time.Hour)}, last)
		if err != nil {
			r.Fatal(err)
		}
		for _, k := range had {
			if _, err := ReadHandOut(origin, theirs, k, now, nil); err == nil {
				r.Fatal("a stranger's keys are taken")
			}
		}
		gone, err := NewKeys(origin, first, strange.all[0])
		if err != nil {
			r.Skip(err)
		}
		link, err := HandOut(HandedOut{Keys: gone, Made: now}, nil)
		if err != nil {
			r.Fatal(err)
		}
		theirs, err = HandOut(HandedOut{Keys: strange, Made: now.Add(time.Hour)}, link)
		if err != nil {
			r.Fatal(err)
		}
		for i, k := range had {
			_, err := ReadHandOut(origin, theirs, k, now, nil)
			if knows := i >= 2; knows && err == nil {
				r.Fatal("a key that is gone leads to others")
			} else if !knows && err != nil {
				r.Fatalf("the test tells nothing: %v", err)
			}
		}
	})
}
