package rr

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Set is an RRset: the data of one owner and type. Class is always IN.
type Set struct {
	Owner Name
	Type  Type
	TTL   uint32   // seconds
	Data  [][]byte // RDATA in wire form
}

// WriteMaster writes a master file in one fixed form, so that reading it and writing it again gives the same octets:
// one record a line, all names in full, TTL and class on every line. The SOA of the origin comes first. The rest is in
// canonical order (RFC 4034 section 6): by owner, beginning with the origin, then by type number, then by TTL (an RRset
// should have only one), then by data as strings of octets. Records that are there twice are written once. The sets are
// not changed.
func WriteMaster(w io.Writer, origin Name, sets []Set) error {
	sorted := slices.Clone(sets)
	slices.SortStableFunc(sorted, func(a, b Set) int {
		aSOA, bSOA := a.Type == TypeSOA && a.Owner == origin, b.Type == TypeSOA && b.Owner == origin
		switch {
		case aSOA != bSOA && aSOA:
			return -1
		case aSOA != bSOA:
			return 1
		case a.Owner != b.Owner:
			return a.Owner.Compare(b.Owner)
		}
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.TTL, b.TTL))
	})
	out := bufio.NewWriterSize(w, 1<<16)
	out.WriteString("; zone " + string(appendName(nil, origin)) + "\n")
	var line []byte
	for i := 0; i < len(sorted); {
		set := sorted[i]
		data := slices.Clone(set.Data)
		for i++; i < len(sorted) && sorted[i].Owner == set.Owner && sorted[i].Type == set.Type &&
			sorted[i].TTL == set.TTL; i++ {
			data = append(data, sorted[i].Data...)
		}
		slices.SortFunc(data, bytes.Compare)
		for _, d := range slices.CompactFunc(data, bytes.Equal) {
			text, err := FormatData(set.Type, d)
			if err != nil {
				return fmt.Errorf("%s: %w", set.Owner, err)
			}
			line = appendName(line[:0], set.Owner)
			line = column(line, 32)
			line = strconv.AppendUint(line, uint64(set.TTL), 10)
			line = column(line, 40)
			line = append(line, "IN "...)
			line = append(line, set.Type.String()...)
			line = column(line, 52)
			line = append(line, text...)
			out.Write(append(line, '\n'))
		}
	}
	return out.Flush() // the first error of any of the writes
}

// column appends blanks up to the column, at least one.
func column(line []byte, at int) []byte {
	line = append(line, ' ')
	for len(line) < at {
		line = append(line, ' ')
	}
	return line
}
