package geo

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// compactMagic begins the compact form. Its last octet is the version.
const compactMagic = "LWGEO\x01"

// WriteCompact writes only the countries of a table, in the form that Embedded reads. built is the time that Sources
// gives for it. IPv6 is kept to the upper 64 bits: a /64 has the country of its first address.
//
//	magic │ DEFLATE (RFC 1951) of: time │ countries │ counts │ IPv4: zeros, rest, order │ IPv6: zeros, rest, order
//
// The time is in Unix seconds. Countries are a number and their codes, most used first. The counts are the numbers of
// ranges of both families. Each family has three runs of octets, kept apart because each compresses best among its
// like. The distances between ranges are mostly even, so zeros has the number of trailing zero bits of each, and rest
// the remaining bits (varints). order has the countries by move-to-front, since the ranges of one region alternate
// among few.
func (t *Table) WriteCompact(w io.Writer, built time.Time) error {
	// Numbers of countries: 0 is unknown, the rest by use.
	uses := map[string]int{}
	for _, location := range t.places.value {
		uses[t.locations[location].Country]++
	}
	delete(uses, "")
	codes := make([]string, 0, len(uses))
	for code := range uses {
		codes = append(codes, code)
	}
	slices.SortFunc(codes, func(a, b string) int { return cmp.Or(cmp.Compare(uses[b], uses[a]), cmp.Compare(a, b)) })
	if len(codes) > 255 {
		return fmt.Errorf("%d countries do not fit into bytes", len(codes))
	}
	numbers := map[string]byte{"": 0}
	for i, code := range codes {
		numbers[code] = byte(i + 1)
	}
	country := func(leaf int) byte { return numbers[t.locations[t.places.value[leaf]].Country] }

	var four, six family
	for i, start := range t.places.v4 {
		four.add(uint64(start), country(i))
	}
	for i, start := range t.places.v6 {
		if t.places.low(uint32(i)) == 0 {
			six.add(start, country(len(t.places.v4)+i))
		} else if start < 1<<64-1 { // the next /64 begins with what this one ends with, unless it says otherwise
			six.add(start+1, country(len(t.places.v4)+i))
		}
	}

	if _, err := io.WriteString(w, compactMagic); err != nil {
		return err
	}
	z, err := flate.NewWriter(w, flate.BestCompression)
	if err != nil {
		return err
	}
	head := binary.AppendUvarint(nil, uint64(max(0, built.Unix())))
	head = append(head, byte(len(codes)))
	for _, code := range codes {
		head = append(head, code...)
	}
	head = binary.AppendUvarint(head, uint64(len(four.starts)))
	head = binary.AppendUvarint(head, uint64(len(six.starts)))
	if _, err := z.Write(head); err != nil {
		return err
	}
	for _, f := range []*family{&four, &six} {
		if _, err := z.Write(f.encode()); err != nil {
			return err
		}
	}
	return z.Close()
}

// family is the ranges of one family in the compact form.
type family struct {
	starts    []uint64
	countries []byte
}

// add appends a range. It replaces the last one if both have the same start.
func (f *family) add(start uint64, country byte) {
	n := len(f.starts)
	if n > 0 && f.starts[n-1] == start {
		f.starts, f.countries = f.starts[:n-1], f.countries[:n-1]
		n--
	}
	if n > 0 && f.countries[n-1] == country {
		return
	}
	f.starts, f.countries = append(f.starts, start), append(f.countries, country)
}

func (f *family) encode() []byte {
	var zeros, rest, order []byte
	recent := newRecent()
	last := uint64(0)
	for i, start := range f.starts {
		if i > 0 { // the first is 0
			distance := start - last
			shift := bits.TrailingZeros64(distance)
			zeros = append(zeros, byte(shift))
			rest = binary.AppendUvarint(rest, distance>>shift>>1)
		}
		last = start
		order = append(order, recent.place(f.countries[i]))
	}
	return slices.Concat(zeros, rest, order)
}

func (f *family) decode(r *bufio.Reader, count uint64, limit uint64, countries int) error {
	if count == 0 || count > 1<<24 {
		return errors.New("damaged: the number of ranges")
	}
	zeros := make([]byte, count-1)
	if _, err := io.ReadFull(r, zeros); err != nil {
		return err
	}
	f.starts = make([]uint64, count)
	for i := uint64(1); i < count; i++ {
		rest, err := binary.ReadUvarint(r)
		if err != nil {
			return err
		}
		start := f.starts[i-1] + (rest<<1|1)<<zeros[i-1]
		if start <= f.starts[i-1] || start > limit {
			return errors.New("damaged: the order of ranges")
		}
		f.starts[i] = start
	}
	f.countries = make([]byte, count)
	if _, err := io.ReadFull(r, f.countries); err != nil {
		return err
	}
	recent := newRecent()
	for i, place := range f.countries {
		f.countries[i] = recent.at(place)
		if int(f.countries[i]) > countries {
			return errors.New("damaged: the number of a country")
		}
	}
	return nil
}

// recent is the list for move-to-front coding: country numbers, last used first.
type recent [256]byte

func newRecent() *recent {
	r := new(recent)
	for i := range r {
		r[i] = byte(i)
	}
	return r
}

// place returns the number's position, and moves the number to the front.
func (r *recent) place(number byte) byte {
	place := bytes.IndexByte(r[:], number)
	copy(r[1:place+1], r[:place])
	r[0] = number
	return byte(place)
}

// at returns the number at a position, and moves it to the front.
func (r *recent) at(place byte) byte {
	number := r[place]
	copy(r[1:int(place)+1], r[:place])
	r[0] = number
	return number
}

// readCompact reads what WriteCompact writes.
func readCompact(data string) (*layer, error) {
	if len(data) < len(compactMagic) || data[:len(compactMagic)] != compactMagic {
		return nil, errors.New("not a compact table of countries")
	}
	r := bufio.NewReader(flate.NewReader(strings.NewReader(data[len(compactMagic):])))
	built, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	n, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	codes := make([]byte, 2*int(n))
	if _, err := io.ReadFull(r, codes); err != nil {
		return nil, err
	}
	told := make([]place, 1, int(n)+1)
	for i := range int(n) {
		known, continent := country(string(codes[2*i : 2*i+2]))
		told = append(told, place{Location: Location{Country: known, Continent: continent}})
	}
	n4, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	n6, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	var four, six family
	if err := four.decode(r, n4, 1<<32-1, int(n)); err != nil {
		return nil, fmt.Errorf("IPv4: %w", err)
	}
	if err := six.decode(r, n6, 1<<64-1, int(n)); err != nil {
		return nil, fmt.Errorf("IPv6: %w", err)
	}
	places, err := build(func(v4 func(uint32, uint32), v6 func(uint64, uint64, uint32)) error {
		for i, start := range four.starts {
			v4(uint32(start), uint32(four.countries[i]))
		}
		for i, start := range six.starts {
			v6(start, 0, uint32(six.countries[i]))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &layer{
		source: Source{
			Type:  "countries",
			Gives: "country",
			Built: time.Unix(int64(built), 0).UTC(),
			Tells: Tells{Networks: places.leaves(), Countries: places.leaves()},
		},
		places: places,
		told:   told,
	}, nil
}
