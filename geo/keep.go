package geo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"leeward/zones/disk"
)

// What is made of a database can be kept in a folder, so that the next start need not decode five million networks
// again. It is only a copy: it counts only for exactly the database that it was made from, and if it is damaged, cut
// short or of another version, it is made again.
//
//	keptHead │ counts │ source (JSON) │ places │ arrays of ranges, locations first, then AS numbers
//
// The arrays are in the machine's own form, as they are in memory. A kept file is read into memory and not mapped: a
// mapped file that somebody cuts short would fault under a query, and reading 50 MB takes 20 ms.

// keptForm begins a kept file. Its last octet is the version of the form.
const keptForm = "LWKEPT\x00\x01"

// keptHead is the beginning of a kept file.
type keptHead struct {
	Form  [8]byte
	Order uint64            // byteOrder, as written by the machine
	By    [sha256.Size]byte // digest of the program's version: another one may read a database differently
	Of    [sha256.Size]byte // digest of the database
	Size  uint64            // of the body, octets
	Sum   uint64            // CRC-32C of the body
}

const byteOrder = 0x0102030405060708

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// keptFile returns the file for what is made of a database.
func keptFile(folder, database string) string {
	if full, err := filepath.Abs(database); err == nil {
		database = full
	}
	sum := sha256.Sum256([]byte(database))
	return filepath.Join(folder, fmt.Sprintf("geo-%x.kept", sum[:6]))
}

// clearKept removes the kept files of databases that are no longer in use.
func clearKept(folder string, used []string) {
	all, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, entry := range all {
		name := filepath.Join(folder, entry.Name())
		if fits, _ := filepath.Match("geo-*.kept", entry.Name()); fits && entry.Type().IsRegular() &&
			!slices.Contains(used, name) {
			_ = os.Remove(name)
		}
	}
}

// keep writes a layer into a file.
func (l *layer) keep(file string) error {
	source, err := json.Marshal(l.source)
	if err != nil {
		return err
	}
	told := l.encode()
	var counts []uint64
	body := [][]byte{source, told}
	for _, part := range body {
		counts = append(counts, uint64(len(part)))
	}
	for _, r := range []*ranges{l.places, l.systems} {
		if r == nil {
			r = &ranges{}
		}
		counts = append(counts, uint64(len(r.v4)), uint64(len(r.v6)), uint64(len(r.deep)))
		body = append(body, octets(r.v4), octets(r.v6), octets(r.deep), octets(r.value))
	}
	body = append([][]byte{octets(counts)}, body...)
	head := keptHead{Form: [8]byte([]byte(keptForm)), Order: byteOrder, By: program(), Of: l.of}
	sum := uint32(0)
	for _, part := range body {
		head.Size += uint64(len(part))
		sum = crc32.Update(sum, castagnoli, part)
	}
	head.Sum = uint64(sum)
	return disk.Write(file, 0o640, func(f *os.File) error {
		if err := binary.Write(f, binary.NativeEndian, &head); err != nil {
			return err
		}
		for _, part := range body {
			if _, err := f.Write(part); err != nil {
				return err
			}
		}
		return nil
	})
}

// errOther says that a kept file belongs to another version of the database, or of the program.
var errOther = errors.New("of another version")

// program identifies the program's version, as far as it was built from a repository or a release.
var program = sync.OnceValue(func() [sha256.Size]byte {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return [sha256.Size]byte{}
	}
	text := info.Main.Version
	for _, s := range info.Settings {
		if strings.HasPrefix(s.Key, "vcs.") {
			text += " " + s.Value
		}
	}
	return sha256.Sum256([]byte(text))
})

// readKept reads what was made of the database with that digest. An error says why the file cannot be used.
func readKept(file string, of [sha256.Size]byte) (*layer, error) {
	f, err := disk.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	status, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var head keptHead
	switch err := binary.Read(f, binary.NativeEndian, &head); {
	case err != nil:
		return nil, errors.New("cut short")
	case string(head.Form[:]) != keptForm || head.Order != byteOrder:
		return nil, errors.New("of another form")
	case head.Of != of || head.By != program():
		return nil, errOther
	case head.Size != uint64(status.Size())-uint64(binary.Size(&head)):
		return nil, errors.New("cut short")
	}
	b := body{f, head.Size, crc32.New(castagnoli)}
	counts, err := take[uint64](&b, 8)
	if err != nil {
		return nil, err
	}
	source, err := take[byte](&b, counts[0])
	if err != nil {
		return nil, err
	}
	told, err := take[byte](&b, counts[1])
	if err != nil {
		return nil, err
	}
	l := &layer{of: of}
	if l.places, err = takeRanges(&b, counts[2:5]); err == nil {
		l.systems, err = takeRanges(&b, counts[5:8])
	}
	if err != nil {
		return nil, err
	}
	if b.left != 0 || uint64(b.sum.Sum32()) != head.Sum {
		return nil, errors.New("damaged")
	}
	if err := json.Unmarshal(source, &l.source); err != nil {
		return nil, err
	}
	if l.told, err = decodeTold(told); err != nil {
		return nil, err
	}
	return l, l.sound()
}

// body is the rest of a kept file.
type body struct {
	r    io.Reader
	left uint64 // octets left, according to the head
	sum  hash.Hash32
}

