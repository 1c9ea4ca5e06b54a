package dnssec

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"leeward/zones/rr"
)

// keeping returns a signer that has signed some sets, and its file.
func keeping(t *testing.T, k *Keys, at time.Time) (s *Signer, path string, sign func(*Signer, *Generation)) {
	t.Helper()
	s = NewSigner(k, false, at)
	sign = func(s *Signer, g *Generation) {
		t.Helper()
		for i := range byte(4) {
			set := Set{Owner: k.origin, Type: rr.TypeA, TTL: 60, Data: [][]byte{{192, 0, 2, i}}}
			for _, f := range []func(Identity, Set) error{g.Sign, g.SignChosen} {
				id := s.Begin([]byte(set.Owner), set.Type, set.TTL)
				for _, d := range set.Data {
					s.Add(&id, d)
				}
				if err := f(id, set); err != nil {
					t.Fatal(err)
				}
				read := g.AppendRRSIGs
				if len(set.Data) > 1 {
					read = g.AppendChosen
				}
				rdata, made := read(nil, id, []byte(set.Owner), set.Type, set.TTL)
				if err := Verify(set, rdata, k.all[0].DNSKEY()); err != nil || !made {
					t.Fatal(made, err)
				}
				set.Data = append(set.Data, []byte{192, 0, 2, 100 + i})
			}
		}
	}
	sign(s, s.Now())
	path = filepath.Join(t.TempDir(), KeptName(k.origin, s.Now().Epoch))
	if done, err := s.Keep(path, s.Now()); !done || err != nil {
		t.Fatal(done, err)
	}
	return s, path, sign
}

func keptKey(t *testing.T, origin rr.Name) *Keys {
	t.Helper()
	k, err := Generate(origin, FlagsCSK, ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	return Alone(k)
}

// TestKeptSignsNothing: a process with the same key and day makes no signature again, and drops those of sets that the
// zone no longer has.
func TestKeptSignsNothing(t *testing.T) {
	const origin = rr.Name("\x07example\x04test\x00")
	k, at := keptKey(t, origin), time.Unix(1_800_000_000, 0)
	_, path, sign := keeping(t, k, at)
	kept, err := ReadKept(path, k)
	if err != nil || kept.Len() != 8 {
		t.Fatal(kept, err)
	}
	s := NewSigner(k, false, at)
	s.Recall(kept)
	two, err := NewKeys(origin, k.all[0], keptKey(t, origin).all[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKept(path, two); err != nil {
		t.Errorf("with another key beside: %v", err)
	}
	gone := Set{Owner: origin, Type: rr.TypeA, TTL: 61, Data: [][]byte{{192, 0, 2, 1}}}
	if s.Now().Len() != 8 || s.Now().Has(s.Begin([]byte(gone.Owner), gone.Type, gone.TTL), gone.Type) {
		t.Errorf("%d signatures are there", s.Now().Len())
	}
	if done, err := s.Keep(path, s.Now()); done || err != nil {
		t.Error("what is not sorted out yet was written", err)
	}
	sign(s, s.Now())
	s.Now().Whole()
	s.Now().SweptChosen(s.Now().SweepChosen())
	if n := s.Now().Made(); n != 0 {
		t.Errorf("%d signatures were made again", n)
	}
	if n := s.Now().Len(); n != 8 {
		t.Errorf("%d signatures are there, want 8", n)
	}
	if done, err := s.Keep(path, s.Now()); !done || err != nil {
		t.Error(done, err)
	}
}

// TestKeptDamaged: a file is not read if any bit is flipped, if it is too short or too long, or if it is of another key
// or zone.
func TestKeptDamaged(t *testing.T) {
	const origin = rr.Name("\x07example\x04test\x00")
	k := keptKey(t, origin)
	_, path, _ := keeping(t, k, time.Unix(1_800_000_000, 0))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readKept(bytes.NewReader(whole), k); err != nil {
		t.Fatal(err)
	}
	refuse := func(what string, data []byte, k *Keys) {
		t.Helper()
		if _, err := readKept(bytes.NewReader(data), k); err == nil {
			t.Errorf("%s: it is read", what)
		}
	}
	for i := range 8 * len(whole) {
		bad := bytes.Clone(whole)
		bad[i/8] ^= 1 << (i % 8)
		refuse(fmt.Sprint("bit ", i, " flipped"), bad, k)
	}
	for n := range whole {
		refuse(fmt.Sprint("cut after ", n), whole[:n], k)
	}
	refuse("one more octet", append(bytes.Clone(whole), 0), k)
	refuse("another key", whole, keptKey(t, origin))
	one := *k.all[0].Key
	one.origin = "\x05other\x04test\x00"
	refuse("another zone", whole, Alone(&one))
	one = *k.all[0].Key
	one.flags = FlagsCSK ^ 1
	refuse("the key with other flags", whole, Alone(&one))
}

// TestKeptWithTheClockWrong: with a clock that is wrong by a day, nothing of another day is served. Once the clock is
// right again, the file counts.
func TestKeptWithTheClockWrong(t *testing.T) {
	const origin = rr.Name("\x07example\x04test\x00")
	k, at := keptKey(t, origin), time.Unix(1_800_000_000, 0)
	_, path, sign := keeping(t, k, at)
	kept, err := ReadKept(path, k)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []time.Duration{-EpochLength, EpochLength} {
		s := NewSigner(k, false, at.Add(wrong))
		s.Recall(kept)
		if n := s.Now().Len(); n != 0 {
			t.Errorf("clock wrong by %s: %d signatures of another day", wrong, n)
		}
		sign(s, s.Now())
		made := s.Now().Made()
		next := s.Prepare(at)
		s.RecallPrepared(kept)
		sign(s, next)
		if next.Made() != 0 || made == 0 {
			t.Errorf("clock right again after %s: %d signatures were made, and %d before", wrong, next.Made(), made)
		}
	}
	s := NewSigner(k, false, at.Add(EpochLength)) // it has a seed of its own
	s.Prepare(at)
	s.RecallPrepared(kept)
	if n := s.Prepared().Len(); n != 0 {
		t.Errorf("%d signatures of another seed", n)
	}
}
