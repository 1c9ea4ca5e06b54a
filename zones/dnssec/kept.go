package dnssec

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"

	"leeward/zones/disk"
	"leeward/zones/rr"
)

// Signatures are kept on disk, so that they need not be made again after a restart. A file has those of one zone and
// epoch:
//
//	keptMagic, origin (its length first: 2 octets), SHA-256 of a DNSKEY
//	epoch (8), seed (16), numbers of signatures: fixed, chosen (4 each)
//	identity (16) and signature (64) of each
//	HMAC-SHA256 of all that (32)
//
// Numbers are little-endian. The key of the HMAC is derived from the private key of that DNSKEY of the zone. So whoever
// cannot sign cannot make a file that is accepted, and signatures need not be verified one by one. A file that is
// damaged, cut short, or not of one of the zone's keys is ignored as a whole; its content is signed again. Identities
// are those of lanes, so the signatures of keys that are gone stand for nothing.
//
// The number in keptMagic must change whenever the identity of an RRset changes, or what is signed of it.
const keptMagic = "leeward signatures 1\n"

// Kept is the signatures that an earlier process made.
type Kept struct {
	origin      rr.Name
	epoch       int64
	seed        seed
	fixed, sets *table
}

// Len returns how many there are.
func (k *Kept) Len() int { return k.fixed.len() + k.sets.len() }

// fingerprint tells keys apart.
func (k *Key) fingerprint() [sha256.Size]byte { return sha256.Sum256(k.DNSKEY()) }

// mac returns the HMAC for files that the key vouches for. What is signed to derive its key cannot be taken for an
// RRset: the input for an RRset begins with a type and an algorithm, and these octets say algorithm 101.
//
// A key without its private part vouches by a secret of the server's own: the server then trusts only its own disk.
func (k *Key) mac() (hash.Hash, error) {
	if k.private == nil {
		if own := k.hand.secretOf(k); own != nil {
			return hmac.New(sha256.New, own), nil
		}
	}
	secret, err := k.sign(append([]byte("leeward: signatures on disk of "), k.origin...))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(secret[:])
	return hmac.New(sha256.New, sum[:]), nil
}

// Keep writes the signatures of a generation to a file. During a sweep it does nothing, and returns false.
func (s *Signer) Keep(path string, g *Generation) (done bool, err error) {
	fixed, settled := g.fixed.settled()
	sets, too := g.sets.settled()
	if !settled || !too {
		return false, nil
	}
	key := s.duty.Zone[0]
	mac, err := key.mac()
	if err != nil {
		return false, err
	}
	return true, disk.Write(path, 0o640, func(f *os.File) error {
		file := bufio.NewWriterSize(f, 1<<16)
		w := io.MultiWriter(file, mac)
		print := key.fingerprint()
		head := append(keptHead(s.origin), print[:]...)
		for _, n := range [...]uint64{uint64(g.Epoch.Number), s.seed.a, s.seed.b} {
			head = binary.LittleEndian.AppendUint64(head, n)
		}
		head = binary.LittleEndian.AppendUint32(head, uint32(fixed.count))
		head = binary.LittleEndian.AppendUint32(head, uint32(sets.count))
		if _, err := w.Write(head); err != nil {
			return err
		}
		var b [keptSize]byte
		for _, l := range [...]*tableState{fixed, sets} {
			for e := range l.each {
				binary.LittleEndian.PutUint64(b[:], e.of.a)
				binary.LittleEndian.PutUint64(b[8:], e.of.b)
				copy(b[16:], e.signature[:])
				if _, err := w.Write(b[:]); err != nil {
					return err
				}
			}
		}
		if _, err := file.Write(mac.Sum(nil)); err != nil {
			return err
		}
		return file.Flush()
	})
}

// keptHead returns the first octets of a zone's file.
func keptHead(origin rr.Name) []byte {
	head := binary.LittleEndian.AppendUint16([]byte(keptMagic), uint16(len(origin)))
	return append(head, origin...)
}

// keptSize is how many octets a signature takes in the file.
const keptSize = 16 + SignatureSize

// errKept says what is wrong with a file of signatures.
var errKept = errors.New("it is damaged, cut short, or of another key")