// take reads n numbers.
func take[T byte | uint32 | uint64 | depth](b *body, n uint64) ([]T, error) {
	var one T
	if n > b.left/uint64(unsafe.Sizeof(one)) {
		return nil, errors.New("damaged: more in it than it is long")
	}
	if n == 0 {
		return nil, nil
	}
	all := make([]T, n)
	raw := octets(all)
	if _, err := io.ReadFull(b.r, raw); err != nil {
		return nil, err
	}
	b.left -= uint64(len(raw))
	_, err := b.sum.Write(raw)
	return all, err
}

// takeRanges reads ranges. It returns (nil, nil) if there are none.
func takeRanges(b *body, counts []uint64) (r *ranges, err error) {
	r = &ranges{}
	if counts[0] > math.MaxUint32 || counts[1] > math.MaxUint32 {
		return nil, errors.New("damaged: more in it than it is long")
	}
	if r.v4, err = take[uint32](b, counts[0]); err != nil {
		return nil, err
	}
	if r.v6, err = take[uint64](b, counts[1]); err != nil {
		return nil, err
	}
	if r.deep, err = take[depth](b, counts[2]); err != nil {
		return nil, err
	}
	if r.value, err = take[uint32](b, counts[0]+counts[1]); err != nil || len(r.value) == 0 {
		return nil, err
	}
	return r, nil
}

// octets returns the memory of numbers.
func octets[T byte | uint32 | uint64 | depth](numbers []T) []byte {
	var one T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(numbers))), uintptr(len(numbers))*unsafe.Sizeof(one))
}

// sound checks everything that look-ups rely on, and makes the indexes.
func (l *layer) sound() error {
	if l.places == nil && l.systems == nil || (l.places == nil) != (len(l.told) == 0) {
		return errors.New("damaged: it tells nothing")
	}
	for _, r := range []*ranges{l.places, l.systems} {
		if r == nil {
			continue
		}
		if !r.ordered() {
			return errors.New("damaged: the order of ranges")
		}
		if r == l.places {
			for _, n := range r.value {
				if int(n) >= len(l.told) {
					return errors.New("damaged: the number of a place")
				}
			}
		}
		r.index()
	}
	return nil
}

// ordered reports whether the ranges cover both families in ascending order.
func (r *edges) ordered() bool {
	if len(r.v4) == 0 || len(r.v6) == 0 || r.v4[0] != 0 || r.v6[0] != 0 {
		return false
	}
	for i := 1; i < len(r.v4); i++ {
		if r.v4[i] <= r.v4[i-1] {
			return false
		}
	}
	deep, before := r.deep, uint64(0)
	for i, upper := range r.v6 {
		low := uint64(0)
		if len(deep) > 0 && int(deep[0].index) == i {
			low, deep = deep[0].low, deep[1:]
			if low == 0 {
				return false
			}
		}
		if i == 0 && low != 0 || i > 0 && (upper < r.v6[i-1] || upper == r.v6[i-1] && low <= before) {
			return false
		}
		before = low
	}
	return len(deep) == 0
}

// encode writes the places, with each string once.
func (l *layer) encode() []byte {
	number := map[string]uint64{}
	var words, all []byte
	for i := range l.told {
		p := &l.told[i]
		for _, s := range [...]string{p.Continent, p.Country, p.Subdivision, p.Deeper, p.registered} {
			n, ok := number[s]
			if !ok {
				n = uint64(len(number))
				number[s] = n
				words = append(binary.AppendUvarint(words, uint64(len(s))), s...)
			}
			all = binary.AppendUvarint(all, n)
		}
		point := byte(0)
		if p.HasPoint {
			point = 1
		}
		all = append(all, point)
		all = binary.AppendVarint(all, int64(math.Round(p.Latitude*10)))
		all = binary.AppendVarint(all, int64(math.Round(p.Longitude*10)))
	}
	head := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(l.told))), uint64(len(number)))
	return bytes.Join([][]byte{head, words, all}, nil)
}

// errTold says that the places are damaged.
var errTold = errors.New("damaged: the places")

// decodeTold reads what encode writes.
func decodeTold(text []byte) ([]place, error) {
	wrong := false
	number := func(most int) int {
		n, size := binary.Uvarint(text)
		if size <= 0 || n > uint64(most) {
			wrong = true
			return 0
		}
		text = text[size:]
		return int(n)
	}
	tenths := func() float64 {
		n, size := binary.Varint(text)
		if size <= 0 || n < -1800 || n > 1800 {
			wrong = true
			return 0
		}
		text = text[size:]
		return float64(n) / 10
	}
	n, spelled := number(len(text)), number(len(text))
	var words []string
	for range spelled {
		size := number(len(text))
		if wrong || size > len(text) {
			return nil, errTold
		}
		words = append(words, string(text[:size]))
		text = text[size:]
	}
	if n > len(text)/8 { // a place takes at least 8 octets
		return nil, errTold
	}
	told := slices.Grow([]place(nil), n)
	for range n {
		var p place
		for _, s := range [...]*string{&p.Continent, &p.Country, &p.Subdivision, &p.Deeper, &p.registered} {
			k := number(len(words) - 1)
			if wrong || k >= len(words) {
				return nil, errTold
			}
			*s = words[k]
		}
		if len(text) == 0 {
			return nil, errTold
		}
		p.HasPoint, text = text[0] == 1, text[1:]
		p.Latitude, p.Longitude = tenths(), tenths()
		if wrong {
			return nil, errTold
		}
		told = append(told, p)
	}
	if wrong || len(text) != 0 || len(told) > 0 && told[0] != (place{}) {
		return nil, errTold
	}
	return told, nil
}