// ReadKept reads a file of signatures that one of the keys vouches for. An error says why the file is not used.
func ReadKept(path string, keys *Keys) (*Kept, error) {
	f, err := disk.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	k, err := readKept(f, keys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

func readKept(f io.Reader, keys *Keys) (*Kept, error) {
	file := bufio.NewReaderSize(f, 1<<16)
	want := keptHead(keys.origin)
	var head [sha256.Size + 32]byte
	got := make([]byte, len(want)+len(head))
	if _, err := io.ReadFull(file, got); err != nil || !bytes.Equal(got[:len(want)], want) {
		return nil, errKept
	}
	copy(head[:], got[len(want):])
	at := slices.IndexFunc(keys.all, func(k TimedKey) bool {
		vouches := k.private != nil || k.hand.secretOf(k.Key) != nil
		return vouches && k.fingerprint() == [sha256.Size]byte(head[:sha256.Size])
	})
	if at < 0 {
		return nil, errKept
	}
	mac, err := keys.all[at].mac()
	if err != nil {
		return nil, err
	}
	mac.Write(got)
	r, numbers := io.TeeReader(file, mac), head[sha256.Size:]
	k := &Kept{
		origin: keys.origin,
		epoch:  int64(binary.LittleEndian.Uint64(numbers)),
		seed:   seed{binary.LittleEndian.Uint64(numbers[8:]), binary.LittleEndian.Uint64(numbers[16:])},
		fixed:  &table{},
		sets:   &table{},
	}
	for i, t := range [...]*table{k.fixed, k.sets} {
		for range binary.LittleEndian.Uint32(numbers[24+4*i:]) {
			var b [keptSize]byte
			if _, err := io.ReadFull(r, b[:]); err != nil {
				return nil, errKept
			}
			id := Identity{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
			t.add(id, [SignatureSize]byte(b[16:]))
		}
	}
	sum := make([]byte, sha256.Size)
	if _, err := io.ReadFull(file, sum); err != nil || !hmac.Equal(sum, mac.Sum(nil)) {
		return nil, errKept
	}
	if _, err := file.ReadByte(); err != io.EOF {
		return nil, errKept
	}
	return k, nil
}

// Recall gives a new signer, which nobody else uses yet, the signatures that an earlier process made. If they are of
// another epoch, it takes only their seed, so that more can be recalled when that epoch is prepared.
func (s *Signer) Recall(k *Kept) {
	if k != nil && k.origin == s.origin {
		s.seed = k.seed
		s.Now().recall(k)
	}
}

// RecallPrepared adds what was kept to the signatures being prepared, if epoch and seed are the same.
func (s *Signer) RecallPrepared(k *Kept) {
	if next := s.Prepared(); next != nil && k.origin == s.origin && k.seed == s.seed {
		next.recall(k)
	}
}

// recall adds what was kept of the generation's epoch, as if a sweep had begun: what the zone still has is kept as it
// is signed, and the rest is dropped.
func (g *Generation) recall(k *Kept) {
	if k.epoch == g.Epoch.Number {
		g.fixed.recall(k.fixed)
		g.sets.recall(k.sets)
	}
}

func (p *pair) recall(t *table) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.len() == 0 || p.old.Load() != nil {
		return
	}
	p.old.Store(t)
	if p.young.Load() == nil {
		p.young.Store(&table{})
	}
}

// settled returns the content of a pair. ok is false during a sweep.
func (p *pair) settled() (s *tableState, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.young.Load(); t != nil {
		s = t.state.Load()
	}
	if s == nil {
		s = &tableState{}
	}
	return s, p.old.Load() == nil
}

func (s *tableState) each(yield func(*signed) bool) {
	for n := range s.count {
		if !yield(s.entry(uint32(n))) {
			return
		}
	}
}

// InEpoch reports whether the signatures are of that epoch.
func (k *Kept) InEpoch(e Epoch) bool { return k.epoch == e.Number }

// KeptName returns the name, within its folder, of the file with the signatures of a zone and an epoch.
func KeptName(origin rr.Name, e Epoch) string {
	sum := sha256.Sum256([]byte(origin))
	return fmt.Sprintf("%x-%d", sum[:16], e.Number)
}
